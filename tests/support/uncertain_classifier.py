"""Predictions of a classifier that is right as often as a test wants."""

from __future__ import annotations

import numpy as np

from pytest_mle.inputs.predictions import ClassificationPredictions
from tests.support.detection_scenes import LabelledDataset, model


def sure_of(count, accuracy, *, seed=0, classes=4, sequences=None):
    """Return predictions with confidences in 0.4..1, right with the probability ``accuracy(confidence)``."""
    rng = np.random.default_rng(seed)
    confidence = 0.4 + 0.6 * rng.random(count)
    labels = rng.integers(0, classes, count)
    is_right = rng.random(count) < accuracy(confidence)
    shown = np.where(is_right, labels, (labels + 1) % classes)
    probabilities = np.repeat((1 - confidence)[:, None] / (classes - 1), classes, axis=1)
    probabilities[np.arange(count), shown] = confidence
    dataset = LabelledDataset(labels.tolist(), class_names=[str(i) for i in range(classes)], sequences=sequences)
    return ClassificationPredictions(model("classifier", "classification"), dataset, probabilities.astype(np.float32))
