"""Tests of average precision against hand-worked curves and the COCO evaluators."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.detection.average_precision import average_precision, mean_of_defined, precision_recall_curve
from pytest_mle.checks.detection.matching import DetectedBoxes, TrueBoxes, match_detections

SQUARE = [0.0, 0.0, 10.0, 10.0]
AREA_RANGES = ((0, 1e10), (0, 40), (40, 120), (120, 1e10))
MAX_DETECTIONS = (1, 3, 100)


def two_objects_three_detections():
    """Scores 0.9, 0.8, 0.7: a perfect hit, its duplicate, a hit with IoU 2/3."""
    truth = TrueBoxes([SQUARE, [20, 0, 30, 10]], [0, 0], [0, 0])
    detected = DetectedBoxes([SQUARE, [0, 0, 10, 8], [22, 0, 32, 10]], [0.9, 0.8, 0.7], [0, 0, 0], [0, 0, 0])
    return match_detections(detected, truth, image_count=1)


def test_average_precision_by_hand():
    """Precision 1 up to recall 1/2 and 2/3 up to recall 1, for IoU up to 0.65; then the third is a false positive."""
    result = average_precision(two_objects_three_detections())

    low = (51 * 1 + 50 * 2 / 3) / 101
    high = 51 / 101
    np.testing.assert_allclose(result.values[:, 0], [low] * 4 + [high] * 6, rtol=0, atol=1e-15)
    assert result.map_50 == pytest.approx(low, abs=1e-15)
    assert result.map_75 == pytest.approx(high, abs=1e-15)
    assert result.map_50_95 == pytest.approx((4 * low + 6 * high) / 10, abs=1e-15)
    assert result.average_recall == pytest.approx((4 * 1 + 6 * 0.5) / 10, abs=1e-15)
    assert result.precision[0, [0, 50, 51, 100], 0].tolist() == [1, 1, 2 / 3, 2 / 3]


def test_curve_by_hand():
    """The raw curve has a point a detection, best score first."""
    curve = precision_recall_curve(two_objects_three_detections(), label=0)

    assert curve.score.tolist() == [0.9, 0.8, 0.7]
    assert curve.precision.tolist() == [1, 1 / 2, 2 / 3]
    assert curve.recall.tolist() == [0.5, 0.5, 1]


def test_curve_leaves_ignored_detections_out():
    """A detection on an ignored object is no point of the curve."""
    truth = TrueBoxes([SQUARE, [20, 0, 30, 10]], [0, 0], [0, 0], ignored=[True, False])
    detected = DetectedBoxes([SQUARE, [20, 0, 30, 10]], [0.9, 0.8], [0, 0], [0, 0])

    curve = precision_recall_curve(match_detections(detected, truth, image_count=1), label=0)

    assert (curve.score.tolist(), curve.precision.tolist(), curve.recall.tolist()) == ([0.8], [1.0], [1.0])


def test_perfect_and_blind_detector():
    """All objects found without false alarm is 1; nothing detected is 0, not undefined."""
    truth = TrueBoxes([SQUARE, SQUARE], [0, 1], [0, 0])
    perfect = DetectedBoxes(truth.boxes, [0.9, 0.8], truth.labels, truth.image_index)
    blind = DetectedBoxes([], [], [], [])

    assert average_precision(match_detections(perfect, truth, image_count=1)).map_50_95 == 1
    nothing = average_precision(match_detections(blind, truth, image_count=1))
    assert (nothing.map_50_95, nothing.average_recall) == (0, 0)


def test_class_without_truth_is_left_out_and_named():
    """A class that nothing is labelled with has no accuracy: neither 0 nor 1 enters the mean."""
    truth = TrueBoxes([SQUARE], [0], [0])
    detected = DetectedBoxes([SQUARE, SQUARE], [0.9, 0.8], [0, 1], [0, 0])

    result = average_precision(match_detections(detected, truth, image_count=1, classes=[0, 1, 2]))

    assert result.map_50_95 == 1
    assert np.isnan(result.values[:, 1:]).all()
    assert result.classes_without_truth == (1, 2)


@pytest.mark.parametrize("ignored", [[], [True]])
def test_no_object_to_find_is_refused(ignored):
    """Without any object, or with ignored ones only, there is no accuracy at all."""
    truth = TrueBoxes([SQUARE] * len(ignored), [0] * len(ignored), [0] * len(ignored), ignored=ignored)
    table = match_detections(DetectedBoxes([SQUARE], [0.9], [0], [0]), truth, image_count=1)

    with pytest.raises(ValueError, match="no object to find in any of 1 classes"):
        average_precision(table)
    with pytest.raises(ValueError, match="class 0 has no object to find"):
        precision_recall_curve(table, label=0)


def test_means_at_thresholds_that_were_not_matched_are_refused():
    """A mean over IoU 0.50..0.95 of other thresholds would be another number under the same name."""
    table = match_detections(
        DetectedBoxes([SQUARE], [0.9], [0], [0]), TrueBoxes([SQUARE], [0], [0]), image_count=1, iou_thresholds=[0.5]
    )
    result = average_precision(table)

    assert result.map_50 == 1
    with pytest.raises(ValueError, match="needs COCO's ten thresholds"):
        _ = result.map_50_95
    with pytest.raises(ValueError, match=r"not matched at IoU 0\.75"):
        _ = result.map_75
    with pytest.raises(ValueError, match="class 3 is not in the table"):
        precision_recall_curve(table, label=3)


def test_mean_of_nothing_is_undefined():
    """Means skip NaN and stay NaN where nothing is left."""
    means = mean_of_defined(np.array([[1.0, np.nan, 0.5], [np.nan, np.nan, np.nan]]))

    assert means[0] == 0.75
    assert np.isnan(means[1])


@pytest.mark.parametrize("evaluator", ["pycocotools_evaluation", "faster_coco_evaluation"])
@pytest.mark.parametrize(
    "data",
    [
        {},
        {"on_grid": False},
        {"score_steps": 5},
        {"crowds": 0.2},
        {"crowds": 0.2, "ignored": 0.2, "score_steps": 5},
        {"images": 2, "detections": 150, "objects": 60},
        {"images": 200, "classes": 8},
        {"detections": 0},
        {"crowds": 1.0, "objects": 10, "classes": 1},
        {"canvas": 400, "objects": 300, "detections": 900, "images": 60, "on_grid": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_coco_evaluators(request, random_data, evaluator, data, seed):
    """Curves, AP and recall per class, area range and limit equal both evaluators: crowds, ties, empty images."""
    images, classes = data.get("images", 12), data.get("classes", 3)
    detected, truth = random_data(seed, **data)

    expected = request.getfixturevalue(evaluator)(
        detected,
        truth,
        image_count=images,
        class_count=classes,
        area_ranges=AREA_RANGES,
        max_detections=MAX_DETECTIONS,
    ).eval

    for area, area_range in enumerate(AREA_RANGES):
        whole = match_detections(detected, truth, image_count=images, classes=range(classes), area_range=area_range)
        for limit, max_detections in enumerate(MAX_DETECTIONS):
            precision = np.asarray(expected["precision"])[:, :, :, area, limit]
            recall = np.asarray(expected["recall"])[:, :, area, limit]
            if (recall == -1).all():
                with pytest.raises(ValueError, match="no object to find"):
                    average_precision(whole.limited_to(max_detections))
                continue
            result = average_precision(whole.limited_to(max_detections))
            np.testing.assert_allclose(np.nan_to_num(result.precision, nan=-1), precision, rtol=0, atol=1e-12)
            np.testing.assert_allclose(np.nan_to_num(result.recall, nan=-1), recall, rtol=0, atol=1e-12)
            assert result.map_50_95 == pytest.approx(precision[precision > -1].mean(), abs=1e-12)
            assert result.map_50 == pytest.approx(precision[0][precision[0] > -1].mean(), abs=1e-12)
            assert result.average_recall == pytest.approx(recall[recall > -1].mean(), abs=1e-12)
            empty = np.flatnonzero((recall == -1).all(axis=0)).tolist()
            assert list(result.classes_without_truth) == empty


@given(seed=st.integers(0, 100_000), crowds=st.floats(0, 0.5))
@settings(deadline=None, max_examples=60)
def test_values_lie_in_their_range(random_data, seed, crowds):
    """Values lie in 0..1 and interpolated precision never rises with recall."""
    detected, truth = random_data(seed, crowds=crowds, score_steps=20)

    result = average_precision(match_detections(detected, truth, image_count=12))

    defined = result.precision[~np.isnan(result.precision)]
    assert ((defined >= 0) & (defined <= 1)).all()
    assert (np.diff(np.nan_to_num(result.precision), axis=1) <= 0).all()


@given(seed=st.integers(0, 100_000), power=st.floats(0.1, 5))
@settings(deadline=None, max_examples=40)
def test_only_the_order_of_scores_matters(random_data, seed, power):
    """A rising function of the scores changes no value."""
    detected, truth = random_data(seed)
    other = dataclasses.replace(detected, scores=np.argsort(np.argsort(detected.scores)) ** power)

    left = average_precision(match_detections(detected, truth, image_count=12))
    right = average_precision(match_detections(other, truth, image_count=12))

    np.testing.assert_array_equal(left.values, right.values)


@given(seed=st.integers(0, 100_000))
@settings(deadline=None, max_examples=40)
def test_false_alarms_below_all_scores_cost_nothing_and_above_all_cost(random_data, seed):
    """False positives after the last hit change nothing, one before the first hit never helps."""
    detected, truth = random_data(seed)

    def with_false_alarm(score):
        return DetectedBoxes(
            np.vstack((detected.boxes, [[900.0, 900.0, 950.0, 950.0]])),
            np.append(detected.scores, score),
            np.append(detected.labels, 0),
            np.append(detected.image_index, 3),
        )

    def values(boxes):
        return np.nan_to_num(average_precision(match_detections(boxes, truth, image_count=12)).values)

    np.testing.assert_array_equal(values(with_false_alarm(-1.0)), values(detected))
    assert (values(with_false_alarm(2.0)) <= values(detected)).all()
