"""Tests of Mann-Kendall and Theil-Sen."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, theilslopes

from pytest_mle.checks.training.trend import count_pairs, mann_kendall, theil_sen_slope

SERIES = st.lists(st.integers(-20, 20), min_size=3, max_size=60).map(lambda values: np.array(values, dtype=np.float64))
DISTINCT = st.lists(st.integers(-1000, 1000), min_size=3, max_size=50, unique=True).map(
    lambda values: np.array(values, dtype=np.float64)
)


def test_published_example_of_mann_kendall():
    """10, 15, 14, 20 has S = 4 and a tail probability of 0.167 (Gilbert 1987, section 16.4.1 and table A18)."""
    trend = mann_kendall(np.array([10.0, 15.0, 14.0, 20.0]))

    assert trend.tau == pytest.approx(4 / 6)
    assert trend.p_value == pytest.approx(0.167, abs=5e-4)


def test_published_example_of_theil_sen():
    """Sen (1968, section 6) finds the slope 4 for his seven points."""
    times = np.array([1.0, 2, 3, 4, 10, 12, 18])
    values = np.array([9.0, 15, 19, 20, 45, 55, 78])

    assert theil_sen_slope(times, values) == 4.0


@settings(deadline=None)
@given(SERIES)
def test_tau_equals_scipy(values):
    """Ties are treated as in tau-b."""
    expected = kendalltau(np.arange(len(values)), values).statistic

    assert mann_kendall(values).tau == pytest.approx(0.0 if np.isnan(expected) else expected, abs=1e-12)


@settings(deadline=None)
@given(DISTINCT)
def test_exact_p_value_equals_scipy(values):
    """Without ties the one-sided p-value is the exact one."""
    expected = kendalltau(np.arange(len(values)), values, method="exact", alternative="greater").pvalue

    assert mann_kendall(values).p_value == pytest.approx(expected, abs=1e-9)


def test_approximation_is_close_to_scipy_with_ties():
    """SciPy leaves the correction for continuity out; for many values it hardly matters."""
    values = np.random.default_rng(3).integers(0, 20, 200).astype(np.float64)
    expected = kendalltau(np.arange(200), values, method="asymptotic", alternative="greater").pvalue

    assert mann_kendall(values).p_value == pytest.approx(expected, abs=2e-3)


def test_variance_with_ties_by_hand():
    """For 1, 1, 2 S is 2, its variance (66 - 18) / 18 and z (2 - 1) / sqrt(8/3) = 0.612."""
    assert mann_kendall(np.array([1.0, 1.0, 2.0])).p_value == pytest.approx(0.2701, abs=5e-4)


@settings(deadline=None)
@given(SERIES, st.integers(-5, 5))
def test_slope_equals_scipy(values, offset):
    """The median of all slopes is SciPy's."""
    times = np.cumsum(np.arange(1, len(values) + 1)).astype(np.float64) + offset

    assert theil_sen_slope(times, values) == pytest.approx(theilslopes(values, times).slope, abs=1e-9)


@settings(deadline=None)
@given(SERIES)
def test_trend_of_the_reversed_series_is_opposite(values):
    """Turning time around turns the trend around."""
    forward, backward = mann_kendall(values), mann_kendall(values[::-1])

    assert forward.tau == pytest.approx(-backward.tau, abs=1e-12)
    assert 0 <= forward.p_value <= 1


def test_constant_series_has_no_trend():
    """Nothing changes, nothing is shown."""
    trend = mann_kendall(np.ones(30))

    assert (trend.tau, trend.p_value) == (0.0, 1.0)


def test_long_rise_without_ties_is_certain():
    """A hundred rising values have tau 1 and practically no chance."""
    trend = mann_kendall(np.arange(100.0))

    assert trend.tau == 1.0
    assert trend.p_value < 1e-20


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [1.0, np.nan, 2.0], [1.0, np.inf, 2.0]])
def test_too_few_or_not_finite(values):
    """Two values or a NaN have no trend."""
    with pytest.raises(ValueError, match=r"at least 3|finite"):
        mann_kendall(np.array(values))
    with pytest.raises(ValueError, match=r"at least 3|finite"):
        theil_sen_slope(np.arange(float(len(values))), np.array(values))


def test_equal_times():
    """Two values at one time have no slope."""
    with pytest.raises(ValueError, match="increase"):
        theil_sen_slope(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0]))


@settings(deadline=None)
@given(SERIES)
def test_pairs_counted_by_bits_are_all_pairs(values):
    """Counting without a matrix gives what a matrix of all pairs gives."""
    signs = np.triu(np.sign(values[None, :] - values[:, None]), 1)

    assert count_pairs(values) == ((signs > 0).sum(), (signs < 0).sum())


@pytest.mark.parametrize("kind", ["noise", "walk", "steps", "two values", "decay", "constant"])
def test_slope_of_a_long_series_equals_scipy(kind):
    """The counted median is that of all pairs, to the rank that it promises."""
    rng = np.random.default_rng(4)
    times = np.cumsum(rng.integers(1, 4, 2500)).astype(np.float64)
    series = {
        "noise": rng.normal(size=2500) + 0.001 * times,
        "walk": np.cumsum(rng.normal(size=2500)),
        "steps": np.round(np.cumsum(rng.normal(size=2500))),
        "two values": rng.integers(0, 2, 2500).astype(np.float64),
        "decay": np.exp(-times / 500),
        "constant": np.ones(2500),
    }
    values = series[kind]
    first, second = np.triu_indices(len(values), 1)
    slopes = (values[second] - values[first]) / (times[second] - times[first])

    found = theil_sen_slope(times, values)

    low, high = np.quantile(slopes, [0.5 - 2e-6, 0.5 + 2e-6])
    assert low <= found <= high
    assert found == pytest.approx(theilslopes(values, times).slope, abs=1e-5 * np.abs(slopes).max())


def test_long_series_need_neither_long_nor_much_memory():
    """All pairs of 50,000 values would take 10 GB; counting them takes a few megabytes."""
    values = np.random.default_rng(5).normal(size=50_000)
    tracemalloc.start()
    begin = time.process_time()
    trend = mann_kendall(values)
    slope = theil_sen_slope(np.arange(50_000.0), values)
    seconds, (_, peak) = time.process_time() - begin, tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert abs(trend.tau) < 0.01
    assert abs(slope) < 1e-6
    assert peak < 50e6
    assert seconds < 20
