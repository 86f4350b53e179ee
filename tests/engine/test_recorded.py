"""Statistics of recorded samples have the bounds that latency_profile gives its own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_mle.checks.resources.latency_profile import MINIMUM_RUNS
from pytest_mle.engine.recorded import RecordedInterval, of_samples

SHUFFLED = np.random.default_rng(1).permutation(np.arange(1.0, 1001.0))


@pytest.mark.parametrize(("statistic", "order"), [("p95", 962), ("p99", 996), ("median", 527), ("p50", 527)])
def test_percentiles_have_bounds_of_order_statistics(statistic, order):
    """Of 1000 independent samples the upper 95 % bound of p95 is the 962nd, that of p99 the 996th."""
    quantity = of_samples(SHUFFLED, statistic)
    assert quantity.bounds(0.95)[1] == order


@pytest.mark.parametrize(("probability", "needed"), MINIMUM_RUNS.items())
def test_too_few_samples_have_no_value(probability, needed):
    """A percentile needs as many samples as latency_profile asks for; with one less it is not a number."""
    statistic = f"p{100 * probability:g}"
    assert math.isfinite(of_samples(SHUFFLED[:needed], statistic).value)
    short = of_samples(SHUFFLED[: needed - 1], statistic)
    assert math.isnan(short.value)
    assert short.method == f"needs {needed} samples, the record has {needed - 1}"


def test_samples_that_drift_have_wider_bounds():
    """Sorted samples are alike: the mean's bounds are wider, and percentiles are taken over sections."""
    (low, high), (lower, upper) = (of_samples(one, "mean").bounds(0.95) for one in (SHUFFLED, np.sort(SHUFFLED)))
    assert upper - lower > 3 * (high - low)
    assert "sections" in of_samples(np.sort(SHUFFLED), "p95").method


def test_one_sample_has_no_mean_and_an_extreme_no_bound():
    """A mean of one shows nothing; the largest of many is an observation."""
    assert math.isnan(of_samples(SHUFFLED[:1], "mean").value)
    largest = of_samples(SHUFFLED, "max")
    assert (largest.value, largest.bounds(0.95)) == (1000.0, None)
    assert of_samples(SHUFFLED, "min", is_exact=True).bounds(0.95) == (1.0, 1.0)


def test_an_interval_serves_its_own_confidence_and_lower_ones():
    """It is never converted to a higher confidence; an end that was not recorded is infinite."""
    interval = RecordedInterval(18.9, None, 19.4, 0.95, 1000, "bootstrap")
    assert interval.bounds(0.95) == interval.bounds(0.9) == (-math.inf, 19.4)
    assert interval.bounds(0.975) is None
    assert interval.method == "recorded interval at 95 %, bootstrap"
