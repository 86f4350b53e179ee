"""Two-sample comparisons for drift: Kolmogorov-Smirnov per feature, maximum mean discrepancy over all of them.

A large p-value does not show the absence of drift. So each comparison gives its effect (D, or MMD squared) with bounds;
a small upper bound shows it. Frames of one sequence are no independent samples: with groups, whole sequences are
permuted and resampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.drift.kolmogorov import kolmogorov_survival
from pytest_mle.errors import NotMeasurableError
from pytest_mle.records.quantity import expanded_confidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

MINIMUM_SAMPLES = 30
"""Below it, half a standard deviation of shift is not seen: D would have to exceed 0.35 to mean anything."""

MINIMUM_GROUPS = 10
"""Fewer sequences a side give no bootstrap worth the name, and few different permutations."""

BLOCK_BYTES = 32 * 2**20
"""Size of the temporary arrays of a permutation test or bootstrap."""

ROUNDING = 1e-12
"""Sums of the same numbers in another order differ by less."""


class TooFewSamplesError(NotMeasurableError, ValueError):
    """There are samples, but not enough to tell."""


@dataclass(frozen=True, slots=True, eq=False)
class TwoSampleResult:
    """A comparison of current data with the reference.

    Parameters
    ----------
    effect
        How different the distributions look: D (0..1), or MMD squared (unbiased, so it can fall below 0). Smaller is
        better.
    p_value
        Probability of such an effect or a larger one if the distributions were equal.
    n_reference, n_current
        Samples that were compared.
    groups_reference, groups_current
        Independent units among them: sequences, or the samples themselves.
    resamples
        The effect on bootstrap resamples, ``(resample,)``; None where an analytic bound serves, empty where none was
        asked for.
    deviations
        For Kolmogorov-Smirnov on groups: how far the difference of the two distribution functions moves on each
        resample at most, ``(resample,)``.
    bandwidth
        Of the kernel; None for Kolmogorov-Smirnov.
    """

    effect: float
    p_value: float
    n_reference: int
    n_current: int
    groups_reference: int
    groups_current: int
    resamples: FloatArray | None = None
    deviations: FloatArray | None = None
    bandwidth: float | None = None

    @property
    def method(self) -> str:
        """Name of the interval, for the report."""
        if self.resamples is None:
            return "Hoeffding (upper) and DKW (lower) bounds"
        return f"bootstrap, {len(self.resamples)} resamples of {self.groups_reference}+{self.groups_current} units"

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Return one-sided lower and upper bounds of the true effect, each at ``confidence``.

        With resamples: the upper bound is their quantile q, expanded for few groups (Hesterberg 2015, What teachers
        should know about the bootstrap, section 5.3). Resampling inflates an effect where there is little of it, which
        is the safe side here; so that it shows no drift that is none, the lower bound is the effect less a quantile of
        the deviations, or the mirrored ``2 effect - q`` where there are none. Where less than one resample is expected
        beyond the quantile, there are no finite bounds: take more resamples.

        Raises
        ------
        ValueError
            If the confidence does not lie between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
        if self.resamples is None:
            return ks_bounds(self.effect, self.n_reference, self.n_current, confidence)
        expanded = expanded_confidence(confidence, min(self.groups_reference, self.groups_current))
        if (1 - expanded) * len(self.resamples) < 1:
            return -math.inf, math.inf
        upper = max(self.effect, float(np.quantile(self.resamples, expanded)))
        if self.deviations is None:
            return 2 * self.effect - upper, upper
        return max(0.0, self.effect - float(np.quantile(self.deviations, expanded))), upper


def ks_two_sample(
    reference: ArrayLike, current: ArrayLike, *, minimum_samples: int = MINIMUM_SAMPLES
) -> TwoSampleResult:
    """Compare one feature of independent samples by the two-sided Kolmogorov-Smirnov statistic D.

    The p-value takes ``n m / (n + m)``, rounded, as the size of one sample (Hodges 1958), as
    ``scipy.stats.ks_2samp(method="asymp")`` does. With ties (8-bit features) it is conservative.

    Parameters
    ----------
    reference, current
        Values of the feature, ``(sample,)``.
    minimum_samples
        How many samples a side are enough.

    Raises
    ------
    ValueError
        If a side is empty, has another shape or is not finite.
    TooFewSamplesError
        If a side has fewer than ``minimum_samples``.
    """
    first = np.sort(_one_feature(reference, "reference", minimum_samples))
    second = np.sort(_one_feature(current, "current", minimum_samples))
    n, m = len(first), len(second)
    order, ends = _merge(first, second)
    # Whole steps of 1/(n m), so that no rounding adds up. A stable sort merges the two sorted halves in linear time.
    distance = np.abs(np.where(order < n, m, -n).cumsum()[ends]).max() / (n * m)
    effective = max(1, round(n * m / (n + m)))
    return TwoSampleResult(
        effect=float(distance),
        p_value=kolmogorov_survival(effective, float(distance)),
        n_reference=n,
        n_current=m,
        groups_reference=n,
        groups_current=m,
    )


def ks_bounds(distance: float, n: int, m: int, confidence: float) -> tuple[float, float]:
    """Return one-sided bounds of the true D of two distributions, given the D of independent samples.

    Upper: where the distributions differ most is a fixed point, so Hoeffding's inequality for the difference of two
    rates there holds, ``D + sqrt((1/n + 1/m) ln(1/alpha) / 2)``: half as wide as by two bands. Lower: the samples'
    largest difference is not at a fixed point, so both distribution functions need a Dvoretzky-Kiefer-Wolfowitz band
    with Massart's constant (1990), ``D - sqrt(ln(4/alpha) / 2n) - sqrt(ln(4/alpha) / 2m)``. Both hold for every n and
    every distribution.
    """
    alpha = 1 - confidence
    upper = distance + math.sqrt((1 / n + 1 / m) * math.log(1 / alpha) / 2)
    band = math.sqrt(math.log(4 / alpha) / 2)
    lower = distance - band / math.sqrt(n) - band / math.sqrt(m)
    return max(0.0, lower), min(1.0, upper)


def ks_grouped(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    reference_groups: ArrayLike,
    current_groups: ArrayLike,
    rng: np.random.Generator,
    permutations: int = 500,
    resamples: int = 1000,
) -> TwoSampleResult:
    """Compare one feature of frames that come in sequences by D, permuting and resampling whole sequences.

    The p-value is ``(1 + number of permutations with at least the observed D) / (1 + permutations)``.

    Parameters
    ----------
    reference, current
        Values of the feature, ``(sample,)``.
    reference_groups, current_groups
        The sequence of each sample, ``(sample,)``: any labels, their own for each side.
    rng
        Source of permutations and resamples.
    permutations, resamples
        How many; without resamples, the effect has no bounds.

    Raises
    ------
    ValueError
        If a side is empty, has another shape or is not finite.
    TooFewSamplesError
        If a side has fewer than ``MINIMUM_GROUPS`` sequences or ``MINIMUM_SAMPLES`` samples.
    """
    _require_counts(permutations, resamples)
    first = _one_feature(reference, "reference", MINIMUM_SAMPLES)
    second = _one_feature(current, "current", MINIMUM_SAMPLES)
    first_order, first_sizes = _grouped(reference_groups, len(first), "reference")
    second_order, second_sizes = _grouped(current_groups, len(second), "current")
    order, ends = _merge(first[first_order], second[second_order])
    sizes = np.r_[first_sizes, second_sizes]
    unit_of_sorted = np.repeat(np.arange(len(sizes)), sizes)[order]
    split = len(first_sizes)
    chosen = _permuted_sides(split, len(sizes), permutations, rng).astype(np.float64)
    weights = chosen / (chosen @ sizes)[:, None] - (1 - chosen) / ((1 - chosen) @ sizes)[:, None]
    permuted = _weighted_distances(weights, unit_of_sorted, ends)
    copies = _resampled_copies(split, len(sizes), resamples, rng).astype(np.float64)
    copies[:, :split] /= (copies[:, :split] @ sizes[:split])[:, None]
    copies[:, split:] /= -(copies[:, split:] @ sizes[split:])[:, None]
    observed = np.r_[np.full(split, 1 / len(first)), np.full(len(second_sizes), -1 / len(second))]
    return TwoSampleResult(
        effect=float(permuted[0]),
        p_value=_permutation_p_value(permuted),
        n_reference=len(first),
        n_current=len(second),
        groups_reference=split,
        groups_current=len(second_sizes),
        resamples=_weighted_distances(copies, unit_of_sorted, ends),
        deviations=_weighted_distances(copies - observed, unit_of_sorted, ends),
    )


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjust p-values for the number of comparisons, so that the chance of any false alarm stays below the level.

    Holm 1979, A simple sequentially rejective multiple test procedure: the k-th smallest of m is multiplied by
    ``m - k + 1``, never falls below the one before, and stops at 1.

    Parameters
    ----------
    p_values
        ``(comparison,)``, each in 0..1.

    Raises
    ------
    ValueError
        If there are none, or one is no probability.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"p_values must have shape (comparison,) with at least one, got {values.shape}")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p_values must lie in 0..1, got {values[~((values >= 0) & (values <= 1))][0]}")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return adjusted


def standardise(reference: ArrayLike, current: ArrayLike) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Bring features to one scale by the reference's mean and standard deviation, as a kernel needs.

    Parameters
    ----------
    reference, current
        ``(sample, feature)``.

    Returns
    -------
    tuple
        Both scaled, and which features are constant in the reference. Those are centred and keep their unit: a change
        of them is for :func:`ks_two_sample` to find.

    Raises
    ------
    ValueError
        If a side is empty, not finite, or has other features.
    """
    first, second = _features(reference, "reference", 1), _features(current, "current", 1)
    _require_same_features(first, second)
    mean, deviation = first.mean(axis=0), first.std(axis=0)
    # The mean of equal numbers is rounded, and what remains is no scale.
    is_constant = deviation <= ROUNDING * np.maximum(1, np.abs(mean))
    scale = np.where(is_constant, 1, deviation)
    return (first - mean) / scale, (second - mean) / scale, is_constant


def median_bandwidth(reference: ArrayLike, *, maximum_samples: int = 1000) -> float:
    """Return the median distance between different reference samples, the usual bandwidth of an RBF kernel.

    Gretton et al. 2012, section 8. It is taken from the reference alone, so that all current data sets are held against
    the same kernel; at most ``maximum_samples``, evenly spaced, are compared. If all samples are equal, it is 1.

    Raises
    ------
    ValueError
        If the reference is empty or not finite.
    """
    values = _features(reference, "reference", 1)
    if len(values) > maximum_samples:
        values = values[np.linspace(0, len(values) - 1, maximum_samples).astype(np.int64)]
    centred = values - values.mean(axis=0)
    square = (centred**2).sum(axis=1)
    squared = (square[:, None] + square - 2 * centred @ centred.T)[np.triu_indices(len(values), 1)]
    different = squared[squared > ROUNDING * square.max()]
    return math.sqrt(float(np.median(different))) if len(different) else 1.0


def mmd_unbiased(reference: ArrayLike, current: ArrayLike, bandwidth: float) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy with an RBF kernel.

    ``mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`` over different samples, ``k(a, b) = exp(-|a - b|^2 / (2
    bandwidth^2))``: Gretton et al. 2012, A kernel two-sample test, equation 3. 0 for equal distributions on average
    (it can fall below), at most 2.

    Parameters
    ----------
    reference, current
        ``(sample, feature)``, at least two samples each.
    bandwidth
        Of the kernel, positive.

    Raises
    ------
    ValueError
        If a side is empty, not finite, or has other features, or the bandwidth is not positive.
    TooFewSamplesError
        If a side has one sample.
    """
    first, second = _features(reference, "reference", 2), _features(current, "current", 2)
    _require_same_features(first, second)
    _require_bandwidth(bandwidth)
    pooled = np.concatenate([first, second])
    sizes = np.ones(len(pooled), dtype=np.int64)
    side = (np.arange(len(pooled)) < len(first))[None, :]
    blocks = _unit_kernel_sums(pooled, sizes, len(first), bandwidth)
    return float(_PermutationSums(side, sizes).add_all(blocks).effects()[0])


def mmd_two_sample(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    rng: np.random.Generator,
    bandwidth: float | None = None,
    reference_groups: ArrayLike | None = None,
    current_groups: ArrayLike | None = None,
    permutations: int = 500,
    resamples: int = 1000,
    maximum_samples: int = 2000,
) -> TwoSampleResult:
    """Compare all features at once by the maximum mean discrepancy, with a permutation test and bootstrap bounds.

    With groups, only pairs from different sequences enter (frames of one sequence resemble each other, which is no
    drift), and whole sequences are permuted and resampled. The kernel is computed once, in blocks, and all permutations
    are one matrix product with it.

    Parameters
    ----------
    reference, current
        ``(sample, feature)``, features on one scale (:func:`standardise`).
    rng
        Source of the subsample, permutations and resamples.
    bandwidth
        Of the RBF kernel; by default :func:`median_bandwidth` of the reference.
    reference_groups, current_groups
        The sequence of each sample, ``(sample,)``; without them, each sample is independent.
    permutations, resamples
        How many; without resamples, the effect has no bounds.
    maximum_samples
        A larger side is subsampled to it: time grows with the square.

    Raises
    ------
    ValueError
        If a side is empty, not finite, or has other features, or the bandwidth is not positive.
    TooFewSamplesError
        If a side has fewer than ``MINIMUM_SAMPLES`` samples or ``MINIMUM_GROUPS`` sequences.
    """
    _require_counts(permutations, resamples)
    first, second = _features(reference, "reference"), _features(current, "current")
    _require_same_features(first, second)
    if bandwidth is None:
        bandwidth = median_bandwidth(first)
    _require_bandwidth(bandwidth)
    first, first_sizes = _subsampled(first, reference_groups, maximum_samples, rng, "reference")
    second, second_sizes = _subsampled(second, current_groups, maximum_samples, rng, "current")
    sizes, split = np.r_[first_sizes, second_sizes], len(first_sizes)
    permuted = _PermutationSums(_permuted_sides(split, len(sizes), permutations, rng), sizes)
    resampled = _BootstrapSums(_resampled_copies(split, len(sizes), resamples, rng), sizes, split)
    for block in _unit_kernel_sums(np.concatenate([first, second]), sizes, split, bandwidth):
        permuted.add(block)
        resampled.add(block)
    effects = permuted.effects()
    return TwoSampleResult(
        effect=float(effects[0]),
        p_value=_permutation_p_value(effects),
        n_reference=len(first),
        n_current=len(second),
        groups_reference=split,
        groups_current=len(second_sizes),
        resamples=resampled.effects(),
        bandwidth=bandwidth,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _KernelBlock:
    """Sums of the kernel between units: rows ``start..stop``, columns ``start..`` (the rest follows by symmetry).

    ``within`` is ``(row, row)`` with zeros on the diagonal, ``beyond`` ``(row, unit after stop)``.
    """

    start: int
    stop: int
    within: FloatArray
    beyond: FloatArray


def _unit_kernel_sums(samples: FloatArray, sizes: IntArray, split: int, bandwidth: float) -> Iterator[_KernelBlock]:
    """Yield the kernel summed over units (sequences or single samples) in blocks; no block lies on both sides."""
    scaled = (samples - samples.mean(axis=0)) / bandwidth
    half = (scaled**2).sum(axis=1, keepdims=True) / 2
    # -|a - b|^2 / 2 as one product: [a, -|a|^2/2, 1] . [b, 1, -|b|^2/2]
    left = np.hstack([scaled, -half, np.ones_like(half)])
    right = np.hstack([scaled, np.ones_like(half), -half])
    first_sample = np.r_[0, np.cumsum(sizes)]
    is_single = len(sizes) == len(samples)
    rows = max(1, BLOCK_BYTES // (8 * len(samples)))
    start = 0
    while start < len(sizes):
        fitting = int(np.searchsorted(first_sample, first_sample[start] + rows, side="right")) - 1
        stop = min(max(start + 1, fitting), split if start < split else len(sizes))
        begin, end = int(first_sample[start]), int(first_sample[stop])
        kernel = left[begin:end] @ right[begin:].T
        np.exp(kernel, out=kernel)
        if not is_single:
            kernel = np.add.reduceat(kernel, first_sample[start:-1] - begin, axis=1)
            kernel = np.add.reduceat(kernel, first_sample[start:stop] - begin, axis=0)
        within = kernel[:, : stop - start]
        np.fill_diagonal(within, 0)
        yield _KernelBlock(start, stop, within, kernel[:, stop - start :])
        start = stop


class _PermutationSums:
    """MMD squared for many divisions of the same units into two sides, from blocks of the kernel.

    With K the kernel, w the indicator of the first side: ``xx = w'Kw``, ``xy = w'K1 - xx`` and
    ``yy = 1'K1 - 2 xy - xx``; so one product K w serves all three.
    """

    def __init__(self, sides: NDArray[np.bool_], sizes: IntArray) -> None:
        self._weights = np.ascontiguousarray(sides.T, dtype=np.float64)
        self._sizes = sizes.astype(np.float64)
        self._row_sums = np.zeros(len(sizes))
        self._inside = np.zeros(len(sides))

    def add(self, block: _KernelBlock) -> None:
        rows, after = slice(block.start, block.stop), slice(block.stop, None)
        self._row_sums[rows] += block.within.sum(axis=1) + block.beyond.sum(axis=1)
        self._row_sums[after] += block.beyond.sum(axis=0)
        self._inside += _form(self._weights[rows], block.within, self._weights[rows])
        self._inside += 2 * _form(self._weights[rows], block.beyond, self._weights[after])

    def add_all(self, blocks: Iterator[_KernelBlock]) -> _PermutationSums:
        for block in blocks:
            self.add(block)
        return self

    def effects(self) -> FloatArray:
        across = self._row_sums @ self._weights - self._inside
        outside = self._row_sums.sum() - 2 * across - self._inside
        count, square = self._sizes @ self._weights, self._sizes**2 @ self._weights
        other = self._sizes.sum() - count
        other_square = (self._sizes**2).sum() - square
        return _discrepancy(
            self._inside / (count**2 - square), outside / (other**2 - other_square), across / (count * other)
        )


class _BootstrapSums:
    """MMD squared for many resamples of the units of each side, from blocks of the kernel.

    Copies of one unit form no pair: they would look alike without being so.
    """

    def __init__(self, copies: IntArray, sizes: IntArray, split: int) -> None:
        self._copies = np.ascontiguousarray(copies.T, dtype=np.float64)
        self._sizes = sizes.astype(np.float64)
        self._split = split
        self._sums = np.zeros((3, len(copies)))  # within the reference, within the current data, across

    def add(self, block: _KernelBlock) -> None:
        if not self._copies.shape[1]:
            return
        mine = self._copies[block.start : block.stop]
        is_reference = block.start < self._split
        side = 0 if is_reference else 1
        same = slice(block.stop, self._split if is_reference else None)
        rest = self._copies[same]
        self._sums[side] += _form(mine, block.within, mine)
        self._sums[side] += 2 * _form(mine, block.beyond[:, : len(rest)], rest)
        if is_reference:
            self._sums[2] += _form(mine, block.beyond[:, len(rest) :], self._copies[self._split :])

    def effects(self) -> FloatArray:
        weighted = self._copies * self._sizes[:, None]
        counts = [part.sum(axis=0) for part in (weighted[: self._split], weighted[self._split :])]
        squares = [(part**2).sum(axis=0) for part in (weighted[: self._split], weighted[self._split :])]
        return _discrepancy(
            self._sums[0] / (counts[0] ** 2 - squares[0]),
            self._sums[1] / (counts[1] ** 2 - squares[1]),
            self._sums[2] / (counts[0] * counts[1]),
        )


def _form(left: FloatArray, kernel: FloatArray, right: FloatArray) -> FloatArray:
    """Return ``left' kernel right`` for each column of both."""
    form: FloatArray = np.einsum("ib,ib->b", left, kernel @ right)
    return form


def _discrepancy(within_first: FloatArray, within_second: FloatArray, across: FloatArray) -> FloatArray:
    return within_first + within_second - 2 * across


def _merge(first: FloatArray, second: FloatArray) -> tuple[IntArray, NDArray[np.bool_]]:
    """Return the order of all values together, and where in it the last of equal values stands."""
    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")
    values = values[order]
    return order, np.append(values[1:] != values[:-1], True)


def _weighted_distances(weights: FloatArray, unit_of_sorted: IntArray, ends: NDArray[np.bool_]) -> FloatArray:
    """Return the largest distance of two weighted distribution functions for each row of signed unit weights."""
    distances = np.empty(len(weights))
    rows = max(1, BLOCK_BYTES // (8 * len(unit_of_sorted)))
    last = np.flatnonzero(ends)
    for start in range(0, len(weights), rows):
        steps = np.take(weights[start : start + rows], unit_of_sorted, axis=1)
        np.cumsum(steps, axis=1, out=steps)
        distances[start : start + rows] = np.abs(steps if ends.all() else steps[:, last]).max(axis=1)
    return distances


def _permuted_sides(split: int, count: int, permutations: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return who is on the first side, ``(permutation, unit)``; the first row is as observed."""
    sides = np.tile(np.arange(count) < split, (1 + permutations, 1))
    sides[1:] = rng.permuted(sides[1:], axis=1)
    return sides


def _resampled_copies(split: int, count: int, resamples: int, rng: np.random.Generator) -> IntArray:
    """Return how often each unit is drawn, ``(resample, unit)``, each side with replacement from itself."""
    sides = [rng.multinomial(size, np.full(size, 1 / size), size=resamples) for size in (split, count - split)]
    return np.concatenate(sides, axis=1)


def _permutation_p_value(effects: FloatArray) -> float:
    """Return the share of permutations with at least the effect of the first, which is the observed one itself."""
    return float(np.count_nonzero(effects >= effects[0] - ROUNDING) / len(effects))


def _subsampled(
    samples: FloatArray, groups: ArrayLike | None, maximum: int, rng: np.random.Generator, name: str
) -> tuple[FloatArray, IntArray]:
    """Return at most ``maximum`` samples, sorted by group, and the sizes of the groups."""
    labels = None if groups is None else _labels(groups, len(samples), name)
    if len(samples) > maximum:
        chosen = np.sort(rng.choice(len(samples), maximum, replace=False))
        samples = samples[chosen]
        labels = None if labels is None else labels[chosen]
    if labels is None:
        return samples, np.ones(len(samples), dtype=np.int64)
    order, sizes = _grouped(labels, len(samples), name)
    return samples[order], sizes


def _grouped(groups: ArrayLike, count: int, name: str) -> tuple[IntArray, IntArray]:
    """Return the order that puts the groups one after the other, and their sizes."""
    labels = _labels(groups, count, name)
    _, numbers, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < MINIMUM_GROUPS:
        raise TooFewSamplesError(
            f"the {name} data come from {len(sizes)} sequences; at least {MINIMUM_GROUPS} are needed to tell"
        )
    return np.argsort(numbers.ravel(), kind="stable"), sizes.astype(np.int64)


def _labels(groups: ArrayLike, count: int, name: str) -> NDArray[np.generic]:
    labels = np.asarray(groups)
    if labels.shape != (count,):
        raise ValueError(f"{name}_groups must have shape ({count},), one for each sample, got {labels.shape}")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError(f"{name}_groups must name a group for each sample, got NaN or infinite values")
    return labels


def _one_feature(values: ArrayLike, name: str, minimum: int) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (sample,), got {array.shape}")
    return _checked(array, name, minimum)


def _features(values: ArrayLike, name: str, minimum: int = MINIMUM_SAMPLES) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name} must have shape (sample, feature), got {array.shape}")
    return _checked(array, name, minimum)


def _checked(array: FloatArray, name: str, minimum: int) -> FloatArray:
    if not len(array):
        raise ValueError(f"the {name} data are empty: nothing can be said about drift")
    unusable = int(np.count_nonzero(~np.isfinite(array)))
    if unusable:
        raise ValueError(f"the {name} data have {unusable} of {array.size} values that are NaN or infinite")
    if len(array) < minimum:
        raise TooFewSamplesError(f"the {name} data have {len(array)} samples; at least {minimum} are needed to tell")
    return array


def _require_same_features(first: FloatArray, second: FloatArray) -> None:
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"reference and current must have the same features, got {first.shape[1]} and {second.shape[1]}"
        )


def _require_bandwidth(bandwidth: float) -> None:
    if not 0 < bandwidth < math.inf:
        raise ValueError(f"bandwidth must be positive, got {bandwidth}")


def _require_counts(permutations: int, resamples: int) -> None:
    if permutations < 1 or resamples < 0:
        raise ValueError(
            f"permutations must be at least 1 and resamples not negative, got {permutations} and {resamples}"
        )
