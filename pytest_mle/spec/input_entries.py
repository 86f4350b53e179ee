"""``inputs:``: what is declared, with ``like:`` resolved and variables filled in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import closest
from pytest_mle.spec.fields import INPUT_SECTIONS, KIND_OF_SECTION, read_fields
from pytest_mle.spec.model import InputEntry
from pytest_mle.spec.overlay import merge
from pytest_mle.yaml_with_lines import LocatedMapping, kind_of

if TYPE_CHECKING:
    from pytest_mle.spec.interpolation import Interpolation
    from pytest_mle.spec.problems import Problems

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def read_inputs(
    sections: LocatedMapping, interpolation: Interpolation, problems: Problems
) -> dict[str, dict[str, InputEntry]]:
    """Return the declared inputs by section (``datasets``, ``models``, ...) and name."""
    if "inputs" not in sections:
        return {}
    good = read_fields(sections["inputs"], "inputs", "inputs", sections.place("inputs"), problems)
    return {
        section: _read_section(section, good[section], interpolation, problems)
        for section in INPUT_SECTIONS
        if section in good
    }


def _read_section(
    section: str, declared: LocatedMapping, interpolation: Interpolation, problems: Problems
) -> dict[str, InputEntry]:
    entries: dict[str, InputEntry] = {}
    for name, value in declared.items():
        place = declared.place(name)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.add(place, f"inputs.{section}: {name!r} is no name; use letters, digits, _ and -")
        elif not isinstance(value, LocatedMapping):
            hint = f". Write {{path: {value}}}" if isinstance(value, str) else ""
            problems.add(place, f"inputs.{section}.{name} must be a mapping, got {kind_of(value)}{hint}")
        else:
            mapping = _resolve_like(section, name, declared, problems)
            options = interpolation.tree(mapping, f"inputs.{section}.{name}", place)
            _check_path(section, name, mapping, options, problems)
            entries[name] = InputEntry(section, name, options, place)
    return entries


def _resolve_like(section: str, name: str, declared: LocatedMapping, problems: Problems) -> LocatedMapping:
    chain = [name]
    layers: list[LocatedMapping] = [declared[name]]
    while "like" in layers[-1]:
        other, place = layers[-1]["like"], layers[-1].place("like")
        if not isinstance(other, str) or not isinstance(declared.get(other), LocatedMapping):
            known = [str(one) for one in declared if one != chain[-1]]
            problems.add(place, f"inputs.{section} has no {other!r} to be like. {closest(str(other), known)}")
            break
        if other in chain:
            circle = chain[chain.index(other) :]
            first = circle.index(min(circle))
            circle = circle[first:] + circle[:first]
            problems.add(
                declared[circle[0]].place("like"), f"like goes in a circle: {' -> '.join([*circle, circle[0]])}"
            )
            break
        chain.append(other)
        layers.append(declared[other])
    merged = layers.pop()
    while layers:
        merged = merge(merged, layers.pop())
    merged = merged.copy()
    merged.pop("like", None)
    return merged


def _check_path(section: str, name: str, mapping: LocatedMapping, options: dict[str, Any], problems: Problems) -> None:
    path = options.get("path")
    if "path" not in options or "${" in str(mapping.get("path")):
        return
    if not isinstance(path, str) or not path.strip():
        written = mapping.spelled.get("path", repr(path))
        problems.add(mapping.place("path"), f"inputs.{section}.{name}.path must be text, got {written}")


def read_defaults(
    sections: LocatedMapping, inputs: dict[str, dict[str, InputEntry]], problems: Problems
) -> dict[str, str]:
    """Return which input of each kind an item gets unless it says ``using``; undeclared ones stay to be explained."""
    if "defaults" not in sections:
        return {}
    mapping = sections["defaults"]
    good = read_fields(mapping, "defaults", "defaults", sections.place("defaults"), problems)
    for kind, name in good.items():
        other = other_section(name, kind, inputs)
        if other is not None:
            problems.add(mapping.place(kind), f"defaults: {name!r} is declared under inputs.{other}, not as a {kind}")
    return good


def other_section(name: str, kind: str, inputs: dict[str, dict[str, InputEntry]]) -> str | None:
    """Return the section that declares ``name`` if it is not the one for ``kind``."""
    own = next(section for section, one in KIND_OF_SECTION.items() if one == kind)
    if name in inputs.get(own, {}):
        return None
    return next((section for section, entries in inputs.items() if name in entries), None)
