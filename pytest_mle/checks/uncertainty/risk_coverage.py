"""Risk against coverage: how often a model errs on the share of predictions that it is surest of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.cluster_intervals import MINIMUM_CLUSTERS, share_over_effective_size
from pytest_mle.checks.intervals import multinomial_weights
from pytest_mle.checks.uncertainty.effective_trials import BoundedMean, worst_trials
from pytest_mle.records.quantity import Bounded, PointEstimate, Resampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.checks.uncertainty.confidences import Confidences
    from pytest_mle.records.quantity import Quantity

    Floats = NDArray[np.float64]

# Bounds the working memory of the bootstrap.
ENTRIES_PER_BLOCK = 1 << 20
MOST_CANDIDATES = 200


def risk_coverage_curve(found: Confidences) -> tuple[Floats, Floats, Floats]:
    """Return threshold, coverage and risk ``(level,)`` for each distinct confidence, the highest first.

    Coverage is the share of predictions with at least that confidence, risk the share of errors among them (El-Yaniv
    and Wiener 2010).
    """
    thresholds, level = np.unique(-found.values, return_inverse=True)
    accepted = np.bincount(level.reshape(-1)).cumsum()
    errors = np.bincount(level.reshape(-1), weights=~found.is_hit).cumsum()
    return -thresholds, accepted / len(found), errors / accepted


def area_under_risk_coverage(counts: Floats, errors: Floats) -> Floats:
    """Return the mean risk over all coverages 1 / n, 2 / n, ..., 1 (Geifman et al. 2019, equation 2).

    Parameters
    ----------
    counts, errors
        Predictions and errors among them by level of confidence, the highest first: ``(row, level)`` whole numbers.

    Returns
    -------
    numpy.ndarray
        ``(row,)``: the mean over all orders of predictions that are equally sure, so that theirs decides nothing.

    Notes
    -----
    Among equally sure ones the expected risk after j of them is ``(E + j e) / (W + j)``, with W predictions and E
    errors before, and a share e of errors; so the sum over j has harmonic numbers.
    """
    before, wrong_before = counts.cumsum(axis=1) - counts, errors.cumsum(axis=1) - errors
    share = np.divide(errors, counts, out=np.zeros_like(errors), where=counts > 0)
    total = counts.sum(axis=1)
    harmonic = np.concatenate(([0.0], (1 / np.arange(1, total.max() + 1)).cumsum()))
    reached = harmonic[(before + counts).astype(np.int64)] - harmonic[before.astype(np.int64)]
    area: Floats = (counts * share + (wrong_before - share * before) * reached).sum(axis=1) / total
    return area


def clustered_area(found: Confidences, rng: np.random.Generator, resamples: int) -> Quantity:
    """Return the area under the risk-coverage curve with bounds over clusters.

    Percentile bootstrap, which is too narrow above where errors are few; so the bounds are not narrower than those of
    Clopper and Pearson for as many trials as have the variance of the resamples.
    """
    order = np.argsort(-found.values, kind="stable")
    starts = np.flatnonzero(np.diff(found.values[order], prepend=np.inf))
    cluster, wrong = found.cluster[order], (~found.is_hit[order]).astype(np.float64)

    def areas(weights: NDArray[np.int64]) -> Floats:
        weight = weights[:, cluster].astype(np.float64)
        kept = weight[weight.sum(axis=1) > 0]
        return area_under_risk_coverage(
            np.add.reduceat(kept, starts, axis=1), np.add.reduceat(kept * wrong, starts, axis=1)
        )

    clusters, noun = found.clusters.count, found.clusters.noun
    value = float(areas(np.ones((1, clusters), dtype=np.int64))[0])
    if clusters < MINIMUM_CLUSTERS:
        return PointEstimate(value, clusters, f"no interval: {clusters} {noun}, {MINIMUM_CLUSTERS} are needed")
    step = max(1, ENTRIES_PER_BLOCK // len(order))
    drawn = [
        areas(multinomial_weights(rng, clusters, min(step, resamples - start))) for start in range(0, resamples, step)
    ]
    resampled = Resampled(value, np.concatenate(drawn), clusters, noun)
    exact = _as_mean_of_errors(found, value, float(resampled.resamples.var())).quantity(len(order), noun)

    def bounds(confidence: float) -> tuple[float, float]:
        (low, high), (lowest, highest) = resampled.bounds(confidence) or (value, value), exact.bounds(confidence)
        return max(0.0, min(low, lowest)), min(1.0, max(high, highest))

    return Bounded(value, bounds, len(order), f"{resampled.method}, not narrower than {exact.method}")


def _as_mean_of_errors(found: Confidences, value: float, variance: float) -> BoundedMean:
    """Return the area as a mean of errors, of which one at the top of n counts for a harmonic number of them."""
    counts = found.counts(~found.is_hit)
    heaviest = float((1 / np.arange(1, len(found) + 1)).sum())
    return BoundedMean(
        value,
        variance,
        counts.occupied,
        worst_trials(counts.units[counts.units > 0]) / heaviest,
        min(counts.with_event, counts.with_other),
    )


def lowest_threshold(found: Confidences, target_risk: float, confidence: float = 0.95) -> float | None:
    """Return the lowest threshold whose risk is shown to be at most the target on these predictions.

    Its bound holds for each threshold alone and not for the one that was looked for: measure the risk of the chosen one
    on other predictions. None if no threshold is shown to be safe enough.
    """
    candidates = np.unique(found.values)
    if len(candidates) > MOST_CANDIDATES:
        candidates = np.unique(np.quantile(found.values, np.linspace(0, 1, MOST_CANDIDATES), method="lower"))
    for threshold in candidates.tolist():
        accepted = found.restricted_to(found.values >= threshold)
        bounds = share_over_effective_size(accepted.counts(~accepted.is_hit)).bounds(confidence)
        if bounds is not None and bounds[1] <= target_risk:
            return float(threshold)
    return None
