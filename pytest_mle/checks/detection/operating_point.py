"""Count hits, misses and false alarms at the score threshold at which a detector is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.detection.average_precision import require_truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.checks.detection.matching import MatchTable

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class DetectionCounts:
    """True positives, false positives and false negatives, ``(image, class)`` each.

    Detections of a class that has no object are false positives like any others.
    """

    classes: Integers
    true_positives: Integers
    false_positives: Integers
    false_negatives: Integers

    @property
    def image_count(self) -> int:
        """Number of images, those without any box included."""
        return len(self.true_positives)


@dataclass(frozen=True, slots=True)
class DetectionRates:
    """Rates at one operating point, pooled over images and classes.

    ``precision``, ``recall`` and ``f1`` in 0..1, higher is better; ``false_negative_rate`` = 1 - recall and
    ``false_positives_per_image``: lower is better. ``precision`` is NaN where nothing was detected.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    image_count: int
    precision: float
    recall: float
    f1: float
    false_negative_rate: float
    false_positives_per_image: float


def count_detections(table: MatchTable, *, score_threshold: float, iou_threshold: float = 0.5) -> DetectionCounts:
    """Count what a detector finds, misses and invents when it reports scores of at least ``score_threshold``.

    Ignored objects are neither found nor missed, and a detection that matches one is no false alarm. Counting needs no
    new matching: lower scores never take an object away from higher ones.

    Raises
    ------
    ValueError
        ``score_threshold`` is not finite, or the table was not matched at ``iou_threshold``.
    """
    if not np.isfinite(score_threshold):
        message = f"score_threshold must be finite, got {score_threshold}"
        raise ValueError(message)
    threshold = table.threshold_position(iou_threshold)
    reported = (table.detection_score >= score_threshold) & ~table.detection_ignored[threshold]
    hit = table.detection_match[threshold] >= 0
    true_positives = _per_image_and_class(table, reported & hit)
    objects = _histogram(table, table.truth_image, table.truth_class, ~table.truth_ignored)
    return DetectionCounts(
        classes=table.classes,
        true_positives=true_positives,
        false_positives=_per_image_and_class(table, reported & ~hit),
        false_negatives=objects - true_positives,
    )


def detection_rates(counts: DetectionCounts) -> DetectionRates:
    """Compute precision, recall, F1, false negative rate and false positives per image over all images and classes.

    Raises
    ------
    ValueError
        There is no object to find.
    """
    require_truth((counts.true_positives + counts.false_negatives).sum(axis=0))
    true_positives = int(counts.true_positives.sum())
    false_positives = int(counts.false_positives.sum())
    false_negatives = int(counts.false_negatives.sum())
    objects = true_positives + false_negatives
    detections = true_positives + false_positives
    return DetectionRates(
        true_positives=true_positives,
        false_positives=false_positives,
        false_negatives=false_negatives,
        image_count=counts.image_count,
        precision=true_positives / detections if detections else float("nan"),
        recall=true_positives / objects,
        f1=2 * true_positives / (objects + detections),
        false_negative_rate=false_negatives / objects,
        false_positives_per_image=false_positives / counts.image_count,
    )


def _per_image_and_class(table: MatchTable, selected: NDArray[np.bool_]) -> Integers:
    """Count the selected detections ``(image, class)``."""
    return _histogram(table, table.detection_image, table.detection_class, selected)


def _histogram(table: MatchTable, image: Integers, class_position: Integers, selected: NDArray[np.bool_]) -> Integers:
    """Count selected entries ``(image, class)``."""
    shape = (table.image_count, len(table.classes))
    cell = image[selected] * shape[1] + class_position[selected]
    return np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
