"""Tests of the risk-coverage curve, its area and the choice of a threshold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pytest_mle.checks.detection.ground_truth import Clusters
from pytest_mle.checks.uncertainty.confidences import Confidences
from pytest_mle.checks.uncertainty.risk_coverage import (
    area_under_risk_coverage,
    clustered_area,
    lowest_threshold,
    risk_coverage_curve,
)


def _found(values, is_hit, cluster=None):
    cluster = np.arange(len(values)) if cluster is None else np.asarray(cluster)
    clusters = Clusters(cluster, "images")
    return Confidences(np.asarray(values, float), np.asarray(is_hit, bool), np.arange(len(values)), clusters, "images")


def _area(errors):
    """Geifman et al. 2019, equation 2, one prediction after the other from the surest on."""
    return np.mean([sum(errors[:kept]) / kept for kept in range(1, len(errors) + 1)])


def test_curve_and_area_by_hand():
    """Right, wrong, right, right: risks 0, 1/2, 1/3 and 1/4 at coverages of a quarter each."""
    found = _found([0.6, 0.9, 0.8, 0.7], [True, True, False, True])
    threshold, coverage, risk = risk_coverage_curve(found)
    assert threshold.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4])
    assert clustered_area(found, np.random.default_rng(0), 1000).value == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_ties_count_as_the_mean_of_all_orders():
    """Of five predictions, the middle three equally sure: the mean of the six orders, whatever stands first."""
    errors = (0, 1, 1, 0, 1)
    orders = [(errors[0], *middle, errors[4]) for middle in itertools.permutations(errors[1:4])]
    expected = np.mean([_area(order) for order in orders])
    found = area_under_risk_coverage(np.array([[1.0, 3.0, 1.0]]), np.array([[0.0, 2.0, 1.0]]))
    assert found == pytest.approx([expected])


def test_a_weight_is_that_many_copies():
    """A resample that draws predictions several times has the area of the data with copies, a level not drawn none."""
    counts, errors = np.array([[2.0, 0.0, 3.0, 1.0]]), np.array([[0.0, 0.0, 3.0, 0.0]])
    assert area_under_risk_coverage(counts, errors) == pytest.approx([_area((0, 0, 1, 1, 1, 0))])


def test_without_an_error_the_area_is_not_certain():
    """60 right predictions leave room for an error at the top, where it counts most."""
    found = _found(np.linspace(0.5, 1, 60), np.ones(60))
    quantity = clustered_area(found, np.random.default_rng(0), 1000)
    assert quantity.value == 0
    assert quantity.bounds(0.95)[1] > 1 - 0.05 ** (1 / 60)


def test_few_clusters_have_no_interval():
    """19 sequences are too few for a bootstrap."""
    found = _found(np.linspace(0.5, 1, 190), np.arange(190) % 7 > 0, np.arange(190) % 19)
    assert clustered_area(found, np.random.default_rng(0), 1000).bounds(0.95) is None


def test_lowest_threshold_whose_risk_is_shown():
    """Below 0.7 half are wrong, above it none of 100: 5 % is shown at 0.7, nothing at 0.1 % is."""
    values = np.concatenate((np.linspace(0.5, 0.69, 100), np.linspace(0.7, 1, 100)))
    found = _found(values, np.concatenate((np.arange(100) % 2 > 0, np.ones(100, bool))))
    assert lowest_threshold(found, 0.05) == pytest.approx(0.7, abs=0.02)
    assert lowest_threshold(found, 0.6) == 0.5
    assert lowest_threshold(found, 0.001) is None


@pytest.mark.slow
@pytest.mark.parametrize(("accuracy", "images"), [("calibrated", 60), ("useless", 200)])
def test_bounds_cover_the_true_area(accuracy, images):
    """Each one-sided 95 % bound holds in at least 93 % of 2000 simulated data sets."""
    rng = np.random.default_rng(1)
    right = {"calibrated": lambda values: values, "useless": lambda values: np.full_like(values, 0.9)}[accuracy]
    everyone = np.sort(0.5 + 0.5 * rng.beta(3, 1, 200_000))[::-1]
    truth = (np.cumsum(1 - right(everyone)) / np.arange(1, len(everyone) + 1)).mean()
    held = np.zeros(2)
    for _ in range(2000):
        values = 0.5 + 0.5 * rng.beta(3, 1, images)
        lower, upper = clustered_area(_found(values, rng.random(images) < right(values)), rng, 1000).bounds(0.95)
        held += (lower <= truth, truth <= upper)
    assert (held / 2000 >= 0.93).all(), held / 2000


@pytest.mark.slow
def test_the_risk_of_a_chosen_threshold_is_what_other_data_show():
    """A threshold chosen on one half: its bound on the other half holds in 93 %, that on its own half may not."""
    from pytest_mle.checks.cluster_intervals import share_over_effective_size

    rng = np.random.default_rng(2)
    everyone = 0.5 + 0.5 * rng.random(200_000)
    held = count = 0
    for _ in range(2000):
        halves = [_found(values := 0.5 + 0.5 * rng.random(300), rng.random(300) < values) for _ in range(2)]
        threshold = lowest_threshold(halves[0], 0.15)
        if threshold is None:
            continue
        used = halves[1].restricted_to(halves[1].values >= threshold)
        truth = 1 - everyone[everyone >= threshold].mean()
        held += truth <= share_over_effective_size(used.counts(~used.is_hit)).bounds(0.95)[1]
        count += 1
    assert count > 500
    assert held / count >= 0.93
