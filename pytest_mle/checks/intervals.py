"""Rates over units that come in clusters: frames of a sequence, objects of a frame.

Such units are not independent. With ``m`` units a cluster and an intra-class correlation ``rho``, ``n`` of them are
worth ``n / (1 + (m - 1) rho)`` independent ones (Kish 1965): 25,000 frames in sequences of 100 with rho = 0.3 are worth
814.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.cluster_intervals import ClusterCounts, share_over_effective_size
from pytest_mle.errors import NotMeasurableError
from pytest_mle.records.quantity import Proportion

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from pytest_mle.records.quantity import Quantity

    Floats = NDArray[np.float64]

# Bounds the working memory of a bootstrap: 8 bytes an entry.
ENTRIES_PER_BLOCK = 1 << 22


def effective_sample_size(units: float, units_per_cluster: float, intra_class_correlation: float) -> float:
    """Return how many independent units clustered ones are worth: ``n / (1 + (m - 1) rho)``.

    Raises
    ------
    ValueError
        For a correlation outside 0..1 or less than one unit a cluster.
    """
    if not 0 <= intra_class_correlation <= 1:
        raise ValueError(f"an intra-class correlation lies in 0..1, got {intra_class_correlation}")
    if units_per_cluster < 1:
        raise ValueError(f"a cluster has at least one unit, got {units_per_cluster}")
    return units / (1 + (units_per_cluster - 1) * intra_class_correlation)


def multinomial_weights(rng: np.random.Generator, clusters: int, resamples: int) -> NDArray[np.int64]:
    """Draw how often each cluster stands in each resample: ``(resample, cluster)``, rows sum to ``clusters``."""
    drawn = rng.integers(0, clusters, (resamples, clusters))
    drawn += np.arange(resamples)[:, np.newaxis] * clusters
    return np.bincount(drawn.ravel(), minlength=resamples * clusters).reshape(resamples, clusters)


def bootstrap_totals(per_cluster: Any, rng: np.random.Generator, resamples: int = 2000) -> Floats:
    """Return the column totals of bootstrap resamples of the rows.

    Parameters
    ----------
    per_cluster
        ``(cluster, column)``: counts of whatever a metric is made of, as an array or a sparse one of scipy.
    rng
        The only source of chance: the same generator gives the same totals.

    Returns
    -------
    numpy.ndarray
        ``(resample, column)``.
    """
    clusters, columns = per_cluster.shape
    totals = np.empty((resamples, columns))
    step = max(1, ENTRIES_PER_BLOCK // max(1, clusters))
    for start in range(0, resamples, step):
        weights = multinomial_weights(rng, clusters, min(step, resamples - start))
        totals[start : start + len(weights)] = weights.astype(np.float64) @ per_cluster
    return totals


def cluster_rate(
    successes_per_cluster: ArrayLike,
    trials_per_cluster: ArrayLike,
    *,
    intra_class_correlation: float | None = None,
) -> Quantity:
    """Return a rate over clustered units with honest bounds.

    Clopper-Pearson where every cluster has one trial; else Clopper-Pearson over the effective sample size, as
    :func:`pytest_mle.checks.cluster_intervals.share_over_effective_size` estimates it.

    Parameters
    ----------
    successes_per_cluster, trials_per_cluster
        Counts, ``(cluster,)``; clusters without trials do not count.
    intra_class_correlation
        If it is known (from an earlier study), :func:`effective_sample_size` serves instead of an estimate from these
        data; ``m`` is then the mean size of the cluster that a unit is in, as Kish has it for clusters of unequal size.

    Raises
    ------
    NotMeasurableError
        Without any trial.
    ValueError
        For counts that are negative, not finite, or more successes than trials.
    """
    hits, counts = _checked(successes_per_cluster, trials_per_cluster)
    if intra_class_correlation is not None:
        size = effective_sample_size(counts.sum(), (counts**2).sum() / counts.sum(), intra_class_correlation)
        return Proportion(round(hits.sum()), round(counts.sum()), effective_trials=size)
    return share_over_effective_size(ClusterCounts(hits, counts))


def _checked(successes: ArrayLike, trials: ArrayLike) -> tuple[Floats, Floats]:
    hits, counts = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    if hits.shape != counts.shape or hits.ndim != 1:
        raise ValueError(f"successes {hits.shape} and trials {counts.shape} need one entry a cluster each")
    # Not (a <= b), because comparisons with NaN are False.
    if not ((hits >= 0) & (hits <= counts) & np.isfinite(counts)).all():
        raise ValueError("successes must lie in 0..trials, and trials be finite, in every cluster")
    occupied = counts > 0
    if not occupied.any():
        raise NotMeasurableError("there is nothing to count: no cluster has a trial")
    return hits[occupied], counts[occupied]
