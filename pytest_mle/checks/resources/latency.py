"""Durations of repeated calls: measuring them, and what follows from samples that resemble their neighbours."""

from __future__ import annotations

import gc
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.records.quantity import Bounded

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pytest_mle.records.clock import Clock

    Floats = NDArray[np.float64]

SECTIONS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Durations:
    """Measured calls, in seconds.

    ``calls`` ``(run,)`` what each call took; ``cycles`` ``(run,)`` from the end of the call before to the end of this
    one, which adds up to the elapsed time; ``first`` the very first call, warm-up included.
    """

    calls: Floats
    cycles: Floats
    first: float


def measure_durations(call: Callable[[int], Any], *, runs: int, warm_up: int, clock: Clock) -> Durations:
    """Call ``call(0)``, ``call(1)``, ... ``warm_up + runs`` times and return the durations of the last ``runs``.

    The collector of cyclic garbage is off meanwhile, as :mod:`timeit` does: what it would collect is pytest's.
    """
    times = np.empty((warm_up + runs, 2))
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for number in range(warm_up + runs):
            times[number, 0] = clock.monotonic()
            call(number)
            times[number, 1] = clock.monotonic()
    finally:
        if was_enabled:
            gc.enable()
    calls = times[:, 1] - times[:, 0]
    ends = times[warm_up:, 1]
    cycles = np.diff(ends, prepend=times[warm_up, 0])
    return Durations(calls[warm_up:], cycles, float(calls[0]))


def joined(first: Durations, second: Durations) -> Durations:
    """Return two measurements one after the other as one."""
    return Durations(
        np.concatenate([first.calls, second.calls]), np.concatenate([first.cycles, second.cycles]), first.first
    )


def correlation_length(values: Floats) -> float:
    """Return how many consecutive samples are worth one independent one: the integrated autocorrelation time.

    ``1 + 2 sum rho_k`` over the initial sequence of pairs of lags (Geyer 1992, section 3.3), at least 1; computed on
    ranks, so that a single outlier does not hide that the others drift. 1 for constant values. The sequence ends at the
    first pair below its standard error for independent samples, not at the first negative one: else the noise of 300
    independent samples often looks like a correlation.
    """
    ranks = _middle_ranks(values)
    centred = ranks - ranks.mean()
    n = len(values)
    if n < 4 or not centred.any():
        return 1.0
    spectrum = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    covariance = np.fft.irfft(spectrum)[:n]
    rho = covariance / covariance[0]
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    noise = np.flatnonzero(pairs < math.sqrt(2 / n))
    end = int(noise[0]) if len(noise) else len(pairs)
    return max(1.0, float(2 * pairs[:end].sum() - 1))


def block_length(samples: Floats, probability: float | None = None) -> int:
    """Return how many consecutive samples count as one independent unit.

    The rounded correlation length of the samples or, if that is longer, of the events that decide a percentile: a
    sample above the quantile ``probability``. Rounded, because the estimate scatters around 1 for independent samples.
    """
    length = correlation_length(samples)
    if probability is not None:
        limit = np.quantile(samples, probability, method="inverted_cdf")
        length = max(length, correlation_length((samples > limit).astype(np.float64)))
    return max(1, round(length))


def percentile_over_sections(samples: Floats, probability: float) -> Bounded:
    """Return a percentile with bounds from Student's t over the percentiles of 20 consecutive sections.

    For samples that resemble their neighbours (Asmussen and Glynn 2007, Stochastic Simulation, III.5a): sections are
    longer than the resemblance reaches, so their percentiles are nearly independent, and a machine that is slower for a
    while widens the interval. Each section needs ``1 / (1 - probability)`` samples; with fewer there are no bounds.
    """
    value = float(np.quantile(samples, probability, method="inverted_cdf"))
    length = len(samples) // SECTIONS
    if length < round(1 / (1 - probability)):
        needed = SECTIONS * round(1 / (1 - probability))
        why = f"runs that resemble their neighbours: {needed} are needed"
        return Bounded(value, lambda _: (-math.inf, math.inf), len(samples), why)
    sections = samples[len(samples) - SECTIONS * length :].reshape(SECTIONS, length)
    percentiles = np.quantile(sections, probability, axis=1, method="inverted_cdf")
    error = float(percentiles.std(ddof=1)) / math.sqrt(SECTIONS)

    def bound(confidence: float) -> tuple[float, float]:
        from scipy.special import stdtrit

        reach = float(stdtrit(SECTIONS - 1, confidence)) * error
        # The percentiles of short sections lie off the whole one's; the farther of both centres is the safe one.
        centre = float(percentiles.mean())
        return min(value, centre) - reach, max(value, centre) + reach

    return Bounded(value, bound, len(samples), f"Student's t over {SECTIONS} sections of {length}")


def mean_over_blocks(samples: Floats, block: int) -> Bounded:
    """Return the mean with bounds from Student's t over the means of ``block`` consecutive samples (batch means)."""
    blocks = len(samples) // block
    mean = float(samples.mean())
    if blocks < 2:
        return Bounded(mean, lambda _: (-math.inf, math.inf), len(samples), f"{blocks} independent block: no bound")
    means = samples[len(samples) - blocks * block :].reshape(blocks, block).mean(axis=1)
    error = float(means.std(ddof=1)) / math.sqrt(blocks)

    def bound(confidence: float) -> tuple[float, float]:
        from scipy.special import stdtrit

        reach = float(stdtrit(blocks - 1, confidence)) * error
        return mean - reach, mean + reach

    return Bounded(mean, bound, len(samples), f"Student's t over {blocks} blocks of {block}")


def rate_of_cycles(cycles: Floats, per_cycle: int, block: int) -> Bounded:
    """Return how many units are done a second, with the bounds of the mean cycle turned round."""
    mean = mean_over_blocks(cycles, block)

    def bound(confidence: float) -> tuple[float, float]:
        low, high = mean.bounds(confidence)
        return rate(high), rate(low)

    def rate(seconds: float) -> float:
        return per_cycle / seconds if seconds > 0 else math.inf

    return Bounded(rate(mean.value), bound, mean.n, mean.method)


def _middle_ranks(values: Floats) -> Floats:
    """Return ranks in which equal values share the middle of their places."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middles: Floats = (ends - (counts - 1) / 2)[inverse]
    return middles
