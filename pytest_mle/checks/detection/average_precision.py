"""Precision over recall and average precision as COCO defines them, from a match table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.detection.matching import COCO_IOU_THRESHOLDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.checks.detection.matching import MatchTable

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

RECALL_POINTS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True, eq=False)
class AveragePrecision:
    """Average precision per IoU threshold and class, in 0..1, higher is better.

    ``precision`` ``(threshold, recall point, class)`` is the interpolated curve at :data:`RECALL_POINTS`, ``values``
    ``(threshold, class)`` its mean, ``recall`` ``(threshold, class)`` the share of objects found by any detection in
    the table. Classes without an object to find are NaN and named in ``classes_without_truth``; means leave them out.
    """

    iou_thresholds: Floats
    classes: Integers
    precision: Floats
    values: Floats
    recall: Floats
    truth_counts: Integers
    classes_without_truth: tuple[int, ...]

    @property
    def map_50(self) -> float:
        """Mean over classes at IoU 0.5."""
        return float(mean_at(self.values, self.iou_thresholds, 0.5))

    @property
    def map_75(self) -> float:
        """Mean over classes at IoU 0.75."""
        return float(mean_at(self.values, self.iou_thresholds, 0.75))

    @property
    def map_50_95(self) -> float:
        """Mean over classes and the ten IoU thresholds 0.50, 0.55, ..., 0.95 (COCO's AP)."""
        return float(mean_over_coco_thresholds(self.values, self.iou_thresholds))

    @property
    def average_recall(self) -> float:
        """Mean recall over classes and the ten IoU thresholds (COCO's AR)."""
        return float(mean_over_coco_thresholds(self.recall, self.iou_thresholds))


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall after each detection that counts, ``(detection,)`` each, by falling ``score``.

    ``precision`` is the raw one; COCO's interpolation replaces it by the highest one at the same or a higher recall.
    """

    score: Floats
    precision: Floats
    recall: Floats


def average_precision(table: MatchTable) -> AveragePrecision:
    """Compute average precision with COCO's interpolation at 101 recall points.

    Precision at a recall point is the highest precision at any recall not below it, 0 where that recall is not reached;
    average precision is the mean over the points.

    Raises
    ------
    ValueError
        The table has no object to find in any class.

    Notes
    -----
    Equal to ``pycocotools.cocoeval.COCOeval.accumulate``, but for the 2e-16 that it adds to the number of detections:
    with it a perfect detector would miss a target of 100 %. The interpolated curve depends on its points at true
    positives alone (a false positive only lowers precision at equal recall), so only those are looked at.
    """
    truth_counts = table.truth_counts
    require_truth(truth_counts)
    thresholds, classes = len(table.iou_thresholds), len(table.classes)
    precision = np.full((thresholds, len(RECALL_POINTS), classes), np.nan)
    recall = np.full((thresholds, classes), np.nan)
    for position in np.flatnonzero(truth_counts).tolist():
        rows = table.class_rows(position)
        for threshold in range(thresholds):
            counted = ~table.detection_ignored[threshold, rows]
            true_positive = counted & (table.detection_match[threshold, rows] >= 0)
            hits = np.arange(1, np.count_nonzero(true_positive) + 1)
            recalls = hits / truth_counts[position]
            precisions = hits / np.cumsum(counted)[true_positive]
            precision[threshold, :, position] = _interpolated(recalls, precisions)
            recall[threshold, position] = recalls[-1] if len(recalls) else 0.0
    return AveragePrecision(
        iou_thresholds=table.iou_thresholds,
        classes=table.classes,
        precision=precision,
        values=precision.mean(axis=1),
        recall=recall,
        truth_counts=truth_counts,
        classes_without_truth=table.classes_without_truth,
    )


def precision_recall_curve(table: MatchTable, label: int, iou_threshold: float = 0.5) -> PrecisionRecallCurve:
    """Compute the raw precision-recall curve of one class.

    Raises
    ------
    ValueError
        The class is not in the table or has no object to find, or the table was not matched at the threshold.
    """
    threshold = table.threshold_position(iou_threshold)
    found = np.flatnonzero(table.classes == label)
    if len(found) == 0:
        message = f"class {label} is not in the table, which has {table.classes.tolist()}"
        raise ValueError(message)
    position = int(found[0])
    truth_count = int(table.truth_counts[position])
    if truth_count == 0:
        message = f"class {label} has no object to find: recall is undefined"
        raise ValueError(message)
    rows = table.class_rows(position)
    counted = np.flatnonzero(~table.detection_ignored[threshold, rows])
    hits = np.cumsum(table.detection_match[threshold, rows][counted] >= 0)
    return PrecisionRecallCurve(
        score=table.detection_score[rows][counted],
        precision=hits / np.arange(1, len(counted) + 1),
        recall=hits / truth_count,
    )


def mean_at(values: Floats, iou_thresholds: Floats, iou_threshold: float) -> Floats:
    """Average ``values`` ``(..., threshold, class)`` over the classes at one IoU threshold; NaN if no class has one."""
    close = np.flatnonzero(np.abs(iou_thresholds - iou_threshold) < 1e-9)
    if len(close) == 0:
        message = f"boxes were not matched at IoU {iou_threshold:g}, only at {iou_thresholds.tolist()}"
        raise ValueError(message)
    return mean_of_defined(values[..., close[0], :])


def mean_over_coco_thresholds(values: Floats, iou_thresholds: Floats) -> Floats:
    """Average ``values`` ``(..., threshold, class)`` over classes and thresholds, which must be COCO's ten."""
    if not (iou_thresholds.shape == (10,) and np.allclose(iou_thresholds, COCO_IOU_THRESHOLDS, rtol=0, atol=1e-9)):
        message = f"the mean over IoU 0.50..0.95 needs COCO's ten thresholds, got {iou_thresholds.tolist()}"
        raise ValueError(message)
    return mean_of_defined(values.reshape(*values.shape[:-2], -1))


def mean_of_defined(values: Floats) -> Floats:
    """Average over the last axis without NaN; NaN where nothing is left, so that no number comes from no data."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=-1)
    total = np.where(defined, values, 0.0).sum(axis=-1)
    mean: Floats = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean


def require_truth(truth_counts: Integers) -> None:
    """Raise unless some class has an object to find."""
    if not truth_counts.any():
        message = (
            f"no object to find in any of {len(truth_counts)} classes (none at all, or all ignored): "
            "accuracy is undefined. Check labels, slice and area range."
        )
        raise ValueError(message)


def _interpolated(recalls: Floats, precisions: Floats) -> Floats:
    """Return precision at :data:`RECALL_POINTS` for points of rising recall."""
    highest_after = np.maximum.accumulate(precisions[::-1])[::-1]
    # The entry behind the last point answers for a recall that is never reached.
    return np.append(highest_after, 0.0)[np.searchsorted(recalls, RECALL_POINTS)]
