"""Monotone trend of a short series: Mann-Kendall and Theil-Sen, robust against single outliers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Up to here the distribution of the statistic is summed up, beyond it the normal approximation is good to three digits.
EXACT_UP_TO = 50
# Up to here all slopes are written down (2 million); beyond it they are counted.
ALL_PAIRS_UP_TO = 2000
# How far the rank of a counted median may lie from the middle, as a share of all pairs: far inside its own uncertainty.
RANK_TOLERANCE = 1e-6
_SAMPLED_PAIRS = 100_000


@dataclass(frozen=True, slots=True)
class Trend:
    """Mann-Kendall test for an increasing trend.

    ``tau`` in -1..1 is Kendall's tau-b of value against time: 1 if every later value is larger, 0 for a constant
    series; ``p_value`` the probability of a statistic at least as large without any trend, so small values show an
    increase.
    """

    tau: float
    p_value: float


def mann_kendall(values: NDArray[np.float64]) -> Trend:
    """Test a series in order of time, shape ``(time,)``, for an increasing trend (Mann 1945, Kendall 1975).

    The p-value is exact for up to 50 values without ties, else a normal approximation with the correction for ties and
    for continuity (Gilbert 1987, section 16.4). Time grows as ``n log(n)``, memory as ``n``. Raises ValueError for
    fewer than 3 values or for values not finite.
    """
    _check(values)
    n = len(values)
    rising, falling = count_pairs(values)
    statistic = rising - falling
    ties = np.unique(values, return_counts=True)[1]
    pairs = n * (n - 1) // 2
    untied = pairs - int((ties * (ties - 1) // 2).sum())
    tau = statistic / math.sqrt(pairs * untied) if untied else 0.0
    if n <= EXACT_UP_TO and untied == pairs:
        return Trend(tau, _exact_p_value(statistic, n))
    variance = (n * (n - 1) * (2 * n + 5) - int((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0:
        return Trend(tau, 1.0)
    score = (statistic - 1) / math.sqrt(variance)
    return Trend(tau, 0.5 * math.erfc(score / math.sqrt(2)))


def theil_sen_slope(times: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return the median of the slopes of all pairs, in units of ``values`` per unit of ``times`` (Sen 1968).

    For more than :data:`ALL_PAIRS_UP_TO` values it is a slope whose rank among all pairs lies within
    :data:`RANK_TOLERANCE` of the middle, found without writing the pairs down. Raises ValueError for fewer than 3
    values, values not finite, or two equal times.
    """
    _check(values)
    if not (np.diff(times) > 0).all():
        raise ValueError("times must increase")
    if len(values) > ALL_PAIRS_UP_TO:
        return _counted_median_slope(times - times[0], values - values[0])
    first, second = np.triu_indices(len(values), 1)
    return float(np.median((values[second] - values[first]) / (times[second] - times[first])))


def count_pairs(values: NDArray[np.float64]) -> tuple[int, int]:
    """Return how many pairs of a series rise and how many fall, each later value compared with each earlier one.

    Ranks are told apart bit by bit from the highest: a pair counts at the first bit in which it differs, inside the
    group of values that agree in all bits above.
    """
    order = np.unique(values, return_inverse=True)[1].astype(np.int64).reshape(-1)
    positions = np.arange(len(order))
    group_start = np.zeros(len(order), dtype=np.int64)
    rising = falling = 0
    for bit in reversed(range(int(order.max(initial=0)).bit_length())):
        is_high = (order >> bit) & 1
        high_before = np.cumsum(is_high) - is_high
        high_before -= high_before[group_start]
        falling += int(high_before[is_high == 0].sum())
        rising += int((positions - group_start - high_before)[is_high == 1].sum())
        order = order[np.argsort(order >> bit, kind="stable")]
        group = order >> bit
        starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
        group_start = np.repeat(starts, np.diff(np.append(starts, len(order))))
    return rising, falling


def _counted_median_slope(times: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Close in on the median slope: it lies below b for the pairs of which ``values - b * times`` falls."""
    # A fixed sample of pairs only says where to begin, so the result does not depend on it beyond the tolerance.
    pairs = np.random.default_rng(0).integers(0, len(values), (2, _SAMPLED_PAIRS))
    first, second = pairs[:, pairs[0] != pairs[1]]
    low, high = np.quantile((values[second] - values[first]) / (times[second] - times[first]), [0.45, 0.55]).tolist()
    all_pairs = len(values) * (len(values) - 1) // 2
    while low < high:
        middle = low + (high - low) / 2
        if not low < middle < high:
            break
        rising, falling = count_pairs(values - middle * times)
        below, above = falling / all_pairs, rising / all_pairs
        if below <= 0.5 + RANK_TOLERANCE and above <= 0.5 + RANK_TOLERANCE:
            return float(middle)
        low, high = (low, middle) if below > 0.5 else (middle, high)
    return float(low)


def _check(values: NDArray[np.float64]) -> None:
    if len(values) < 3:
        raise ValueError(f"a trend needs at least 3 values, got {len(values)}")
    if not np.isfinite(values).all():
        raise ValueError("a trend needs finite values")


def _exact_p_value(statistic: int, n: int) -> float:
    """Return the probability of at least this statistic over all orders of n different values.

    The statistic is ``pairs - 2 * inversions``, and the number of inversions is a sum of independent uniform numbers on
    0..k for k = 0..n-1 (Knuth, The Art of Computer Programming 3, 5.1.1).
    """
    probabilities = np.ones(1)
    for k in range(1, n):
        probabilities = np.convolve(probabilities, np.full(k + 1, 1 / (k + 1)))
    inversions = (n * (n - 1) // 2 - statistic) // 2
    return min(1.0, float(probabilities[: inversions + 1].sum()))
