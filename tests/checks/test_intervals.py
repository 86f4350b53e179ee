"""Tests of rates over clusters."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.checks.intervals import (
    bootstrap_totals,
    cluster_rate,
    effective_sample_size,
    multinomial_weights,
)
from pytest_mle.errors import NotMeasurableError
from pytest_mle.records.quantity import Proportion


def _rng(seed=0):
    return np.random.default_rng(seed)


def test_the_worked_example_of_the_design_effect():
    """25,000 frames in sequences of 100 with rho = 0.3 are worth 814."""
    assert effective_sample_size(25_000, 100, 0.3) == pytest.approx(814.3, abs=0.05)
    assert effective_sample_size(25_000, 100, 0) == 25_000
    assert effective_sample_size(25_000, 100, 1) == 250


@pytest.mark.parametrize(("size", "rho"), [(0.5, 0.1), (10, -0.1), (10, 1.1), (10, float("nan"))])
def test_impossible_design_effects_are_refused(size, rho):
    """A correlation lies in 0..1 and a cluster has a unit."""
    with pytest.raises(ValueError, match=r"at least one unit|in 0"):
        effective_sample_size(100, size, rho)


def test_a_known_correlation_decides_the_bounds():
    """With rho from an earlier study the bounds are Clopper-Pearson over 814 units."""
    quantity = cluster_rate(np.full(250, 95), np.full(250, 100), intra_class_correlation=0.3)
    assert isinstance(quantity, Proportion)
    assert quantity.effective_trials == pytest.approx(814.3, abs=0.05)
    assert quantity.value == 0.95


def test_weights_draw_as_many_clusters_as_there_are():
    """Rows sum to the number of clusters, and each cluster is drawn once on average with the binomial's variance."""
    weights = multinomial_weights(_rng(), 50, 4000)
    assert weights.shape == (4000, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.08)
    assert weights.var() == pytest.approx(49 / 50, rel=0.03)


def test_totals_are_those_of_the_weights(monkeypatch):
    """Blocks change nothing: the totals are weights times counts."""
    counts = _rng(1).integers(0, 9, (30, 4))
    expected = multinomial_weights(_rng(2), 30, 100) @ counts
    np.testing.assert_array_equal(bootstrap_totals(counts, _rng(2), 100), expected)
    monkeypatch.setattr("pytest_mle.checks.intervals.ENTRIES_PER_BLOCK", 30 * 7)
    blocked = bootstrap_totals(counts, _rng(2), 100)
    np.testing.assert_array_equal(blocked, expected)


def test_independent_units_get_the_exact_interval():
    """One trial a cluster is Clopper-Pearson, without chance."""
    hits = np.r_[np.ones(90), np.zeros(10)]
    quantity = cluster_rate(hits, np.ones(100))
    assert quantity == Proportion(90, 100)


def test_many_clusters_take_the_effective_size():
    """The rule for many clusters is that for few: exact bounds, wider than those of independent frames."""
    hits, trials = np.repeat([10, 4], [45, 15]), np.full(60, 10)
    quantity = cluster_rate(hits, trials)
    assert isinstance(quantity, Proportion)
    assert 60 <= quantity.effective_trials < 300
    assert quantity.bounds(0.95)[0] < Proportion(510, 600).bounds(0.95)[0]


def test_clusters_without_a_trial_do_not_count():
    """Empty sequences neither widen nor narrow the bounds."""
    hits, trials = _rng(3).binomial(10, 0.8, 60), np.full(60, 10)
    padded = cluster_rate(np.r_[hits, np.zeros(40)], np.r_[trials, np.zeros(40)])
    assert padded.bounds(0.95) == cluster_rate(hits, trials).bounds(0.95)


@pytest.mark.parametrize("rate", [0, 1])
def test_no_event_is_bounded_by_the_clusters(rate):
    """Without an error in 40 sequences of 100 frames, 40 units speak, not 4000."""
    quantity = cluster_rate(np.full(40, 100 * rate), np.full(40, 100))
    assert quantity.value == rate
    assert quantity.bounds(0.95) == pytest.approx(Proportion(40 * rate, 40).bounds(0.95))


def test_few_clusters_have_wide_bounds():
    """Twelve sequences give the exact interval over an effective size, wider than independent frames."""
    hits = np.array([50, 48, 50, 30, 50, 49, 50, 41, 50, 50, 47, 50])
    quantity = cluster_rate(hits, np.full(12, 50))
    assert isinstance(quantity, Proportion)
    assert quantity.effective_trials < 600
    naive = Proportion(int(hits.sum()), 600).bounds(0.95)
    assert quantity.bounds(0.95)[0] < naive[0] < naive[1] < quantity.bounds(0.95)[1]


def test_one_cluster_is_one_unit():
    """A single sequence shows next to nothing, however many frames it has."""
    assert cluster_rate([990], [1000]).bounds(0.95)[0] < 0.06


@pytest.mark.parametrize(("clusters", "rho"), [(12, 0.3), (25, 0.3), (60, 0.3), (60, 0.05)])
@pytest.mark.parametrize("rate", [0.9, 0.98])
def test_coverage(clusters, rho, rate):
    """The lower bound at 95 % lies below the true rate in at least 91 of 100 data sets of correlated frames."""
    rng, frames, repeats = _rng(int(1000 * rate) + clusters), 20, 250
    covered = naive = 0
    for _ in range(repeats):
        # A beta mixture has exactly this intra-class correlation.
        of_cluster = rng.beta(rate * (1 / rho - 1), (1 - rate) * (1 / rho - 1), clusters)
        hits = rng.binomial(frames, of_cluster)
        covered += cluster_rate(hits, np.full(clusters, frames)).bounds(0.95)[0] <= rate
        naive += Proportion(int(hits.sum()), clusters * frames).bounds(0.95)[0] <= rate
    assert covered >= 0.91 * repeats
    if rho == 0.3:
        assert naive < 0.9 * repeats


@pytest.mark.parametrize(
    ("hits", "trials"), [([2], [1]), ([-1], [1]), ([np.nan], [1]), ([1], [np.nan]), ([1], [np.inf]), ([1, 1], [1])]
)
def test_impossible_counts_are_refused(hits, trials):
    """More successes than trials, NaN and arrays that do not fit."""
    with pytest.raises(ValueError, match="successes"):
        cluster_rate(hits, trials)


@pytest.mark.parametrize(("hits", "trials"), [([], []), ([0, 0], [0, 0])])
def test_nothing_to_count_is_not_measurable(hits, trials):
    """Without a trial there is no rate."""
    with pytest.raises(NotMeasurableError, match="nothing to count"):
        cluster_rate(hits, trials)
