"""Tests of performance by slices."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.slices.sliced_performance import sliced_performance
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.records.quantity import Proportion
from tests.support.detection_scenes import LabelledDataset, SceneDataset, annotated, box_at, classified, detected

LEFT, RIGHT = box_at(0), box_at(100, width=40, height=80)
NAN = float("nan")


def _classified(weather, is_wrong, **keys):
    """Return predictions of two classes; all samples are of class 0."""
    attributes = [one if isinstance(one, dict) else {"weather": one} for one in weather]
    dataset = LabelledDataset([0] * len(is_wrong), class_names=("a", "b"), attributes=attributes, **keys)
    return classified(dataset, np.asarray(is_wrong, dtype=np.int64))


def _values(measurement):
    return {name: getattr(quantity, "value", quantity) for name, quantity in measurement.quantities.items()}


def _shown(measurement, kind):
    return [str(one) for findings in measurement.findings if findings.kind == kind for one in findings.shown]


def _reason(measurement, name):
    assert math.isnan(measurement.quantities[name].value)
    return measurement.quantities[name].method


def test_a_case_worked_by_hand():
    """Clear: 95 of 100 right, rain: 30 of 50; bounds are Clopper-Pearson, the slice and its numbers are named."""
    found = _classified(["clear"] * 100 + ["rain"] * 50, [1] * 5 + [0] * 95 + [1] * 20 + [0] * 30)
    measured = sliced_performance(found, slices_by=("weather",), target=0.8)
    values = _values(measured)
    assert values == pytest.approx(
        {
            "performance": 125 / 150,
            "lowest_slice_performance": 0.6,
            "slices_below_target": 1,
            "weak_slices": 1,
            "slices": 2,
            "small_slices": 0,
            "searched_slices": 2,
        }
    )
    lowest = measured.quantities["lowest_slice_performance"]
    assert lowest.bounds(0.95)[0] == Proportion(30, 50).bounds(0.95)[0]
    assert lowest.bounds(0.95)[1] == Proportion(30, 50).bounds(0.975)[1]
    lower, upper = Proportion(30, 50).bounds(0.95)
    assert _shown(measured, "slices_below_target") == [
        f"weather=rain: accuracy 60.0% of 50 images, at least {lower:.1%}"
    ]
    (weak,) = _shown(measured, "weak_slices")
    assert weak.startswith(
        f"weather=rain: accuracy 60.0% of 50 images, at most {upper:.1%}; 95.0% of the other 100 (p = "
    )
    (figure,) = measured.figures
    assert figure.labels == ("weather=rain", "weather=clear")
    assert figure.series[0].lower[0] == lower
    assert dict(figure.marks)["target"] == 0.8


def test_a_target_is_reached_only_by_a_bound():
    """24 of 30 right is 80 % by value, and does not show 80 %."""
    found = _classified(["clear"] * 30, [1] * 6 + [0] * 24)
    assert _values(sliced_performance(found, slices_by=("weather",), target=0.8))["slices_below_target"] == 1
    assert _values(sliced_performance(found, slices_by=("weather",), target=0.6))["slices_below_target"] == 0


def test_a_slice_that_is_too_small_is_never_passed():
    """29 perfect images in fog leave the worst slice unknown, whatever the others show."""
    found = _classified(["clear"] * 100 + ["fog"] * 29, [0] * 129)
    measured = sliced_performance(found, slices_by=("weather",), target=0.5)
    for name in ("lowest_slice_performance", "slices_below_target"):
        assert _reason(measured, name) == (
            "1 of 2 slices are too small: weather=fog: 29 images, at least 30 are needed"
        )
    assert _values(measured)["small_slices"] == 1
    assert _shown(measured, "small_slices") == ["weather=fog: 29 images, at least 30 are needed"]
    declared = built_in_check("sliced_performance").quantities["lowest_slice_performance"]
    assert declared.kind == "estimate"


def test_missing_and_nan_attributes_are_a_slice():
    """Images without weather are no fair weather: they are a slice of their own."""
    found = _classified(["clear"] * 60 + [None] * 30 + [NAN] * 20, [0] * 60 + [1] * 25 + [0] * 25)
    measured = sliced_performance(found, slices_by=("weather",))
    assert [one.split(": ")[0] for one in _shown(measured, "slices")] == ["weather=(missing)", "weather=clear"]
    assert _values(measured)["lowest_slice_performance"] == 0.5


def test_an_unknown_attribute_is_an_error():
    """A misspelt attribute is no empty list of slices."""
    found = _classified(["clear"] * 60, [0] * 60)
    with pytest.raises(InputError, match=r"no attribute 'wether'.*'weather'"):
        sliced_performance(found, slices_by=("wether",))
    with pytest.raises(InputError, match="no attribute 'wether'"):
        sliced_performance(found, ranges={"wether": [0, 1]})


def test_without_named_slices_the_worst_is_not_measured_but_searched():
    """Nobody named a slice, and the weak one is found all the same."""
    found = _classified(["clear"] * 100 + ["rain"] * 50, [0] * 100 + [1] * 25 + [0] * 25)
    measured = sliced_performance(found)
    assert "no slice is named" in _reason(measured, "lowest_slice_performance")
    assert _values(measured)["weak_slices"] == 1
    assert _shown(measured, "weak_slices")[0].startswith("weather=rain")


def test_nothing_to_compare_is_not_zero_weak_slices():
    """One class of weather cannot be weaker than the rest: there is none."""
    measured = sliced_performance(_classified(["clear"] * 60, [1] * 60), slices_by=("weather",))
    assert "no slice is large enough" in _reason(measured, "weak_slices")
    assert _values(measured)["lowest_slice_performance"] == 0


def test_search_can_be_left_to_the_named_attributes():
    """``search: false`` compares the named attributes only."""
    attributes = [
        {"weather": "clear" if i % 2 else "rain", "camera": "left" if i < 60 else "right"} for i in range(120)
    ]
    found = _classified(attributes, [1] * 40 + [0] * 80)
    assert _values(sliced_performance(found, slices_by=("weather",), search=False))["weak_slices"] == 0
    assert _values(sliced_performance(found, slices_by=("weather",), search_pairs=False))["weak_slices"] == 1


def _scenes(images=120, misses=None, *, with_attributes=True):
    """Two objects an image, near and far; ``misses`` are the images in which the far one is not found."""
    missed = set(range(40)) if misses is None else set(misses)
    objects = [
        dataclasses.replace(
            annotated(RIGHT, LEFT),
            attributes=({"distance_m": 10.0 + i % 5}, {"distance_m": 40.0 + i % 5}) if with_attributes else (),
        )
        for i in range(images)
    ]
    dataset = SceneDataset(objects, attributes=[{"lighting": "night" if i % 3 == 0 else "day"} for i in range(images)])
    dataset.object_attribute_names = ("distance_m",)
    return detected(dataset, *[[(RIGHT, 0.9)] + ([] if i in missed else [(LEFT, 0.9)]) for i in range(images)])


def test_slices_of_objects():
    """Recall by distance: near objects are found, a third of the far ones is not."""
    measured = sliced_performance(
        _scenes(), slices_by=("distance_m", ("lighting", "distance_m")), ranges={"distance_m": [0, 30, 60]}
    )
    rates = dict(one.split(": ") for one in _shown(measured, "slices"))
    assert rates["distance_m in [0, 30)"].startswith("recall 100.0% of 120 objects")
    assert rates["distance_m in [30, 60)"].startswith("recall 66.7% of 120 objects")
    assert len(rates) == 6
    assert _values(measured)["performance"] == pytest.approx(200 / 240)
    weak = [one.split(": ")[0] for one in _shown(measured, "weak_slices")]
    assert "distance_m in [30, 60)" in weak
    # The far objects are the small ones: the box tells without any attribute.
    assert any(name.startswith("box_height_px=40") for name in weak)


def test_a_range_without_objects_is_reported():
    """An empty slice that was asked for is too small, not absent."""
    measured = sliced_performance(_scenes(), slices_by=("distance_m",), ranges={"distance_m": [0, 30, 60, 90]})
    assert "distance_m in [60, 90): 0 objects" in _reason(measured, "lowest_slice_performance")


def test_objects_without_attributes_are_missing():
    """Annotations that carry no attributes make one slice of the missing."""
    measured = sliced_performance(_scenes(with_attributes=False), slices_by=("distance_m",))
    assert [one.split(": ")[0] for one in _shown(measured, "slices")] == ["distance_m=(missing)"]


def test_ignored_objects_do_not_count():
    """An ignore region is neither found nor missed in any slice."""
    dataset = SceneDataset([annotated(LEFT, RIGHT, ignore=[1])] * 40)
    measured = sliced_performance(detected(dataset, *[[(LEFT, 0.9)]] * 40), slices_by=("box_height_px",))
    assert (_values(measured)["slices"], _values(measured)["performance"]) == (1, 1)


def test_frames_of_a_sequence_are_not_independent():
    """The same counts in ten sequences have a wider bound, and one sequence alone shows nothing."""
    weather, wrong = ["rain"] * 100, ([1] * 5 + [0] * 5) * 4 + [0] * 60
    single = sliced_performance(_classified(weather, wrong), slices_by=("weather",))
    frames = sliced_performance(
        _classified(weather, wrong, sequences=np.repeat(np.arange(10), 10)), slices_by=("weather",)
    )
    one = sliced_performance(_classified(weather, wrong, sequences=np.zeros(100, np.int64)), slices_by=("weather",))
    lower = [each.quantities["lowest_slice_performance"].bounds(0.95)[0] for each in (single, frames)]
    assert lower[1] < lower[0] - 0.02
    assert "all of one sequence" in _reason(one, "lowest_slice_performance")


def test_bad_parameters_are_refused():
    """A text for a list, a triple, and numbers out of range."""
    found = _classified(["clear"] * 60, [0] * 60)
    for parameters, message in (
        ({"slices_by": "weather"}, "write \\[weather\\]"),
        ({"slices_by": (("weather", "a", "b"),)}, "a pair of two"),
        ({"slices_by": (("weather", "weather"),)}, "a pair of two"),
        ({"target": 80}, "target must be a number in 0..1"),
        ({"target": "80 %"}, "target must be a number in 0..1"),
        ({"target": NAN}, "target must be a number in 0..1"),
        ({"ranges": [0, 20]}, "limits by attribute"),
        ({"minimum_slice": 0}, "at least 1"),
        ({"significance": 0}, "between 0 and 1"),
    ):
        with pytest.raises(InputError, match=message):
            sliced_performance(found, **parameters)


def test_an_attribute_with_a_value_an_image_names_no_slices():
    """101 names of frames are no slices."""
    found = _classified([f"frame {i}" for i in range(101)], [0] * 101)
    with pytest.raises(InputError, match="101 slices, at most 100"):
        sliced_performance(found, slices_by=("weather",))


def test_nothing_to_find_shows_nothing():
    """No object, no image: not measurable rather than perfect."""
    with pytest.raises(NotMeasurableError, match="no objects"):
        sliced_performance(detected(SceneDataset([annotated()] * 5), *[[]] * 5))
    with pytest.raises(NotMeasurableError, match="no images"):
        sliced_performance(_classified([], []))


def test_a_name_of_images_and_objects_is_ambiguous():
    """A column that both tables have could mean either."""
    found = _scenes()
    found.dataset.object_attribute_names = ("lighting",)
    with pytest.raises(InputError, match="both images and objects"):
        sliced_performance(found)
