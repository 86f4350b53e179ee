"""All metrics of a detector on one data set, on the sample and on its resamples, from one match table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.detection.average_precision import RECALL_POINTS, AveragePrecision, average_precision
from pytest_mle.checks.detection.cluster_intervals import MINIMUM_CLUSTERS
from pytest_mle.checks.detection.ground_truth import detected_boxes, true_boxes
from pytest_mle.checks.detection.matching import (
    COCO_IOU_THRESHOLDS,
    WHOLE_AREA,
    DetectedBoxes,
    MatchTable,
    TrueBoxes,
    match_detections,
)
from pytest_mle.checks.detection.operating_point import count_detections
from pytest_mle.checks.detection.resampling import resample_average_precision, resample_rates
from pytest_mle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_mle.checks.detection.ground_truth import Clusters
    from pytest_mle.checks.detection.operating_point import DetectionCounts
    from pytest_mle.checks.detection.resampling import ResampledAveragePrecision, ResampledRates
    from pytest_mle.inputs.predictions import Predictions

    Floats = NDArray[np.float64]

MATCHER = "COCO greedy, version 1"


@dataclass(frozen=True, slots=True)
class Protocol:
    """What a detection metric means nothing without.

    Parameters
    ----------
    score_threshold, iou_threshold
        Operating point of precision, recall, F1 and rates.
    area_range
        Smallest and largest area in square pixels of objects that count.
    max_detections
        Best scored detections that count per image and class.
    """

    score_threshold: float = 0.5
    iou_threshold: float = 0.5
    area_range: tuple[float, float] | None = None
    max_detections: int = 100

    def settings(self) -> dict[str, Any]:
        """Return what is recorded with each result."""
        return {
            "score_threshold": self.score_threshold,
            "iou_threshold": self.iou_threshold,
            "map_iou_thresholds": [round(threshold, 2) for threshold in COCO_IOU_THRESHOLDS],
            "interpolation": f"{len(RECALL_POINTS)} recall points",
            "max_detections": self.max_detections,
            "area_range_px": None if self.area_range is None else list(self.area_range),
            "matcher": MATCHER,
        }


@dataclass(frozen=True, slots=True, eq=False)
class MatchedDetections:
    """Detections and objects of one data set with their matches.

    ``table`` at COCO's ten IoU thresholds, ``operating_table`` at the one of the operating point (the same object where
    that is one of the ten).
    """

    detected: DetectedBoxes
    truth: TrueBoxes
    table: MatchTable
    operating_table: MatchTable
    counts: DetectionCounts
    protocol: Protocol

    @property
    def object_count(self) -> int:
        """Number of objects to find."""
        return int(np.count_nonzero(~self.table.truth_ignored))


def match_predictions(predictions: Predictions, protocol: Protocol) -> MatchedDetections:
    """Match all detections with the annotations of their data set.

    Raises
    ------
    InputError
        Predictions of a classifier, a data set without boxes, or parameters that make no sense.
    """
    detected, truth = detected_boxes(predictions), true_boxes(predictions.dataset)
    area_range = WHOLE_AREA if protocol.area_range is None else _pair(protocol.area_range)
    in_coco = any(abs(one - protocol.iou_threshold) < 1e-9 for one in COCO_IOU_THRESHOLDS)

    def match(iou_thresholds: tuple[float, ...]) -> MatchTable:
        return match_detections(
            detected,
            truth,
            image_count=len(predictions.dataset),
            iou_thresholds=iou_thresholds,
            area_range=area_range,
            max_detections=protocol.max_detections,
        )

    try:
        table = match(COCO_IOU_THRESHOLDS)
        operating = table if in_coco else match((protocol.iou_threshold,))
        counts = count_detections(
            operating, score_threshold=protocol.score_threshold, iou_threshold=protocol.iou_threshold
        )
    except ValueError as error:
        model, dataset = predictions.model.name, predictions.dataset.name
        raise InputError(f"cannot evaluate model {model!r} on data set {dataset!r}: {error}") from error
    return MatchedDetections(detected, truth, table, operating, counts, protocol)


@dataclass(frozen=True, slots=True, eq=False)
class ResampledMetrics:
    """Metrics on bootstrap resamples; ``precision`` is NaN where a class of the sample is missing in a resample."""

    average_precision: ResampledAveragePrecision
    rates: ResampledRates
    without_one: ResampledAveragePrecision | None


def resample_metrics(matched: MatchedDetections, clusters: Clusters, weights: NDArray[Any]) -> ResampledMetrics:
    """Compute all metrics for each row of ``weights`` ``(resample, cluster)``."""
    few = clusters.count < MINIMUM_CLUSTERS
    leave_one_out = 1 - np.eye(clusters.count, dtype=np.int64)
    return ResampledMetrics(
        average_precision=resample_average_precision(matched.table, clusters.of_image, weights),
        rates=resample_rates(matched.counts, clusters.of_image, weights),
        without_one=resample_average_precision(matched.table, clusters.of_image, leave_one_out) if few else None,
    )


def with_all_classes(values: Floats, whole: AveragePrecision, resampled: ResampledAveragePrecision) -> Floats:
    """Set to NaN the resamples that lack a class of the sample: their mean is over other classes.

    ``values`` ``(resample,)`` are means of ``resampled``.
    """
    has_truth = whole.truth_counts > 0
    complete = np.isfinite(resampled.values[:, 0, has_truth]).all(axis=1)
    return np.where(complete, values, np.nan)


def evaluate(matched: MatchedDetections) -> AveragePrecision:
    """Return average precision of the sample."""
    return average_precision(matched.table)


def clusters_with_error_and_hit(matched: MatchedDetections, clusters: Clusters) -> tuple[int, int]:
    """Count the clusters with something that lowers average precision, and those with something that raises it.

    A missed object lowers it, and so does a false alarm scored above the last hit of its class; false alarms below that
    change nothing (the interpolated curve ends at the last hit). An error at any of the IoU thresholds counts.
    """
    table = matched.table
    lowered = np.zeros(table.image_count, dtype=np.bool_)
    raised = np.zeros(table.image_count, dtype=np.bool_)
    counted_truth = ~table.truth_ignored
    missed = ((table.truth_match < 0) & counted_truth).any(axis=0)
    lowered[table.truth_image[missed]] = True
    raised[table.truth_image[((table.truth_match >= 0) & counted_truth).any(axis=0)]] = True
    for position in range(len(table.classes)):
        rows = table.class_rows(position)
        counted = ~table.detection_ignored[:, rows]
        hit = counted & (table.detection_match[:, rows] >= 0)
        is_before_last_hit = np.cumsum(hit[:, ::-1], axis=1)[:, ::-1] > 0
        harmful = (counted & ~hit & is_before_last_hit).any(axis=0)
        lowered[table.detection_image[rows][harmful]] = True
    with_error, with_hit = (np.count_nonzero(clusters.sums(flags)) for flags in (lowered, raised))
    return int(with_error), int(with_hit)


def _pair(area_range: Sequence[float]) -> tuple[float, float]:
    if len(area_range) != 2:
        raise InputError(f"area_range must be the smallest and the largest area, got {list(area_range)}")
    return float(area_range[0]), float(area_range[1])
