"""Cut units (images, objects) into slices by an attribute or by two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MISSING = "(missing)"
# Numbers with more distinct values than this are measured, not counted: they are cut into ranges.
MOST_DISTINCT_NUMBERS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """Slices that do not overlap and cover all units.

    ``cell`` ``(unit,)`` is the position of each unit's slice in ``names``; a slice may be empty. ``attributes`` are the
    one or two that it was cut by.
    """

    attributes: tuple[str, ...]
    names: tuple[str, ...]
    cell: NDArray[np.int64]

    def crossed_with(self, other: Partition) -> Partition:
        """Return the slices of both attributes together, those included that no unit is in."""
        names = tuple(f"{mine} & {theirs}" for mine in self.names for theirs in other.names)
        cell = self.cell * len(other.names) + other.cell
        return Partition((*self.attributes, *other.attributes), names, cell)


def partition_by(
    attribute: str, values: Sequence[Any], *, edges: Sequence[float] | None = None, ranges: int = 4
) -> Partition:
    """Cut units by the values of an attribute.

    Text, flags and numbers with up to 10 distinct values make a slice each; other numbers ``ranges`` of equal numbers
    of units, or the ranges between ``edges`` (and what lies outside, where something does). Units without a value
    (None, NaN, infinity) form the slice ``(missing)``.

    Raises
    ------
    InputError
        Edges that do not ascend, or edges for an attribute that is no number.
    """
    is_known = np.array([_is_known(value) for value in values], dtype=np.bool_)
    known = [value for value, is_there in zip(values, is_known.tolist(), strict=True) if is_there]
    if edges is not None:
        names, of_known = _between(attribute, known, edges)
    elif _are_numbers(known) and len(set(known)) > MOST_DISTINCT_NUMBERS:
        names, of_known = _quantile_ranges(attribute, known, ranges)
    else:
        names, of_known = _categories(attribute, known)
    cell = np.full(len(values), len(names), dtype=np.int64)
    cell[is_known] = of_known
    if not is_known.all():
        names = [*names, f"{attribute}={MISSING}"]
    return Partition((attribute,), tuple(names), cell)


def _is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, (float, np.floating)) and not math.isfinite(value))


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in values)


def _categories(attribute: str, values: Sequence[Any]) -> tuple[list[str], NDArray[np.int64]]:
    keys = [_category(value) for value in values]
    position = {key: number for number, key in enumerate(sorted(set(keys)))}
    return [f"{attribute}={key}" for key in position], np.array([position[key] for key in keys], dtype=np.int64)


def _category(value: Any) -> str:
    # Tables write one category as 2 and as 2.0.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _between(attribute: str, values: Sequence[Any], edges: Sequence[float]) -> tuple[list[str], NDArray[np.int64]]:
    limits = np.asarray(edges, dtype=np.float64)
    if limits.ndim != 1 or len(limits) < 2 or not np.isfinite(limits).all() or not (np.diff(limits) > 0).all():
        raise InputError(f"ranges of {attribute!r} must be two or more ascending numbers, got {list(edges)}")
    if not _are_numbers(values):
        raise InputError(f"ranges of {attribute!r} need numbers, but some of its values are text")
    cell = np.searchsorted(limits, np.asarray(values, dtype=np.float64), side="right")
    inner = [f"{attribute} in [{low:g}, {high:g})" for low, high in pairwise(limits)]
    names = [f"{attribute} < {limits[0]:g}", *inner, f"{attribute} >= {limits[-1]:g}"]
    # What lies outside is reported where there is something; an empty range that was asked for is reported as well.
    if not (cell == len(limits)).any():
        names = names[:-1]
    if not (cell == 0).any():
        names, cell = names[1:], cell - 1
    return names, cell.astype(np.int64)


def _quantile_ranges(attribute: str, values: Sequence[Any], count: int) -> tuple[list[str], NDArray[np.int64]]:
    numbers = np.asarray(values, dtype=np.float64)
    inner = np.unique(np.quantile(numbers, np.linspace(0, 1, count + 1)[1:-1], method="inverted_cdf"))
    inner = inner[inner > numbers.min()]
    limits = [float(numbers.min()), *inner.tolist(), float(numbers.max())]
    names = [f"{attribute} in [{low:.6g}, {high:.6g})" for low, high in pairwise(limits)]
    names[-1] = names[-1][:-1] + "]"
    return names, np.searchsorted(inner, numbers, side="right").astype(np.int64)
