"""Tests of matching predictions, and of what average precision rests on."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.checks.detection.detection_findings import detection_findings, missed_at_operating_point
from pytest_mle.checks.detection.detection_metrics import Protocol, RankingOutcome, match_predictions
from tests.support.detection_scenes import SceneDataset, annotated, box_at, detected

LEFT, RIGHT, NOWHERE = box_at(0), box_at(100), box_at(500)
# Moved by 3 of 20 pixels: an IoU of 17 / 23 = 0.74.
MOVED = box_at(3)


def _matched(dataset, *images, **protocol):
    return match_predictions(detected(dataset, *images), Protocol(**protocol))


def test_false_alarms_below_the_last_hit_do_no_harm():
    """The interpolated curve ends at the last hit, so junk with low scores is no error of a ranking."""
    dataset = SceneDataset([annotated(LEFT), annotated(LEFT), annotated()])
    matched = _matched(dataset, [(LEFT, 0.9)], [(NOWHERE, 0.5), (LEFT, 0.4)], [(NOWHERE, 0.3)])
    outcome = RankingOutcome.of(matched.table)
    assert (outcome.harmful == [0, 1, 0]).all()
    lowered, raised = outcome.lowered_and_raised(matched.table)
    assert lowered.tolist() == [False, True, False]
    assert raised.tolist() == [True, True, False]


def test_a_loose_box_is_an_error_of_the_strict_thresholds_only():
    """What mAP at IoU 0.5 rests on knows nothing of 0.75."""
    matched = _matched(SceneDataset([annotated(LEFT)]), [(MOVED, 0.9)])
    strict, loose = (RankingOutcome.of(matched.table, only_first=first) for first in (False, True))
    assert strict.found[:, 0].tolist() == [True] * 5 + [False] * 5
    assert loose.found.tolist() == [[True]]
    assert [bool(one.lowered_and_raised(matched.table)[0][0]) for one in (strict, loose)] == [True, False]


def test_ignored_objects_are_neither_found_nor_missed():
    """An image of ignored objects neither raises nor lowers a score."""
    matched = _matched(SceneDataset([annotated(LEFT, RIGHT, ignore=[0, 1])]), [(LEFT, 0.9)])
    lowered, raised = RankingOutcome.of(matched.table).lowered_and_raised(matched.table)
    assert (lowered.tolist(), raised.tolist()) == ([False], [False])
    assert missed_at_operating_point(matched).tolist() == [False, False]


def test_an_object_found_with_a_low_score_is_missed_at_the_operating_point():
    """The score threshold decides, itself included."""
    dataset = SceneDataset([annotated(LEFT, RIGHT)])
    found = [(LEFT, 0.5), (RIGHT, 0.25)]
    assert missed_at_operating_point(_matched(dataset, found)).tolist() == [False, True]
    assert missed_at_operating_point(_matched(dataset, found, score_threshold=0.25)).tolist() == [False, False]


def test_an_iou_threshold_between_the_ten_of_coco_has_its_own_matches():
    """At 0.72 the moved box is found, at 0.76 it is a miss and a false alarm."""
    dataset = SceneDataset([annotated(LEFT)])
    for iou_threshold, misses in ((0.72, 0), (0.76, 1)):
        matched = _matched(dataset, [(MOVED, 0.9)], iou_threshold=iou_threshold)
        assert matched.counts.false_negatives.sum() == misses
        assert len(matched.table.iou_thresholds) == 10


def test_the_tallest_missed_objects_come_first():
    """A near pedestrian who is missed is worse than a far one; the path is the one that the data set shows."""
    dataset = SceneDataset([annotated(box_at(0, height=30), box_at(50, height=90)), annotated(box_at(0, height=60))])
    dataset.shown = lambda path: f"data/{path.name}"
    missed, _ = detection_findings(_matched(dataset, [], []), dataset)
    assert [str(one) for one in missed.shown] == [
        "data/0000.png: object 1: pedestrian of 20 x 90 px missed",
        "data/0001.png: object 0: pedestrian of 20 x 60 px missed",
        "data/0000.png: object 0: pedestrian of 20 x 30 px missed",
    ]


def test_a_label_without_a_name_is_shown_by_its_number():
    """A model may know more classes than the data set names."""
    dataset = SceneDataset([annotated()])
    _, alarms = detection_findings(_matched(dataset, [(LEFT, 0.9, 7)]), dataset)
    assert alarms.shown[0].message.startswith("class 7 reported at (0, 0, 20, 40) px")


def test_settings_hold_the_whole_protocol():
    """Numbers of another protocol cannot be compared."""
    settings = Protocol(0.3, 0.6, (10, 20), 50).settings()
    assert settings["map_iou_thresholds"] == pytest.approx(np.arange(0.5, 1, 0.05))
    assert settings["interpolation"] == "101 recall points"
    assert (settings["score_threshold"], settings["iou_threshold"], settings["max_detections"]) == (0.3, 0.6, 50)
    assert settings["area_range_px"] == [10, 20]
    assert "COCO" in settings["matcher"]
