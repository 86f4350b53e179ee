"""Tests of joining batches."""

from __future__ import annotations

import numpy as np

from pytest_mle.inputs.model import Detections
from pytest_mle.inputs.models.joining import join_predictions


def _detections(*images):
    n = len(images)
    return Detections(np.full((n, 4), n, np.float32), np.ones(n, np.float32), np.arange(n), np.array(images, np.int64))


def test_image_numbers_go_on_over_batches_without_detections():
    """An empty batch still moves the numbers of the images behind it."""
    found = join_predictions([_detections(0, 0, 1), _detections(), _detections(1)], [2, 3, 2])
    assert found.image_index.tolist() == [0, 0, 1, 6]
    assert found.labels.tolist() == [0, 1, 2, 0]


def test_probabilities_are_stacked():
    """Rows stay in order."""
    found = join_predictions([np.zeros((2, 3)), np.ones((1, 3))], [2, 1])
    assert found.sum(axis=1).tolist() == [0, 0, 3]
