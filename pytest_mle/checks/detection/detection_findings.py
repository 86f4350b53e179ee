"""Concrete errors of a detector at its operating point: missed objects and false alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.records.finding import CAP, Finding, Findings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.checks.detection.detection_metrics import MatchedDetections
    from pytest_mle.inputs.dataset import Dataset


def detection_findings(matched: MatchedDetections, dataset: Dataset) -> tuple[Findings, ...]:
    """Return the tallest missed objects and the false alarms with the highest scores."""
    return _missed_objects(matched, dataset), _false_alarms(matched, dataset)


def missed_at_operating_point(matched: MatchedDetections) -> NDArray[np.bool_]:
    """Return which objects ``(object,)`` no reported detection finds; ignored ones are not missed."""
    table, protocol = matched.operating_table, matched.protocol
    match = table.truth_match[table.threshold_position(protocol.iou_threshold)]
    # A match of -1 looks up the entry appended behind the last row.
    score = np.append(table.detection_score, -np.inf)[match]
    missed: NDArray[np.bool_] = ~table.truth_ignored & (score < protocol.score_threshold)
    return missed


def path_for_reports(dataset: Dataset, index: int) -> str:
    """Return the path of an image as the data set shows it, else its id."""
    sample = dataset.sample(index)
    shown = getattr(dataset, "shown", None)
    return str(shown(sample.path)) if callable(shown) else sample.id


def _missed_objects(matched: MatchedDetections, dataset: Dataset) -> Findings:
    truth = matched.truth
    missed = np.flatnonzero(missed_at_operating_point(matched))
    size = truth.boxes[missed, 2:] - truth.boxes[missed, :2]
    # The order of data set and objects decides among equally tall ones.
    worst = missed[np.argsort(-size[:, 1], kind="stable")[:CAP]]
    first_of_image = np.searchsorted(truth.image_index, truth.image_index[worst])
    shown = []
    for row, first in zip(worst.tolist(), first_of_image.tolist(), strict=True):
        width, height = (truth.boxes[row, 2:] - truth.boxes[row, :2]).tolist()
        label = _label(dataset, int(truth.labels[row]))
        place = f"object {row - first}"
        message = f"{label} of {width:.0f} x {height:.0f} px missed"
        shown.append(Finding(message, path=path_for_reports(dataset, int(truth.image_index[row])), subject=place))
    return Findings("missed_objects", len(missed), tuple(shown))


def _false_alarms(matched: MatchedDetections, dataset: Dataset) -> Findings:
    table, protocol = matched.operating_table, matched.protocol
    threshold = table.threshold_position(protocol.iou_threshold)
    is_alarm = (
        (table.detection_score >= protocol.score_threshold)
        & ~table.detection_ignored[threshold]
        & (table.detection_match[threshold] < 0)
    )
    alarms = np.flatnonzero(is_alarm)
    worst = alarms[np.lexsort((table.detection_image[alarms], -table.detection_score[alarms]))[:CAP]]
    shown = []
    for row in worst.tolist():
        box = matched.detected.boxes[table.detection_source[row]]
        label = _label(dataset, int(table.classes[table.detection_class[row]]))
        corners = ", ".join(f"{corner:.0f}" for corner in box.tolist())
        message = f"{label} reported at ({corners}) px with score {table.detection_score[row]:.3f}"
        shown.append(Finding(message, path=path_for_reports(dataset, int(table.detection_image[row]))))
    return Findings("false_positives", len(alarms), tuple(shown))


def _label(dataset: Dataset, label: int) -> str:
    names = dataset.class_names
    return names[label] if 0 <= label < len(names) else f"class {label}"
