"""Tests of comparing a quantized model with its reference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.deployment.quantization_accuracy_drop import quantization_accuracy_drop
from pytest_mle.checks.detection.detection_quality import detection_quality
from pytest_mle.engine.judge import judge
from pytest_mle.errors import InputError
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
CLASSIFIERS = model("float", "classification"), model("int8", "classification")
DETECTORS = model("float"), model("int8")


def _measure(reference, candidate, seed=0, **parameters):
    return quantization_accuracy_drop(
        reference, candidate, np.random.default_rng(seed), **{"resamples": 1000, **parameters}
    )


def _classifiers(truth, reference, candidate, **keys):
    dataset = LabelledDataset(list(truth), class_names=("a", "b"), **keys)
    return [
        classified(dataset, np.asarray(shown), by=by)
        for shown, by in zip((reference, candidate), CLASSIFIERS, strict=True)
    ]


def _wrong_at(*ranges, count=100):
    """All samples are of class 0; those in the ranges are taken for class 1."""
    shown = np.zeros(count, int)
    for first, last in ranges:
        shown[first:last] = 1
    return shown


def _detectors(found_by_reference, found_by_candidate, **keys):
    """One pedestrian an image, found or not by each model."""
    dataset = SceneDataset([annotated(LEFT)] * len(found_by_reference), **keys)
    return [
        detected(dataset, *([(LEFT, 0.9)] if one else [] for one in found), by=by)
        for found, by in zip((found_by_reference, found_by_candidate), DETECTORS, strict=True)
    ]


def test_a_classifier_worked_by_hand():
    """Reference wrong in 10 of 100, candidate in 4 of these and 10 others: a drop of 4 points, 16 discordant."""
    pair = _classifiers(np.zeros(100, int), _wrong_at((0, 10)), _wrong_at((6, 20)))
    measured = _measure(*pair)
    values = {name: getattr(quantity, "value", quantity) for name, quantity in measured.quantities.items()}
    assert np.isnan(values.pop("absolute_worst_slice_drop"))
    assert values == pytest.approx(
        {
            "absolute_accuracy_drop": 0.04,
            "relative_accuracy_drop": 0.04 / 0.90,
            "reference_accuracy": 0.90,
            "candidate_accuracy": 0.86,
            "discordant_share": 0.16,
            "images": 100,
            "slices": 0,
            "small_slices": 0,
        }
    )
    assert set(measured.quantities) == set(declaration_of(quantization_accuracy_drop).quantities)
    assert all(one.holds for one in measured.validity)
    worse = measured.findings[2]
    assert (worse.kind, worse.total, worse.shown[0].path) == ("worse_images", 10, "0010.png")


def test_pairing_makes_the_bound_narrow():
    """Both wrong on the same 300 images of 1000, candidate on 20 more: the shared 300 say nothing of the drop."""
    pair = _classifiers(np.zeros(1000, int), _wrong_at((0, 300), count=1000), _wrong_at((0, 320), count=1000))
    drop = _measure(*pair).quantities["absolute_accuracy_drop"]
    lower, upper = drop.bounds(0.95)
    # The number of discordant images is binomial; unpaired, the upper bound would be 0.054.
    assert upper == pytest.approx(binom.ppf(0.95, 1000, 0.02) / 1000, abs=0.0015)
    assert lower == pytest.approx(binom.ppf(0.05, 1000, 0.02) / 1000, abs=0.0015)


@pytest.mark.parametrize("metric", ["map_50", "map_50_95", "recall", "f1"])
def test_a_detector_that_misses_every_tenth_object_more(metric):
    """The accuracies are those of detection_quality, the drop is their difference and inside its bounds."""
    images = np.arange(200)
    pair = _detectors(images % 10 != 0, (images % 10 != 0) & (images % 10 != 5))
    quantities = _measure(*pair, metric=metric).quantities
    apart = [detection_quality(one, np.random.default_rng(0), resamples=1000).quantities[metric].value for one in pair]
    assert quantities["reference_accuracy"].value == pytest.approx(apart[0])
    assert quantities["candidate_accuracy"].value == pytest.approx(apart[1])
    assert quantities["absolute_accuracy_drop"].value == pytest.approx(apart[0] - apart[1])
    lower, upper = quantities["absolute_accuracy_drop"].bounds(0.95)
    assert 0 < lower < apart[0] - apart[1] < upper < 0.2


def test_the_metric_follows_the_task():
    """Without a metric, detectors are compared by mAP at IoU 0.5 and classifiers by accuracy."""
    assert _measure(*_detectors([1] * 3, [1] * 3)).settings["metric"] == "map_50"
    assert _measure(*_classifiers([0, 1], [0, 1], [0, 1])).settings["metric"] == "accuracy"


@pytest.mark.parametrize(
    "pair",
    [
        _classifiers(np.zeros(60, int), _wrong_at((0, 20), count=60), _wrong_at((0, 20), count=60)),
        _detectors([1] * 40 + [0] * 20, [1] * 40 + [0] * 20),
        _detectors([1] * 60, [1] * 60),
    ],
    ids=["classifiers", "detectors", "perfect detectors"],
)
def test_identical_outputs_prove_no_more_than_the_rule_of_three(pair):
    """No difference in 60 images leaves room for a drop of 4.9 points, and of as much for a gain."""
    quantities = _measure(*pair).quantities
    reach = 1 - 0.05 ** (1 / 60)
    assert quantities["absolute_accuracy_drop"].value == 0
    assert quantities["absolute_accuracy_drop"].bounds(0.95) == pytest.approx((-reach, reach))
    assert quantities["discordant_share"].bounds(0.95) == pytest.approx((0, reach))
    relative = quantities["relative_accuracy_drop"].bounds(0.95)[1]
    assert relative == pytest.approx(reach / quantities["reference_accuracy"].value)


def test_frames_of_a_sequence_are_not_independent():
    """Identical outputs on 600 frames of 6 sequences prove what 6 images do."""
    pair = _detectors([1] * 600, [1] * 600, sequences=np.arange(600) // 100)
    upper = _measure(*pair).quantities["absolute_accuracy_drop"].bounds(0.95)[1]
    assert upper == pytest.approx(1 - 0.05 ** (1 / 6))


def test_scores_that_move_without_another_outcome_are_no_difference():
    """Quantization changes every score a little: two perfect detectors still prove no more than the rule of three."""
    dataset = SceneDataset([annotated(LEFT)] * 60)
    scores = np.linspace(0.6, 0.9, 60)
    pair = [
        detected(dataset, *([(LEFT, score), (NOWHERE, 0.1 * score)] for score in scores), by=DETECTORS[0]),
        detected(dataset, *([(LEFT, score)] for score in scores[::-1]), by=DETECTORS[1]),
    ]
    quantities = _measure(*pair).quantities
    assert quantities["absolute_accuracy_drop"].bounds(0.95)[1] == pytest.approx(1 - 0.05 ** (1 / 60))
    assert quantities["discordant_share"].value == 0


def test_a_broken_candidate_is_shown_to_be_broken():
    """A candidate that finds nothing has lost all, at any confidence, and no relative drop exceeds 100 %."""
    quantities = _measure(*_detectors([1] * 95 + [0] * 5, [0] * 100)).quantities
    assert quantities["absolute_accuracy_drop"].value == pytest.approx(_measure_map(95))
    assert quantities["absolute_accuracy_drop"].bounds(0.95)[0] > 0.8
    assert quantities["relative_accuracy_drop"].bounds(0.95)[1] == 1


def _measure_map(found):
    dataset = SceneDataset([annotated(LEFT)] * 100)
    one = detected(dataset, *([(LEFT, 0.9)] if index < found else [] for index in range(100)))
    return detection_quality(one, np.random.default_rng(0), resamples=1000).quantities["map_50"].value


def test_a_better_candidate_has_a_negative_drop():
    """Quantization may help by chance; that is no error."""
    quantities = _measure(*_classifiers(np.zeros(100, int), _wrong_at((0, 30)), _wrong_at((0, 10)))).quantities
    assert quantities["absolute_accuracy_drop"].value == pytest.approx(-0.2)
    assert quantities["absolute_accuracy_drop"].bounds(0.95)[1] < 0


def test_false_alarms_of_the_candidate_count():
    """They lower mAP and F1, not recall."""
    dataset = SceneDataset([annotated(LEFT)] * 40)
    reference = detected(dataset, *[[(LEFT, 0.8)]] * 40, by=DETECTORS[0])
    candidate = detected(dataset, *[[(LEFT, 0.8), (NOWHERE, 0.9)]] * 40, by=DETECTORS[1])
    drops = {
        metric: _measure(reference, candidate, metric=metric).quantities["absolute_accuracy_drop"].value
        for metric in ("map_50", "recall", "f1")
    }
    assert drops == pytest.approx({"map_50": 0.5, "recall": 0, "f1": 1 / 3})


def test_the_worst_slice_is_found_and_small_ones_are_not_fine():
    """All of the loss is in the rain; six images of snow are listed as too small, and images without weather too."""
    weather = ["clear"] * 100 + ["rain"] * 60 + ["snow"] * 6 + [None] * 40
    is_lost = np.array([index in range(100, 130) for index in range(206)])
    pair = _detectors(
        np.ones(206), ~is_lost, attributes=[{"weather": one} for one in weather], sequences=np.arange(206)
    )
    measured = _measure(*pair, metric="recall", slices_by=("weather",))
    worst = measured.quantities["absolute_worst_slice_drop"]
    assert worst.value == pytest.approx(0.5)
    assert worst.bounds(0.95)[1] > 0.59
    assert measured.quantities["slices"] == 3
    assert measured.quantities["small_slices"] == 1
    slices, small, _ = measured.findings
    assert slices.shown[0].subject == "weather=rain"
    assert "drop of 50.00 pp (100.0 % to 50.0 %) on 60 images" in slices.shown[0].message
    assert {one.subject for one in slices.shown} == {"weather=clear", "weather=rain", "weather=(missing)"}
    assert str(small.shown[0]) == "weather=snow: 6 images, at least 30 are needed"
    assert measured.figures[0].labels[0] == "all (n=206)"


def test_the_upper_bound_of_the_worst_slice_is_that_of_any_slice():
    """A small slice without a loss seen is known less well than a large one with a small loss."""
    place = ["city"] * 400 + ["tunnel"] * 35
    lost = np.array([index < 12 for index in range(435)])
    pair = _detectors(np.ones(435), ~lost, attributes=[{"place": one} for one in place])
    worst = _measure(*pair, metric="recall", slices_by=("place",)).quantities["absolute_worst_slice_drop"]
    assert worst.value == pytest.approx(12 / 400)
    assert worst.bounds(0.95)[1] == pytest.approx(1 - 0.05 ** (1 / 35))


def test_the_lower_bound_of_the_worst_of_many_slices_is_corrected():
    """Of twenty slices one is bad by chance: each is looked at with a confidence of 1 - 0.05 / 20."""
    rng = np.random.default_rng(5)
    part = [{"part": index // 100} for index in range(2000)]
    pair = _detectors(np.ones(2000), rng.random(2000) > 0.2, attributes=part)
    quantities = [
        _measure(*pair, metric="recall", slices_by=names).quantities["absolute_worst_slice_drop"]
        for names in (("part",), ())
    ]
    worst = quantities[0]
    uncorrected = 2 * worst.value - worst.bounds(0.95)[1]
    assert worst.value > 0.25
    assert worst.bounds(0.95)[0] < uncorrected - 0.02
    assert quantities[1].bounds(0.95) is None


def test_a_slice_without_anything_to_find_is_not_fine():
    """Forty empty images are many, and still show nothing."""
    dataset = SceneDataset(
        [annotated(LEFT)] * 40 + [annotated()] * 40,
        attributes=[{"road": "city"}] * 40 + [{"road": "motorway"}] * 40,
    )
    pair = [detected(dataset, *[[(LEFT, 0.9)]] * 40, *[[]] * 40, by=by) for by in DETECTORS]
    measured = _measure(*pair, slices_by=("road",))
    assert measured.quantities["small_slices"] == 1
    assert str(measured.findings[1].shown[0]) == "road=motorway: nothing to find in its 40 images"


def test_a_slice_of_a_classifier():
    """Slices work for accuracy too."""
    lighting = [{"lighting": "day" if index < 50 else "night"} for index in range(100)]
    pair = _classifiers(np.zeros(100, int), _wrong_at((0, 5)), _wrong_at((0, 5), (80, 100)), attributes=lighting)
    measured = _measure(*pair, slices_by=["lighting"])
    assert measured.quantities["absolute_worst_slice_drop"].value == pytest.approx(0.4)
    assert measured.findings[0].shown[0].subject == "lighting=night"


def test_ignored_objects_stay_ignored_in_slices():
    """Matching anew for a slice must not make objects of ignore regions."""
    dataset = SceneDataset([annotated(LEFT, RIGHT, ignore=[1])] * 60, attributes=[{"a": i % 2} for i in range(60)])
    pair = [detected(dataset, *[[(LEFT, 0.9)]] * 60, by=by) for by in DETECTORS]
    measured = _measure(*pair, metric="recall", slices_by=("a",))
    assert "(100.0 % to 100.0 %)" in measured.findings[0].shown[0].message


def test_a_model_is_not_compared_with_itself():
    """Both inputs default to the same model, and a model loses nothing against itself: that is no green."""
    reference, _ = _detectors([1] * 60, [1] * 60)
    measured = _measure(reference, reference)
    broken = [one for one in measured.validity if not one.holds]
    assert [one.name for one in broken] == ["two_models"]
    assert "using: {reference: ..., candidate: ...}" in broken[0].detail
    judged = judge(measured, declaration_of(quantization_accuracy_drop).quantities, [])
    assert judged.verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("keys", "detail"),
    [
        ({"images": 59}, "60 and 59 images"),
        ({"images": 60, "name": "other"}, "other contents or labels"),
    ],
)
def test_other_images_are_not_compared(keys, detail):
    """Numbers from two data sets cannot be paired."""
    reference, _ = _detectors([1] * 60, [1] * 60)
    images = keys.pop("images")
    _, candidate = _detectors([1] * images, [1] * images, **keys)
    broken = [one for one in _measure(reference, candidate).validity if not one.holds]
    assert [one.name for one in broken] == ["same_images"]
    assert detail in broken[0].detail


def test_images_in_another_order_are_not_compared():
    """The first image that differs is named."""

    class Reversed(SceneDataset):
        def sample(self, index):
            return super().sample(len(self) - 1 - index)

    objects = [annotated(LEFT)] * 3
    pair = [
        detected(kind(objects), *[[(LEFT, 0.9)]] * 3, by=by)
        for kind, by in zip((SceneDataset, Reversed), DETECTORS, strict=True)
    ]
    broken = [one for one in _measure(*pair).validity if not one.holds]
    assert broken[0].detail == "image 0 is 0000.png for one model and 0002.png for the other"


def test_the_same_images_opened_twice_are_compared():
    """A slice is made anew for each input."""
    (reference, _), (_, candidate) = (_detectors([1] * 60, [1] * 60) for _ in range(2))
    assert all(one.holds for one in _measure(reference, candidate).validity)


@pytest.mark.parametrize(
    "pair",
    [
        _detectors([0] * 60, [0] * 60),
        _classifiers([0, 1] * 30, [1, 0] * 30, [1, 0] * 30),
        _classifiers([0, 1] * 30, [0] * 60, [0] * 60),
    ],
    ids=["blind", "always wrong", "guessing"],
)
def test_a_reference_without_anything_to_lose_is_not_valid(pair):
    """A quantized model that is as bad as a useless one has no drop, and shows nothing."""
    broken = [one.name for one in _measure(*pair).validity if not one.holds]
    assert broken == ["reference_better_than_chance"]


def test_without_an_object_to_find_nothing_is_shown():
    """Empty ground truth has no drop."""
    dataset = SceneDataset([annotated()] * 3)
    measured = _measure(*(detected(dataset, [], [], [], by=by) for by in DETECTORS))
    assert [one.name for one in measured.validity if not one.holds] == ["something_to_find"]
    assert set(measured.quantities) == {"images"}


def test_wrong_tasks_metrics_and_parameters_are_refused():
    """Each message says what is allowed."""
    detectors, classifiers = _detectors([1] * 3, [1] * 3), _classifiers([0, 1], [0, 1], [0, 1])
    with pytest.raises(InputError, match="only models of one task"):
        _measure(detectors[0], classifiers[1])
    with pytest.raises(InputError, match="metric must be one of map_50, map_50_95, recall, f1, got 'accuracy'"):
        _measure(*detectors, metric="accuracy")
    with pytest.raises(InputError, match="metric must be one of accuracy, got 'map_50'"):
        _measure(*classifiers, metric="map_50")
    with pytest.raises(InputError, match="no attribute 'weather'"):
        _measure(*detectors, slices_by=("weather",))
    with pytest.raises(InputError, match=r"write \[weather\]"):
        _measure(*detectors, slices_by="weather")
    with pytest.raises(InputError, match="resamples must be at least 1000"):
        _measure(*detectors, resamples=10)
    with pytest.raises(InputError, match="minimum_slice must be at least 1"):
        _measure(*detectors, minimum_slice=0)
    numbers = [{"speed": index} for index in range(200)]
    with pytest.raises(InputError, match="'speed' has 200 values, at most 100"):
        _measure(*_detectors([1] * 200, [1] * 200, attributes=numbers), slices_by=("speed",))


def test_probabilities_that_make_no_sense_are_refused():
    """NaN has no largest class."""
    reference, candidate = _classifiers([0, 1], [0, 1], [0, 1])
    candidate.probabilities[0, 0] = np.nan
    with pytest.raises(InputError, match="'int8': expected finite probabilities for 2 images"):
        _measure(reference, candidate)


def test_the_upper_bound_of_the_drop_keeps_its_promise():
    """It lies above a true drop of 3 points in about 95 of 100 simulated comparisons."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        before = rng.random(500) < 0.1
        after = np.where(before, rng.random(500) < 0.8, rng.random(500) < 0.05 / 0.9)
        pair = _classifiers(np.zeros(500, int), before.astype(int), after.astype(int))
        held += _measure(*pair).quantities["absolute_accuracy_drop"].bounds(0.95)[1] >= 0.03
    assert 88 <= held < 100
