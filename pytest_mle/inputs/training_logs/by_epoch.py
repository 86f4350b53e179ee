"""Arrange logged values by epoch and by step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.inputs.training_log import StepSeries
from pytest_mle.inputs.training_logs.layouts import STEP_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

NO_EPOCH = -1


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Logged values of one column or metric, in the order in which they were logged.

    ``values`` ``(value,)`` float64; ``positions`` ``(value,)`` int64, the place of each value's epoch among the log's
    epochs, or ``NO_EPOCH``; ``steps`` ``(value,)`` int64 ascending, or None if the log does not say.
    """

    values: NDArray[np.float64]
    positions: NDArray[np.int64]
    steps: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True, eq=False)
class Arranged:
    """Series by epoch, their gaps (epochs without a value), series by step, and values whose epoch is unknown."""

    series: Mapping[str, NDArray[np.float64]]
    gaps: Mapping[str, list[int]]
    step_series: Mapping[str, StepSeries]
    without_epoch: Mapping[str, int]


def arrange(
    points: Iterable[tuple[str, Points]], sources: Mapping[str, tuple[str, ...]], epochs: NDArray[np.int64]
) -> Arranged:
    """Average the values of each epoch, add up terms, and keep what was logged more often than once an epoch by step.

    ``points`` by column, taken one at a time; ``sources`` names for each standard series its columns. A series has
    values by step if an epoch has several, or if the epoch of some is unknown; a name that ends in ``_step``
    (Lightning) is that of its series by step. A column of which no value has an epoch is no series by epoch.
    """
    means: dict[str, NDArray[np.float64]] = {}
    counts: dict[str, NDArray[np.int64]] = {}
    by_step: dict[str, StepSeries] = {}
    without: dict[str, int] = {}
    for column, found in points:
        means[column], counts[column] = _means(found, len(epochs))
        unknown = int((found.positions == NO_EPOCH).sum())
        if unknown:
            without[column] = unknown
        if found.steps is not None and (unknown or bool((counts[column] > 1).any())):
            by_step[column] = StepSeries(found.steps, found.values)
    series: dict[str, NDArray[np.float64]] = {}
    gaps: dict[str, list[int]] = {}
    for target, terms in {**{column: (column,) for column in means}, **sources}.items():
        is_there = np.logical_and.reduce([counts[term] > 0 for term in terms])
        if not any(counts[term].any() for term in terms):
            continue
        series[target] = means[terms[0]] if len(terms) == 1 else np.sum([means[term] for term in terms], axis=0)
        if not is_there.all():
            gaps[target] = epochs[~is_there].tolist()
    return Arranged(series, gaps, {**by_step, **dict(_standard_steps(by_step, sources))}, without)


def _standard_steps(
    by_step: Mapping[str, StepSeries], sources: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, StepSeries]]:
    for target, terms in sources.items():
        names = (*STEP_NAMES.get(target, ()), *(terms if len(terms) == 1 else ()))
        found = next((one for one in names if one in by_step), None)
        if found is not None:
            yield target, by_step[found]


def _means(points: Points, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the mean of each epoch's values, NaN where it has none, and how many there are."""
    known = points.positions >= 0
    all_known = bool(known.all())
    positions = points.positions if all_known else points.positions[known]
    values = points.values if all_known else points.values[known]
    counts = np.bincount(positions, minlength=count)
    with np.errstate(invalid="ignore"):
        sums = np.bincount(positions, weights=values, minlength=count)
        means = np.divide(sums, counts, out=np.full(count, math.nan), where=counts > 0)
    return means, counts
