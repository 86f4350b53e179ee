"""Tests of measuring durations and of samples that resemble their neighbours."""

from __future__ import annotations

import gc
import math

import numpy as np
import pytest

from pytest_mle.checks.resources.latency import (
    block_length,
    correlation_length,
    mean_over_blocks,
    measure_durations,
    percentile_over_sections,
    rate_of_cycles,
)


class _ScriptedClock:
    """A clock that is moved by the calls it measures."""

    def __init__(self):
        self.time = 100.0

    def monotonic(self):
        self.time += 0.25
        return self.time


def _autoregressive(rng, n, phi):
    noise, values = rng.normal(size=n), np.empty(n)
    values[0] = noise[0] / math.sqrt(1 - phi**2)
    for i in range(1, n):
        values[i] = phi * values[i - 1] + noise[i]
    return values


def test_durations_by_hand():
    """Warm-up calls do not count but the first of them is kept; cycles add up to the elapsed time."""
    clock = _ScriptedClock()
    costs = [8, 4, 1, 2, 3]

    def call(number):
        clock.time += costs[number]

    found = measure_durations(call, runs=3, warm_up=2, clock=clock)
    assert found.first == 8.25
    assert found.calls.tolist() == [1.25, 2.25, 3.25]
    assert found.cycles.tolist() == [1.25, 2.5, 3.5]


def test_the_collector_is_off_and_on_again():
    """Garbage collection does not disturb the calls, and is back even after an error."""
    seen = []
    measure_durations(lambda _: seen.append(gc.isenabled()), runs=2, warm_up=0, clock=_ScriptedClock())
    assert seen == [False, False]
    with pytest.raises(ZeroDivisionError):
        measure_durations(lambda _: 1 / 0, runs=2, warm_up=0, clock=_ScriptedClock())
    assert gc.isenabled()


@pytest.mark.parametrize(("phi", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.8, 9.0)])
def test_correlation_length_of_known_processes(phi, expected):
    """An autoregressive process has (1 + phi) / (1 - phi), up to the small loss by ranks."""
    rng = np.random.default_rng(0)
    found = np.mean([correlation_length(_autoregressive(rng, 4000, phi)) for _ in range(20)])
    assert found == pytest.approx(expected, rel=0.15)


def test_constant_and_short_samples_have_length_one():
    """Nothing to estimate is no correlation."""
    assert correlation_length(np.ones(50)) == 1
    assert correlation_length(np.array([1.0, 2.0])) == 1


def test_one_outlier_does_not_hide_a_drift():
    """Ranks see that the samples follow each other, whatever a single pause does."""
    samples = np.sin(np.arange(300) / 20)
    samples[150] = 1e6
    assert correlation_length(samples) > 10


def test_independent_samples_are_single_blocks():
    """In most of many independent series the block is one sample."""
    rng = np.random.default_rng(0)
    blocks = [block_length(rng.exponential(size=300), 0.95) for _ in range(200)]
    assert np.mean(np.array(blocks) == 1) > 0.9


def test_bursts_of_slow_calls_make_long_blocks():
    """Slow calls that come in bursts of ten count as one for the 95th percentile, though most samples are alike."""
    rng = np.random.default_rng(0)
    slow = np.repeat(rng.random(200) < 0.06, 10)
    samples = rng.normal(1, 0.1, 2000) + 5 * slow
    assert 5 <= block_length(samples, 0.95) <= 20


def test_mean_of_independent_samples_has_the_usual_interval():
    """With blocks of one the bounds are Student's."""
    samples = np.random.default_rng(0).normal(5, 1, 100)
    low, high = mean_over_blocks(samples, 1).bounds(0.95)
    reach = 1.6604 * samples.std(ddof=1) / 10
    assert (low, high) == pytest.approx((samples.mean() - reach, samples.mean() + reach), rel=1e-4)


def test_the_mean_of_correlated_samples_is_covered():
    """Batch means cover the true mean in most series; samples taken as independent do not."""
    rng = np.random.default_rng(0)
    covered = {"blocks": 0, "single": 0}
    for _ in range(300):
        samples = _autoregressive(rng, 600, 0.8)
        covered["blocks"] += mean_over_blocks(samples, 4 * block_length(samples)).bounds(0.95)[1] >= 0
        covered["single"] += mean_over_blocks(samples, 1).bounds(0.95)[1] >= 0
    assert covered["blocks"] >= 0.9 * 300
    assert covered["single"] < 0.8 * 300


def test_one_block_bounds_nothing():
    """A series that is one burst says nothing on its mean."""
    assert mean_over_blocks(np.arange(10.0), 6).bounds(0.95) == (-math.inf, math.inf)


def test_rate_of_cycles():
    """Four images every 0.1 s are 40 a second, with the interval turned round."""
    cycles = np.random.default_rng(0).normal(0.1, 0.01, 400)
    rate = rate_of_cycles(cycles, 4, 1)
    low, high = mean_over_blocks(cycles, 1).bounds(0.95)
    assert rate.value == pytest.approx(400 * 4 / cycles.sum())
    assert rate.bounds(0.95) == pytest.approx((4 / high, 4 / low))
    assert rate_of_cycles(np.arange(1.0, 11), 1, 6).bounds(0.95) == (0, math.inf)


def test_sections_cover_the_percentile_of_times_that_resemble_their_neighbours():
    """The 95 % upper bound holds the true p95 of a strongly correlated series in about 95 of 100 cases."""
    rng = np.random.default_rng(5)
    truth, covered = 1.6449, 0
    for _ in range(200):
        noise = rng.normal(size=3000)
        series = np.empty(3000)
        series[0] = noise[0]
        for place in range(1, 3000):
            series[place] = 0.8 * series[place - 1] + 0.6 * noise[place]
        covered += percentile_over_sections(series, 0.95).bounds(0.95)[1] >= truth
    assert 176 <= covered <= 200


def test_sections_need_enough_samples():
    """399 samples give no section of 20, and so no bound."""
    assert percentile_over_sections(np.arange(399.0), 0.95).bounds(0.95) == (-np.inf, np.inf)
    assert np.isfinite(percentile_over_sections(np.arange(400.0), 0.95).bounds(0.95)).all()
