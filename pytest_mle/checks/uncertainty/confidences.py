"""How sure a model was and whether it was right, for classifiers and for detectors alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.cluster_intervals import ClusterCounts
from pytest_mle.checks.deployment.paired_outcomes import ClassifiedImages, outcomes_of
from pytest_mle.checks.detection.detection_metrics import Protocol, match_predictions
from pytest_mle.checks.detection.ground_truth import image_clusters
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.predictions import ClassificationPredictions
from pytest_mle.records.finding import ValidityCondition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.checks.detection.ground_truth import Clusters
    from pytest_mle.inputs.predictions import DetectionPredictions, Predictions

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Confidences:
    """Predictions with their confidence: images of a classifier, detections of a detector.

    ``values`` ``(unit,)`` in 0..1, ``is_hit`` ``(unit,)``, ``image`` ``(unit,)`` the position in the data set; ``noun``
    says what a unit is. ``objects`` is the number of annotated objects, None for a classifier.
    """

    values: Floats
    is_hit: Booleans
    image: Integers
    clusters: Clusters
    noun: str
    objects: int | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def cluster(self) -> Integers:
        """Cluster of each unit."""
        return self.clusters.of_image[self.image]

    def per_cluster(self, values: NDArray[np.generic]) -> Floats:
        """Add up a number per unit to one per cluster."""
        return np.bincount(self.cluster, weights=values, minlength=self.clusters.count).astype(np.float64)

    def counts(self, events: Booleans) -> ClusterCounts:
        """Return events and units by cluster."""
        return ClusterCounts(self.per_cluster(events), self.per_cluster(np.ones(len(self))))

    def restricted_to(self, units: Booleans) -> Confidences:
        """Return some of the units; the clusters keep their numbers."""
        return Confidences(
            self.values[units], self.is_hit[units], self.image[units], self.clusters, self.noun, self.objects
        )

    def validity(self, minimum: int) -> tuple[ValidityCondition, ...]:
        """Return what must hold for a confidence to be worth anything."""
        distinct = len(np.unique(self.values))
        conditions = [
            ValidityCondition(
                "enough_predictions", len(self) >= minimum, f"{len(self)} {self.noun}, at least {minimum} are needed"
            ),
            ValidityCondition(
                "confidences_differ",
                distinct > 1,
                f"{distinct} distinct confidences among {len(self)} {self.noun}: a constant tells nothing apart",
            ),
        ]
        if self.objects is not None:
            conditions.append(
                ValidityCondition("objects_to_find", self.objects > 0, f"{self.objects} annotated objects to find")
            )
        return tuple(conditions)


def confidences_of(
    predictions: Predictions, *, score_threshold: float, iou_threshold: float, sequence: str | None
) -> Confidences:
    """Return how sure a model was of its predictions and which of them are right.

    A classifier's confidence is its largest probability, and it is right if that is the true class's. A detector's is
    the score of a detection, and it is right if the detection is matched with an annotated object of its class as COCO
    matches; detections of ignored objects count neither way.

    Parameters
    ----------
    score_threshold, iou_threshold
        For detectors: detections with a lower score are left out; overlap from which a detection is right.
    sequence
        Attribute of images that groups what is not independent; None takes the data set's sequences.

    Raises
    ------
    InputError
        For a confidence that is not a number in 0..1, or a data set that does not fit the model.
    NotMeasurableError
        If there is no image, or no detection.
    """
    dataset = predictions.dataset
    if len(dataset) == 0:
        raise NotMeasurableError(f"data set {dataset.name!r} holds no samples")
    clusters = image_clusters(dataset, sequence)
    if isinstance(predictions, ClassificationPredictions):
        outcomes = outcomes_of(predictions, "accuracy", Protocol())
        assert isinstance(outcomes, ClassifiedImages)
        values = predictions.probabilities.max(axis=1).astype(np.float64)
        found = Confidences(values, outcomes.correct, np.arange(len(values)), clusters, "images")
    else:
        found = _of_detections(predictions, clusters, Protocol(score_threshold, iou_threshold))
    is_bad = ~((found.values >= 0) & (found.values <= 1 + 1e-6))
    if is_bad.any():
        first = int(is_bad.argmax())
        raise InputError(
            f"model {predictions.model.name!r}, image {dataset.sample(int(found.image[first])).id!r}: a confidence "
            f"lies in 0..1, got {found.values[first]}"
        )
    return found


def _of_detections(predictions: DetectionPredictions, clusters: Clusters, protocol: Protocol) -> Confidences:
    matched = match_predictions(predictions, protocol)
    table = matched.operating_table
    position = table.threshold_position(protocol.iou_threshold)
    used = ~table.detection_ignored[position] & (table.detection_score >= protocol.score_threshold)
    if not used.any():
        raise NotMeasurableError(
            f"model {predictions.model.name!r} reports no detection with a score of at least "
            f"{protocol.score_threshold:g} on data set {predictions.dataset.name!r}"
        )
    return Confidences(
        table.detection_score[used],
        table.detection_match[position, used] >= 0,
        table.detection_image[used],
        clusters,
        "detections",
        matched.object_count,
    )
