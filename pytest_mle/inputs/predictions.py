"""Predictions of a model on a data set, computed once and shared by every check and slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import Detections, Model


@dataclass(frozen=True, slots=True, eq=False)
class DetectionPredictions:
    """Detections for every sample of ``dataset``; ``image_index`` counts in it."""

    model: Model
    dataset: Dataset
    detections: Detections


@dataclass(frozen=True, slots=True, eq=False)
class ClassificationPredictions:
    """Probabilities ``(sample, class)`` for every sample of ``dataset``."""

    model: Model
    dataset: Dataset
    probabilities: NDArray[np.float32]


Predictions = DetectionPredictions | ClassificationPredictions
