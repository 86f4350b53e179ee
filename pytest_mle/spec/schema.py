"""JSON Schema (draft 2020-12) of the format, for editors; made from the tables that the reader itself uses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_mle.spec.conditions import COMPARISONS
from pytest_mle.spec.fields import ASIL_LEVELS, INPUT_SECTIONS, TABLES

if TYPE_CHECKING:
    from pytest_mle.spec.fields import Field

NUMBER = r"[-+]?(\d+(\.\d+)?|\.\d+)([eE][-+]?\d+)?"
# Looser than the reader, which also knows units and quantities; it catches slips while typing.
CRITERION = rf"^\s*[A-Za-z_][A-Za-z0-9_.]*\s*((<=|>=|==|<|>)\s*{NUMBER}|in\s+{NUMBER}\s*\.\.\s*{NUMBER})"
DEFINITIONS = ("item", "variant", "requirement", "under", "evidence", "base_practice")
INPUT_DESCRIPTIONS = {
    "like": "Another input of the same kind whose options this one takes over; nested options merge.",
    "path": "Where it is, relative to the spec. ${NAME} and ${NAME:-default} are filled in.",
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a spec."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pytest-mle spec",
        "description": "A checklist for machine-learning engineering that pytest-mle runs.",
        **_object("spec"),
        "$defs": {
            **{table: _object(table) for table in DEFINITIONS},
            "criterion": _criterion(),
            "where": _where(),
            "input": {
                "type": "object",
                "description": "One input; further options belong to its format.",
                "properties": {
                    name: {"type": "string", "description": text} for name, text in INPUT_DESCRIPTIONS.items()
                },
            },
        },
    }


def write_schema() -> str:
    """Return the JSON Schema as text, as the package ships it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _object(table: str) -> dict[str, Any]:
    fields = TABLES[table]
    required = [name for name, field in fields.items() if field.is_required]
    described: dict[str, Any] = {
        "type": "object",
        "properties": {name: _property(name, field) for name, field in fields.items()},
        "additionalProperties": False,
    }
    return described | ({"required": required} if required else {})


def _property(name: str, field: Field) -> dict[str, Any]:
    return {"description": field.description, **_type(name, field)}


def _type(name: str, field: Field) -> dict[str, Any]:
    if name == "extends":
        return {"oneOf": [_extends(), {"type": "array", "items": _extends()}]}
    if name == "where":
        return {"$ref": "#/$defs/where"}
    if field.table is not None:
        return _below(field)
    return _SIMPLE.get(field.kind, {}) | ({"enum": list(field.choices)} if field.choices else {})


def _below(field: Field) -> dict[str, Any]:
    assert field.table is not None
    if field.table == "inputs":
        return _inputs()
    if field.table == "verifies":
        entries: dict[str, Any] = {"oneOf": [{"type": "string"}, _object("verifies")]}
    elif field.table == "requirement":
        entries = {"oneOf": [{"$ref": "#/$defs/requirement"}, _object("requirement_file")]}
    elif field.table == "criterion" or field.table in DEFINITIONS:
        entries = {"$ref": f"#/$defs/{field.table}"}
    else:
        entries = _object(field.table)
    return {"type": "array", "items": entries} if field.kind == "list" else entries


def _extends() -> dict[str, Any]:
    return {"oneOf": [{"type": "string", "minLength": 1}, _object("extends")]}


def _inputs() -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            section: {
                "description": TABLES["inputs"][section].description,
                "type": "object",
                "additionalProperties": {"$ref": "#/$defs/input"},
            }
            for section in INPUT_SECTIONS
        },
    }


def _criterion() -> dict[str, Any]:
    text = {"type": "string", "pattern": CRITERION}
    entry = _object("criterion")
    entry["properties"]["criterion"] |= {"pattern": CRITERION}
    # `origin` is for checklists, which have no schema of their own.
    del entry["properties"]["origin"]
    return {"description": "quantity op number [unit] [at N % confidence | by point value].", "oneOf": [text, entry]}


def _where() -> dict[str, Any]:
    value: dict[str, Any] = {"type": ["string", "number", "boolean"]}
    comparison = {
        name: {
            "description": f"The attribute is {name} this value.",
            **({"type": "array"} if name == "in" else value),
        }
        for name in COMPARISONS
    }
    return {
        "description": "Attribute to a value, a list of values, or comparisons.",
        "type": "object",
        "additionalProperties": {
            "oneOf": [
                value,
                {"type": "array", "items": value, "minItems": 1},
                {"type": "object", "properties": comparison, "additionalProperties": False, "minProperties": 1},
            ]
        },
    }


_LEVELS = {"enum": list(ASIL_LEVELS)}
_SIMPLE: dict[str, dict[str, Any]] = {
    "text": {"type": "string", "minLength": 1},
    "scalar": {"type": ["string", "number", "boolean"]},
    "natural": {"type": "integer", "minimum": 0},
    "version": {"const": 1},
    "boolean": {"type": "boolean"},
    "mapping": {"type": "object"},
    "list": {"type": "array"},
    "texts": {"type": "array", "items": {"type": "string", "minLength": 1}},
    "choice": {"type": "string"},
    "duration": {"type": "string", "pattern": r"^\s*[0-9.]+\s*(µs|us|ms|s|min|h|d)\s*$"},
    "confidence": {
        "oneOf": [
            {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"},
            {"type": "number", "minimum": 0.5, "exclusiveMaximum": 1},
        ]
    },
    "asil": {"type": "string", "pattern": r"^(QM|A|B|C|D)(\((QM|A|B|C|D)\))?$"},
    "asil_levels": {"oneOf": [_LEVELS, {"type": "array", "items": _LEVELS, "minItems": 1}, {"type": "object"}]},
}
