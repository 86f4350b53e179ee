"""Area under the ROC curve of two groups of scores, with bounds over clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.uncertainty.effective_trials import BoundedMean, worst_trials
from pytest_mle.records.quantity import PointEstimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.records.quantity import Quantity

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredUnits:
    """Scores ``(unit,)`` of one group and the cluster of each unit.

    Units of both groups with the same cluster number are not independent of each other.
    """

    scores: Floats
    clusters: Integers

    @property
    def cluster_sizes(self) -> Floats:
        """Units in each cluster that has any."""
        return np.unique(self.clusters, return_counts=True)[1].astype(np.float64)


def auroc(positive: Floats, negative: Floats) -> float:
    """Return the probability that a positive scores higher than a negative, ties counting half (Mann and Whitney).

    NaN if a group is empty.
    """
    return float(placements(positive, negative).mean()) if len(positive) and len(negative) else float("nan")


def placements(scores: Floats, others: Floats) -> Floats:
    """Return for each score the share of ``others`` that is lower, ties counting half: ``(score,)``."""
    ordered = np.sort(others)
    lower, upper = np.searchsorted(ordered, scores, side="left"), np.searchsorted(ordered, scores, side="right")
    share: Floats = (lower + upper) / (2 * len(others))
    return share


def clustered_auroc(positive: ScoredUnits, negative: ScoredUnits, noun: str) -> Quantity:
    """Return the area under the ROC curve with bounds that respect clusters.

    Parameters
    ----------
    positive, negative
        The groups; a perfect separation scores every positive higher.
    noun
        What the clusters are, for the report.

    Returns
    -------
    Quantity
        NaN if a group is empty; without interval if one comes from a single cluster.

    Notes
    -----
    The variance is that of Obuchowski (1997, Nonparametric analysis of clustered ROC curve data, equation 3), which is
    DeLong's (1988) where each unit is a cluster. A normal interval from it fails near 1, where such areas lie, and says
    [1, 1] for two groups that are separated by chance. So the bounds are those of Clopper and Pearson for as many
    independent trials as have this variance. No distribution has a larger variance than A (1 - A) by the clusters of
    the smaller group (Birnbaum and Klose 1957), to which the variance is drawn where few clusters are out of order:
    without any, the bound is that of "no event in n clusters".
    """
    if not (len(positive.scores) and len(negative.scores)):
        empty = "positive" if not len(positive.scores) else "negative"
        return PointEstimate(float("nan"), 0, f"undefined: there is no {empty} unit")
    smaller = min(len(positive.cluster_sizes), len(negative.cluster_sizes))
    value = auroc(positive.scores, negative.scores)
    if smaller < 2:
        return PointEstimate(value, smaller, f"no interval: all units of a group are in one of the {noun}")
    mean = BoundedMean(
        value,
        clustered_variance(positive, negative),
        smaller,
        min(worst_trials(group.cluster_sizes) for group in (positive, negative)),
        min(
            _clusters_out_of_order(positive, negative.scores, higher=True),
            _clusters_out_of_order(negative, positive.scores, higher=False),
        ),
    )
    return mean.quantity(len(positive.scores) + len(negative.scores), noun)


def clustered_variance(positive: ScoredUnits, negative: ScoredUnits) -> float:
    """Return the variance of the area (Obuchowski 1997, equation 3); each group needs two clusters."""
    value = auroc(positive.scores, negative.scores)
    count = 1 + int(max(positive.clusters.max(), negative.clusters.max()))
    sums, clusters = [], []
    for group, other in ((positive, negative), (negative, positive)):
        placed = placements(group.scores, other.scores)
        centred = placed - value if group is positive else 1 - placed - value
        sums.append(np.bincount(group.clusters, weights=centred, minlength=count) / len(group.scores))
        clusters.append(len(group.cluster_sizes))
    first, second = sums
    both = len(np.union1d(positive.clusters, negative.clusters))
    return float(
        clusters[0] / (clusters[0] - 1) * (first**2).sum()
        + clusters[1] / (clusters[1] - 1) * (second**2).sum()
        + 2 * both / (both - 1) * (first * second).sum()
    )


def _clusters_out_of_order(group: ScoredUnits, others: Floats, *, higher: bool) -> int:
    """Count the clusters with a unit that is not on the right side of all others, or those on the wrong, if fewer."""
    placed = placements(group.scores, others)
    right = placed if higher else 1 - placed
    wrong = np.unique(group.clusters[right < 1])
    return min(len(wrong), len(np.unique(group.clusters[right > 0])))
