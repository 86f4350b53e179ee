"""Every key of the format: its type, what it means, and how a wrong one is explained.

The tables serve the reader (unknown keys, wrong types) and the JSON Schema alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import closest
from pytest_mle.spec.units import UnitError, parse_duration
from pytest_mle.yaml_with_lines import LocatedList, LocatedMapping, kind_of, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_mle.errors import Location
    from pytest_mle.spec.problems import Problems


@dataclass(frozen=True, slots=True)
class Field:
    """One key: ``kind`` names the type, ``table`` the keys below it, ``choices`` the words it may be."""

    kind: str
    description: str
    choices: tuple[str, ...] = ()
    table: str | None = None
    is_required: bool = False


ASIL_LEVELS = ("QM", "A", "B", "C", "D")
INPUT_SECTIONS = ("datasets", "models", "training_logs", "configs", "records", "tables")
KIND_OF_SECTION = {
    "datasets": "dataset",
    "models": "model",
    "training_logs": "training_log",
    "configs": "config",
    "records": "record",
    "tables": "table",
}

TABLES: dict[str, dict[str, Field]] = {
    "spec": {
        "mle_spec": Field("version", "Version of this format: 1.", is_required=True),
        "project": Field("mapping", "What is examined.", table="project"),
        "extends": Field(
            "any",
            "Bundled checklists by name, or specs and checklists by a path relative to this file; later ones win.",
        ),
        "processes": Field("texts", "Processes that the project claims; default: all it has items for."),
        "base_practices": Field("list", "Base practices beside the official ones.", table="base_practice"),
        "inputs": Field("mapping", "What checks examine, by kind and name.", table="inputs"),
        "defaults": Field(
            "mapping", "The input of each kind that an item gets unless it says `using`.", table="defaults"
        ),
        "requirements": Field("list", "Requirements, or {from: file} for a file of them.", table="requirement"),
        "policy": Field("mapping", "Rules for the whole run.", table="policy"),
        "items": Field("list", "The lines of the checklist.", table="item"),
    },
    "checklist": {
        "mle_checklist": Field("version", "Version of the checklist format: 1.", is_required=True),
        "name": Field("text", "Name of the checklist."),
        "title": Field("text", "What the checklist is."),
        "description": Field("text", "Where it comes from."),
        "source": Field("any", "The document it renders."),
        "license": Field("text", "Licence of its text."),
        "files": Field("texts", "Files of the checklist, in order; in _index.yaml only."),
        "process": Field("text", "The process whose items this file holds."),
        "processes": Field("list", "Titles of processes.", table="process"),
        "base_practices": Field("list", "Base practices beside the official ones.", table="base_practice"),
        "items": Field("list", "The lines of the checklist.", table="item"),
    },
    "project": {
        "name": Field("text", "Name of the project, as reports show it."),
        "version": Field("text", "Version under test; in quotes, because 1.10 as a number is 1.1."),
        "asil": Field("asil", "ASIL of the function: QM, A, B, C, D, or decomposed as B(D)."),
    },
    "extends": {
        "checklist": Field("text", "Name of a bundled checklist, or a path."),
        "path": Field("text", "Path of a spec or checklist, relative to this file."),
        "only": Field("texts", "Item ids that are taken over, * and ? as in file names; default: all."),
        "adopt": Field("texts", "Proposed criteria that shall gate here: item ids, ITEM.quantity, or all."),
    },
    "process": {
        "id": Field("text", "Id, such as MLE.5.", is_required=True),
        "title": Field("text", "Title as reports show it.", is_required=True),
        "description": Field("text", "Where the process comes from."),
        "official": Field("boolean", "Whether Automotive SPICE has it."),
    },
    "base_practice": {
        "id": Field("text", "Id, such as MLE.5.BP1.", is_required=True),
        "title": Field("text", "Title as reports show it.", is_required=True),
        "process": Field("text", "Process it belongs to; default: the id without its last part."),
        "process_title": Field("text", "Title of that process, if it is new."),
        "official": Field("boolean", "Whether Automotive SPICE has it; default false."),
        "description": Field("text", "Where it comes from."),
    },
    "inputs": {
        "datasets": Field("mapping", "Data sets by name."),
        "models": Field("mapping", "Models by name."),
        "training_logs": Field("mapping", "Training logs by name."),
        "configs": Field("mapping", "Configuration files by name."),
        "records": Field("mapping", "Quantities and samples measured elsewhere, by name."),
        "tables": Field("mapping", "Tables (CSV and the like) by name."),
    },
    "defaults": {
        kind: Field("text", f"The {kind.replace('_', ' ')} that items examine unless they say `using`.")
        for kind in KIND_OF_SECTION.values()
    },
    "policy": {
        "seed": Field("natural", "Seed of everything random; default 0."),
        "confidence": Field("confidence", "Confidence that every estimate must reach, such as 95 %."),
        "images": Field("choice", "Images in reports; default blurred.", choices=("shown", "blurred", "off")),
    },
    "requirement": {
        "id": Field("text", "Id, unique in the spec.", is_required=True),
        "text": Field("text", "What is required.", is_required=True),
        "title": Field("text", "Short title."),
        "parent": Field("text", "Requirement it refines."),
        "parents": Field("texts", "Requirements it refines."),
        "rationale": Field("text", "Why it is required, and why this number."),
        "asil": Field("asil", "ASIL: QM, A, B, C, D, or decomposed as B(D)."),
        "type": Field("text", "functional, non-functional, data, ..."),
        "criteria": Field("list", "Numbers that must be met, as in accept.", table="criterion"),
        "under": Field("mapping", "Conditions that belong to the numbers.", table="under"),
        "priority": Field("scalar", "Priority."),
        "release": Field("scalar", "Release it is planned for."),
        "status": Field("text", "Status, such as agreed."),
        "group": Field("text", "Group it is structured under."),
        "version": Field("scalar", "Version of the requirement."),
        "source": Field("text", "Where it comes from."),
        "attributes": Field("mapping", "Further attributes, free."),
    },
    "requirement_file": {
        "from": Field("text", "YAML or JSON file with requirements, relative to this file.", is_required=True),
    },
    "under": {
        "check": Field("text", "The check that measures it."),
        "with": Field("mapping", "Parameters of the check."),
        "using": Field("mapping", "Inputs of the check."),
        "where": Field("mapping", "Only samples or objects that match."),
    },
    "item": {
        "id": Field("text", "Id, unique in the spec: letters, digits, dot, hyphen and underscore.", is_required=True),
        "title": Field("text", "One line, as reports show it; default: the id."),
        "description": Field("text", "What is asked, in full."),
        "process": Field("text", "Process; default: that of the base practice."),
        "base_practice": Field("text", "Base practice it is reported under, such as MLE.4.BP3."),
        "check": Field("text", "The check that measures: built in, or a fixture of the project."),
        "with": Field("mapping", "Parameters of the check; null removes one that the extended checklist sets."),
        "using": Field("mapping", "Which declared input each input of the check gets."),
        "where": Field("mapping", "Only samples or objects that match, such as {distance_m: {lt: 50}}."),
        "for_each": Field("list", "One test case per slice.", table="variant"),
        "parametrize": Field("mapping", "One test case per value: parameter to list of values."),
        "timeout": Field("duration", "Longest time it may run, such as 10 min."),
        "accept": Field("list", "Criteria that gate.", table="criterion"),
        "accept_more": Field("list", "Criteria added to those of the extended checklist.", table="criterion"),
        "advise": Field("list", "Criteria whose breach is a warning.", table="criterion"),
        "evidence": Field("list", "Documents or records that a person reviews.", table="evidence"),
        "verifies": Field("list", "Requirements whose check, conditions and criteria it takes over.", table="verifies"),
        "not_applicable": Field("text", "Why the item does not apply here; this closes it."),
        "asil": Field("asil_levels", "ASIL levels it applies to; default all."),
        "marks": Field("texts", "Pytest marks for -m."),
        "waivable": Field("boolean", "Whether a waiver can cover it; default true."),
        "standards": Field("texts", "Clauses of standards it serves."),
        "fit": Field(
            "choice",
            "How well it fits the official base practice; weak ones do not count for completeness.",
            choices=("exact", "close", "weak"),
        ),
        "kind": Field("choice", "How it is shown.", choices=("automated", "hybrid", "evidence")),
        "handbook_base_practice": Field("text", "Base practice as the handbook labels it, where it differs."),
        "origin": Field("text", "Where the item comes from; set by checklists."),
        "optional": Field("boolean", "Whether the handbook calls it optional."),
        "needs": Field("any", "What has to be at hand, in words."),
        "measures": Field("any", "What it measures, in words."),
        "evidence_needed": Field("any", "Documents that it asks for: texts, or mappings with artifact and roles."),
        "note": Field("any", "A remark for whoever adopts it."),
        "why": Field("text", "Why the item exists."),
        "handbook_text": Field("text", "The handbook's sentence."),
        "handbook_section": Field("text", "The handbook's section."),
        "handbook_line": Field("any", "Line in the handbook."),
        "handbook_numbers": Field("any", "Numbers the handbook states."),
        "handbook_process": Field("text", "Process as the handbook labels it."),
        "secondary_base_practices": Field("texts", "Further official base practices it serves."),
        "information_items": Field("any", "Output information items of Automotive SPICE it belongs to."),
    },
    "variant": {
        "name": Field("text", "Name of the slice in brackets; default: made from its conditions."),
        "where": Field("mapping", "Conditions of the slice."),
        "with": Field("mapping", "Parameters for this slice."),
        "using": Field("mapping", "Inputs for this slice."),
        "accept": Field("list", "Criteria of this slice instead of the item's.", table="criterion"),
        "accept_more": Field("list", "Criteria of this slice beside the item's.", table="criterion"),
        "advise": Field("list", "Advisory criteria of this slice instead of the item's.", table="criterion"),
        "verifies": Field("list", "Requirements that this slice verifies beside the item's.", table="verifies"),
        "not_applicable": Field("text", "Why the slice does not apply here."),
    },
    "criterion": {
        "criterion": Field("text", "quantity op number [unit] [at N % confidence | by point value].", is_required=True),
        "origin": Field(
            "choice",
            "Where the number comes from; for checklists only.",
            choices=("handbook", "handbook_example", "proposed", "gap"),
        ),
        "severity": Field("choice", "must gates, advisory warns.", choices=("must", "advisory")),
        "note": Field("text", "Why this number."),
        "source": Field("text", "Where the number stands."),
    },
    "evidence": {
        "file": Field("text", "A file, relative to the spec."),
        "folder": Field("text", "A folder, relative to the spec."),
        "url": Field("text", "A web page."),
        "reference": Field("text", "A document by its number in another system."),
        "issue": Field("text", "An issue or change request; read as a reference."),
        "record": Field("text", "A declared record, or the path of one."),
        "role": Field("text", "Who must sign it off."),
        "roles": Field("texts", "Who must sign it off."),
        "valid_for": Field("duration", "How long a sign-off holds, such as 365 d."),
        "title": Field("text", "What the document is."),
        "description": Field("text", "What it must show."),
        "artifact": Field("text", "Kind of document."),
        "fields": Field("texts", "Fields that a record must have."),
        "sections": Field("texts", "Headings that a document must have."),
        "sha256": Field("text", "Digest that the file must have."),
    },
    "verifies": {
        "id": Field("text", "Id of the requirement.", is_required=True),
        "partially": Field("boolean", "Whether it shows only part of the requirement; default false."),
    },
}


def is_misspelt(key: str, mapping: Mapping[Any, Any], table: str) -> bool:
    """Say whether an absent key stands there under nearly its name, which has been told as an unknown key."""
    unknown = [str(one) for one in mapping if one not in TABLES[table]]
    return bool(get_close_matches(key, unknown, n=1, cutoff=0.8))


def read_fields(
    value: Any, table: str, called: str, location: Location, problems: Problems, *, check_required: bool = True
) -> dict[str, Any]:
    """Return the keys of a mapping that are known and well typed; everything else is noted as a problem.

    Parameters
    ----------
    value
        A :class:`LocatedMapping`, or whatever stands in its place.
    table
        Name of the table in ``TABLES``.
    called
        How errors call the mapping: ``project``, ``item MLE4-2.2-01``.
    location
        Where it stands.
    problems
        Takes the errors.
    check_required
        Whether missing required keys are errors.
    """
    fields = TABLES[table]
    if not isinstance(value, LocatedMapping):
        shown = "nothing" if value is None else repr(plain(value))
        problems.add(
            location, f"{called} must be a mapping with keys such as {', '.join(list(fields)[:4])}, got {shown}"
        )
        return {}
    good: dict[str, Any] = {}
    for key, one in value.items():
        field = fields.get(key)
        if field is None:
            problems.add(value.place(key), f"unknown key {key!r} in {called}. {closest(str(key), list(fields))}")
            continue
        message = CHECKS[field.kind](key, one, field, value)
        if message is None:
            good[key] = one
        else:
            problems.add(value.place(key), message)
    if check_required:
        for key, field in fields.items():
            if field.is_required and key not in value and not is_misspelt(key, value, table):
                problems.add(value.location, f"{called} has no {key}. {field.description}")
    return good


def _text(key: str, value: Any, _: Field, mapping: LocatedMapping) -> str | None:
    if isinstance(value, str):
        return None if value.strip() else f"{key} is empty"
    if value is None:
        return f"{key} is empty"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        written = mapping.spelled.get(key, str(value))
        return f'{key} must be text, got the number {written}. Put it into quotes: "{written}"'
    return f"{key} must be text, got {kind_of(value)}"


def _scalar(key: str, value: Any, _: Field, __: LocatedMapping) -> str | None:
    if value is None or isinstance(value, (dict, list)):
        return f"{key} must be one value, got {kind_of(value)}"
    return None


def _natural(key: str, value: Any, _: Field, __: LocatedMapping) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"{key} must be an integer, got {kind_of(value)}"
    return None if value >= 0 else f"{key} must not be negative, got {value}"


def _version(key: str, value: Any, _: Field, __: LocatedMapping) -> str | None:
    if value == 1 and isinstance(value, int) and not isinstance(value, bool):
        return None
    return f"{key} must be 1, the only version of the format that this release reads, got {kind_of(value)}"


def _boolean(key: str, value: Any, _: Field, __: LocatedMapping) -> str | None:
    return None if isinstance(value, bool) else f"{key} must be true or false, got {kind_of(value)}"


def _mapping(key: str, value: Any, _: Field, __: LocatedMapping) -> str | None:
    return None if isinstance(value, LocatedMapping) else f"{key} must be a mapping, got {kind_of(value)}"


def _list(key: str, value: Any, _: Field, __: LocatedMapping) -> str | None:
    if isinstance(value, LocatedList):
        return None
    hint = f". Write it as a list: {key}: [{value!r}]" if isinstance(value, str) else ""
    return f"{key} must be a list, got {kind_of(value)}{hint}"


def _texts(key: str, value: Any, field: Field, mapping: LocatedMapping) -> str | None:
    message = _list(key, value, field, mapping)
    if message is not None:
        return message
    wrong = [one for one in value if not isinstance(one, str) or not one.strip()]
    return f"{key} must be a list of texts, got {kind_of(wrong[0])} in it" if wrong else None


def _choice(key: str, value: Any, field: Field, _: LocatedMapping) -> str | None:
    if value in field.choices and isinstance(value, str):
        return None
    return f"{key} must be one of {', '.join(field.choices)}, got {kind_of(value)}"


def _any(_: str, __: Any, ___: Field, ____: LocatedMapping) -> str | None:
    return None


def _duration(key: str, value: Any, _: Field, __: LocatedMapping) -> str | None:
    if not isinstance(value, str):
        unit = "d" if key == "valid_for" else "min"
        return f"{key} needs a unit of time, such as '{value or 10} {unit}', got {kind_of(value)}"
    try:
        parse_duration(value)
    except UnitError as error:
        return f"{key} {error}"
    return None


def _confidence(key: str, value: Any, _: Field, __: LocatedMapping) -> str | None:
    number = read_confidence(value)
    if number is None:
        return f"{key} must be a percentage such as 95 %, got {kind_of(value)}"
    return None if 0.5 <= number < 1 else f"{key} must be at least 50 % and below 100 %, got {kind_of(value)}"


def _asil(key: str, value: Any, _: Field, __: LocatedMapping) -> str | None:
    if isinstance(value, str) and asil_levels(value):
        return None
    return f"{key} must be one of {', '.join(ASIL_LEVELS)}, or decomposed as B(D), got {kind_of(value)}"


def _asil_levels(key: str, value: Any, _: Field, __: LocatedMapping) -> str | None:
    levels = value.get("levels") if isinstance(value, dict) else value
    given = [levels] if isinstance(levels, str) else levels
    if not isinstance(given, list) or not given:
        return f"{key} must be a list of ASIL levels such as [C, D], got {kind_of(value)}"
    wrong = [one for one in given if one not in ASIL_LEVELS]
    return f"{key} may hold {', '.join(ASIL_LEVELS)}, got {kind_of(wrong[0])}" if wrong else None


CHECKS: Mapping[str, Callable[[str, Any, Field, LocatedMapping], str | None]] = {
    "text": _text,
    "scalar": _scalar,
    "natural": _natural,
    "version": _version,
    "boolean": _boolean,
    "mapping": _mapping,
    "list": _list,
    "texts": _texts,
    "choice": _choice,
    "any": _any,
    "duration": _duration,
    "confidence": _confidence,
    "asil": _asil,
    "asil_levels": _asil_levels,
}


def asil_levels(text: str) -> tuple[str, ...]:
    """Return the levels of ``B`` or ``B(D)`` (decomposed, ISO 26262-9: B for a goal of D); () if it is neither."""
    own, _, rest = text.partition("(")
    goal = rest.removesuffix(")")
    if rest and not rest.endswith(")"):
        return ()
    levels = (own, goal) if rest else (own,)
    return levels if all(level in ASIL_LEVELS for level in levels) else ()


def read_confidence(value: Any) -> float | None:
    """Return 0.95 for ``95 %`` or ``0.95``; None if it is neither."""
    from decimal import Decimal, InvalidOperation

    if isinstance(value, float) and math.isfinite(value):
        return value
    if not isinstance(value, str) or not value.rstrip().endswith("%"):
        return None
    try:
        number = Decimal(value.rstrip()[:-1].strip())
    except InvalidOperation:
        return None
    return float(number / 100) if number.is_finite() else None
