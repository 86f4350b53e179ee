"""Tests of bounds over classes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csc_array

from pytest_mle.checks.classification.class_intervals import (
    ClassCounts,
    average_over_classes,
    class_recalls,
    lowest_rate,
)
from pytest_mle.records.quantity import PointEstimate, Proportion, Resampled, expanded_confidence


def _counts(hits, truths):
    return ClassCounts(csc_array(np.array(hits, float)), csc_array(np.array(truths, float)), "sequences")


def test_lowest_of_several_rates():
    """The lower bound is the lowest one, the upper is taken at Bonferroni's confidence."""
    rates = [Proportion(90, 100), Proportion(45, 50), Proportion(160, 200)]
    lowest = lowest_rate(rates)
    assert lowest.value == 0.8
    assert lowest.n == 50
    lower, upper = lowest.bounds(0.95)
    assert lower == min(rate.bounds(0.95)[0] for rate in rates)
    assert upper == pytest.approx(Proportion(160, 200).bounds(1 - 0.05 / 3)[1])


def test_the_upper_bound_of_the_lowest_rate_covers():
    """The lowest of ten equal rates is low by chance; its upper bound still covers the truth."""
    rng = np.random.default_rng(0)
    covered = {"corrected": 0, "plain": 0}
    for _ in range(300):
        rates = [Proportion(int(hits), 100) for hits in rng.binomial(100, 0.9, 10)]
        covered["corrected"] += lowest_rate(rates).bounds(0.95)[1] >= 0.9
        covered["plain"] += min(rate.bounds(0.95)[1] for rate in rates) >= 0.9
    assert covered["corrected"] >= 0.93 * 300
    assert covered["plain"] < 0.85 * 300


def test_recall_of_each_class_that_occurs():
    """A class without samples has no recall, the others that of their own clusters."""
    hits, truths = [[1, 0, 0]] * 9 + [[0, 1, 0]], [[1, 1, 0]] * 10
    found = class_recalls(_counts(hits, truths))
    assert found == {0: Proportion(9, 10), 1: Proportion(1, 10)}


def test_few_clusters_have_no_interval_for_an_average():
    """An average over classes of 19 sequences shows nothing at a confidence."""
    found = average_over_classes(0.9, np.linspace(0.8, 1, 100), _counts([[1, 1]] * 19, [[2, 2]] * 19))
    assert isinstance(found, PointEstimate)
    assert "19 independent sequences, 20 are needed" in found.method


def test_many_errors_are_left_to_the_bootstrap():
    """With hits and errors of every class in ten clusters or more the percentiles stand."""
    found = average_over_classes(0.5, np.linspace(0.4, 0.6, 1001), _counts([[1, 1]] * 30, [[2, 2]] * 30))
    assert isinstance(found, Resampled)
    level = expanded_confidence(0.95, 30)
    assert found.bounds(0.95) == pytest.approx((0.6 - 0.2 * level, 0.4 + 0.2 * level))


def test_too_few_resamples_leave_an_average_open():
    """At a confidence that the resamples cannot reach, an average with an errorless class has no near bound."""
    counts = _counts([[2, 1]] * 30, [[2, 2]] * 30)
    found = average_over_classes(0.75, np.linspace(0.7, 0.8, 1001), counts)
    assert found.bounds(0.99999) == (0, 1)


def test_a_class_without_errors_keeps_its_doubt():
    """All of 25 right in each of two classes: the average is as uncertain as Clopper-Pearson over 25."""
    found = average_over_classes(1.0, np.ones(1000), _counts([[1, 1]] * 25, [[1, 1]] * 25))
    lower, upper = found.bounds(0.95)
    assert lower == pytest.approx(Proportion(25, 25).bounds(0.95)[0])
    assert upper == 1
