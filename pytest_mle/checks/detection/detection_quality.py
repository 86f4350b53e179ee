"""Average precision and rates at the operating point of a detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.cluster_intervals import (
    ClusterCounts,
    ClusteredScore,
    clustered_score,
    rate_over_effective_size,
    share_over_effective_size,
)
from pytest_mle.checks.declaration import check
from pytest_mle.checks.detection.average_precision import average_precision
from pytest_mle.checks.detection.detection_figures import detection_figures
from pytest_mle.checks.detection.detection_findings import detection_findings
from pytest_mle.checks.detection.detection_metrics import (
    MatchedDetections,
    Protocol,
    RankingOutcome,
    match_predictions,
    with_all_classes,
)
from pytest_mle.checks.detection.ground_truth import Clusters, image_clusters
from pytest_mle.checks.detection.resampling import draw_cluster_weights, resample_average_precision
from pytest_mle.errors import InputError
from pytest_mle.records.finding import ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import estimate, exact

if TYPE_CHECKING:
    from pytest_mle.checks.detection.average_precision import AveragePrecision
    from pytest_mle.checks.detection.operating_point import DetectionCounts
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.predictions import DetectionPredictions
    from pytest_mle.records.quantity import Quantity

FEWEST_RESAMPLES = 1000


@check(
    quantities={
        "map_50": estimate("1", "higher", "mean average precision at IoU 0.5"),
        "map_50_95": estimate("1", "higher", "mean average precision over IoU 0.50, 0.55, ..., 0.95 (COCO's AP)"),
        "precision": estimate("1", "higher", "share of the reported detections that match an object"),
        "recall": estimate("1", "higher", "share of the objects that are found"),
        "f1": estimate("1", "higher", "harmonic mean of precision and recall"),
        "false_negative_rate": estimate("1", "lower", "share of the objects that are missed"),
        "false_positives_per_image": estimate("1", "lower", "reported detections without object, per image"),
        "images": exact("{image}", "higher", "images, those without objects included"),
        "objects": exact("{object}", "higher", "objects to find"),
        "ignored_objects": exact("{object}", None, "objects that count neither way"),
    }
)
def detection_quality(
    predictions: DetectionPredictions,
    rng: np.random.Generator,
    *,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.5,
    area_range: tuple[float, float] | None = None,
    max_detections: int = 100,
    resamples: int = 2000,
    sequence: str | None = None,
    minimum_images: int = 1,
) -> Measurement:
    """Measure how well a detector finds objects, by the COCO protocol and at its operating point.

    Detections are matched with annotated objects greedily by falling score, one object each, from an IoU on. Average
    precision ranks all detections; precision, recall, F1, false negative rate (= 1 - recall, higher is worse) and
    false positives per image count those with a score of at least ``score_threshold``, pooled over classes.

    Objects that are ignored (crowds, objects outside a slice or ``area_range``) are neither found nor missed, and a
    detection that matches one is no false alarm. A false alarm that matches nothing has no attributes of objects, so it
    counts in every slice of objects.

    Parameters
    ----------
    score_threshold
        Score from which the system uses a detection; take it from the integration, not from the best F1.
    iou_threshold
        Overlap from which an object is found, for the rates.
    area_range
        Smallest and largest box area in square pixels that counts. Default: all.
    max_detections
        Best scored detections that count per image and class.
    resamples
        Bootstrap resamples, at least 1000.
    sequence
        Attribute of images that groups what is not independent. Default: the data set's sequences.
    minimum_images
        Fewer images show nothing.

    Raises
    ------
    InputError
        Predictions of a classifier, a data set without boxes, an annotation, detection or parameter that makes no
        sense.

    Notes
    -----
    Lin et al., Microsoft COCO (ECCV 2014); equal to pycocotools up to the 2e-16 that it adds to counts.

    Frames of one sequence are not independent. Rates have Clopper-Pearson bounds (false positives per image: Poisson)
    over the effective number of objects, detections or images. Average precision has a percentile bootstrap over
    sequences, widened where errors are in fewer than 10 of them: no error in n sequences proves no more than the rule
    of three allows. It has no interval, and shows nothing at a confidence, with fewer than 20 sequences or if a class
    is in so few sequences that more than 1 % of the resamples lack it.
    """
    _check_parameters(resamples, minimum_images)
    protocol = Protocol(score_threshold, iou_threshold, area_range, max_detections)
    matched = match_predictions(predictions, protocol)
    dataset = predictions.dataset
    clusters = image_clusters(dataset, sequence)
    validity = _validity(matched, minimum_images)
    settings = protocol.settings() | {
        "cluster_by": sequence or "sequence of the data set",
        "clusters": clusters.count,
        "resamples": resamples,
    }
    quantities: dict[str, Quantity | float] = {
        "images": len(dataset),
        "objects": matched.object_count,
        "ignored_objects": len(matched.truth) - matched.object_count,
    }
    if matched.object_count == 0:
        return Measurement(quantities, validity=validity, settings=settings)

    precision = average_precision(matched.table)
    quantities |= _scores(matched, precision, clusters, rng, resamples)
    quantities |= _rates(matched.counts, clusters)
    settings["classes_without_objects"] = _class_names(dataset, precision.classes_without_truth)
    return Measurement(
        quantities,
        findings=detection_findings(matched, dataset),
        validity=validity,
        figures=detection_figures(matched, precision, dataset.class_names),
        settings=settings,
    )


def _check_parameters(resamples: int, minimum_images: int) -> None:
    if resamples < FEWEST_RESAMPLES:
        raise InputError(f"resamples must be at least {FEWEST_RESAMPLES} for a bound at 95 %, got {resamples}")
    if minimum_images < 1:
        raise InputError(f"minimum_images must be at least 1, got {minimum_images}")


def _validity(matched: MatchedDetections, minimum_images: int) -> tuple[ValidityCondition, ...]:
    images, objects = matched.table.image_count, matched.object_count
    ignored = len(matched.truth) - objects
    return (
        ValidityCondition("minimum_images", images >= minimum_images, f"{images} images, at least {minimum_images}"),
        ValidityCondition("objects_to_find", objects > 0, f"{objects} objects to find and {ignored} ignored"),
    )


def _scores(
    matched: MatchedDetections,
    precision: AveragePrecision,
    clusters: Clusters,
    rng: np.random.Generator,
    resamples: int,
) -> dict[str, Quantity]:
    """Return average precision with bounds from resampled clusters."""
    table = matched.table
    values = {"map_50": np.empty(0), "map_50_95": np.empty(0)}
    if clusters.count > 1:
        weights = draw_cluster_weights(rng, clusters.count, resamples)
        resampled = resample_average_precision(table, clusters.of_image, weights)
        values = {
            name: with_all_classes(getattr(resampled, name), precision.truth_counts, resampled) for name in values
        }
    sizes = clusters.sums(np.ones(table.image_count))
    scores: dict[str, Quantity] = {}
    for name, one in values.items():
        outcome = RankingOutcome.of(table, only_first=name == "map_50")
        errors, hits = (ClusterCounts(clusters.sums(images), sizes) for images in outcome.lowered_and_raised(table))
        scores[name] = clustered_score(ClusteredScore(getattr(precision, name), one, errors, hits), clusters.noun)
    return scores


def _rates(counts: DetectionCounts, clusters: Clusters) -> dict[str, Quantity]:
    """Return what is counted at the operating point."""
    hits, false_alarms, misses = (
        clusters.sums(per_class.sum(axis=1))
        for per_class in (counts.true_positives, counts.false_positives, counts.false_negatives)
    )
    images = clusters.sums(np.ones(counts.image_count))
    # F1 is the share of hits among objects and detections together (Dice).
    return {
        "precision": share_over_effective_size(ClusterCounts(hits, hits + false_alarms)),
        "recall": share_over_effective_size(ClusterCounts(hits, hits + misses)),
        "f1": share_over_effective_size(ClusterCounts(2 * hits, 2 * hits + misses + false_alarms)),
        "false_negative_rate": share_over_effective_size(ClusterCounts(misses, hits + misses)),
        "false_positives_per_image": rate_over_effective_size(ClusterCounts(false_alarms, images)),
    }


def _class_names(dataset: Dataset, labels: tuple[int, ...]) -> list[str]:
    names = dataset.class_names
    return [names[label] if 0 <= label < len(names) else str(label) for label in labels]
