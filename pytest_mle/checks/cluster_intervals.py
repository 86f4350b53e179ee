"""Intervals of metrics over clusters of images, for many clusters and for few.

A percentile bootstrap over clusters claims a certainty that the data do not have where errors are in few clusters: a
detector without a miss gets the interval [100 %, 100 %]. For rare errors that cluster, its 95 % bound holds in 87 % to
93 % of simulated data sets, the exact bound over the effective sample size in 94 % or more and hardly farther away. So
shares and rates take the latter; the bootstrap serves what is no share (average precision, differences).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.records.quantity import Bounded, PointEstimate, Proportion, Resampled, clopper_pearson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.records.quantity import Quantity

    Floats = NDArray[np.float64]

# A percentile bootstrap of fewer clusters is too narrow.
MINIMUM_CLUSTERS = 20
# With errors in fewer clusters than this, how many of them a resample draws says little about unseen ones.
FEW_CLUSTERS = 10
# Resamples in which a metric is undefined are left out; more than this share of them would bias the interval.
LARGEST_UNDEFINED_SHARE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class ClusterCounts:
    """Events and the units in which they could happen, ``(cluster,)`` each: hits of objects, misses of objects."""

    events: Floats
    units: Floats

    @property
    def occupied(self) -> int:
        """Number of clusters with any unit."""
        return int(np.count_nonzero(self.units))

    @property
    def with_event(self) -> int:
        """Number of clusters with an event."""
        return int(np.count_nonzero(self.events))

    @property
    def with_other(self) -> int:
        """Number of clusters with a unit in which the event did not happen."""
        return int(np.count_nonzero(self.events < self.units))


def share_over_effective_size(counts: ClusterCounts) -> Quantity:
    """Return a share of units with Clopper-Pearson bounds over :func:`effective_size`; NaN if there is no unit.

    No cluster may have more events than units.
    """
    events, units = float(counts.events.sum()), float(counts.units.sum())
    if units == 0:
        return PointEstimate(float("nan"), 0, "undefined: nothing to count")
    share = events / units
    if counts.units.max() <= 1:
        return Proportion(round(events), round(units))
    informative = min(counts.with_event, counts.with_other)
    size = effective_size(counts, variance_of_unit=share * (1 - share), informative=informative)
    return Proportion(round(events), round(units), effective_trials=min(size, units))


def rate_over_effective_size(counts: ClusterCounts) -> Quantity:
    """Return events per unit, of which a unit can have several (false alarms per image), with exact Poisson bounds.

    Garwood (1936) over :func:`effective_size`; NaN if there is no unit.
    """
    units = float(counts.units.sum())
    if units == 0:
        return PointEstimate(float("nan"), 0, "undefined: nothing to count")
    rate = float(counts.events.sum()) / units
    size = effective_size(counts, variance_of_unit=rate, informative=counts.with_event)
    return Bounded(
        rate,
        lambda confidence: poisson_rate_bounds(rate * size, size, confidence),
        n=round(units),
        method=f"exact Poisson bound over {size:.1f} effective units",
    )


@dataclass(frozen=True, slots=True, eq=False)
class ClusteredScore:
    """A score that is no share of units (mAP, a difference of two scores), as all clusters and parts of them have it.

    Parameters
    ----------
    value
        On all clusters.
    resamples
        On bootstrap resamples of the clusters, ``(resample,)``; NaN where it is undefined.
    errors, hits
        Images with something that lowers the score, and with something that raises it, among all images.
    lowest, highest
        Range of the score.
    step
        A cluster among n can move the score by ``step`` / n.
    """

    value: float
    resamples: Floats
    errors: ClusterCounts
    hits: ClusterCounts
    lowest: float = 0.0
    highest: float = 1.0
    step: float = 1.0

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return self.errors.occupied

    def clipped(self, lower: float, upper: float) -> tuple[float, float]:
        """Return bounds cut to the range of the score."""
        return max(lower, self.lowest), min(upper, self.highest)


def clustered_score(score: ClusteredScore, noun: str) -> Quantity:
    """Return a score such as mAP with bounds that respect the clusters.

    Percentile bootstrap from 20 clusters on, no interval below that. Where fewer than 10 clusters have an error, the
    lower bound is at least :func:`exact_margin` away, likewise the upper bound for hits: so a perfect score has the
    lower bound that "no error in n clusters" allows (the rule of three), never 100 %. That bound needs no resamples and
    serves few clusters too.
    """
    defined = score.resamples[np.isfinite(score.resamples)]
    count = score.clusters
    if count < 2 or not np.isfinite(score.value):
        return PointEstimate(score.value, count, f"no interval: {count} independent {noun}")
    if not is_mostly_defined(score.resamples):
        share = 1 - len(defined) / max(len(score.resamples), 1)
        reason = f"no interval: undefined in {share:.0%} of the resamples, a class is in too few {noun}"
        return PointEstimate(score.value, count, reason)
    if np.ptp(defined) == 0:
        # Resamples that all agree tell nothing of how many clusters an error could be hidden in.
        return _exact_over_clusters(score, noun)
    if count < MINIMUM_CLUSTERS:
        return PointEstimate(score.value, count, f"no interval: {count} {noun}, {MINIMUM_CLUSTERS} are needed")
    basic = Resampled(score.value, defined, count, noun)
    if min(score.errors.with_event, score.hits.with_event) >= FEW_CLUSTERS:
        return basic
    return Bounded(
        score.value,
        lambda confidence: _widened(score, basic, confidence),
        n=count,
        method=f"{basic.method}, widened for errors or hits in few of them",
    )


def effective_size(counts: ClusterCounts, *, variance_of_unit: float, informative: int) -> float:
    """Return how many independent units would tell as much as these clusters do.

    The design effect is the linearised variance of the ratio over clusters by that of independent units (Kish 1965);
    with few clusters it is itself uncertain, so the size shrinks by Student's t as Korn and Graubard (1998) do. A
    design effect seen in few clusters is drawn towards the worst case that a cluster is one unit: without any event it
    is that case, and the bound is the exact one over clusters.

    Parameters
    ----------
    variance_of_unit
        Variance of one independent unit: p (1 - p) for a share, the rate for a Poisson count.
    informative
        Number of clusters that tell how events cluster: those with an event and without, whichever are fewer.
    """
    units = counts.units[counts.units > 0]
    events = counts.events[counts.units > 0]
    total, clusters = float(units.sum()), len(units)
    worst = float((units**2).sum()) / total  # every cluster is one unit, the large ones count for more
    if clusters < 2 or variance_of_unit <= 0:
        return total / worst
    ratio = float(events.sum()) / total
    residual = float(((events - ratio * units) ** 2).sum()) * clusters / (clusters - 1)
    seen = max(residual / total / variance_of_unit, 1.0)
    design_effect = (informative * seen + worst) / (informative + 1)
    # No more than the worst case is ever needed, unless the clusters themselves show more.
    return total / max(min(design_effect * _t_factor(clusters), max(worst, seen)), 1.0)


def poisson_rate_bounds(events: float, units: float, confidence: float) -> tuple[float, float]:
    """Return exact one-sided bounds of a Poisson rate, each at ``confidence`` (Garwood 1936)."""
    from scipy.special import gammaincinv

    lower = 0.0 if events <= 0 else float(gammaincinv(events, 1 - confidence)) / units
    return lower, float(gammaincinv(events + 1, confidence)) / units


def is_mostly_defined(resamples: Floats) -> bool:
    """Say whether so few resamples are undefined that leaving them out changes nothing."""
    return len(resamples) > 0 and float(np.mean(~np.isfinite(resamples))) <= LARGEST_UNDEFINED_SHARE


def exact_margin(counts: ClusterCounts, confidence: float) -> float:
    """Return by how much clusters with an event, of which few were seen, may move a score in 0..1.

    As many more clusters may have an event as Clopper-Pearson cannot exclude, and each of them is as bad as those seen
    with one added that is a total loss: without any event seen, each is a total loss.
    """
    seen, clusters = counts.with_event, counts.occupied
    occupied = counts.units > 0
    severity = (float((counts.events[occupied] / counts.units[occupied]).sum()) + 1) / (seen + 1)
    return (clopper_pearson(seen, clusters, confidence)[1] - seen / clusters) * severity


def _t_factor(clusters: int) -> float:
    """Return how much farther Student's t reaches than the normal distribution, squared."""
    from scipy.special import stdtrit

    # At 95 %: the ratio hardly depends on the confidence.
    return float(stdtrit(clusters - 1, 0.95) / 1.6448536269514722) ** 2


def _exact_over_clusters(score: ClusteredScore, noun: str) -> Bounded:
    def bound(confidence: float) -> tuple[float, float]:
        reach = score.step * clopper_pearson(0, score.clusters, confidence)[1]
        return score.clipped(score.value - reach, score.value + reach)

    return Bounded(score.value, bound, score.clusters, f"exact bound over {score.clusters} {noun}")


def _widened(score: ClusteredScore, basic: Resampled, confidence: float) -> tuple[float, float]:
    lower, upper = basic.bounds(confidence) or score.clipped(-np.inf, np.inf)
    if score.errors.with_event < FEW_CLUSTERS:
        lower = min(lower, score.value - score.step * exact_margin(score.errors, confidence))
    if score.hits.with_event < FEW_CLUSTERS:
        upper = max(upper, score.value + score.step * exact_margin(score.hits, confidence))
    return score.clipped(lower, upper)
