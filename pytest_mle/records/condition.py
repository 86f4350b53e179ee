"""`where:` conditions: which samples or objects belong to a slice."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

OPERATORS = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One attribute with a value, a list of values, or comparisons (``{lt: 50, ge: 10}``)."""

    attribute: str
    expected: Any

    def matches(self, value: Any) -> bool:
        """Say whether an attribute value belongs to the slice; a missing value (None) never does."""
        if value is None:
            return False
        if isinstance(self.expected, dict):
            return all(_compare(name, value, bound) for name, bound in self.expected.items())
        if isinstance(self.expected, (list, tuple)):
            return any(_equal(value, one) for one in self.expected)
        return _equal(value, self.expected)


def _compare(name: str, value: Any, bound: Any) -> bool:
    if name == "in":
        return any(_equal(value, one) for one in bound)
    if name in ("eq", "ne"):
        return _equal(value, bound) is (name == "eq")
    if isinstance(value, str) or isinstance(bound, str):
        return False
    return bool(OPERATORS[name](value, bound))


def _equal(value: Any, expected: Any) -> bool:
    # A table's cells come as text or numbers; `7` in the spec shall find `7.0` and `"7"`.
    return bool(value == expected) or str(value) == str(expected)


def conditions(where: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Turn a ``where:`` mapping into conditions that must all hold."""
    return tuple(Condition(attribute, expected) for attribute, expected in where.items())
