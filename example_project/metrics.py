"""Suppress, match and score detections: what training needs to watch its progress."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NMS_IOU = 0.55
MATCH_IOU = 0.5


def iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each of n boxes with each of m boxes (xyxy), (n, m)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:4], other[None, :, 2:4])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (one, other)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)


def suppress(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the indices that greedy non-maximum suppression keeps, best score first."""
    order = np.argsort(-scores, kind="stable")
    overlaps = iou(boxes, boxes) > NMS_IOU
    kept: list[int] = []
    for index in order:
        if not overlaps[index, kept].any():
            kept.append(int(index))
    return np.array(kept, int)


@dataclass(frozen=True)
class Matches:
    """Scores of the detections that count, whether each is a hit, and how many objects there were."""

    scores: np.ndarray
    hits: np.ndarray
    objects: int

    def precision_recall(self, threshold: float) -> tuple[float, float]:
        """Return precision and recall of the detections with at least this score; 0 where there are none."""
        chosen = self.scores >= threshold
        true = float(self.hits[chosen].sum())
        return true / max(int(chosen.sum()), 1), true / max(self.objects, 1)

    def average_precision(self) -> float:
        """Return the area under the interpolated precision-recall curve at 101 recalls, as COCO does."""
        hits = self.hits[np.argsort(-self.scores, kind="stable")]
        true = np.cumsum(hits)
        recall = true / max(self.objects, 1)
        precision = np.maximum.accumulate((true / (np.arange(len(hits)) + 1))[::-1])[::-1]
        places = np.searchsorted(recall, np.linspace(0, 1, 101))
        return float(np.append(precision, 0.0)[np.minimum(places, len(precision))].mean())


def match_image(boxes: np.ndarray, scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Match detections of one image, best first; detections on ignored objects do not count.

    Parameters
    ----------
    boxes, scores : numpy.ndarray
        Detections after suppression, (n, 4) xyxy and (n,).
    truth : numpy.ndarray
        Objects (m, 5): xyxy and the ignore flag.

    """
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    ignored = truth[:, 4] > 0
    overlaps = iou(boxes, truth)
    hits, counted, taken = np.zeros(len(boxes), bool), np.ones(len(boxes), bool), np.zeros(len(truth), bool)
    for index in range(len(boxes)):
        free = np.where(taken | ignored, -1.0, overlaps[index])
        if free.size and free.max() >= MATCH_IOU:
            taken[free.argmax()] = hits[index] = True
        elif (overlaps[index][ignored] >= MATCH_IOU).any():
            counted[index] = False
    return scores[counted], hits[counted], int((~ignored).sum())


def match_all(detections: list[tuple[np.ndarray, np.ndarray]], truths: list[np.ndarray]) -> Matches:
    """Match the raw detections (boxes, scores) of each image with its objects, after suppression."""
    parts = []
    for (boxes, scores), truth in zip(detections, truths, strict=True):
        kept = suppress(boxes, scores)
        parts.append(match_image(boxes[kept], scores[kept], truth))
    scores, hits = (np.concatenate([part[index] for part in parts]) for index in (0, 1))
    return Matches(scores, hits, sum(part[2] for part in parts))
