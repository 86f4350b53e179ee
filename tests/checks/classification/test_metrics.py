"""Tests of classification metrics by hand and against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle.checks.classification.metrics import (
    balanced_accuracy,
    confusion_matrix,
    counts_per_cluster,
    f1_scores,
    macro_f1,
    macro_precision,
    precisions,
    recalls,
    top_k_hits,
)

LABELS_AND_PREDICTIONS = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 4), min_size=n, max_size=n).map(np.array)] * 2)
)


def _counts(labels, predicted, classes=5):
    right = labels == predicted
    return tuple(np.bincount(of, minlength=classes).astype(float) for of in (labels[right], labels, predicted))


def test_by_hand():
    """Two classes: three of four and one of two recognised."""
    labels, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 0])
    counts = _counts(labels, predicted, 2)
    assert confusion_matrix(labels, predicted, 2).tolist() == [[3, 1], [1, 1]]
    assert recalls(*counts[:2]).tolist() == [0.75, 0.5]
    assert precisions(*counts).tolist() == [0.75, 0.5]
    assert f1_scores(*counts).tolist() == [0.75, 0.5]
    assert balanced_accuracy(*counts[:2]) == macro_precision(*counts) == macro_f1(*counts) == 0.625


@given(LABELS_AND_PREDICTIONS)
def test_equal_to_scikit_learn(pair):
    """Averages are over the classes that occur, with 0 for a class that was never predicted."""
    labels, predicted = pair
    counts = _counts(labels, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert balanced_accuracy(*counts[:2]) == pytest.approx(
            sklearn.metrics.balanced_accuracy_score(labels, predicted)
        )
        expected = sklearn.metrics.precision_score(labels, predicted, average="macro", zero_division=0)
        assert macro_precision(*counts) == pytest.approx(expected)
        assert macro_f1(*counts) == pytest.approx(
            sklearn.metrics.f1_score(labels, predicted, average="macro", zero_division=0)
        )
    expected = sklearn.metrics.confusion_matrix(labels, predicted, labels=range(5))
    np.testing.assert_array_equal(confusion_matrix(labels, predicted, 5), expected)


def test_classes_that_do_not_occur_are_undefined():
    """A class without samples has no recall, and one that nobody mentions no precision."""
    counts = _counts(np.array([0, 0]), np.array([0, 1]), 3)
    np.testing.assert_array_equal(recalls(*counts[:2]), [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(precisions(*counts), [1, 0, np.nan])
    nothing = np.zeros(3)
    assert np.isnan(macro_f1(nothing, nothing, nothing))


def test_resamples_are_leading_axes():
    """The same functions serve a whole bootstrap."""
    rng = np.random.default_rng(0)
    parts = [_counts(rng.integers(0, 5, 40), rng.integers(0, 5, 40)) for _ in range(7)]
    stacked = [np.stack(each) for each in zip(*parts, strict=True)]
    assert macro_f1(*stacked).tolist() == [macro_f1(*part) for part in parts]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_equals_scikit_learn(k):
    """Without ties the share is scikit-learn's."""
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(4), 200), rng.integers(0, 4, 200)
    expected = sklearn.metrics.top_k_accuracy_score(labels, probabilities, k=k, labels=range(4))
    assert top_k_hits(probabilities, labels, k).mean() == pytest.approx(expected)


def test_ties_count_against_the_model():
    """A model that gives all classes the same probability knows nothing."""
    assert not top_k_hits(np.full((4, 4), 0.25), np.arange(4), 3).any()
    assert top_k_hits(np.array([[0.5, 0.5, 0.0]]), np.array([0]), 2).all()


def test_counts_per_cluster():
    """Samples are added up by cluster and class."""
    found = counts_per_cluster(np.array([0, 2, 2, 1]), np.array([1, 0, 0, 1]), (3, 3))
    assert found.toarray().tolist() == [[0, 0, 2], [1, 1, 0], [0, 0, 0]]
