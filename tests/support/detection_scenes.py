"""Detection data sets and predictions in memory, written box by box."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from pytest_mle.inputs.dataset import Objects, Sample
from pytest_mle.inputs.model import Detections
from pytest_mle.inputs.predictions import ClassificationPredictions, DetectionPredictions


class SceneDataset:
    """Images that are nothing but annotated boxes, as the data set protocol wants them."""

    task = "detection"
    root = Path("scenes")
    object_attribute_names = ()

    def __init__(self, objects, *, class_names=("pedestrian",), attributes=None, sequences=None, name="scenes"):
        self.name, self.class_names = name, tuple(class_names)
        self._objects = objects
        self._attributes = [{}] * len(objects) if attributes is None else attributes
        self.attribute_names = tuple(sorted({key for one in self._attributes for key in one}))
        self._sequences = np.arange(len(objects)) if sequences is None else np.asarray(sequences)
        self.indices = np.arange(len(objects))
        self.digest = f"scenes {name}"

    def __len__(self):
        return len(self._objects)

    def sample(self, index):
        """Return one sample."""
        return Sample(f"{index:04}.png", self.root / f"{index:04}.png", self._attributes[index])

    def objects(self, index):
        """Return the boxes of one image."""
        return self._objects[index]

    def sequence_ids(self):
        """Return a cluster number a sample."""
        return self._sequences


class LabelledDataset(SceneDataset):
    """Images that are nothing but a class."""

    task = "classification"

    def label(self, index):
        """Return one class."""
        return self._objects[index]


def model(name="detector", task="detection"):
    """Return what the checks read of a model besides its predictions."""
    return SimpleNamespace(name=name, task=task, class_names=(), digest=f"weights of {name}")


def annotated(*boxes, labels=None, ignore=()):
    """Return the objects of one image; ``ignore`` are the positions of those that do not count."""
    count = len(boxes)
    labels = np.zeros(count, np.int64) if labels is None else np.asarray(labels, np.int64)
    return Objects(np.array(boxes, float).reshape(-1, 4), labels, np.isin(np.arange(count), ignore))


def detected(dataset, *images, by=None):
    """Return predictions: per image a list of ``(box, score)`` or ``(box, score, label)``."""
    rows = [(index, *one) for index, image in enumerate(images) for one in image]
    return DetectionPredictions(
        model() if by is None else by,
        dataset,
        Detections(
            boxes=np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
            scores=np.array([row[2] for row in rows], np.float32),
            labels=np.array([row[3] if len(row) > 3 else 0 for row in rows], np.int64),
            image_index=np.array([row[0] for row in rows], np.int64),
        ),
    )


def classified(dataset, shown, classes=2, by=None):
    """Return predictions that are sure of the classes ``shown``."""
    probabilities = np.full((len(shown), classes), 0.1 / (classes - 1), np.float32)
    probabilities[np.arange(len(shown)), shown] = 0.9
    return ClassificationPredictions(
        model("classifier", "classification") if by is None else by, dataset, probabilities
    )


def box_at(left, top=0.0, width=20.0, height=40.0):
    """Return a box of a pedestrian's shape."""
    return (left, top, left + width, top + height)
