"""Bounds of averages over classes and of the weakest class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.cluster_intervals import FEW_CLUSTERS, MINIMUM_CLUSTERS
from pytest_mle.checks.intervals import cluster_rate
from pytest_mle.records.quantity import Bounded, PointEstimate, Resampled, clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_mle.records.quantity import Quantity

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ClassCounts:
    """Recognised samples and samples of each class in each cluster, sparse arrays ``(cluster, class)``."""

    hits: Any
    truths: Any
    noun: str

    @property
    def present(self) -> NDArray[np.int64]:
        """Classes that have samples."""
        return np.flatnonzero(self.truths.sum(axis=0))


def class_recalls(counts: ClassCounts) -> dict[int, Quantity]:
    """Return the recall of each class that has samples."""
    return {
        one: cluster_rate(_column(counts.hits, one), _column(counts.truths, one)) for one in counts.present.tolist()
    }


def lowest_rate(rates: Sequence[Quantity]) -> Bounded:
    """Return the lowest of several rates.

    That all of them reach a limit is shown by the lowest of their lower bounds, which needs no correction for many
    classes; that one of them misses it, by an upper bound at Bonferroni's confidence, because the lowest of many is low
    by chance.
    """

    def bound(confidence: float) -> tuple[float, float]:
        corrected = 1 - (1 - confidence) / len(rates)
        lower = [rate.bounds(confidence) for rate in rates]
        upper = [rate.bounds(corrected) for rate in rates]
        return (
            min(-np.inf if one is None else one[0] for one in lower),
            min(np.inf if one is None else one[1] for one in upper),
        )

    return Bounded(
        min(rate.value for rate in rates),
        bound,
        n=min(rate.n or 0 for rate in rates),
        method=f"lowest of the bounds of {len(rates)} classes",
    )


def average_over_classes(value: float, resampled: Floats, counts: ClassCounts) -> Quantity:
    """Return an average over classes (balanced accuracy, macro F1) with bounds that respect the clusters.

    Expanded percentile bootstrap of the clusters. It cannot see errors of a class that has none (or few): for each
    class with errors in fewer than 10 clusters, the average is lowered by that class's share of what Clopper-Pearson
    cannot exclude, and likewise raised for classes with few hits. With fewer than 20 clusters there is no interval.
    """
    clusters = counts.truths.shape[0]
    if clusters < MINIMUM_CLUSTERS:
        reason = f"no interval: {clusters} independent {counts.noun}, {MINIMUM_CLUSTERS} are needed"
        return PointEstimate(value, clusters, reason)
    basic = Resampled(value, resampled, clusters, counts.noun)
    is_constant = bool(np.ptp(resampled) == 0)
    present = counts.present
    of_class, with_hit, with_error = (
        _occupied(one)[present].tolist() for one in (counts.truths, counts.hits, counts.truths - counts.hits)
    )
    if min(*with_hit, *with_error) >= FEW_CLUSTERS:
        return basic

    def bound(confidence: float) -> tuple[float, float]:
        # Resamples that all agree leave the bounds to the classes; where the bootstrap has none, nothing is known.
        lower, upper = (value, value) if is_constant else basic.bounds(confidence) or (0.0, 1.0)
        below, above = (
            sum(
                clopper_pearson(k, n, confidence)[1] - k / n
                for k, n in zip(seen, of_class, strict=True)
                if k < FEW_CLUSTERS
            )
            for seen in (with_error, with_hit)
        )
        return (
            max(0.0, min(lower, value - below / len(present))),
            min(1.0, max(upper, value + above / len(present))),
        )

    return Bounded(value, bound, clusters, f"{basic.method}, at least the exact bounds of classes with few errors")


def _column(table: Any, one: int) -> Floats:
    column: Floats = table[:, [one]].toarray()[:, 0]
    return column


def _occupied(table: Any) -> NDArray[np.int64]:
    """Return in how many rows each column is not zero."""
    counted: NDArray[np.int64] = np.asarray((table != 0).sum(axis=0)).astype(np.int64)
    return counted
