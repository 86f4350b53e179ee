"""An item against the check that it names: quantities, parameters and inputs."""

from __future__ import annotations

import collections.abc
import json
import math
import re
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import MleError, closest
from pytest_mle.spec.fields import KIND_OF_SECTION
from pytest_mle.spec.input_entries import other_section
from pytest_mle.yaml_with_lines import MAX_SHOWN, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_mle.records.check import CheckDeclaration, InputDeclaration, ParameterDeclaration
    from pytest_mle.records.quantity import QuantityDeclaration
    from pytest_mle.spec.model import InputEntry

SECTIONS = {kind: section for section, kind in KIND_OF_SECTION.items()} | {
    "differentiable_model": "models",
    "predictions": "models",
}
# What the run hands in by itself.
GIVEN = frozenset({"rng", "clock", "progress", "results", "project"})

# The key of `using:` by which an item takes its quantities from a record.
RECORD = "record"


def takes_record(declaration: CheckDeclaration | None, using: Mapping[str, str]) -> bool:
    """Say whether an item takes its quantities from a record; a check that has a record as its input reads it."""
    return RECORD in using and (declaration is None or all(one.kind != RECORD for one in declaration.inputs))


class Checks:
    """The checks that the run knows, each looked up once."""

    def __init__(self, find: Callable[[str], CheckDeclaration | None], known: Sequence[str]) -> None:
        self._find = find
        self.known = tuple(known)
        self._found: dict[str, CheckDeclaration | None] = {}
        self._broken: dict[str, str] = {}

    def find(self, name: str) -> CheckDeclaration | None:
        """Return a check's declaration; None if it may be a fixture of the project, or if it cannot be imported."""
        if name not in self._found:
            try:
                self._found[name] = self._find(name)
            except (ImportError, MleError) as error:
                self._found[name] = None
                self._broken[name] = f"the check {name} cannot be loaded: {error}"
        return self._found[name]

    def broken(self, name: str) -> str | None:
        """Say why a check that should exist cannot be loaded."""
        self.find(name)
        return self._broken.get(name)


def quantity_of(declaration: CheckDeclaration | None, name: str) -> tuple[QuantityDeclaration | None, str | None]:
    """Return the declaration of a quantity, or what is wrong with naming it."""
    if declaration is None or declaration.quantities is None:
        return None, None
    found = declaration.quantities.get(name)
    if found is None:
        return None, f"{declaration.name} does not measure {name!r}. {closest(name, list(declaration.quantities))}"
    return found, None


def parameter_problems(
    declaration: CheckDeclaration, parameters: Mapping[str, Any]
) -> tuple[dict[str, str], list[str]]:
    """Return what is wrong with each given parameter, and which required ones are missing."""
    declared = {parameter.name: parameter for parameter in declaration.parameters}
    wrong: dict[str, str] = {}
    for name, value in parameters.items():
        if name not in declared:
            hint = closest(name, list(declared)) if declared else "It takes none."
            wrong[name] = f"{declaration.name} has no parameter {name!r}. {hint}"
            continue
        message = _value_problem(declaration, declared[name], value)
        if message is not None:
            wrong[name] = message
    missing = [name for name, one in declared.items() if one.is_required and name not in parameters]
    return wrong, missing


# Values

_ADAPTERS: dict[tuple[int, str, str], Any] = {}
_VERDICTS: dict[tuple[tuple[int, str, str], str], str | None] = {}
_KEPT: dict[int, Any] = {}


def _identity(declaration: CheckDeclaration, parameter: ParameterDeclaration) -> tuple[int, str, str]:
    """Return a key for the type of a parameter: the code, because a fixture makes its check anew for every item.

    A decorator's wrappers share their code, so the annotation belongs to the key. What need not be hashable is kept, so
    that nothing else gets its id.
    """
    made_once = getattr(declaration.function, "__code__", declaration.function)
    _KEPT.setdefault(id(made_once), made_once)
    return id(made_once), parameter.name, parameter.annotation


def _value_problem(declaration: CheckDeclaration, parameter: ParameterDeclaration, value: Any) -> str | None:
    written = json.dumps(value)
    key = (_identity(declaration, parameter), written)
    if key not in _VERDICTS:
        _VERDICTS[key] = _judge_value(declaration, parameter, value, written)
    return _VERDICTS[key]


def _judge_value(
    declaration: CheckDeclaration, parameter: ParameterDeclaration, value: Any, written: str
) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{parameter.name} must be finite, got {value}"
    adapter = _adapter(declaration, parameter)
    if adapter is None:
        return None
    from pydantic import ValidationError

    try:
        # As JSON: strict about text and numbers, while a list may stand for a tuple or set.
        adapter.validate_json(written, strict=True)
    except ValidationError as error:
        return _sentence(parameter, value, error.errors())
    return None


def _adapter(declaration: CheckDeclaration, parameter: ParameterDeclaration) -> Any:
    key = _identity(declaration, parameter)
    if key not in _ADAPTERS:
        _ADAPTERS[key] = _make_adapter(declaration, parameter)
    return _ADAPTERS[key]


def _make_adapter(declaration: CheckDeclaration, parameter: ParameterDeclaration) -> Any:
    annotation = _resolve(declaration, parameter)
    if annotation is None:
        return None
    from pydantic import PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        return TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError):
        return None


def _resolve(declaration: CheckDeclaration, parameter: ParameterDeclaration) -> Any:
    """Return the annotation as a type; names that exist for type checkers only come from the standard library."""
    names = {**vars(collections.abc), **vars(typing), **getattr(declaration.function, "__globals__", {})}

    holder = types.FunctionType(_resolve.__code__, {})
    holder.__annotations__ = {
        "value": getattr(declaration.function, "__annotations__", {}).get(parameter.name, parameter.annotation)
    }
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True)["value"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return None


_TYPES = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
}


def _sentence(parameter: ParameterDeclaration, value: Any, errors: Sequence[Any]) -> str:
    first = errors[0]
    if len(errors) > 1 and not all(error["loc"] == first["loc"] for error in errors):
        inner = [error for error in errors if error["loc"]]
        first = max(inner, key=lambda error: len(error["loc"])) if inner else first
        if _alternatives(parameter) > 1:
            return f"{parameter.name} must be {_readable(parameter.annotation)}, got {_written(value)}."
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    name = parameter.name + place
    got = _written(first["input"])
    kind = first["type"]
    if kind in _TYPES:
        return f"{name} must be {_TYPES[kind]}, got {got}."
    if kind in ("literal_error", "enum"):
        expected = str(first["ctx"]["expected"])
        allowed = re.findall(r"'([^']*)'", expected)
        hint = closest(str(first["input"]), allowed) if allowed else ""
        return f"{name} must be {expected}, got {got}. {hint if hint.startswith('Did') else ''}".rstrip()
    if kind in ("too_long", "too_short"):
        limit = first["ctx"].get("max_length", first["ctx"].get("min_length"))
        return f"{name} must have at {'most' if kind == 'too_long' else 'least'} {limit} entries, got {got}."
    message = first["msg"].removeprefix("Input ").removeprefix("Value error, ").replace("should be", "must be")
    return f"{name} {message[0].lower()}{message[1:]}, got {got}."


def _alternatives(parameter: ParameterDeclaration) -> int:
    return parameter.annotation.count("|") + 1


def _readable(annotation: str) -> str:
    words = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "text", "None": "null"}
    parts = (re.sub(r"Literal\[(.*)\]", r"\1", part.strip()) for part in annotation.split("|"))
    return " or ".join(words.get(part, part) for part in parts)


def _written(value: Any) -> str:
    if isinstance(value, (dict, list)):
        text = json.dumps(value)
        return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
    return "null" if value is None else kind_of(value)


# Inputs


@dataclass(frozen=True, slots=True)
class Declared:
    """What the spec declares."""

    inputs: Mapping[str, Mapping[str, InputEntry]]
    defaults: Mapping[str, str]
    has_requirements: bool


def using_problems(declaration: CheckDeclaration, using: Mapping[str, str], declared: Declared) -> dict[str, str]:
    """Return what is wrong with each key of ``using:``; an undeclared input is no error, see :func:`missing_inputs`."""
    kinds = {one.name: one.kind for one in declaration.inputs if one.kind in SECTIONS}
    for one in declaration.inputs:
        kinds.setdefault(_default_key(one.kind), one.kind)
        if one.kind == "predictions":
            kinds.setdefault("dataset", "dataset")
    if not declaration.is_derived:
        kinds.setdefault(RECORD, RECORD)
    return _wrong_names(declaration.name, kinds, using, declared)


def recorded_problems(using: Mapping[str, str], declared: Declared) -> dict[str, str]:
    """Return what is wrong with each key of ``using:`` of an item that has a record and no check."""
    kinds = {one: one for one in (RECORD, "model", "dataset")}
    return _wrong_names("an item without check", kinds, using, declared)


def _wrong_names(called: str, kinds: Mapping[str, str], using: Mapping[str, str], declared: Declared) -> dict[str, str]:
    wrong: dict[str, str] = {}
    for key, name in using.items():
        kind = kinds.get(key)
        if kind is None or kind not in SECTIONS:
            allowed = [one for one in kinds if kinds[one] in SECTIONS]
            wrong[key] = f"using: {called} has no input {key!r}. {closest(key, allowed)}"
            continue
        other = other_section(name, _default_key(kind), {k: dict(v) for k, v in declared.inputs.items()})
        if other is not None:
            wrong[key] = f"using: {key} takes one of inputs.{SECTIONS[kind]}; {name!r} is declared under inputs.{other}"
    return wrong


def missing_inputs(declaration: CheckDeclaration, using: Mapping[str, str], declared: Declared) -> list[str]:
    """Say which inputs of the check no one declared; where a record stands for the check, only what it names."""
    missing: list[str] = []
    if takes_record(declaration, using):
        kinds = {one.name: one.kind for one in declaration.inputs if one.kind in SECTIONS}
        return missing_named(kinds, using, declared)
    for one in declaration.inputs:
        missing += _missing(one, using, declared)
        if one.kind == "predictions":
            missing += _unbound("dataset", "dataset", using, declared)
    return list(dict.fromkeys(missing))


def missing_named(kinds: Mapping[str, str], using: Mapping[str, str], declared: Declared) -> list[str]:
    """Say which inputs that ``using:`` names no one declared."""
    return [
        text
        for key in using
        if kinds.get(key, key) in SECTIONS
        for text in _unbound(key, kinds.get(key, key), using, declared)
    ]


def _missing(one: InputDeclaration, using: Mapping[str, str], declared: Declared) -> list[str]:
    if one.kind in GIVEN:
        return []
    if one.kind == "requirements":
        return [] if declared.has_requirements or one.is_optional else ["no requirements are declared"]
    if one.kind not in SECTIONS:
        return []
    if one.is_optional and one.name not in using:
        return []
    return _unbound(one.name, one.kind, using, declared)


def _unbound(parameter: str, kind: str, using: Mapping[str, str], declared: Declared) -> list[str]:
    section, key = SECTIONS[kind], _default_key(kind)
    entries = declared.inputs.get(section, {})
    name = using.get(parameter) or using.get(key) or declared.defaults.get(key)
    called = key.replace("_", " ")
    if name is None:
        if len(entries) == 1:
            return []
        known = f"; name one of {', '.join(entries)} in using or defaults" if entries else ""
        needed = "" if parameter == key else f" for {parameter!r}"
        return [
            f"no {called}{needed} is declared under inputs.{section}{known}"
            if not entries
            else f"no {called}{needed} is chosen{known}"
        ]
    if name in entries:
        return []
    hint = f". {closest(name, list(entries))}".rstrip(".") if entries else ""
    return [f"the {called} {name!r} is not declared under inputs.{section}{hint}"]


def _default_key(kind: str) -> str:
    return "model" if kind in ("differentiable_model", "predictions") else kind
