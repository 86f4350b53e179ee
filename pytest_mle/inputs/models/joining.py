"""Join the predictions of consecutive batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.inputs.model import Detections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def join_detections(parts: Sequence[Detections], image_counts: Sequence[int]) -> Detections:
    """Join detections of batches in order; ``image_counts`` are the images of each batch."""
    starts = np.cumsum([0, *image_counts[:-1]])
    return Detections(
        boxes=np.concatenate([part.boxes for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        image_index=np.concatenate([part.image_index + start for part, start in zip(parts, starts, strict=True)]),
    )


def join_predictions(
    parts: Sequence[Detections | NDArray[np.float32]], image_counts: Sequence[int]
) -> Detections | NDArray[np.float32]:
    """Join detections, or probabilities ``(image, class)``, of batches in order."""
    detections = [part for part in parts if isinstance(part, Detections)]
    if len(detections) == len(parts):
        return join_detections(detections, image_counts)
    return np.concatenate([part for part in parts if not isinstance(part, Detections)])
