"""Recompute detection metrics for resampled images, from one match table and without matching again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.detection.average_precision import (
    RECALL_POINTS,
    mean_at,
    mean_over_coco_thresholds,
    require_truth,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from pytest_mle.checks.detection.matching import MatchTable
    from pytest_mle.checks.detection.operating_point import DetectionCounts

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Weights = NDArray[np.unsignedinteger]

# Resamples are worked on in blocks of about this many (resample, detection) entries: few enough for the cache, many
# enough to hide numpy's cost per call on small test sets.
ENTRIES_PER_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class ResampledAveragePrecision:
    """Average precision of each resample: ``values`` ``(resample, threshold, class)``.

    NaN where a resample has no object of a class; means leave it out, and are NaN where no class is left.
    """

    iou_thresholds: Floats
    classes: Integers
    values: Floats

    @property
    def map_50(self) -> Floats:
        """Mean over classes at IoU 0.5: ``(resample,)``."""
        return mean_at(self.values, self.iou_thresholds, 0.5)

    @property
    def map_50_95(self) -> Floats:
        """Mean over classes and the ten COCO thresholds: ``(resample,)``."""
        return mean_over_coco_thresholds(self.values, self.iou_thresholds)


@dataclass(frozen=True, slots=True, eq=False)
class ResampledRates:
    """Rates at one operating point for each resample, ``(resample,)`` each; NaN where the denominator is 0."""

    precision: Floats
    recall: Floats
    f1: Floats
    false_negative_rate: Floats
    false_positives_per_image: Floats


def draw_cluster_weights(rng: np.random.Generator, cluster_count: int, resamples: int = 1000) -> Weights:
    """Draw bootstrap resamples: how often each of ``cluster_count`` clusters is drawn, ``(resample, cluster)``.

    Raises
    ------
    ValueError
        Less than two clusters, which say nothing about the variation between clusters, or no resample.
    """
    if cluster_count < 2 or resamples < 1:
        message = f"a bootstrap needs at least 2 clusters and 1 resample, got {cluster_count} and {resamples}"
        raise ValueError(message)
    # A cluster is drawn cluster_count times at most.
    weights = np.empty((resamples, cluster_count), dtype=np.min_scalar_type(cluster_count))
    for row in weights:
        row[:] = np.bincount(rng.integers(0, cluster_count, cluster_count), minlength=cluster_count)
    return weights


def resample_average_precision(
    table: MatchTable, cluster_of_image: ArrayLike, cluster_weights: ArrayLike
) -> ResampledAveragePrecision:
    """Compute average precision as if every image stood in the data set as often as its cluster's weight says.

    Exact: equal to duplicating the images and evaluating again, where copies of a detection follow each other (their
    order only matters among equal scores inside one image and class).

    Parameters
    ----------
    table
        Matches of all images.
    cluster_of_image
        ``(image,)`` position of each image's cluster (its sequence).
    cluster_weights
        ``(resample, cluster)`` whole numbers, as of :func:`draw_cluster_weights`.

    Raises
    ------
    ValueError
        No object to find in the table, or clusters and weights that do not fit.

    Notes
    -----
    The interpolated curve of COCO depends on its points at true positives alone, and within a run of consecutive true
    positives precision only rises. So per resample, class and threshold one point a run is enough, and the weight of a
    run is the difference of one cumulative sum that all thresholds share.
    """
    require_truth(table.truth_counts)
    clusters, weights = _checked_weights(cluster_of_image, cluster_weights, table.image_count)
    truth_counts = _resampled_truth_counts(table, clusters, weights)
    values = np.full((len(weights), len(table.iou_thresholds), len(table.classes)), np.nan)
    for position in np.flatnonzero(table.truth_counts).tolist():
        rows = table.class_rows(position)
        curves = [_Runs.of(table, position, threshold) for threshold in range(len(table.iou_thresholds))]
        cluster_of_detection = clusters[table.detection_image[rows]]
        for block in _blocks(len(weights), len(cluster_of_detection)):
            weight = weights[block].take(cluster_of_detection, axis=1)
            weight_before = np.zeros((len(weight), weight.shape[1] + 1), dtype=np.int64)
            np.cumsum(weight, axis=1, out=weight_before[:, 1:])
            needed = _hits_needed(truth_counts[block, position])
            for threshold, runs in enumerate(curves):
                values[block, threshold, position] = runs.average_precision(weight, weight_before, needed)
    values[np.broadcast_to((truth_counts == 0)[:, None, :], values.shape)] = np.nan
    return ResampledAveragePrecision(iou_thresholds=table.iou_thresholds, classes=table.classes, values=values)


def resample_rates(counts: DetectionCounts, cluster_of_image: ArrayLike, cluster_weights: ArrayLike) -> ResampledRates:
    """Compute precision, recall, F1, false negative rate and false positives per image of each resample.

    Parameters are those of :func:`resample_average_precision`, and so are the errors.
    """
    require_truth((counts.true_positives + counts.false_negatives).sum(axis=0))
    clusters, weights = _checked_weights(cluster_of_image, cluster_weights, counts.image_count)
    per_image = (
        counts.true_positives.sum(axis=1),
        counts.false_positives.sum(axis=1),
        counts.false_negatives.sum(axis=1),
        np.ones(counts.image_count),
    )
    per_cluster = [np.bincount(clusters, weights=column, minlength=weights.shape[1]) for column in per_image]
    totals = _weighted_sums(weights, np.stack(per_cluster, axis=1))
    true_positives, false_positives, false_negatives, images = totals.T
    objects = true_positives + false_negatives
    detections = true_positives + false_positives
    recall = _ratio(true_positives, objects)
    return ResampledRates(
        precision=_ratio(true_positives, detections),
        recall=recall,
        # Without objects F1 would be 0 over the false alarms alone, as if something had been missed.
        f1=np.where(objects > 0, _ratio(2 * true_positives, objects + detections), np.nan),
        false_negative_rate=_ratio(false_negatives, objects),
        false_positives_per_image=_ratio(false_positives, images),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Runs of consecutive true positives of one class and threshold: rows ``start`` to ``stop`` (excluded).

    ``ignored`` are the rows that do not count, ``ignored_before`` how many of them stand before each ``stop``.
    """

    start: Integers
    stop: Integers
    ignored: Integers
    ignored_before: Integers

    @classmethod
    def of(cls, table: MatchTable, class_position: int, threshold: int) -> _Runs:
        rows = table.class_rows(class_position)
        is_ignored = table.detection_ignored[threshold, rows]
        true_positive = ~is_ignored & (table.detection_match[threshold, rows] >= 0)
        edge = np.diff(true_positive.astype(np.int8), prepend=0, append=0)
        stop = np.flatnonzero(edge < 0)
        ignored = np.flatnonzero(is_ignored)
        return cls(
            start=np.flatnonzero(edge > 0),
            stop=stop,
            ignored=ignored,
            ignored_before=np.searchsorted(ignored, stop),
        )

    def average_precision(self, weight: Weights, weight_before: Integers, needed: Integers) -> Floats:
        """Return the average precision of each resample of a block.

        ``weight`` ``(resample, detection)``, ``weight_before`` ``(resample, detection + 1)`` its sums from the best
        score on, ``needed`` ``(resample, recall point)`` the true positives that reach a recall point.
        """
        resamples, runs = len(weight), len(self.stop)
        detections = weight_before.take(self.stop, axis=1)
        # One entry more a row: it stands for recall that is never reached.
        hits = np.empty((resamples, runs + 1), dtype=np.int64)
        np.subtract(detections, weight_before.take(self.start, axis=1), out=hits[:, :runs])
        np.cumsum(hits[:, :runs], axis=1, out=hits[:, :runs])
        if len(self.ignored):
            ignored = np.zeros((resamples, len(self.ignored) + 1), dtype=np.int64)
            np.cumsum(weight.take(self.ignored, axis=1), axis=1, out=ignored[:, 1:])
            detections -= ignored.take(self.ignored_before, axis=1)
        precision = np.zeros((resamples, runs + 1))
        # A run at the top that was not drawn has no detections, and no hits either.
        np.divide(hits[:, :runs], np.maximum(detections, 1), out=precision[:, :runs])

        # Rows one above the other rise as a whole, so that one search serves all of them.
        largest = int(max(needed.max(), weight_before[:, -1].max())) + 1
        hits[:, runs] = largest
        level = np.arange(resamples)[:, None] * (largest + 1)
        first = np.searchsorted((hits + level).ravel(), (needed + level).ravel())
        # Recall 0 is reached at the start of each row, so no segment runs on into the next row.
        best = np.maximum.reduceat(precision.ravel(), first).reshape(resamples, -1)
        highest_after = np.maximum.accumulate(best[:, ::-1], axis=1)
        mean: Floats = highest_after.mean(axis=1)
        return mean


def _hits_needed(truth_counts: Integers) -> Integers:
    """Return the fewest true positives whose recall reaches each recall point: ``(resample, recall point)``.

    Compared as floating point numbers, as pycocotools does: 3 / 10 reaches 0.30000000000000004 or does not.
    """
    count = truth_counts[:, None].astype(np.float64)
    objects = np.maximum(count, 1.0)
    needed = np.ceil(RECALL_POINTS * count)
    needed -= (needed > 0) & ((needed - 1) / objects >= RECALL_POINTS)
    needed += needed / objects < RECALL_POINTS
    return needed.astype(np.int64)


def _resampled_truth_counts(table: MatchTable, clusters: Integers, weights: Weights) -> Integers:
    """Count the objects to find in each resample: ``(resample, class)``."""
    shape = (weights.shape[1], len(table.classes))
    counted = ~table.truth_ignored
    cell = clusters[table.truth_image[counted]] * shape[1] + table.truth_class[counted]
    per_cluster = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    return _weighted_sums(weights, per_cluster.astype(np.float64)).astype(np.int64)


def _weighted_sums(weights: Weights, per_cluster: Floats) -> Floats:
    """Multiply ``(resample, cluster)`` by ``(cluster, column)``; whole numbers below 2**53 stay exact."""
    sums = np.empty((len(weights), per_cluster.shape[1]))
    for block in _blocks(len(weights), weights.shape[1]):
        np.matmul(weights[block].astype(np.float64), per_cluster, out=sums[block])
    return sums


def _blocks(resamples: int, entries_per_resample: int) -> Iterator[slice]:
    """Cut the resamples into blocks of about the same number of entries."""
    size = max(1, ENTRIES_PER_BLOCK // max(1, entries_per_resample))
    for start in range(0, resamples, size):
        yield slice(start, min(start + size, resamples))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide; NaN where the denominator is 0."""
    ratio: Floats = np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
    return ratio


def _checked_weights(
    cluster_of_image: ArrayLike, cluster_weights: ArrayLike, image_count: int
) -> tuple[Integers, Weights]:
    """Return clusters and weights as arrays after checking that they fit each other and the images."""
    clusters, weights = np.asarray(cluster_of_image), np.asarray(cluster_weights)
    if clusters.shape != (image_count,) or not np.issubdtype(clusters.dtype, np.integer):
        message = f"cluster_of_image must be integers of shape ({image_count},), got {clusters.dtype} {clusters.shape}"
        raise ValueError(message)
    if weights.ndim != 2 or 0 in weights.shape or not np.issubdtype(weights.dtype, np.integer):
        message = f"cluster_weights must be integers (resample, cluster), got {weights.dtype} {weights.shape}"
        raise ValueError(message)
    if clusters.min() < 0 or clusters.max() >= weights.shape[1]:
        message = f"clusters must be in 0..{weights.shape[1] - 1}, got {clusters.min()}..{clusters.max()}"
        raise ValueError(message)
    if weights.min() < 0:
        message = f"cluster_weights must not be negative, got {weights.min()}"
        raise ValueError(message)
    return clusters.astype(np.int64, copy=False), weights
