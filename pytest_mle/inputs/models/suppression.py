"""Non-maximum suppression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def non_maximum_suppression(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    labels: NDArray[np.int64],
    *,
    iou: float,
    class_agnostic: bool = False,
    max_detections: int | None = None,
) -> NDArray[np.int64]:
    """Return the positions of the boxes that greedy suppression keeps, best score first.

    A box is dropped if its intersection over union with a kept one of the same class is greater than ``iou``. Of equal
    scores the earlier box wins, so that the result does not depend on the machine.

    Parameters
    ----------
    boxes
        ``(box, 4)``: x1 y1 x2 y2. A box without area suppresses nothing and is suppressed by nothing.
    scores, labels
        ``(box,)``.
    """
    order = np.argsort(-scores, kind="stable")
    corners = boxes.astype(np.float64)[order]
    classes = labels[order]
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    alive = np.arange(len(order))
    kept: list[int] = []
    while len(alive) and (max_detections is None or len(kept) < max_detections):
        best, alive = alive[0], alive[1:]
        kept.append(int(order[best]))
        if len(alive) == 0:
            break
        others, one = corners[alive], corners[best]
        width = np.minimum(others[:, 2], one[2]) - np.maximum(others[:, 0], one[0])
        height = np.minimum(others[:, 3], one[3]) - np.maximum(others[:, 1], one[1])
        overlap = width.clip(min=0) * height.clip(min=0)
        # overlap / union > iou without the division, which is undefined for two boxes without area.
        suppressed = overlap > iou * (areas[alive] + areas[best] - overlap)
        if not class_agnostic:
            suppressed &= classes[alive] == classes[best]
        alive = alive[~suppressed]
    return np.array(kept, dtype=np.int64)
