"""Find the slices in which a model is wrong more often than elsewhere, without calling chance a finding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.cluster_intervals import ClusterCounts, effective_size
from pytest_mle.checks.drift.two_sample import holm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pytest_mle.checks.slices.partition import Partition

# Units of one sequence show nothing about another one.
FEWEST_CLUSTERS = 2
# Counts over effective units are rounded against the finding, but 2.9999999999 is 3.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What can be right or wrong: ``is_wrong`` and ``cluster`` ``(unit,)``."""

    is_wrong: NDArray[np.bool_]
    cluster: NDArray[np.int64]

    def errors(self, units: NDArray[np.int64]) -> ClusterCounts:
        """Count errors among some units by cluster."""
        clusters = int(self.cluster.max(initial=-1)) + 1
        of = self.cluster[units]
        wrong = np.bincount(of, weights=self.is_wrong[units], minlength=clusters)
        return ClusterCounts(wrong.astype(np.float64), np.bincount(of, minlength=clusters).astype(np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """A slice that was compared with the rest: ``units`` are its positions, ``p_value`` is Holm's."""

    name: str
    units: NDArray[np.int64]
    p_value: float


def search_weak_slices(
    outcomes: Outcomes, partitions: Sequence[Partition], *, minimum_slice: int, pairs: bool = True
) -> list[Searched]:
    """Compare every slice that is large enough with the rest, and every pair of two attributes with both of its parts.

    A slice of two attributes must be worse than the rest of *each* of the two slices that it is the intersection of
    (its p-value is the larger one, an intersection-union test): so a weak night does not make every weather at night
    weak. p-values are adjusted for all slices that were compared (Holm 1979), the weakest first.
    """
    found = [*_single(outcomes, partitions, minimum_slice)]
    if pairs:
        for left, right in combinations(partitions, 2):
            if set(left.attributes).isdisjoint(right.attributes):
                found += _crossed(outcomes, left, right, minimum_slice)
    if not found:
        return []
    adjusted = holm([one.p_value for one in found])
    searched = [Searched(one.name, one.units, float(p)) for one, p in zip(found, adjusted, strict=True)]
    return sorted(searched, key=lambda one: one.p_value)


def too_small(units: ClusterCounts, minimum_slice: int, noun: str) -> str | None:
    """Say why a slice shows nothing, or return None."""
    count = round(float(units.units.sum()))
    if count < minimum_slice:
        return f"{count} {noun}, at least {minimum_slice} are needed"
    if units.occupied < FEWEST_CLUSTERS:
        return f"{count} {noun}, all of one sequence"
    return None


def worse_than(part: ClusterCounts, rest: ClusterCounts) -> float:
    """Return the one-sided p-value that errors are not more frequent in ``part`` than in ``rest``.

    Fisher's exact test over effective numbers of units (:func:`pytest_mle.checks.cluster_intervals.effective_size`),
    rounded against the finding: exact for independent units, conservative for clustered ones. That units of both can
    share a sequence makes the difference more certain than it is taken for.
    """
    in_part, of_part = _effective(part)
    in_rest, of_rest = _effective(rest)
    wrong = math.floor(in_part * of_part + _ROUNDING)
    others = math.ceil(in_rest * of_rest - _ROUNDING)
    return hypergeometric_tail(wrong, of_part, wrong + others, of_part + of_rest)


def hypergeometric_tail(drawn_marked: int, drawn: int, marked: int, total: int) -> float:
    """Return the probability that ``drawn`` of ``total`` units hold at least ``drawn_marked`` of the ``marked``."""
    from scipy.special import gammaln

    def log_choose(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
        logarithm: NDArray[np.float64] = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
        return logarithm

    counts = np.arange(max(drawn_marked, drawn - (total - marked), 0), min(drawn, marked) + 1)
    if drawn in (0, total) or drawn_marked <= max(0, drawn - (total - marked)):
        return 1.0
    whole = log_choose(total, np.array([drawn]))
    terms = log_choose(marked, counts) + log_choose(total - marked, drawn - counts) - whole
    return min(1.0, float(np.exp(terms).sum()))


def _single(outcomes: Outcomes, partitions: Sequence[Partition], minimum_slice: int) -> Iterator[Searched]:
    for partition in partitions:
        for name, units, rest in _cells(partition):
            part = outcomes.errors(units)
            if len(rest) and too_small(part, minimum_slice, "") is None:
                yield Searched(name, units, worse_than(part, outcomes.errors(rest)))


def _crossed(outcomes: Outcomes, left: Partition, right: Partition, minimum_slice: int) -> Iterator[Searched]:
    crossed = left.crossed_with(right)
    for name, units, _ in _cells(crossed):
        if len(units) < minimum_slice:
            continue
        part = outcomes.errors(units)
        if too_small(part, minimum_slice, "") is not None:
            continue
        is_inside = np.zeros(len(outcomes.is_wrong), dtype=np.bool_)
        is_inside[units] = True
        rests = [np.flatnonzero((one.cell == one.cell[units[0]]) & ~is_inside) for one in (left, right)]
        # Without a rest the pair is a slice of one attribute, which was compared already.
        if all(len(rest) for rest in rests):
            yield Searched(name, units, max(worse_than(part, outcomes.errors(rest)) for rest in rests))


def _cells(partition: Partition) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.int64]]]:
    for number, name in enumerate(partition.names):
        is_inside = partition.cell == number
        yield name, np.flatnonzero(is_inside), np.flatnonzero(~is_inside)


def _effective(counts: ClusterCounts) -> tuple[float, int]:
    """Return the share of errors and how many independent units it is worth."""
    units = float(counts.units.sum())
    share = float(counts.events.sum()) / units
    if counts.units.max() <= 1:
        return share, round(units)
    informative = min(counts.with_event, counts.with_other)
    size = effective_size(counts, variance_of_unit=share * (1 - share), informative=informative)
    return share, math.floor(min(size, units) + _ROUNDING)
