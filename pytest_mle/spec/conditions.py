"""``where:`` conditions: which samples or objects an item looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mle.errors import closest
from pytest_mle.yaml_with_lines import LocatedList, LocatedMapping, kind_of, plain

if TYPE_CHECKING:
    from pytest_mle.spec.problems import Problems

COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne", "in")
_SYMBOLS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "=": "eq", "!=": "ne"}


def read_where(value: LocatedMapping, problems: Problems) -> dict[str, Any]:
    """Return ``where:`` as plain values: attribute to a value, a list of values, or comparisons."""
    where: dict[str, Any] = {}
    for attribute, expected in value.items():
        message = _problem(str(attribute), expected)
        if message is not None:
            problems.add(value.place(attribute), message)
        where[str(attribute)] = plain(expected)
    return where


def _problem(attribute: str, expected: Any) -> str | None:
    if isinstance(expected, LocatedMapping):
        return _comparison_problem(attribute, expected)
    if isinstance(expected, LocatedList):
        if not expected:
            return f"where: {attribute}: an empty list matches nothing"
        if any(isinstance(one, (dict, list)) or one is None for one in expected):
            return f"where: {attribute}: a list may hold texts and numbers only"
    if expected is None:
        return f"where: {attribute}: nothing is given; samples without the attribute form the slice (missing)"
    return None


def _comparison_problem(attribute: str, comparisons: LocatedMapping) -> str | None:
    if not comparisons:
        return f"where: {attribute}: a comparison is missing. Allowed: {', '.join(COMPARISONS)}"
    for name, bound in comparisons.items():
        if name not in COMPARISONS:
            hint = f"Use {_SYMBOLS[name]}." if name in _SYMBOLS else closest(str(name), COMPARISONS)
            return f"where: {attribute}: unknown comparison {name!r}. {hint}"
        if name == "in":
            if not isinstance(bound, list) or not bound:
                return f"where: {attribute}: in takes a list of values, got {bound!r}"
        elif isinstance(bound, (dict, list)) or bound is None:
            return f"where: {attribute}: {name} takes one value, got {kind_of(bound)}"
        elif name in ("lt", "le", "gt", "ge") and (isinstance(bound, bool) or not isinstance(bound, (int, float))):
            return f"where: {attribute}: {name} compares numbers, got {bound!r}"
    return _empty_interval(attribute, comparisons)


def _empty_interval(attribute: str, comparisons: LocatedMapping) -> str | None:
    below = [comparisons[name] for name in ("lt", "le") if name in comparisons]
    above = [comparisons[name] for name in ("gt", "ge") if name in comparisons]
    if below and above and min(below) < max(above):
        return f"where: {attribute}: nothing is below {min(below)} and above {max(above)}"
    return None


def merge_where(base: dict[str, Any], added: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Join conditions that must all hold; return them with the attributes on which the two disagree."""
    joined = dict(base)
    clashes: list[str] = []
    for attribute, expected in added.items():
        present = joined.get(attribute)
        if attribute not in joined:
            joined[attribute] = expected
        elif isinstance(present, dict) and isinstance(expected, dict):
            if any(present.get(name, bound) != bound for name, bound in expected.items()):
                clashes.append(attribute)
            joined[attribute] = {**present, **expected}
        elif present != expected:
            clashes.append(attribute)
    return joined, clashes
