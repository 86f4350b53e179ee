"""Tests of metrics under cluster weights against really duplicating the images."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.detection import resampling
from pytest_mle.checks.detection.average_precision import average_precision
from pytest_mle.checks.detection.matching import DetectedBoxes, TrueBoxes, match_detections
from pytest_mle.checks.detection.operating_point import count_detections, detection_rates
from pytest_mle.checks.detection.resampling import (
    draw_cluster_weights,
    resample_average_precision,
    resample_rates,
)

SQUARE = [0.0, 0.0, 10.0, 10.0]
IMAGES = 12


def duplicated(boxes, copies, names):
    """Repeat each image of ``boxes`` as often as ``copies`` says; copies of an image become neighbours."""
    rows, new_image = [], []
    for image, first in enumerate(np.cumsum(copies) - copies):
        members = np.flatnonzero(boxes.image_index == image)
        for copy in range(copies[image]):
            rows.append(members)
            new_image.append(np.full(len(members), first + copy))
    chosen = np.concatenate(rows)
    columns = {name: getattr(boxes, name)[chosen] for name in names}
    return type(boxes)(image_index=np.concatenate(new_image), **columns)


def really_resampled(detected, truth, copies):
    """Match duplicated images from scratch."""
    return match_detections(
        duplicated(detected, copies, ("boxes", "scores", "labels")),
        duplicated(truth, copies, ("boxes", "labels", "ignored", "crowd", "area")),
        image_count=int(copies.sum()),
        classes=range(3),
    )


@pytest.mark.parametrize("entries", [1, 500, 1 << 18])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_weights_equal_duplicated_images(random_data, monkeypatch, seed, tied, entries):
    """Weighted AP and rates equal those of the really resampled data set: crowds, ignored objects, missing classes."""
    monkeypatch.setattr(resampling, "ENTRIES_PER_BLOCK", entries)
    detected, truth = random_data(seed, images=IMAGES, objects=25, detections=70, crowds=0.15, ignored=0.15)
    if tied:
        # Equal scores in different images, different ones inside each image.
        order = np.argsort(detected.image_index, kind="stable")
        scores = np.empty(len(detected))
        start = np.searchsorted(detected.image_index[order], detected.image_index[order])
        scores[order] = (np.arange(len(detected)) - start) * 7 % 31 / 31
        detected = dataclasses.replace(detected, scores=scores)
    rng = np.random.default_rng(seed)
    cluster_of_image = rng.integers(0, 5, IMAGES)
    cluster_of_image[:5] = np.arange(5)
    weights = draw_cluster_weights(rng, 5, resamples=25)
    table = match_detections(detected, truth, image_count=IMAGES, classes=range(3))

    precision = resample_average_precision(table, cluster_of_image, weights)
    rates = resample_rates(count_detections(table, score_threshold=0.4), cluster_of_image, weights)

    for resample, weight in enumerate(weights):
        other = really_resampled(detected, truth, weight[cluster_of_image].astype(int))
        expected = average_precision(other)
        np.testing.assert_allclose(precision.values[resample], expected.values, rtol=0, atol=1e-12)
        assert precision.map_50[resample] == pytest.approx(expected.map_50, abs=1e-12)
        assert precision.map_50_95[resample] == pytest.approx(expected.map_50_95, abs=1e-12)
        expected_rates = detection_rates(count_detections(other, score_threshold=0.4))
        for name in ("precision", "recall", "f1", "false_negative_rate", "false_positives_per_image"):
            assert getattr(rates, name)[resample] == pytest.approx(
                getattr(expected_rates, name), abs=1e-12, nan_ok=True
            )


@given(seed=st.integers(0, 100_000), weight=st.integers(1, 1000))
@settings(deadline=None, max_examples=40)
def test_equal_weights_change_nothing(random_data, seed, weight):
    """A data set repeated as a whole has the same average precision and rates."""
    detected, truth = random_data(seed, crowds=0.1, score_steps=15)
    table = match_detections(detected, truth, image_count=IMAGES)
    weights = np.full((2, IMAGES), weight)

    resampled = resample_average_precision(table, np.arange(IMAGES), weights)

    expected = average_precision(table).values
    np.testing.assert_allclose(resampled.values, np.stack([expected, expected]), rtol=0, atol=1e-12)
    counts = count_detections(table, score_threshold=0.5)
    rates = resample_rates(counts, np.arange(IMAGES), weights)
    assert rates.recall.tolist() == pytest.approx([detection_rates(counts).recall] * 2)


def test_hits_needed_round_as_a_search_in_recalls_does():
    """The fewest hits that reach each recall point are those that pycocotools' floating point search finds."""
    counts = np.arange(1, 3000)

    needed = resampling._hits_needed(counts)

    expected = [np.searchsorted(np.arange(count + 1) / count, resampling.RECALL_POINTS) for count in counts]
    np.testing.assert_array_equal(needed, expected)


def test_zero_and_one_weights_select_images(random_data):
    """Weights of 0 and 1 give the average precision of a subset of the images."""
    detected, truth = random_data(5)
    table = match_detections(detected, truth, image_count=IMAGES, classes=range(3))
    selected = np.arange(IMAGES) % 2

    values = resample_average_precision(table, np.arange(IMAGES), selected[None]).values[0]

    np.testing.assert_allclose(
        values, average_precision(really_resampled(detected, truth, selected)).values, atol=1e-12
    )


def test_resample_without_objects_is_undefined():
    """A resample that drew no object has no accuracy: NaN, neither 0 nor 1."""
    truth = TrueBoxes([SQUARE, SQUARE], [0, 1], [0, 1])
    detected = DetectedBoxes([SQUARE, SQUARE, SQUARE], [0.9, 0.8, 0.7], [0, 1, 0], [0, 1, 2])
    table = match_detections(detected, truth, image_count=3)
    weights = np.array([[1, 1, 1], [3, 0, 0], [0, 0, 3], [0, 0, 0]])

    precision = resample_average_precision(table, [0, 1, 2], weights)
    rates = resample_rates(count_detections(table, score_threshold=0.5), [0, 1, 2], weights)

    assert precision.map_50.tolist()[:2] == [1, 1]
    assert np.isnan(precision.values[1, :, 1]).all()
    assert np.isnan(precision.map_50_95[2:]).all()
    assert np.isnan(rates.recall).tolist() == [False, False, True, True]
    assert np.isnan(rates.f1).tolist() == [False, False, True, True]
    assert np.isnan(rates.precision).tolist() == [False, False, False, True]
    assert rates.false_positives_per_image.tolist()[:3] == [1 / 3, 0, 1]


def test_class_without_detections_has_zero_precision():
    """Objects that nothing was detected for pull the mean down."""
    truth = TrueBoxes([SQUARE, SQUARE], [0, 1], [0, 1])
    table = match_detections(DetectedBoxes([SQUARE], [0.9], [0], [0]), truth, image_count=2)

    assert resample_average_precision(table, [0, 1], np.ones((3, 2), dtype=int)).map_50.tolist() == [0.5] * 3


@pytest.mark.parametrize(("clusters", "dtype"), [(2, np.uint8), (255, np.uint8), (256, np.uint16), (70_000, np.uint32)])
def test_drawn_weights_sum_to_the_number_of_clusters(clusters, dtype):
    """Every resample draws as many clusters as there are; the type holds the largest possible count."""
    weights = draw_cluster_weights(np.random.default_rng(0), clusters, resamples=20)

    assert weights.dtype == dtype
    assert weights.sum(axis=1, dtype=int).tolist() == [clusters] * 20


def test_drawn_weights_follow_the_seed():
    """The same seed draws the same resamples, another one does not."""
    first, again, other = (draw_cluster_weights(np.random.default_rng(seed), 50, 10) for seed in (1, 1, 2))

    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(("clusters", "resamples"), [(1, 1000), (0, 1000), (10, 0)])
def test_bootstrap_without_clusters_is_refused(clusters, resamples):
    """One sequence drawn again and again is no estimate of spread: its interval would have no width."""
    with pytest.raises(ValueError, match="at least 2 clusters and 1 resample"):
        draw_cluster_weights(np.random.default_rng(0), clusters, resamples)


@pytest.mark.parametrize(
    ("clusters", "weights", "message"),
    [
        ([0], [[1, 1]], r"cluster_of_image must be integers of shape \(2,\)"),
        ([0.0, 1.0], [[1, 1]], "cluster_of_image must be integers"),
        ([0, 2], [[1, 1]], r"clusters must be in 0\.\.1, got 0\.\.2"),
        ([-1, 0], [[1, 1]], r"clusters must be in 0\.\.1, got -1\.\.0"),
        ([0, 1], [1, 1], "cluster_weights must be integers"),
        ([0, 1], [[0.5, 0.5]], "cluster_weights must be integers"),
        ([0, 1], np.ones((0, 2), dtype=int), "cluster_weights must be integers"),
        ([0, 1], [[2, -1]], "must not be negative, got -1"),
    ],
)
def test_clusters_and_weights_must_fit(clusters, weights, message):
    """Weights that do not belong to these images are refused."""
    truth = TrueBoxes([SQUARE, SQUARE], [0, 0], [0, 1])
    table = match_detections(DetectedBoxes([SQUARE], [0.9], [0], [0]), truth, image_count=2)

    with pytest.raises(ValueError, match=message):
        resample_average_precision(table, clusters, weights)
    with pytest.raises(ValueError, match=message):
        resample_rates(count_detections(table, score_threshold=0.5), clusters, weights)


def test_no_object_to_find_is_refused():
    """There is nothing to resample without objects."""
    table = match_detections(DetectedBoxes([SQUARE], [0.9], [0], [0]), TrueBoxes([], [], []), image_count=2)

    with pytest.raises(ValueError, match="no object to find"):
        resample_average_precision(table, [0, 1], [[1, 1]])
    with pytest.raises(ValueError, match="no object to find"):
        resample_rates(count_detections(table, score_threshold=0.5), [0, 1], [[1, 1]])
