"""A data set as a damaged or blinded camera would see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.robustness.corruptions import corrupted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Dataset, Sample


class CorruptedImages:
    """The images of a data set, corrupted when they are read; so much of a data set as predicting needs.

    ``change`` ``(image,)`` is the mean absolute change of each image that was read, with pixels in 0..1, else NaN.
    """

    def __init__(self, dataset: Dataset, corruption: str, parameters: dict[str, Any], seed: int) -> None:
        self.name, self.task, self.class_names = dataset.name, dataset.task, dataset.class_names
        self.change = np.full(len(dataset), np.nan)
        self._dataset, self._corruption, self._parameters, self._seed = dataset, corruption, parameters, seed
        # By its position in the whole data set, so that an image looks the same in every slice.
        self._positions = np.asarray(dataset.indices).tolist()

    def __len__(self) -> int:
        return len(self._dataset)

    def sample(self, index: int) -> Sample:
        """Return one sample of the data set."""
        return self._dataset.sample(index)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Read and corrupt one image."""
        clean = self._dataset.image(index)
        changed = corrupted(clean, self._corruption, self._seed, self._positions[index], self._parameters)
        # In uint8, the larger less the smaller: no copy in a wider type.
        difference = np.maximum(clean, changed) - np.minimum(clean, changed)
        self.change[index] = float(difference.mean(dtype=np.float64)) / 255
        return changed
