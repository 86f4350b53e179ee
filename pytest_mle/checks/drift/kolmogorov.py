"""The distribution of the Kolmogorov-Smirnov statistic, without the second that scipy.stats takes to import."""

from __future__ import annotations

import math

import numpy as np

LARGE = 10_000
"""Above it the expansions for large n serve everywhere: the exact tail sums n terms, which takes seconds."""


def kolmogorov_survival(n: int, distance: float) -> float:
    """Return ``P(D_n > distance)`` for the two-sided statistic of ``n`` independent samples.

    Which formula serves where follows Simard and L'Ecuyer 2011 (Computing the two-sided Kolmogorov-Smirnov
    distribution), as ``scipy.stats.kstwo`` does; where that takes Pomeranz's recursion, Durbin's matrix power, exact as
    well, is taken here. Agrees with ``scipy.stats.kstwo.sf`` to 1e-9, and to 1e-7 for n above 10,000: there scipy
    doubles the one-sided tail, a few 1e-8 too much. Probabilities below 1e-8 come from the one-sided tail's expansion
    (Maag and Dicaire 1971), with a relative error below 1 % down to 1e-11.

    Raises
    ------
    ValueError
        If n is not positive or the distance not a number.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if math.isnan(distance):
        raise ValueError("distance must be a number, got NaN")
    if distance >= 1:
        return 0.0
    if n * distance <= 0.5:
        return 1.0
    squared = n * distance**2
    if n > LARGE and squared >= 10:
        return 2 * math.exp(-((6 * n * distance + 1) ** 2) / (18 * n))
    if n <= LARGE and (distance >= 0.5 or squared >= (4.0 if n <= 140 else 2.2)):
        from scipy.special import smirnov

        return min(1.0, 2 * float(smirnov(n, distance)))
    if n <= 140 or (n <= 100_000 and n * distance**1.5 <= 1.4):
        return min(1.0, max(0.0, 1 - _durbin(n, distance)))
    return min(1.0, max(0.0, 1 - _pelz_good(n, distance)))


def _durbin(n: int, distance: float) -> float:
    """Return ``P(D_n <= distance)``: Marsaglia, Tsang and Wang 2003, Evaluating Kolmogorov's distribution."""
    k = math.ceil(n * distance)
    h = k - n * distance
    size = 2 * k - 1
    inverse_factorial = np.cumprod(np.r_[1.0, 1.0 / np.arange(1, size + 1)])
    order = np.subtract.outer(np.arange(size), np.arange(size)) + 1
    matrix = np.where(order >= 0, inverse_factorial[np.maximum(order, 0)], 0.0)
    powers = np.arange(1, size + 1)
    edge = (1 - h**powers) * inverse_factorial[1:]
    edge[-1] = (1 - 2 * h**size + max(0.0, 2 * h - 1) ** size) * inverse_factorial[size]
    matrix[:, 0] = edge
    matrix[-1, :] = edge[::-1]
    power, exponent = _matrix_power(matrix, n, k - 1)
    # n! / n^n underflows long before the product does, so both are joined as logarithms.
    logarithm = (
        math.log(power) + exponent * math.log(2) + math.lgamma(n + 1) - n * math.log(n) if power > 0 else -math.inf
    )
    return math.exp(logarithm)


def _matrix_power(matrix: np.ndarray, power: int, at: int) -> tuple[float, int]:
    """Return the element ``(at, at)`` of a matrix power as mantissa and binary exponent."""
    result = np.eye(len(matrix))
    exponent = result_exponent = 0
    while power:
        if power % 2:
            result = result @ matrix
            result_exponent += exponent
            result, shift = _rescaled(result, at)
            result_exponent += shift
        matrix = matrix @ matrix
        exponent *= 2
        matrix, shift = _rescaled(matrix, at)
        exponent += shift
        power //= 2
    return float(result[at, at]), result_exponent


def _rescaled(matrix: np.ndarray, at: int) -> tuple[np.ndarray, int]:
    shift = 128 if abs(matrix[at, at]) > 2.0**128 else 0
    return np.ldexp(matrix, -shift), shift


def _pelz_good(n: int, distance: float) -> float:
    """Return ``P(D_n <= distance)`` for large n: Pelz and Good 1976, the expansion to ``n ** -1.5``."""
    z = math.sqrt(n) * distance
    pi2 = math.pi**2
    if pi2 / (8 * z**2) > 708:  # every term underflows
        return 0.0
    terms = np.arange(1, math.ceil(16 * z / math.pi) + 1)
    odd = (2.0 * terms - 1) ** 2
    weight = np.exp(-pi2 / (8 * z**2) * odd)
    second = pi2 / 4 * (2 * z**4 - 5 * z**2) * odd + pi2**2 / 16 * (1 - 2 * z**2) * odd**2
    third = (
        -30 * z**6
        - 90 * z**8
        + pi2 * (135 * z**4 - 96 * z**6) / 4 * odd
        + pi2**2 * (-60 * z**2 + 212 * z**4) / 16 * odd**2
        + pi2**3 * (5 - 30 * z**2) / 64 * odd**3
    )
    sums = [
        weight.sum() / z,
        ((pi2 / 4 * odd - z**2) * weight).sum() / (6 * z**4),
        ((6 * z**6 + 2 * z**4 + second) * weight).sum() / (72 * z**7),
        (third * weight).sum() / (6480 * z**10),
    ]
    whole = (math.pi * terms) ** 2
    whole_weight = np.exp(-whole / (2 * z**2))
    sums[2] -= (whole * whole_weight).sum() / (36 * z**3)
    sums[3] += ((3 * z**2 - whole) * whole * whole_weight).sum() / (216 * z**6)
    return math.sqrt(2 * math.pi) * float(sum(value / n ** (index / 2) for index, value in enumerate(sums)))
