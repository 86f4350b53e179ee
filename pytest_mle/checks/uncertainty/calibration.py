"""Calibration error in bins of confidence, with bounds over clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from pytest_mle.checks.cluster_intervals import (
    FEW_CLUSTERS,
    MINIMUM_CLUSTERS,
    exact_margin,
    share_over_effective_size,
)
from pytest_mle.checks.intervals import bootstrap_totals
from pytest_mle.checks.uncertainty.effective_trials import BoundedMean, worst_trials
from pytest_mle.records.quantity import Bounded, PointEstimate, Resampled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pytest_mle.checks.uncertainty.confidences import Confidences
    from pytest_mle.records.quantity import Quantity

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

Binning = Literal["equal_mass", "equal_width"]


def bins_of(confidence: Floats, bins: int, binning: Binning) -> Integers:
    """Return the bin of each confidence ``(unit,)``, counted from 0 by rising confidence.

    ``equal_mass`` cuts at quantiles (Nixon et al. 2019, section 3); equal confidences share the bin of their middle
    one, so that the order of the samples decides nothing and there may be fewer bins. ``equal_width`` is
    ``((m - 1) / M, m / M]`` (Guo et al. 2017, section 2).
    """
    if binning == "equal_width":
        return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    ordered = np.sort(confidence)
    middle_rank = (np.searchsorted(ordered, confidence) + np.searchsorted(ordered, confidence, side="right")) / 2
    found = (middle_rank * bins / len(confidence)).astype(np.int64)
    return np.unique(found, return_inverse=True)[1].reshape(-1).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityBins:
    """Predictions by confidence: per bin their number, mean confidence and accuracy, empty bins left out."""

    counts: Floats
    confidence: Floats
    accuracy: Floats

    @classmethod
    def of(cls, confidence: Floats, is_hit: NDArray[np.bool_], bin_of: Integers) -> ReliabilityBins:
        """Count the predictions of each bin."""
        counts = np.bincount(bin_of).astype(np.float64)
        filled = counts > 0
        sums = (np.bincount(bin_of, weights=values)[filled] for values in (confidence, is_hit))
        return cls(counts[filled], *(one / counts[filled] for one in sums))

    @property
    def gaps(self) -> Floats:
        """Mean confidence less accuracy of each bin."""
        return self.confidence - self.accuracy

    @property
    def expected_calibration_error(self) -> float:
        """Mean absolute gap, bins weighted by their number of predictions (Guo et al. 2017, equation 3)."""
        return float((self.counts * np.abs(self.gaps)).sum() / self.counts.sum())

    @property
    def maximum_calibration_error(self) -> float:
        """Largest absolute gap of a bin (Guo et al. 2017, equation 5)."""
        return float(np.abs(self.gaps).max())


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Calibration of predictions in bins, with bounds over their clusters.

    ``sums`` ``(row, bin)`` are confidence less hit, added up in each bin: of all predictions in the first row, then of
    bootstrap resamples of the clusters; ``units`` ``(row,)`` are their numbers. ``chance`` ``(resample,)`` is the
    expected calibration error of models that are right exactly as often as they say (Broecker and Smith 2007,
    consistency resampling).
    """

    predictions: Confidences
    bin_of: Integers
    sums: Floats
    units: Floats
    chance: Floats

    @classmethod
    def of(cls, predictions: Confidences, bin_of: Integers, rng: np.random.Generator, resamples: int) -> Calibration:
        """Resample the clusters, and what perfect calibration would look like."""
        clusters, bins = predictions.clusters.count, int(bin_of.max()) + 1
        gap = predictions.values - predictions.is_hit
        cell = predictions.cluster * bins + bin_of
        table = np.concatenate(
            (
                np.bincount(cell, weights=gap, minlength=clusters * bins).reshape(clusters, bins),
                predictions.per_cluster(np.ones(len(gap)))[:, np.newaxis],
            ),
            axis=1,
        )
        totals = np.concatenate((table.sum(axis=0, keepdims=True), bootstrap_totals(table, rng, resamples)))
        totals = totals[totals[:, -1] > 0]  # a detector may have found nothing in any of the clusters drawn
        counts = np.bincount(bin_of)
        mean = np.bincount(bin_of, weights=predictions.values) / np.maximum(counts, 1)
        drawn = rng.binomial(counts, np.minimum(mean, 1), (resamples, bins))
        chance = np.abs(counts * mean - drawn).sum(axis=1) / len(gap)
        return cls(predictions, bin_of, totals[:, :-1], totals[:, -1], chance)

    @property
    def chance_calibration_error(self) -> float:
        """Expected calibration error that perfect calibration would show here, by chance alone, in the mean."""
        return float(self.chance.mean())

    def expected_calibration_error(self) -> Quantity:
        """Return the mean absolute gap of the bins.

        Chance adds to it, and resampling adds as much again: so the upper percentile is too high rather than too low.
        The lower bound subtracts what chance can add: by the triangle inequality the error of a mean of absolute gaps
        is at most the mean absolute error of the gaps. That is resampled, and not taken for less than what it is for a
        perfectly calibrated model, since bins without an error would hide it.
        """
        gaps = self.sums / self.units[:, np.newaxis]
        errors = np.abs(gaps).sum(axis=1)
        value = float(errors[0])
        noise = np.abs(gaps[1:] - gaps[0]).sum(axis=1)
        rate = self._hit_rate()
        spread = np.sqrt(len(self.predictions) / (getattr(rate, "effective_trials", None) or len(self.predictions)))

        def bounds(confidence: float) -> tuple[float, float]:
            margin = self._margin(confidence)
            by_chance = spread * float(np.quantile(self.chance, confidence))
            lower = value - max(self._quantiles(noise, confidence)[1], by_chance, margin)
            upper = max(self._quantiles(errors[1:], confidence)[1], value + margin)
            return max(0.0, lower), min(1.0, upper)

        return self._quantity(value, bounds, f"percentile bootstrap of {len(noise)} resamples, below less its noise")

    def mean_overconfidence(self) -> Quantity:
        """Return mean confidence less accuracy: bootstrap, and not narrower than the exact bounds of accuracy allow."""
        values = self.sums.sum(axis=1) / self.units
        mean, rate = float(self.predictions.values.mean()), self._hit_rate()

        def bounds(confidence: float) -> tuple[float, float]:
            lower, upper = self._quantiles(values[1:], confidence)
            lowest, highest = rate.bounds(confidence) or (0.0, 1.0)
            return max(-1.0, min(lower, mean - highest)), min(1.0, max(upper, mean - lowest))

        method = f"percentile bootstrap of {len(values) - 1} resamples and Clopper-Pearson"
        return self._quantity(float(values[0]), bounds, method)

    def brier_score(self) -> Quantity:
        """Return the mean squared difference of confidence and hit (1) or miss (0)."""
        found = self.predictions
        squares = (found.values - found.is_hit) ** 2
        value = float(squares.mean())
        counts = found.counts(~found.is_hit)
        residual = found.per_cluster(squares) - value * counts.units
        clusters = counts.occupied
        if clusters < MINIMUM_CLUSTERS:
            return self._quantity(value, lambda _: (0.0, 1.0), "")
        variance = clusters / (clusters - 1) * float((residual**2).sum()) / len(squares) ** 2
        informative = min(counts.with_event, counts.with_other)
        mean = BoundedMean(value, variance, clusters, worst_trials(counts.units[counts.units > 0]), informative)
        return mean.quantity(len(squares), found.clusters.noun)

    def maximum_calibration_error(self) -> Quantity:
        """Return the largest gap of a bin.

        Which bin is truly the worst is no matter of chance, so its own upper bound holds, and the largest of all upper
        bounds is not below it; the lower bound is corrected for the number of bins (Bonferroni).
        """
        found = self.predictions
        reliability = ReliabilityBins.of(found.values, found.is_hit, self.bin_of)
        rates = [
            share_over_effective_size(part.counts(part.is_hit))
            for number in np.unique(self.bin_of).tolist()
            for part in [found.restricted_to(self.bin_of == number)]
        ]

        def bounds(confidence: float) -> tuple[float, float]:
            joint = 1 - (1 - confidence) / (2 * len(rates))
            upper = lower = 0.0
            for mean, rate in zip(reliability.confidence.tolist(), rates, strict=True):
                low, high = rate.bounds(confidence) or (0.0, 1.0)
                upper = max(upper, mean - low, high - mean)
                low, high = rate.bounds(joint) or (0.0, 1.0)
                lower = max(lower, mean - high, low - mean)
            return lower, upper

        method = f"Clopper-Pearson bounds of {len(rates)} bins"
        return Bounded(reliability.maximum_calibration_error, bounds, len(found), method)

    def _hit_rate(self) -> Quantity:
        return share_over_effective_size(self.predictions.counts(self.predictions.is_hit))

    def _quantity(self, value: float, bounds: Callable[[float], tuple[float, float]], method: str) -> Quantity:
        clusters, noun = self.predictions.clusters.count, self.predictions.clusters.noun
        if clusters < MINIMUM_CLUSTERS:
            return PointEstimate(value, clusters, f"no interval: {clusters} {noun}, {MINIMUM_CLUSTERS} are needed")
        return Bounded(value, bounds, len(self.predictions), f"{method} of {clusters} {noun}")

    def _quantiles(self, resamples: Floats, confidence: float) -> tuple[float, float]:
        """Return expanded percentiles; the ends of the line where there are too few resamples for them."""
        if np.ptp(resamples) == 0:
            return float(resamples[0]), float(resamples[0])
        found = Resampled(0.0, resamples, self.predictions.clusters.count).bounds(confidence)
        return found or (-np.inf, np.inf)

    def _margin(self, confidence: float) -> float:
        """Return how far errors, or hits, that are in few clusters could be more frequent than seen."""
        is_hit = self.predictions.is_hit
        few = [counts for counts in map(self.predictions.counts, (is_hit, ~is_hit)) if counts.with_event < FEW_CLUSTERS]
        return max((exact_margin(counts, confidence) for counts in few), default=0.0)
