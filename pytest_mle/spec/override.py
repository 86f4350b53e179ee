"""``--mle-set a.b.c=value``: one key of the merged spec set from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mle.errors import CollectedSpecError, Location, closest
from pytest_mle.spec.fields import INPUT_SECTIONS, TABLES
from pytest_mle.yaml_with_lines import LocatedMapping, kind_of, plain, read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_mle.spec.overlay import Effective
    from pytest_mle.spec.problems import Problems

SETTABLE = ("project", "inputs", "defaults", "policy", "processes", "requirements", "items")
NESTED = {"item": ("with", "using", "where", "parametrize"), "requirement": ("under", "attributes")}


def apply_overrides(effective: Effective, overrides: Sequence[str], problems: Problems) -> dict[str, Any]:
    """Set what ``overrides`` say and return it by dotted key; an unknown key is a problem."""
    applied: dict[str, Any] = {}
    for text in overrides:
        location = Location(f"--mle-set {text}")
        key, equals, written = text.partition("=")
        key = key.strip()
        if not equals or not key:
            problems.add(location, "write it as a.b.c=value, for example policy.seed=7")
            continue
        try:
            value = read_yaml(written.strip(), f"--mle-set {key}")
        except CollectedSpecError as error:
            problems.take(error)
            continue
        message = _set(effective, key, _placed(value, location), location)
        if message is None:
            applied[key] = plain(value)
        else:
            problems.add(location, message)
    return applied


def _placed(value: Any, location: Location) -> Any:
    """Let every key of a value that was given on the command line say so."""
    if isinstance(value, LocatedMapping):
        value.location = location
        value.places = dict.fromkeys(value, location)
        for one in value.values():
            _placed(one, location)
    elif isinstance(value, list):
        value.location = location  # type: ignore[attr-defined]
        value.places = [location] * len(value)  # type: ignore[attr-defined]
        for one in value:
            _placed(one, location)
    return value


def _set(effective: Effective, key: str, value: Any, location: Location) -> str | None:
    section, _, rest = key.partition(".")
    if section not in SETTABLE:
        return f"unknown key {section!r}. {closest(section, SETTABLE)}"
    if section == "processes":
        if rest:
            return "processes is one list: processes=[MLE.3, MLE.4]"
        effective.sections[section] = value
        effective.sections.places[section] = location
        return None
    if not rest:
        return f"set one key of {section}, for example {section}.{_example(section)}=..."
    if section in ("items", "requirements"):
        return _set_entry(effective, section, rest, value, location)
    top = effective.sections.get(section)
    if top is None:
        top = effective.sections[section] = LocatedMapping(location)
    elif isinstance(top, LocatedMapping):
        top = effective.sections[section] = top.copy()
    else:
        return f"{section} is not a mapping"
    if section == "inputs" and _is_unknown_input(top, rest):
        return _unknown_input(top, rest)
    return _set_in(top, rest, value, location, section, TABLES.get(section))


def _set_entry(effective: Effective, section: str, rest: str, value: Any, location: Location) -> str | None:
    if section == "items":
        entries = {name: source.mapping for name, source in effective.items.items()}
        table = "item"
    else:
        entries = dict(effective.requirements)
        table = "requirement"
    name = _longest(rest, entries)
    if name is None:
        wanted = rest.rpartition(".")[0] or rest
        return f"there is no {table} {wanted!r}. {closest(wanted, list(entries))}"
    key = rest[len(name) + 1 :]
    if not key or key == "id":
        return f"set one key of {name}, for example {section}.{name}.title=..."
    mapping = entries[name].copy()
    message = _set_in(mapping, key, value, location, f"{section}.{name}", TABLES[table], NESTED[table])
    if message is None and section == "items":
        effective.items[name].mapping = mapping
        effective.items[name].is_addressed = True
    elif message is None:
        effective.requirements[name] = mapping
    return message


def _set_in(
    mapping: LocatedMapping,
    path: str,
    value: Any,
    location: Location,
    called: str,
    known: dict[str, Any] | None,
    nested: Sequence[str] = (),
) -> str | None:
    """Set ``path`` below ``mapping``; mappings on the way are copied, since aliases may share them."""
    if path in mapping or "." not in path:
        if known is not None and path not in known:
            return f"unknown key {path!r} in {called}. {closest(path, list(known))}"
        mapping[path] = value
        mapping.places[path] = location
        mapping.spelled.pop(path, None)
        return None
    name = _longest(path, mapping) or path.partition(".")[0]
    if name not in mapping and name in nested:
        mapping[name] = LocatedMapping(location)
        mapping.places[name] = location
    below = mapping.get(name)
    if not isinstance(below, LocatedMapping):
        if name in mapping:
            return f"{called}.{name} has no keys below it; it is {kind_of(below)}"
        return f"{called} has no {name!r}. {closest(name, [str(one) for one in mapping] or list(known or ()))}"
    mapping[name] = below.copy()
    return _set_in(mapping[name], path[len(name) + 1 :], value, location, f"{called}.{name}", None)


def _is_unknown_input(inputs: LocatedMapping, path: str) -> bool:
    section, _, rest = path.partition(".")
    declared = inputs.get(section)
    if section not in INPUT_SECTIONS or not rest:
        return True
    return not isinstance(declared, LocatedMapping) or _longest(rest, declared) is None or rest in declared


def _unknown_input(inputs: LocatedMapping, path: str) -> str:
    section, _, rest = path.partition(".")
    if section not in INPUT_SECTIONS:
        return f"unknown key {section!r} in inputs. {closest(section, INPUT_SECTIONS)}"
    declared = inputs.get(section)
    names = list(declared) if isinstance(declared, LocatedMapping) else []
    if rest in names or not rest:
        return f"set one key of an input, for example inputs.{section}.{rest or 'NAME'}.path=..."
    return f"inputs.{section} declares no {rest.partition('.')[0]!r}. {closest(rest.partition('.')[0], names)}"


def _longest(path: str, names: Any) -> str | None:
    """Return the longest name that begins a dotted path; ids contain dots themselves."""
    end = len(path)
    while end > 0:
        if path[:end] in names:
            return path[:end]
        end = path.rfind(".", 0, end)
    return None


def _example(section: str) -> str:
    nested = {"items": "ID.with.epsilon", "requirements": "ID.priority", "inputs": "models.NAME.path"}
    return nested.get(section) or next(iter(TABLES[section]))
