"""Tests of the quality of detectors."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.detection.detection_quality import detection_quality
from pytest_mle.checks.detection.operating_point import detection_rates
from pytest_mle.engine.judge import judge
from pytest_mle.errors import InputError
from pytest_mle.inputs.datasets import open_dataset
from pytest_mle.inputs.model import Detections
from pytest_mle.inputs.prediction_pass import select_predictions
from pytest_mle.inputs.predictions import DetectionPredictions
from pytest_mle.records.condition import conditions
from pytest_mle.records.quantity import PointEstimate, Proportion, Resampled
from tests.support.detection_scenes import (
    LabelledDataset,
    SceneDataset,
    annotated,
    box_at,
    classified,
    detected,
    model,
)

LEFT, RIGHT, NOWHERE = box_at(0), box_at(100), box_at(500)


def _measure(predictions, seed=0, **parameters):
    return detection_quality(predictions, np.random.default_rng(seed), **{"resamples": 1000, **parameters})


def _values(measurement):
    return {name: getattr(quantity, "value", quantity) for name, quantity in measurement.quantities.items()}


def _perfect(images=60, **keys):
    """One pedestrian an image, found with certainty."""
    dataset = SceneDataset([annotated(LEFT)] * images, **keys)
    return detected(dataset, *[[(LEFT, 0.9)]] * images)


def test_a_case_worked_by_hand():
    """Three objects, two found, one false alarm above and one detection below the score threshold."""
    dataset = SceneDataset([annotated(LEFT, RIGHT), annotated(LEFT), annotated()])
    found = detected(dataset, [(LEFT, 0.9), (RIGHT, 0.6)], [(LEFT, 0.3)], [(NOWHERE, 0.8)])
    measured = _measure(found)
    # Ranking: hit 0.9, false alarm 0.8, hit 0.6, hit 0.3. Precision 1 up to recall 1/3, then 3/4 up to 1: 34 and 67
    # of the 101 recall points.
    average = (34 * 1 + 67 * 0.75) / 101
    assert _values(measured) == pytest.approx(
        {
            "map_50": average,
            "map_50_95": average,
            "precision": 2 / 3,
            "recall": 2 / 3,
            "f1": 2 / 3,
            "false_negative_rate": 1 / 3,
            "false_positives_per_image": 1 / 3,
            "images": 3,
            "objects": 3,
            "ignored_objects": 0,
        }
    )
    assert set(measured.quantities) == set(declaration_of(detection_quality).quantities)
    missed, alarms = measured.findings
    assert (missed.total, missed.shown[0].path, missed.shown[0].subject) == (1, "0001.png", "object 0")
    assert missed.shown[0].message == "pedestrian of 20 x 40 px missed"
    assert (alarms.total, alarms.shown[0].path) == (1, "0002.png")
    assert "score 0.800" in alarms.shown[0].message


def _random_predictions(random_data, seed, **keys):
    boxes, truth = random_data(seed, images=12, score_steps=None, **keys)
    objects = [
        annotated(*truth.boxes[rows], labels=truth.labels[rows], ignore=np.flatnonzero(truth.ignored[rows]))
        for rows in (truth.image_index == image for image in range(12))
    ]
    order = np.argsort(boxes.image_index, kind="stable")
    columns = (boxes.boxes, boxes.scores, boxes.labels, boxes.image_index)
    dataset = SceneDataset(objects, class_names=("a", "b", "c"))
    detections = Detections(*(column[order] for column in columns))
    return DetectionPredictions(model(), dataset, detections), boxes, truth


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_pycocotools(random_data, pycocotools_evaluation, seed):
    """Average precision through data set and predictions is that of the reference, ignored objects included."""
    found, boxes, truth = _random_predictions(random_data, seed, ignored=0.2)
    reference = pycocotools_evaluation(
        boxes, truth, image_count=12, class_count=3, area_ranges=[(0, 1e10)], max_detections=[100]
    )
    curves = np.asarray(reference.eval["precision"])[:, :, :, 0, -1]
    measured = _measure(found)
    assert measured.quantities["map_50_95"].value == pytest.approx(curves[curves > -1].mean(), abs=1e-12)
    assert measured.quantities["map_50"].value == pytest.approx(curves[0][curves[0] > -1].mean(), abs=1e-12)
    assert measured.quantities["ignored_objects"] == truth.ignored.sum()


@pytest.mark.parametrize("iou_threshold", [0.5, 0.62])
def test_rates_are_those_of_the_operating_point(random_data, iou_threshold):
    """Rates from sums over clusters equal the operating point's own, also at an IoU that is none of COCO's."""
    from pytest_mle.checks.detection.detection_metrics import Protocol, match_predictions

    found, _, _ = _random_predictions(random_data, 7)
    expected = detection_rates(match_predictions(found, Protocol(0.4, iou_threshold)).counts)
    values = _values(_measure(found, score_threshold=0.4, iou_threshold=iou_threshold))
    for name in ("precision", "recall", "f1", "false_negative_rate", "false_positives_per_image"):
        assert values[name] == pytest.approx(getattr(expected, name), rel=1e-12)


def test_a_perfect_detector_is_not_proved_to_be_perfect():
    """Without any error in 60 images, bounds are those of the rule of three, for every quantity."""
    measured = _measure(_perfect(60))
    exact = 0.05 ** (1 / 60)
    for name in ("map_50", "map_50_95", "recall", "precision"):
        quantity = measured.quantities[name]
        assert quantity.value == 1
        assert quantity.bounds(0.95) == pytest.approx((exact, 1), rel=1e-9)
    assert measured.quantities["false_negative_rate"].bounds(0.95) == pytest.approx((0, 1 - exact))
    assert measured.quantities["false_positives_per_image"].bounds(0.95) == pytest.approx((0, -np.log(0.05) / 60))
    assert all(condition.holds for condition in measured.validity)


def test_frames_of_one_sequence_are_one_unit_where_nothing_tells_otherwise():
    """600 frames without an error in 6 sequences prove what 6 images do; one sequence proves next to nothing."""
    few = _measure(_perfect(600, sequences=np.arange(600) // 100)).quantities
    for name in ("recall", "map_50"):
        assert few[name].bounds(0.95)[0] == pytest.approx(0.05 ** (1 / 6))
    one = _measure(_perfect(600, sequences=np.zeros(600, int))).quantities
    assert one["recall"].bounds(0.95)[0] == pytest.approx(0.05)
    assert one["map_50"].bounds(0.95) is None


def test_the_cluster_attribute_can_be_chosen():
    """Drives instead of sequences; an image without a value is a unit of its own."""
    attributes = [{"drive": "a"}] * 50 + [{"drive": None}] * 2
    measured = _measure(_perfect(52, attributes=attributes), sequence="drive")
    assert measured.settings["clusters"] == 3
    with pytest.raises(InputError, match=r"no attribute 'drove'. Did you mean 'drive'"):
        _measure(_perfect(52, attributes=attributes), sequence="drove")


def test_a_blind_detector_fails_and_has_no_precision():
    """No detection at all: recall and average precision 0, precision undefined, and no bound that shows more."""
    dataset = SceneDataset([annotated(LEFT)] * 60)
    measured = _measure(detected(dataset, *[[]] * 60))
    values = _values(measured)
    assert (values["recall"], values["map_50"], values["f1"], values["false_negative_rate"]) == (0, 0, 0, 1)
    assert np.isnan(values["precision"])
    assert measured.quantities["recall"].bounds(0.95) == pytest.approx((0, 1 - 0.05 ** (1 / 60)))
    assert measured.findings[0].total == 60
    judged = judge(measured, declaration_of(detection_quality).quantities, [])
    assert {one.name for one in judged.quantities} == set(values)


def test_a_detector_of_false_alarms_only():
    """Every detection is wrong: precision and recall 0, false alarms counted per image, capped in the findings."""
    dataset = SceneDataset([annotated(LEFT)] * 60)
    measured = _measure(detected(dataset, *[[(NOWHERE, 0.9), (RIGHT, 0.7)]] * 60))
    values = _values(measured)
    assert (values["precision"], values["recall"], values["map_50"]) == (0, 0, 0)
    assert values["false_positives_per_image"] == 2
    alarms = measured.findings[1]
    assert (alarms.total, len(alarms.shown)) == (120, 50)
    assert all("score 0.900" in one.message for one in alarms.shown)


def test_ignored_objects_count_neither_way():
    """A detection of an ignored object is no false alarm, and missing it is no miss."""
    objects = annotated(LEFT, RIGHT, ignore=[1])
    dataset = SceneDataset([objects] * 4)
    one = [(LEFT, 0.9)]
    measured = _measure(detected(dataset, [*one, (RIGHT, 0.8)], one, one, one))
    values = _values(measured)
    assert (values["precision"], values["recall"], values["objects"], values["ignored_objects"]) == (1, 1, 4, 4)
    assert [one.total for one in measured.findings] == [0, 0]


def test_the_area_range_ignores_what_lies_outside():
    """Small objects do not count, and neither does an unmatched detection of that size."""
    small = box_at(200, width=5, height=5)
    dataset = SceneDataset([annotated(LEFT, small)] * 2)
    found = detected(dataset, [(LEFT, 0.9), (box_at(300, width=5, height=5), 0.9)], [(LEFT, 0.9)])
    values = _values(_measure(found, area_range=(100, 1e6)))
    assert (values["recall"], values["precision"], values["ignored_objects"]) == (1, 1, 2)
    assert _values(_measure(found))["recall"] == 0.5
    with pytest.raises(InputError, match="area_range must be the smallest and the largest"):
        _measure(found, area_range=(100,))


@pytest.mark.parametrize("objects", [[annotated()] * 3, [annotated(LEFT, ignore=[0])] * 3])
def test_without_an_object_to_find_nothing_is_shown(objects):
    """Empty or wholly ignored ground truth is inconclusive, never a perfect score."""
    measured = _measure(detected(SceneDataset(objects), [], [(LEFT, 0.9)], []))
    assert set(measured.quantities) == {"images", "objects", "ignored_objects"}
    assert [one.name for one in measured.validity if not one.holds] == ["objects_to_find"]


def test_too_few_images_are_not_valid():
    """The item says how many images it needs; one image alone has no interval."""
    measured = _measure(_perfect(1), minimum_images=2)
    assert [one.name for one in measured.validity if not one.holds] == ["minimum_images"]
    assert isinstance(measured.quantities["map_50"], PointEstimate)
    assert measured.quantities["recall"].bounds(0.95) == pytest.approx((0.05, 1))


def test_few_sequences_give_rates_but_no_average_precision_an_interval():
    """With errors in 12 sequences the bootstrap would claim too much."""
    dataset = SceneDataset([annotated(LEFT)] * 48, sequences=np.arange(48) // 4)
    found = detected(dataset, *([(LEFT, 0.5 + index / 100)] if index % 5 else [] for index in range(48)))
    quantities = _measure(found).quantities
    assert quantities["map_50"].bounds(0.95) is None
    assert "12 sequences, 20 are needed" in quantities["map_50"].method
    assert isinstance(quantities["recall"], Proportion)


def test_a_class_in_too_few_images_takes_the_interval_away_and_says_so():
    """A resample without the rare class is a mean over other classes; it must neither count nor go unnoticed."""
    common, rare = annotated(LEFT, labels=[0]), annotated(LEFT, RIGHT, labels=[0, 1])
    dataset = SceneDataset([rare] * 2 + [common] * 60, class_names=("car", "rider"))
    hit = [(LEFT, 0.9, 0)]
    found = detected(dataset, *[[*hit, (RIGHT, 0.8, 1)]] * 2, *[hit] * 40, *[[]] * 20)
    quantities = _measure(found).quantities
    assert quantities["map_50"].bounds(0.95) is None
    assert "a class is in too few images" in quantities["map_50"].method
    assert quantities["recall"].bounds(0.95) is not None


def test_loose_boxes_are_no_errors_at_iou_50():
    """Two misses in 60 images: the bound of mAP at IoU 0.5 is widened, however loose the other boxes are."""
    dataset = SceneDataset([annotated(LEFT)] * 60)
    found = detected(dataset, *([] if index < 2 else [(box_at(3), 0.9)] for index in range(60)))
    quantities = _measure(found).quantities
    assert "widened" in quantities["map_50"].method
    assert isinstance(quantities["map_50_95"], Resampled)


def test_objects_outside_a_slice_become_ignore_regions(tmp_path):
    """Through files and `where:`: a far pedestrian is no miss, and finding one no false alarm."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data.yaml").write_text("names: [pedestrian]\n")
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"images/{index}.png"), np.zeros((100, 200, 3), np.uint8))
        # Corners 0 0 20 40 and 100 0 120 40 pixels: LEFT and RIGHT.
        (tmp_path / f"labels/{index}.txt").write_text("0 0.05 0.2 0.1 0.4\n0 0.55 0.2 0.1 0.4\n")
    rows = [f"images/{index}.png,{number},{(20, 80)[number]}" for index in range(3) for number in range(2)]
    (tmp_path / "objects.csv").write_text("\n".join(["image,object,distance_m", *rows]) + "\n")
    dataset = open_dataset("test", {"path": ".", "format": "yolo", "objects": "objects.csv"}, tmp_path)
    found = detected(dataset, [(LEFT, 0.9), (RIGHT, 0.8)], [(LEFT, 0.7)], [(LEFT, 0.9), (box_at(150), 0.6)])

    whole = _values(_measure(found))
    assert (whole["recall"], whole["precision"], whole["objects"]) == (4 / 6, 4 / 5, 6)
    near = dataset.select(conditions({"distance_m": {"lt": 50}}))
    measured = _measure(select_predictions(found, near))
    values = _values(measured)
    # Of the second image's far pedestrian nothing is left, nor of the first image's detection of one.
    assert (values["recall"], values["precision"]) == (1, 3 / 4)
    assert (values["objects"], values["ignored_objects"]) == (3, 3)
    assert str(measured.findings[1].shown[0]).startswith("images/2.png: pedestrian reported")


def test_many_images_with_errors_are_bootstrapped():
    """The common case, with the value inside its bounds, and the same numbers for the same seed."""
    dataset = SceneDataset([annotated(LEFT, RIGHT)] * 200)
    rng = np.random.default_rng(3)
    scores = rng.random((200, 3))
    found = detected(
        dataset, *([(LEFT, a), (RIGHT if b > 0.2 else NOWHERE, b), (NOWHERE, c / 2)] for a, b, c in scores)
    )
    quantity = _measure(found).quantities["map_50"]
    assert isinstance(quantity, Resampled)
    lower, upper = quantity.bounds(0.95)
    assert lower < quantity.value < upper
    assert upper - lower < 0.1
    assert _measure(found).quantities["map_50"].bounds(0.95) == (lower, upper)


def test_the_bound_of_average_precision_keeps_its_promise():
    """The lower bound at 95 % lies below the truth in about 57 of 60 simulated test sets."""
    rng = np.random.default_rng(0)

    def bounds_and_value(images):
        dataset = SceneDataset([annotated(LEFT, RIGHT)] * images)
        scores, is_found = rng.beta(4, 2, (images, 2)), rng.random((images, 2)) < 0.8
        alarms = rng.beta(2, 4, images)
        found = detected(
            dataset,
            *(
                [(box, s) for box, s, seen in zip((LEFT, RIGHT), image, hit, strict=True) if seen] + [(NOWHERE, alarm)]
                for image, hit, alarm in zip(scores, is_found, alarms, strict=True)
            ),
        )
        quantity = _measure(found).quantities["map_50"]
        return quantity.bounds(0.95)[0], quantity.value

    truth = bounds_and_value(4000)[1]
    held = [bounds_and_value(80)[0] <= truth for _ in range(60)]
    assert 50 <= sum(held) < 60


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_the_order_of_images_changes_nothing(seed, random):
    """Values and bounds of rates are the same for any order of the images."""
    rng = np.random.default_rng(seed)
    scenes = [
        (annotated(LEFT, RIGHT), [(LEFT, float(rng.random())), (NOWHERE, float(rng.random()))], {"drive": index // 3})
        for index in range(12)
    ]
    shuffled = scenes.copy()
    random.shuffle(shuffled)

    def measure(images):
        objects, detections, attributes = zip(*images, strict=True)
        return _measure(detected(SceneDataset(list(objects), attributes=attributes), *detections), sequence="drive")

    one, other = measure(scenes), measure(shuffled)
    assert _values(one) == pytest.approx(_values(other), nan_ok=True)
    assert one.quantities["recall"].bounds(0.9) == pytest.approx(other.quantities["recall"].bounds(0.9))


def test_figures_show_curve_classes_and_sizes():
    """The precision-recall curve has its operating point, each class a bar, and each height its recall."""
    tall = box_at(200, height=100)
    dataset = SceneDataset([annotated(LEFT, tall, labels=[0, 1])] * 3, class_names=("car", "rider", "tram"))
    measured = _measure(detected(dataset, *[[(LEFT, 0.9, 0), (tall, 0.3, 1)]] * 3))
    curve, classes, heights = measured.figures
    assert [one.name for one in curve.series] == ["car", "car at score 0.5", "rider"]
    assert classes.labels == ("car", "rider")
    assert classes.series[0].y == (1, 1)
    assert (heights.labels, heights.series[0].y) == (("32 to 48 (n=3)", "96 to 128 (n=3)"), (1, 0))


def test_the_protocol_and_classes_without_objects_are_recorded():
    """A detection metric means nothing without its protocol."""
    dataset = SceneDataset([annotated(LEFT)] * 3, class_names=("car", "rider"))
    measured = _measure(detected(dataset, *[[(LEFT, 0.9), (RIGHT, 0.2, 1)]] * 3), score_threshold=0.4)
    assert measured.settings["score_threshold"] == 0.4
    assert measured.settings["map_iou_thresholds"][:2] == [0.5, 0.55]
    assert (measured.settings["max_detections"], measured.settings["clusters"]) == (100, 3)
    assert measured.settings["classes_without_objects"] == ["rider"]


def test_inputs_of_another_task_are_refused():
    """A classifier or a data set without boxes is an error that says what is needed."""
    classes = LabelledDataset([0, 1], class_names=("a", "b"))
    with pytest.raises(InputError, match="'classifier' is for classification: detection quality needs a detector"):
        _measure(classified(classes, [0, 1]))
    with pytest.raises(InputError, match="'scenes' is for classification: detection quality needs annotated boxes"):
        _measure(detected(classes, [], []))


@pytest.mark.parametrize(
    ("box", "score", "message"),
    [
        (LEFT, float("nan"), "scores.*not finite"),
        ((0, 0, float("inf"), 1), 0.5, "not finite"),
        ((10, 0, 0, 1), 0.5, "x2 < x1"),
    ],
)
def test_detections_that_make_no_sense_are_refused(box, score, message):
    """They would be dropped or ranked first by a sort."""
    with pytest.raises(InputError, match=message):
        _measure(detected(SceneDataset([annotated(LEFT)]), [(box, score)]))


@pytest.mark.parametrize("box", [(0, 0, 0, 10), (0, 0, float("nan"), 10), (5, 0, 1, 10)])
def test_annotations_that_make_no_sense_name_their_image(box):
    """A box without area cannot be found by any detector."""
    with pytest.raises(InputError, match=r"'scenes', image '0001.png': a box is not finite or has no area"):
        _measure(detected(SceneDataset([annotated(LEFT), annotated(box)]), [], []))


@pytest.mark.parametrize(
    "parameters",
    [
        {"resamples": 999},
        {"minimum_images": 0},
        {"score_threshold": float("nan")},
        {"iou_threshold": 0},
        {"max_detections": 0},
        {"area_range": (5, 1)},
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters):
    """No protocol outside its meaning is measured."""
    with pytest.raises(InputError):
        _measure(_perfect(3), **parameters)
