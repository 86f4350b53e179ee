"""Tests of what two models make of the same images."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.checks.deployment.paired_outcomes import ClassifiedImages, outcomes_of
from pytest_mle.checks.detection.detection_metrics import Protocol
from pytest_mle.checks.detection.resampling import draw_cluster_weights
from pytest_mle.errors import InputError
from tests.support.detection_scenes import SceneDataset, annotated, box_at, classified, detected

LEFT, NOWHERE = box_at(0), box_at(500)
# Moved by 3 of 20 pixels: an IoU of 17 / 23 = 0.74.
MOVED = box_at(3)
HIT = [(LEFT, 0.9)]


def _differing(metric, reference, candidate):
    """Return, for each image with one pedestrian, whether the two models differ by a metric, and as they are used."""
    dataset = SceneDataset([annotated(LEFT)] * len(reference))
    one, other = (outcomes_of(detected(dataset, *images), metric, Protocol()) for images in (reference, candidate))
    return one.differ_from(other).tolist(), one.discordant_with(other).tolist()


@pytest.mark.parametrize(
    ("metric", "differs"), [("map_50", True), ("map_50_95", True), ("recall", False), ("f1", True)]
)
def test_a_false_alarm_is_a_difference_to_all_but_recall(metric, differs):
    """It matters to every user, though."""
    assert _differing(metric, [HIT, HIT], [HIT, [(NOWHERE, 0.95), *HIT]]) == ([False, differs], [False, True])


@pytest.mark.parametrize(("metric", "differs"), [("map_50", False), ("map_50_95", True), ("recall", False)])
def test_a_looser_box_is_a_difference_to_the_strict_thresholds_only(metric, differs):
    """At IoU 0.5 it is found all the same."""
    assert _differing(metric, [HIT], [[(MOVED, 0.9)]]) == ([differs], [False])


@pytest.mark.parametrize(("metric", "differs"), [("map_50", False), ("recall", True)])
def test_a_score_that_falls_below_the_threshold_is_a_miss_in_use(metric, differs):
    """Average precision looks at all scores, the rates at those that are reported."""
    assert _differing(metric, [HIT], [[(LEFT, 0.3)]]) == ([differs], [True])


@pytest.mark.parametrize("metric", ["map_50", "map_50_95", "recall", "f1"])
def test_a_miss_is_a_difference_to_every_metric(metric):
    """In the image where it happens."""
    assert _differing(metric, [HIT, HIT], [[], HIT]) == ([True, False], [True, False])


def test_losses_count_misses_and_false_alarms_in_use():
    """They order the images that became worse."""
    dataset = SceneDataset([annotated(LEFT), annotated()])
    found = detected(dataset, [(NOWHERE, 0.9), (LEFT, 0.2)], [(NOWHERE, 0.4)])
    assert outcomes_of(found, "map_50", Protocol()).losses().tolist() == [2, 0]


@pytest.mark.parametrize("metric", ["map_50", "map_50_95", "recall", "f1"])
def test_outcomes_of_some_images_are_those_of_a_smaller_data_set(metric):
    """Whatever the order of the chosen images."""
    rng = np.random.default_rng(4)
    objects = [annotated(LEFT, box_at(100)) for _ in range(30)]
    images = [[(LEFT, float(rng.random())), (NOWHERE, float(rng.random()))] for _ in range(30)]
    chosen = np.array([3, 17, 8, 29])
    whole = outcomes_of(detected(SceneDataset(objects), *images), metric, Protocol())
    smaller = SceneDataset([objects[index] for index in chosen])
    expected = outcomes_of(detected(smaller, *(images[index] for index in chosen)), metric, Protocol())
    part, weights = whole.restricted_to(chosen), draw_cluster_weights(np.random.default_rng(0), 4, 50)
    np.testing.assert_allclose(part.scores(np.arange(4), weights), expected.scores(np.arange(4), weights), rtol=1e-12)
    assert part.units == expected.units == 8


def test_accuracy_of_resampled_clusters():
    """Worked by hand: clusters with 2 of 2 and 0 of 1 correct; a resample without any image is undefined."""
    outcomes = ClassifiedImages(np.array([True, True, False]))
    weights = np.array([[1, 1, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]], dtype=np.uint8)
    scores = outcomes.scores(np.array([0, 0, 1]), weights)
    np.testing.assert_allclose(scores, [2 / 3, 1, 0, np.nan])


def test_a_resample_without_a_class_is_undefined():
    """Its mean would be over other classes than the sample's."""
    dataset = SceneDataset([annotated(LEFT, labels=[0]), annotated(LEFT, labels=[1])], class_names=("a", "b"))
    outcomes = outcomes_of(detected(dataset, [(LEFT, 0.9, 0)], [(LEFT, 0.9, 1)]), "map_50", Protocol())
    scores = outcomes.scores(np.arange(2), np.array([[1, 1], [2, 0]]))
    np.testing.assert_allclose(scores, [1, np.nan])


def test_detections_of_classes_are_refused_for_a_classifier():
    """A classifier needs a data set with the class of each image."""
    with pytest.raises(InputError, match="'scenes' is for detection: accuracy needs the class of each image"):
        outcomes_of(classified(SceneDataset([annotated()]), [0]), "accuracy", Protocol())


def test_an_operating_point_that_makes_no_sense_is_refused():
    """The message names the model and the value."""
    dataset = SceneDataset([annotated(LEFT)])
    with pytest.raises(InputError, match=r"cannot evaluate model 'detector': .*2"):
        outcomes_of(detected(dataset, HIT), "recall", Protocol(iou_threshold=2))
