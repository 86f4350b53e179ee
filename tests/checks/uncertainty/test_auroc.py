"""Tests of the area under the ROC curve and its bounds."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.uncertainty.auroc import ScoredUnits, auroc, clustered_auroc, clustered_variance

SCORES = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=30)


def _own(scores, first=0):
    scores = np.asarray(scores, dtype=float)
    return ScoredUnits(scores, np.arange(first, first + len(scores)))


def _two(positive, negative):
    return _own(positive), _own(negative, len(positive))


@given(SCORES, SCORES)
@settings(deadline=None)
def test_area_is_that_of_scikit_learn(positive, negative):
    """With ties and groups of any size."""
    labels = [1] * len(positive) + [0] * len(negative)
    expected = sklearn.metrics.roc_auc_score(labels, positive + negative)
    assert auroc(np.array(positive), np.array(negative)) == pytest.approx(expected, abs=1e-12)


def test_variance_is_delongs_for_independent_units():
    """The structural components of DeLong et al. 1988, written out pair by pair."""
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, 23).round(1), rng.normal(0, 1, 31).round(1)
    kernel = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    expected = kernel.mean(axis=1).var(ddof=1) / 23 + kernel.mean(axis=0).var(ddof=1) / 31
    assert clustered_variance(*_two(positive, negative)) == pytest.approx(expected, rel=1e-12)


def test_variance_of_mixed_clusters_is_obuchowskis():
    """Clusters with units of both groups, written out cluster by cluster (Obuchowski 1997, equation 3)."""
    rng = np.random.default_rng(1)
    where, which = np.arange(40) % 9, np.arange(30) % 9
    shift = rng.normal(size=9)
    positive, negative = 0.5 + shift[where] + rng.normal(size=40), shift[which] + rng.normal(size=30)
    kernel = (positive[:, None] > negative).astype(float)
    area, above, below = kernel.mean(), kernel.mean(axis=1), kernel.mean(axis=0)
    first = [(above[where == one] - area).sum() for one in range(9)]
    second = [(below[which == one] - area).sum() for one in range(9)]
    ten = 9 / 8 / 40 * np.square(first).sum()
    one = 9 / 8 / 30 * np.square(second).sum()
    eleven = 9 / 8 * np.dot(first, second)
    expected = ten / 40 + one / 30 + 2 / (40 * 30) * eleven
    assert clustered_variance(ScoredUnits(positive, where), ScoredUnits(negative, which)) == pytest.approx(expected)


def test_perfect_separation_is_never_certain():
    """No pair out of order among 59 units of the smaller group shows 95 %, by the rule of three, and not 100 %."""
    lower, upper = clustered_auroc(*_two(np.ones(59), np.zeros(400)), "images").bounds(0.95)
    assert lower == pytest.approx(0.05 ** (1 / 59))
    assert upper == 1


def test_clusters_widen_the_bounds():
    """Twenty copies of the same unit say what one does."""
    rng = np.random.default_rng(2)
    positive, negative = rng.normal(1, 1, 40), rng.normal(0, 1, 40)
    alone = clustered_auroc(*_two(positive, negative), "images")
    copies = clustered_auroc(
        ScoredUnits(positive.repeat(20), np.arange(40).repeat(20)),
        ScoredUnits(negative.repeat(20), np.arange(40, 80).repeat(20)),
        "sequences",
    )
    assert copies.value == pytest.approx(alone.value)
    assert copies.bounds(0.95) == pytest.approx(alone.bounds(0.95))


def test_an_empty_group_has_no_area():
    """It is NaN with the reason, not 0.5."""
    found = clustered_auroc(_own([1, 2]), _own([]), "images")
    assert np.isnan(found.value)
    assert found.method == "undefined: there is no negative unit"


def test_one_cluster_has_no_interval():
    """All positives of one sequence tell nothing of other sequences."""
    found = clustered_auroc(ScoredUnits(np.ones(50), np.zeros(50, dtype=int)), _own(np.zeros(50), 1), "sequences")
    assert found.value == 1
    assert found.bounds(0.95) is None


def test_constant_scores_are_chance():
    """A score that is always the same tells nothing apart."""
    found = clustered_auroc(*_two(np.ones(100), np.ones(100)), "images")
    lower, upper = found.bounds(0.95)
    assert found.value == 0.5
    assert lower < 0.5 < upper


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "shift", "per_cluster", "correlation"),
    [
        ((30, 30), 0.0, 1, 0.0),
        ((30, 300), 2.0, 1, 0.0),
        ((100, 100), 3.0, 1, 0.0),
        ((300, 300), 1.0, 10, 0.5),
        ((200, 400), 2.5, 10, 0.3),
    ],
)
def test_bounds_cover_the_true_area(sizes, shift, per_cluster, correlation):
    """Each one-sided 95 % bound holds in at least 93 % of 2000 simulated data sets."""
    from scipy.stats import norm

    rng = np.random.default_rng(3)
    truth = norm.cdf(shift / np.sqrt(2))
    held = np.zeros(2)

    def group(size, mean, first):
        cluster = np.repeat(np.arange(size // per_cluster), per_cluster)
        shared = rng.standard_normal(size // per_cluster)[cluster]
        scores = mean + np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * rng.standard_normal(size)
        return ScoredUnits(scores, cluster + first)

    for _ in range(2000):
        lower, upper = clustered_auroc(group(sizes[0], shift, 0), group(sizes[1], 0.0, 1000), "images").bounds(0.95)
        held += (lower <= truth, truth <= upper)
    assert (held / 2000 >= 0.93).all(), held / 2000


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_bounds_cover_the_true_area_of_mixed_clusters(shift):
    """Right and wrong predictions of the same sequences: each bound holds in at least 93 % of 2000 data sets."""
    from scipy.stats import norm

    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(50), 12)
    # Pairs of one sequence share its mean, so they are told apart better than pairs of two sequences.
    truth = norm.cdf(shift / np.sqrt(2))
    held = np.zeros(2)
    for _ in range(2000):
        is_positive = rng.random(600) < 0.3
        scores = (
            shift * is_positive
            + np.sqrt(0.3) * rng.standard_normal(50)[cluster]
            + np.sqrt(0.7) * rng.standard_normal(600)
        )
        groups = (ScoredUnits(scores[part], cluster[part]) for part in (is_positive, ~is_positive))
        lower, upper = clustered_auroc(*groups, "sequences").bounds(0.95)
        held += (lower <= truth, truth <= upper)
    assert (held / 2000 >= 0.93).all(), held / 2000
