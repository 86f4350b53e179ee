"""Tests of intervals over clusters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, poisson

from pytest_mle.checks.cluster_intervals import (
    ClusterCounts,
    ClusteredScore,
    clustered_score,
    effective_size,
    exact_margin,
    poisson_rate_bounds,
    rate_over_effective_size,
    share_over_effective_size,
)
from pytest_mle.records.quantity import PointEstimate, Resampled, expanded_confidence


def _counts(events, units):
    return ClusterCounts(np.asarray(events, float), np.asarray(units, float))


def test_independent_units_have_plain_clopper_pearson_bounds():
    """One unit a cluster: 3 of 40."""
    found = share_over_effective_size(_counts([1] * 3 + [0] * 37, [1] * 40))
    lower, upper = found.bounds(0.95)
    assert 1 - binom.cdf(2, 40, lower) == pytest.approx(0.05)
    assert binom.cdf(3, 40, upper) == pytest.approx(0.05)


def test_no_event_counts_clusters_not_units():
    """25,000 frames of 250 sequences without an error show what 250 units do."""
    found = share_over_effective_size(_counts([0] * 250, [100] * 250))
    assert found.bounds(0.95) == pytest.approx((0, 1 - 0.05 ** (1 / 250)))


def test_a_large_cluster_counts_for_more():
    """Kish's effective number: one sequence of 90 frames beside ten of 1 is hardly more than one unit."""
    counts = _counts([0] * 11, [90] + [1] * 10)
    assert effective_size(counts, variance_of_unit=0, informative=0) == pytest.approx(100**2 / (90**2 + 10))


def test_clusters_without_units_do_not_count():
    """Sequences without any object say nothing of recall."""
    one = share_over_effective_size(_counts([0] * 30, [2] * 30))
    other = share_over_effective_size(_counts([0] * 90, [2] * 30 + [0] * 60))
    assert one.bounds(0.95) == other.bounds(0.95)


def test_the_design_effect_of_equal_clusters_of_alike_units():
    """Clusters that fail or pass as a whole: the effective size is about their number, and never above the units'."""
    events = np.repeat([10, 0], [100, 300])
    alike = effective_size(_counts(events, [10] * 400), variance_of_unit=3 / 16, informative=100)
    assert 380 < alike <= 400
    rng = np.random.default_rng(0)
    independent = _counts(rng.binomial(10, 0.25, 400), [10] * 400)
    assert 3000 < effective_size(independent, variance_of_unit=3 / 16, informative=300) <= 4000


@pytest.mark.parametrize(("rate", "correlation"), [(0.01, 0.3), (0.05, 0.05), (0.3, 0.3)])
def test_the_upper_bound_of_a_share_keeps_its_promise(rate, correlation):
    """Misses that cluster in sequences: the 95 % bound lies above the truth in 93 % or more of the simulated sets."""
    rng = np.random.default_rng(1)
    a, b = (share * (1 - correlation) / correlation for share in (rate, 1 - rate))
    held = [
        share_over_effective_size(_counts(rng.binomial(units, rng.beta(a, b, 60)), units)).bounds(0.95)[1] >= rate
        for units in (rng.poisson(9, 60) + 1 for _ in range(400))
    ]
    assert np.mean(held) > 0.93


def test_events_per_unit_have_exact_poisson_bounds():
    """5 events in 10 independent units (Garwood)."""
    lower, upper = poisson_rate_bounds(5, 10, 0.95)
    assert 1 - poisson.cdf(4, 10 * lower) == pytest.approx(0.05)
    assert poisson.cdf(5, 10 * upper) == pytest.approx(0.05)
    assert poisson_rate_bounds(0, 60, 0.95) == pytest.approx((0, -np.log(0.05) / 60))
    assert rate_over_effective_size(_counts([0] * 60, [1] * 60)).bounds(0.95) == poisson_rate_bounds(0, 60, 0.95)


def test_events_that_come_together_widen_the_bounds_of_a_rate():
    """Sixty false alarms in three images tell less than sixty in sixty."""
    together = rate_over_effective_size(_counts([20] * 3 + [0] * 57, [1] * 60))
    apart = rate_over_effective_size(_counts([1] * 60, [1] * 60))
    assert together.value == apart.value == 1
    assert together.bounds(0.95)[1] > 1.3 * apart.bounds(0.95)[1]


def test_nothing_to_count_is_undefined():
    """No detection has no precision."""
    for found in (share_over_effective_size(_counts([0], [0])), rate_over_effective_size(_counts([0], [0]))):
        assert np.isnan(found.value)
        assert found.bounds(0.95) is None


def _score(value, resamples, *, errors, hits=None, clusters=50, **scale):
    flags = [_counts(np.arange(clusters) < n, np.ones(clusters)) for n in (errors, clusters if hits is None else hits)]
    return clustered_score(ClusteredScore(value, np.asarray(resamples, float), *flags, **scale), "sequences")


def test_a_score_is_widened_where_errors_are_in_few_clusters():
    """Two bad sequences of 50 leave room for six: the bound drops by what Clopper-Pearson cannot exclude."""
    resamples = np.linspace(0.93, 0.99, 1000)
    many, few = _score(0.96, resamples, errors=20), _score(0.96, resamples, errors=2)
    assert isinstance(many, Resampled)
    margin = exact_margin(_counts(np.arange(50) < 2, np.ones(50)), 0.95)
    assert binom.cdf(2, 50, margin + 2 / 50) == pytest.approx(0.05)
    assert few.bounds(0.95) == (pytest.approx(0.96 - margin), pytest.approx(many.bounds(0.95)[1]))


def test_seen_errors_tell_how_bad_unseen_ones_are():
    """One bad frame in each of two sequences is less bad than two lost sequences."""
    mild = exact_margin(_counts([1, 1] + [0] * 48, [10] * 50), 0.95)
    severe = exact_margin(_counts([10, 10] + [0] * 48, [10] * 50), 0.95)
    assert mild == pytest.approx(severe * (0.1 + 0.1 + 1) / 3)


def test_resamples_that_agree_prove_no_more_than_the_rule_of_three():
    """However many errors there are: what never varied can hide in as many clusters as no event at all."""
    found = _score(0.5, [0.5] * 1000, errors=30)
    reach = 1 - 0.05 ** (1 / 50)
    assert found.bounds(0.95) == pytest.approx((0.5 - reach, 0.5 + reach))
    assert found.method == "exact bound over 50 sequences"


def test_bounds_stay_in_the_range_of_the_score():
    """A difference may be negative, a score may not, and a relative difference moves by more than 1."""
    reach = 1 - 0.05 ** (1 / 50)
    assert _score(0.01, [0.01] * 1000, errors=0).bounds(0.95)[0] == 0
    assert _score(0.99, [0.99] * 1000, errors=0).bounds(0.95)[1] == 1
    assert _score(0.0, [0.0] * 1000, errors=0, lowest=-1.0).bounds(0.95)[0] == pytest.approx(-reach)
    assert _score(0.0, [0.0] * 1000, errors=0, lowest=-2.0, step=2.0, highest=2.0).bounds(0.95)[1] == pytest.approx(
        2 * reach
    )


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"clusters": 1, "errors": 0}, "1 independent sequences"),
        ({"clusters": 19, "errors": 15}, "20 are needed"),
        ({"errors": 20, "resamples": [0.9, np.nan] * 500}, "undefined in 50% of the resamples"),
        ({"errors": 20, "value": np.nan}, "independent"),
    ],
)
def test_a_score_without_interval_says_why(keys, reason):
    """It shows nothing at a confidence, and the reader learns what is missing."""
    found = _score(**{"value": 0.9, "resamples": np.linspace(0.8, 1, 1000), **keys})
    assert isinstance(found, PointEstimate)
    assert reason in found.method


def test_a_few_undefined_resamples_are_left_out():
    """Up to 1 % of them change nothing."""
    resamples = np.linspace(0.8, 1, 1000)
    resamples[:10] = np.nan
    level = 1 - expanded_confidence(0.95, 50)
    assert _score(0.9, resamples, errors=20).bounds(0.95)[0] == pytest.approx(np.quantile(resamples[10:], level))
