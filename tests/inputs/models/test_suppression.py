"""Tests of non-maximum suppression."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.inputs.models.suppression import non_maximum_suppression


def _plain_suppression(boxes, scores, labels, iou, class_agnostic, limit=None):
    """Do it as textbooks do: take the best, drop what overlaps it, repeat."""
    waiting = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    kept = []
    while waiting and (limit is None or len(kept) < limit):
        best = waiting.pop(0)
        kept.append(best)
        waiting = [
            i
            for i in waiting
            if not (_overlap(boxes[best], boxes[i]) > iou and (class_agnostic or labels[i] == labels[best]))
        ]
    return kept


def _overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("limit", [None, 5])
@pytest.mark.parametrize("seed", range(15))
def test_equal_to_the_plain_algorithm(seed, class_agnostic, limit):
    """Random crowded boxes with many equal scores give the same boxes in the same order."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 20, (60, 2)).astype(float)
    boxes = np.hstack((corner, corner + rng.integers(0, 15, (60, 2))))
    scores, labels = rng.integers(0, 8, 60) / 8, rng.integers(0, 3, 60)
    found = non_maximum_suppression(
        boxes, scores, labels, iou=0.45, class_agnostic=class_agnostic, max_detections=limit
    )
    assert found.tolist() == _plain_suppression(
        boxes.tolist(), scores.tolist(), labels.tolist(), 0.45, class_agnostic, limit
    )


def test_equality_with_the_threshold_is_kept():
    """An overlap of exactly the threshold suppresses nothing: only more does."""
    boxes = np.array([[0.0, 0, 2, 1], [1.0, 0, 2, 1]])
    scores, labels = np.array([0.9, 0.8]), np.zeros(2, dtype=np.int64)
    assert non_maximum_suppression(boxes, scores, labels, iou=0.5).tolist() == [0, 1]
    assert non_maximum_suppression(boxes, scores, labels, iou=0.49).tolist() == [0]


def test_of_equal_scores_the_earlier_box_wins():
    """Ties are broken by position."""
    boxes = np.array([[0.0, 0, 2, 2], [0.0, 0, 2, 2.1], [9.0, 9, 10, 10]])
    kept = non_maximum_suppression(boxes, np.full(3, 0.5), np.zeros(3, dtype=np.int64), iou=0.5)
    assert kept.tolist() == [0, 2]


def test_boxes_without_area_stay():
    """Two boxes without area do not suppress each other, and nothing is divided by zero."""
    boxes = np.array([[1.0, 1, 1, 1], [1.0, 1, 1, 1]])
    assert len(non_maximum_suppression(boxes, np.array([0.9, 0.8]), np.zeros(2, dtype=np.int64), iou=0.5)) == 2


def test_no_boxes():
    """Nothing in, nothing out."""
    kept = non_maximum_suppression(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64), iou=0.5)
    assert kept.shape == (0,)
