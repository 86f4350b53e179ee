"""Tests of the counts and rates at one score threshold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.detection.matching import DetectedBoxes, TrueBoxes, match_detections
from pytest_mle.checks.detection.operating_point import count_detections, detection_rates

SQUARE = [0.0, 0.0, 10.0, 10.0]
ELSEWHERE = [50.0, 50.0, 60.0, 60.0]


def small_table():
    """Three images: a hit and a miss; a false alarm beside an ignored object that is hit; nothing."""
    truth = TrueBoxes(
        [SQUARE, ELSEWHERE, SQUARE], labels=[0, 1, 0], image_index=[0, 0, 1], ignored=[False, False, True]
    )
    detected = DetectedBoxes(
        [SQUARE, ELSEWHERE, SQUARE, ELSEWHERE],
        scores=[0.9, 0.4, 0.8, 0.5],
        labels=[0, 1, 0, 2],
        image_index=[0, 0, 1, 1],
    )
    return match_detections(detected, truth, image_count=3)


def test_counts_by_hand():
    """At 0.5 the first class is found, the second one missed, and the class without objects gives a false alarm."""
    counts = count_detections(small_table(), score_threshold=0.5)

    assert counts.classes.tolist() == [0, 1, 2]
    assert counts.true_positives.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert counts.false_positives.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert counts.false_negatives.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_rates_by_hand():
    """One of two objects found, one false alarm in three images."""
    rates = detection_rates(count_detections(small_table(), score_threshold=0.5))

    assert (rates.true_positives, rates.false_positives, rates.false_negatives, rates.image_count) == (1, 1, 1, 3)
    assert (rates.precision, rates.recall, rates.f1, rates.false_negative_rate) == (0.5, 0.5, 0.5, 0.5)
    assert rates.false_positives_per_image == 1 / 3


def test_score_threshold_is_included():
    """A score equal to the threshold is reported, one just below is not."""
    table = small_table()

    assert detection_rates(count_detections(table, score_threshold=0.4)).recall == 1
    assert detection_rates(count_detections(table, score_threshold=np.nextafter(0.4, 1))).recall == 0.5


def test_blind_detector_has_no_precision():
    """Nothing reported: everything is missed, and precision is undefined instead of perfect."""
    rates = detection_rates(count_detections(small_table(), score_threshold=0.95))

    assert np.isnan(rates.precision)
    assert (rates.recall, rates.f1, rates.false_negative_rate, rates.false_positives_per_image) == (0, 0, 1, 0)


def test_rates_without_objects_are_refused():
    """No object to find: no rate, however few false alarms there are."""
    truth = TrueBoxes([SQUARE], [0], [0], ignored=[True])
    counts = count_detections(
        match_detections(DetectedBoxes([], [], [], []), truth, image_count=1), score_threshold=0.5
    )

    with pytest.raises(ValueError, match="no object to find"):
        detection_rates(counts)


@pytest.mark.parametrize("score_threshold", [np.nan, np.inf])
def test_score_threshold_must_be_finite(score_threshold):
    """A threshold that is no number would count nothing and look like silence."""
    with pytest.raises(ValueError, match="score_threshold must be finite"):
        count_detections(small_table(), score_threshold=score_threshold)


def test_iou_threshold_must_have_been_matched():
    """Counts at an IoU that the table does not have are refused."""
    with pytest.raises(ValueError, match=r"not matched at IoU 0\.3"):
        count_detections(small_table(), score_threshold=0.5, iou_threshold=0.3)


@pytest.mark.parametrize("seed", range(5))
def test_counts_equal_pycocotools(random_data, pycocotools_evaluation, seed):
    """Hits, false alarms and misses per image and class are those of pycocotools' matches above the threshold."""
    detected, truth = random_data(seed, images=6, detections=90, crowds=0.2, ignored=0.2, score_steps=10)
    evaluator = pycocotools_evaluation(
        detected, truth, image_count=6, class_count=3, area_ranges=[(0, 1e10)], max_detections=[100]
    )
    expected = np.zeros((3, 6, 3), dtype=int)
    for (label, image), result in zip(itertools.product(range(3), range(6)), evaluator.evalImgs, strict=True):
        if result is not None:
            counted = (np.array(result["dtScores"]) >= 0.3) & ~result["dtIgnore"][0].astype(bool)
            hits = np.count_nonzero(counted & (result["dtMatches"][0] > 0))
            objects = np.count_nonzero(np.array(result["gtIgnore"]) == 0)
            expected[:, image, label] = hits, np.count_nonzero(counted) - hits, objects - hits

    counts = count_detections(match_detections(detected, truth, image_count=6, classes=range(3)), score_threshold=0.3)

    np.testing.assert_array_equal([counts.true_positives, counts.false_positives, counts.false_negatives], expected)
    assert counts.true_positives.any()


@given(seed=st.integers(0, 100_000), low=st.floats(0, 1), high=st.floats(0, 1))
@settings(deadline=None, max_examples=40)
def test_lower_threshold_never_loses_hits(random_data, seed, low, high):
    """With a lower score threshold recall and false positives per image can only grow."""
    low, high = sorted((low, high))
    detected, truth = random_data(seed, crowds=0.1)
    table = match_detections(detected, truth, image_count=12)

    loose, strict = (detection_rates(count_detections(table, score_threshold=score)) for score in (low, high))

    assert loose.recall >= strict.recall
    assert loose.false_positives_per_image >= strict.false_positives_per_image
    assert loose.recall + loose.false_negative_rate == pytest.approx(1)


def test_threshold_afterwards_equals_detecting_less(random_data):
    """Cutting low scores off the table counts the same as never having detected them."""
    detected, truth = random_data(3, images=4, detections=90, score_steps=10, crowds=0.1)
    kept = detected.scores >= 0.5
    fewer = DetectedBoxes(
        detected.boxes[kept], detected.scores[kept], detected.labels[kept], detected.image_index[kept]
    )

    left, right = (
        count_detections(match_detections(boxes, truth, image_count=4, classes=range(3)), score_threshold=0.5)
        for boxes in (detected, fewer)
    )

    np.testing.assert_array_equal(left.true_positives, right.true_positives)
    np.testing.assert_array_equal(left.false_positives, right.false_positives)
