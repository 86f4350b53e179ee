"""What two models make of the same images, so that they can be compared image by image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pytest_mle.checks.detection.detection_findings import missed_at_operating_point
from pytest_mle.checks.detection.detection_metrics import (
    MatchedDetections,
    RankingOutcome,
    match_boxes,
    with_all_classes,
)
from pytest_mle.checks.detection.ground_truth import detected_boxes, true_boxes
from pytest_mle.checks.detection.matching import DetectedBoxes, TrueBoxes
from pytest_mle.checks.detection.resampling import resample_average_precision, resample_rates
from pytest_mle.errors import InputError
from pytest_mle.inputs.predictions import ClassificationPredictions, DetectionPredictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.checks.detection.detection_metrics import Protocol as DetectionProtocol
    from pytest_mle.inputs.predictions import Predictions

    Floats = NDArray[np.float64]
    Booleans = NDArray[np.bool_]

RANKING_METRICS = ("map_50", "map_50_95")
RATE_METRICS = ("recall", "f1")
METRICS = {"detection": (*RANKING_METRICS, *RATE_METRICS), "classification": ("accuracy",)}


class Outcomes(Protocol):
    """The outcomes of one model on a set of images."""

    def scores(self, cluster_of_image: NDArray[np.int64], weights: NDArray[Any]) -> Floats:
        """Return the metric for each row of ``weights`` ``(row, cluster)``; NaN where it is undefined.

        A row that lacks a class which the images have is undefined too.
        """
        ...

    def lowered_and_raised(self) -> tuple[Booleans, Booleans]:
        """Return which images ``(image,)`` have an error and which have a hit."""
        ...

    def differ_from(self, other: Any) -> Booleans:
        """Return the images ``(image,)`` in which something differs that the metric rests on."""
        ...

    def discordant_with(self, other: Any) -> Booleans:
        """Return the images ``(image,)`` on which two models, as they are used, are not equally right."""
        ...

    def losses(self) -> Floats:
        """Return a number of errors per image, for the list of images that became worse."""
        ...

    def restricted_to(self, images: NDArray[np.int64]) -> Outcomes:
        """Return the outcomes on some of the images."""
        ...

    @property
    def units(self) -> int:
        """Number of things that can be right or wrong: objects to find, or images."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ClassifiedImages:
    """A classifier's outcomes: ``correct`` ``(image,)``."""

    correct: Booleans

    def scores(self, cluster_of_image: NDArray[np.int64], weights: NDArray[Any]) -> Floats:
        """Return accuracy."""
        clusters = weights.shape[1]
        images = np.bincount(cluster_of_image, minlength=clusters).astype(np.float64)
        hits = np.bincount(cluster_of_image, weights=self.correct, minlength=clusters)
        # Row by row, because all weights as floating point numbers would need gigabytes.
        return np.array([_ratio(float(row @ hits), float(row @ images)) for row in weights])

    def lowered_and_raised(self) -> tuple[Booleans, Booleans]:
        """Return wrong and right images."""
        return ~self.correct, self.correct

    def differ_from(self, other: ClassifiedImages) -> Booleans:
        """Return the images that exactly one of the two classifies correctly (McNemar's discordant pairs)."""
        differs: Booleans = self.correct != other.correct
        return differs

    def discordant_with(self, other: ClassifiedImages) -> Booleans:
        """Return the same images."""
        return self.differ_from(other)

    def losses(self) -> Floats:
        """Return 1 for a wrong image."""
        return (~self.correct).astype(np.float64)

    def restricted_to(self, images: NDArray[np.int64]) -> ClassifiedImages:
        """Return the outcomes on some of the images."""
        return ClassifiedImages(self.correct[images])

    @property
    def units(self) -> int:
        """Number of images."""
        return len(self.correct)


@dataclass(frozen=True, slots=True, eq=False)
class DetectedObjects:
    """A detector's outcomes by one metric."""

    matched: MatchedDetections
    metric: str

    def scores(self, cluster_of_image: NDArray[np.int64], weights: NDArray[Any]) -> Floats:
        """Return the metric of each row."""
        if self.metric in RATE_METRICS:
            rates = resample_rates(self.matched.counts, cluster_of_image, weights)
            return getattr(rates, self.metric)  # type: ignore[no-any-return]
        resampled = resample_average_precision(self.matched.table, cluster_of_image, weights)
        return with_all_classes(getattr(resampled, self.metric), self.matched.table.truth_counts, resampled)

    def lowered_and_raised(self) -> tuple[Booleans, Booleans]:
        """Return the images with an error and those with a hit."""
        if self.metric in RANKING_METRICS:
            return self._ranking().lowered_and_raised(self.matched.table)
        counts = self.matched.counts
        errors = counts.false_negatives + (counts.false_positives if self.metric == "f1" else 0)
        lowered: Booleans = errors.sum(axis=1) > 0
        raised: Booleans = counts.true_positives.sum(axis=1) > 0
        return lowered, raised

    def differ_from(self, other: DetectedObjects) -> Booleans:
        """Return the images in which other objects are found, or other numbers of false alarms matter."""
        if self.metric in RANKING_METRICS:
            ours, theirs = self._ranking(), other._ranking()
            return self._images_with(ours.found != theirs.found, ours.harmful != theirs.harmful)
        return self._differ_when_used(other, with_false_alarms=self.metric == "f1")

    def discordant_with(self, other: DetectedObjects) -> Booleans:
        """Return the images in which other objects are found, or numbers of false alarms differ, when used."""
        return self._differ_when_used(other, with_false_alarms=True)

    def losses(self) -> Floats:
        """Return missed objects and false alarms per image at the operating point."""
        counts = self.matched.counts
        errors: Floats = (counts.false_negatives + counts.false_positives).sum(axis=1).astype(np.float64)
        return errors

    def restricted_to(self, images: NDArray[np.int64]) -> DetectedObjects:
        """Return the outcomes on some of the images, matched anew."""
        before = self.matched
        new_index = np.full(before.table.image_count, -1, dtype=np.int64)
        new_index[images] = np.arange(len(images))
        detected = before.detected
        kept = new_index[detected.image_index] >= 0
        fewer = DetectedBoxes(
            detected.boxes[kept], detected.scores[kept], detected.labels[kept], new_index[detected.image_index[kept]]
        )
        truth = before.truth
        rows = new_index[truth.image_index] >= 0
        objects = TrueBoxes(
            truth.boxes[rows],
            truth.labels[rows],
            new_index[truth.image_index[rows]],
            ignored=None if truth.ignored is None else truth.ignored[rows],
        )
        return replace(self, matched=match_boxes(fewer, objects, len(images), before.protocol))

    @property
    def units(self) -> int:
        """Number of objects to find."""
        return self.matched.object_count

    def _ranking(self) -> RankingOutcome:
        return RankingOutcome.of(self.matched.table, only_first=self.metric == "map_50")

    def _differ_when_used(self, other: DetectedObjects, *, with_false_alarms: bool) -> Booleans:
        missed = missed_at_operating_point(self.matched) != missed_at_operating_point(other.matched)
        ours, theirs = (one.matched.counts.false_positives.sum(axis=1) for one in (self, other))
        return self._images_with(missed[None], (ours != theirs)[None] & with_false_alarms)

    def _images_with(self, objects: Booleans, images: Booleans) -> Booleans:
        """Return the images that have any of the objects or are among the images: ``(threshold, ...)`` each."""
        chosen: Booleans = np.logical_or.reduce(images, axis=0)
        chosen[self.matched.truth.image_index[objects.any(axis=0)]] = True
        return chosen


def outcomes_of(predictions: Predictions, metric: str, protocol: DetectionProtocol) -> Outcomes:
    """Compare predictions with the truth.

    Raises
    ------
    InputError
        A metric that predictions of this kind do not have, or a data set whose annotations do not fit.
    """
    task = "detection" if isinstance(predictions, DetectionPredictions) else "classification"
    if metric not in METRICS[task]:
        allowed = ", ".join(METRICS[task])
        raise InputError(
            f"model {predictions.model.name!r} is for {task}: metric must be one of {allowed}, got {metric!r}"
        )
    if isinstance(predictions, ClassificationPredictions):
        return ClassifiedImages(_correct(predictions))
    try:
        matched = match_boxes(
            detected_boxes(predictions), true_boxes(predictions.dataset), len(predictions.dataset), protocol
        )
    except ValueError as error:
        raise InputError(f"cannot evaluate model {predictions.model.name!r}: {error}") from error
    return DetectedObjects(matched, metric)


def _correct(predictions: ClassificationPredictions) -> Booleans:
    dataset, probabilities = predictions.dataset, predictions.probabilities
    if dataset.task != "classification":
        raise InputError(f"data set {dataset.name!r} is for {dataset.task}: accuracy needs the class of each image")
    if probabilities.ndim != 2 or len(probabilities) != len(dataset) or not np.isfinite(probabilities).all():
        raise InputError(
            f"model {predictions.model.name!r}: expected finite probabilities for {len(dataset)} images, "
            f"got an array {list(probabilities.shape)}"
        )
    labels = np.array([dataset.label(index) for index in range(len(dataset))], dtype=np.int64)
    # The first of equally probable classes wins, for both models alike.
    correct: Booleans = probabilities.argmax(axis=1) == labels
    return correct


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")
