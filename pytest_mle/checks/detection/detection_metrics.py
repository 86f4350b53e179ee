"""All metrics of a detector on one data set, on the sample and on its resamples, from one match table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.detection.average_precision import RECALL_POINTS
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
from pytest_mle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_mle.checks.detection.operating_point import DetectionCounts
    from pytest_mle.checks.detection.resampling import ResampledAveragePrecision
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
    try:
        return match_boxes(detected, truth, len(predictions.dataset), protocol)
    except ValueError as error:
        model, dataset = predictions.model.name, predictions.dataset.name
        raise InputError(f"cannot evaluate model {model!r} on data set {dataset!r}: {error}") from error


def match_boxes(detected: DetectedBoxes, truth: TrueBoxes, image_count: int, protocol: Protocol) -> MatchedDetections:
    """Match detections with objects; ValueError if a parameter or an index makes no sense."""
    area_range = WHOLE_AREA if protocol.area_range is None else _pair(protocol.area_range)

    def match(iou_thresholds: tuple[float, ...]) -> MatchTable:
        return match_detections(
            detected,
            truth,
            image_count=image_count,
            iou_thresholds=iou_thresholds,
            area_range=area_range,
            max_detections=protocol.max_detections,
        )

    table = match(COCO_IOU_THRESHOLDS)
    in_coco = any(abs(one - protocol.iou_threshold) < 1e-9 for one in COCO_IOU_THRESHOLDS)
    operating = table if in_coco else match((protocol.iou_threshold,))
    counts = count_detections(operating, score_threshold=protocol.score_threshold, iou_threshold=protocol.iou_threshold)
    return MatchedDetections(detected, truth, table, operating, counts, protocol)


def with_all_classes(values: Floats, truth_counts: NDArray[np.int64], resampled: ResampledAveragePrecision) -> Floats:
    """Set to NaN the resamples that lack a class of the sample, because their mean is over other classes.

    ``values`` ``(resample,)`` are means of ``resampled``.
    """
    is_complete = np.isfinite(resampled.values[:, 0, truth_counts > 0]).all(axis=1)
    complete: Floats = np.where(is_complete, values, np.nan)
    return complete


@dataclass(frozen=True, slots=True, eq=False)
class RankingOutcome:
    """What average precision rests on, at the IoU thresholds of a match table.

    ``found`` ``(threshold, object)`` tells which objects are matched, ``harmful`` ``(threshold, image)`` counts the
    false alarms scored above the last hit of their class. False alarms below that change nothing: the interpolated
    curve ends at the last hit.
    """

    found: NDArray[np.bool_]
    harmful: NDArray[np.int64]

    @classmethod
    def of(cls, table: MatchTable, *, only_first: bool = False) -> RankingOutcome:
        """Read it from a match table, at all of its thresholds or only the first."""
        thresholds = slice(0, 1) if only_first else slice(None)
        match, ignored = table.detection_match[thresholds], table.detection_ignored[thresholds]
        is_harmful = np.zeros(match.shape, dtype=np.bool_)
        for position in range(len(table.classes)):
            rows = table.class_rows(position)
            counted = ~ignored[:, rows]
            hit = counted & (match[:, rows] >= 0)
            is_before_last_hit = np.logical_or.accumulate(hit[:, ::-1], axis=1)[:, ::-1]
            is_harmful[:, rows] = counted & ~hit & is_before_last_hit
        images = table.image_count
        harmful = [np.bincount(table.detection_image[row], minlength=images) for row in is_harmful]
        found = (table.truth_match[thresholds] >= 0) & ~table.truth_ignored
        return cls(found=found, harmful=np.stack(harmful))

    def lowered_and_raised(self, table: MatchTable) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which images ``(image,)`` have an error, and which have a hit, at any threshold."""
        lowered: NDArray[np.bool_] = self.harmful.sum(axis=0) > 0
        lowered[table.truth_image[(~self.found & ~table.truth_ignored).any(axis=0)]] = True
        raised = np.zeros(table.image_count, dtype=np.bool_)
        raised[table.truth_image[self.found.any(axis=0)]] = True
        return lowered, raised


def _pair(area_range: Sequence[float]) -> tuple[float, float]:
    if len(area_range) != 2:
        message = f"area_range must be the smallest and the largest area, got {list(area_range)}"
        raise ValueError(message)
    return float(area_range[0]), float(area_range[1])
