"""Figures of a detector's quality as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.detection.average_precision import precision_recall_curve
from pytest_mle.checks.detection.detection_findings import missed_at_operating_point
from pytest_mle.records.figure import Figure, Series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_mle.checks.detection.average_precision import AveragePrecision
    from pytest_mle.checks.detection.detection_metrics import MatchedDetections

# More curves cannot be told apart, more points cannot be seen.
MOST_CURVES = 8
MOST_POINTS = 200
HEIGHT_EDGES = (0, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512)


def detection_figures(
    matched: MatchedDetections, precision: AveragePrecision, class_names: Sequence[str]
) -> tuple[Figure, ...]:
    """Return precision over recall with the operating point, average precision a class, and recall by object height."""
    names = [
        class_names[label] if 0 <= label < len(class_names) else f"class {label}"
        for label in precision.classes.tolist()
    ]
    return (
        _curves(matched, precision, names),
        _average_precision_bars(precision, names),
        _recall_by_height(matched),
    )


def _curves(matched: MatchedDetections, precision: AveragePrecision, names: Sequence[str]) -> Figure:
    protocol = matched.protocol
    series = []
    common = np.argsort(-precision.truth_counts, kind="stable")[:MOST_CURVES]
    for position in common[precision.truth_counts[common] > 0].tolist():
        label = int(precision.classes[position])
        curve = precision_recall_curve(matched.operating_table, label, protocol.iou_threshold)
        kept = _evenly(len(curve.recall))
        points = tuple(curve.recall[kept].tolist()), tuple(curve.precision[kept].tolist())
        series.append(Series(names[position], x=points[0], y=points[1]))
        reported = int(np.count_nonzero(curve.score >= protocol.score_threshold))
        if reported:
            point = float(curve.recall[reported - 1]), float(curve.precision[reported - 1])
            title = f"{names[position]} at score {protocol.score_threshold:g}"
            series.append(Series(title, x=point[:1], y=point[1:]))
    return Figure(
        "line",
        f"Precision over recall at IoU {protocol.iou_threshold:g}",
        series=tuple(series),
        x_label="recall",
        y_label="precision",
    )


def _average_precision_bars(precision: AveragePrecision, names: Sequence[str]) -> Figure:
    with_truth = np.flatnonzero(precision.truth_counts)
    return Figure(
        "bars",
        "Average precision of each class",
        series=(
            Series("IoU 0.5", tuple(precision.values[0, with_truth].tolist())),
            Series("IoU 0.50 to 0.95", tuple(precision.values[:, with_truth].mean(axis=0).tolist())),
        ),
        labels=tuple(names[position] for position in with_truth.tolist()),
        y_label="average precision",
    )


def _recall_by_height(matched: MatchedDetections) -> Figure:
    truth = matched.truth
    counted = ~matched.operating_table.truth_ignored
    height = (truth.boxes[:, 3] - truth.boxes[:, 1])[counted]
    missed = missed_at_operating_point(matched)[counted]
    bins = np.searchsorted(HEIGHT_EDGES, height, side="right") - 1
    objects = np.bincount(bins, minlength=len(HEIGHT_EDGES))
    found = np.bincount(bins, weights=~missed, minlength=len(HEIGHT_EDGES))
    occupied = np.flatnonzero(objects)
    return Figure(
        "bars",
        "Recall by height of the object",
        series=(Series("recall", tuple((found[occupied] / objects[occupied]).tolist())),),
        labels=tuple(f"{_height_range(position)} (n={objects[position]})" for position in occupied.tolist()),
        x_label="box height in pixels",
        y_label="recall",
    )


def _height_range(position: int) -> str:
    if position + 1 == len(HEIGHT_EDGES):
        return f"{HEIGHT_EDGES[position]} or more"
    return f"{HEIGHT_EDGES[position]} to {HEIGHT_EDGES[position + 1]}"


def _evenly(count: int) -> list[int]:
    """Return the positions of points to draw, first and last included."""
    if count <= MOST_POINTS:
        return list(range(count))
    return sorted(set(np.linspace(0, count - 1, MOST_POINTS).round().astype(int).tolist()))
