"""Ranges of hyperparameters as a config declares them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pytest_mle.checks.experiments.logged_values import is_same_value

_HOW = "write [lowest, highest], {min: ..., max: ...} or {choices: [...]}"


@dataclass(frozen=True, slots=True)
class ValueRange:
    """An interval with both ends, or a set of choices."""

    lowest: float = -math.inf
    highest: float = math.inf
    choices: tuple[Any, ...] = ()

    def __contains__(self, value: Any) -> bool:
        if self.choices:
            return any(is_same_value(choice, value) for choice in self.choices)
        return _is_number(value) and self.lowest <= value <= self.highest

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        return f"[{self.lowest:g}, {self.highest:g}]"


def read_range(declared: Any) -> ValueRange | str:
    """Return a declared range, or why it is none.

    An end that is missing, infinite or text, and a lowest value that is not below the highest, make no range.
    """
    if isinstance(declared, dict):
        return _from_mapping(declared)
    if not isinstance(declared, (list, tuple)) or len(declared) != 2 or not all(map(_is_number, declared)):
        return f"{declared!r} is no range: {_HOW}"
    lowest, highest = declared
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        return f"{declared!r} is no range: both ends must be finite"
    if not lowest < highest:
        return f"{declared!r} is no range: {lowest:g} is not below {highest:g}"
    return ValueRange(float(lowest), float(highest))


def _from_mapping(declared: dict[str, Any]) -> ValueRange | str:
    if set(declared) == {"choices"}:
        choices = declared["choices"]
        if isinstance(choices, (list, tuple)) and len(choices) > 1 and all(one is not None for one in choices):
            return ValueRange(choices=tuple(choices))
        return f"choices must list two values or more, got {choices!r}"
    if set(declared) == {"min", "max"}:
        return read_range([declared["min"], declared["max"]])
    return f"{declared!r} is no range: {_HOW}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
