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
    for continuity (Gilbert 1987, section 16.4). Raises ValueError for fewer than 3 values or for values not finite.
    """
    _check(values)
    n = len(values)
    # Row i, column j with i < j: the sign of the change from i to j.
    statistic = int(np.triu(np.sign(values[None, :] - values[:, None]), 1).sum())
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

    Raises ValueError for fewer than 3 values, values not finite, or two equal times.
    """
    _check(values)
    first, second = np.triu_indices(len(values), 1)
    steps = times[second] - times[first]
    if not (steps > 0).all():
        raise ValueError("times must increase")
    return float(np.median((values[second] - values[first]) / steps))


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
