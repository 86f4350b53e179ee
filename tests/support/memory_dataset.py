"""A data set that lives in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from pytest_mle.inputs.dataset import Objects, Sample


class MemoryDataset:
    """Images with labels or boxes, as the data set protocol wants them."""

    def __init__(self, images, *, labels=None, boxes=None, class_names=(), sequences=None, indices=None, name="memory"):
        self.name = name
        self.root = Path("memory")
        self.task = "detection" if labels is None else "classification"
        self.class_names = tuple(class_names)
        self.attribute_names = () if sequences is None else ("sequence",)
        self.object_attribute_names = ()
        self._images, self._labels, self._boxes, self._sequences = images, labels, boxes, sequences
        self.indices = np.arange(len(images)) if indices is None else np.asarray(indices, dtype=np.int64)

    def __len__(self):
        return len(self.indices)

    def sample(self, index):
        """Return one sample."""
        position = int(self.indices[index])
        attributes = {} if self._sequences is None else {"sequence": self._sequences[position]}
        return Sample(f"images/{position:04}.png", self.root / f"images/{position:04}.png", attributes)

    def image(self, index):
        """Return one image."""
        return self._images[int(self.indices[index])]

    def label(self, index):
        """Return one class."""
        return self._labels[int(self.indices[index])]

    def objects(self, index):
        """Return the boxes of one image."""
        boxes, labels = self._boxes[int(self.indices[index])]
        return Objects(np.asarray(boxes, float), np.asarray(labels), np.zeros(len(labels), dtype=bool))

    def sequence_ids(self):
        """Return a cluster number a sample."""
        if self._sequences is None:
            return np.arange(len(self))
        return np.unique(np.asarray(self._sequences)[self.indices], return_inverse=True)[1]

    @property
    def digest(self):
        """Hash the images."""
        return hashlib.sha256(
            b"".join(np.ascontiguousarray(self.image(i)).tobytes() for i in range(len(self)))
        ).hexdigest()

    def select(self, where):
        """Return the slice."""
        chosen = [
            i for i in range(len(self)) if all(c.matches(self.sample(i).attributes.get(c.attribute)) for c in where)
        ]
        return MemoryDataset(
            self._images,
            labels=self._labels,
            boxes=self._boxes,
            class_names=self.class_names,
            sequences=self._sequences,
            indices=self.indices[chosen],
            name=self.name,
        )
