"""Tests of the COCO matcher."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.detection import matching
from pytest_mle.checks.detection.matching import DetectedBoxes, TrueBoxes, match_detections

SQUARE = [0.0, 0.0, 10.0, 10.0]


def detections(boxes, scores, labels=None, images=None):
    """Build detections of class 0 in image 0 unless told otherwise."""
    none = np.zeros(len(boxes), dtype=np.int64)
    return DetectedBoxes(boxes, scores, none if labels is None else labels, none if images is None else images)


def objects(boxes, labels=None, images=None, **flags):
    """Build ground truth of class 0 in image 0 unless told otherwise."""
    none = np.zeros(len(boxes), dtype=np.int64)
    return TrueBoxes(boxes, none if labels is None else labels, none if images is None else images, **flags)


def assert_equal_tables(left, right):
    """Compare all arrays of two match tables."""
    for field in dataclasses.fields(left):
        np.testing.assert_array_equal(getattr(left, field.name), getattr(right, field.name), err_msg=field.name)


def test_match_by_hand():
    """The best scored detection takes the object, its duplicate and a poor box are left over at high thresholds."""
    truth = objects([SQUARE, [20, 0, 30, 10]])
    # Overlaps: 0.8 with the first object, 1 with the first, 2/3 with the second.
    detected = detections([[0, 0, 10, 8], SQUARE, [22, 0, 32, 10]], [0.8, 0.9, 0.7])

    table = match_detections(detected, truth, image_count=1)

    assert table.detection_source.tolist() == [1, 0, 2]
    assert table.detection_score.tolist() == [0.9, 0.8, 0.7]
    assert table.detection_match.tolist() == [[0, -1, 1]] * 4 + [[0, -1, -1]] * 6
    assert table.truth_match.tolist() == [[0, 2]] * 4 + [[0, -1]] * 6
    assert not table.detection_ignored.any()


def test_detection_takes_what_is_left():
    """A detection whose best object is taken goes to the next best that reaches the threshold."""
    truth = objects([SQUARE, [0, 0, 10, 8]])
    detected = detections([SQUARE, SQUARE], [0.9, 0.8])

    table = match_detections(detected, truth, image_count=1, iou_thresholds=[0.5, 0.8, 0.85])

    assert table.detection_match.tolist() == [[0, 1], [0, 1], [0, -1]]


def test_other_class_and_other_image_never_match():
    """Boxes meet only inside one image and one class."""
    truth = objects([SQUARE, SQUARE], labels=[7, 3], images=[0, 1])
    detected = detections([SQUARE, SQUARE], [0.9, 0.8], labels=[3, 7], images=[0, 1])

    table = match_detections(detected, truth, image_count=2)

    assert table.classes.tolist() == [3, 7]
    assert (table.detection_match == -1).all()


def test_equal_overlap_goes_to_the_last_object():
    """Of equally good objects COCO takes the last one."""
    table = match_detections(detections([SQUARE], [0.9]), objects([SQUARE, SQUARE]), image_count=1)

    assert (table.detection_match == 1).all()


def test_equal_scores_keep_the_order_given():
    """Of equally scored detections the first one chooses first."""
    table = match_detections(detections([[0, 0, 10, 9], SQUARE], [0.5, 0.5]), objects([SQUARE]), image_count=1)

    assert table.detection_source.tolist() == [0, 1]
    assert table.detection_match[0].tolist() == [0, -1]


def test_crowd_takes_any_number_of_detections():
    """A crowd is matched by the share of the detection inside it and never used up."""
    truth = objects([[0, 0, 100, 100], [200, 0, 210, 10]], crowd=[True, False])
    # The third lies with 40 % inside the crowd.
    detected = detections([[10, 10, 20, 20], [30, 30, 40, 40], [96, 0, 106, 10]], [0.7, 0.9, 0.8])

    table = match_detections(detected, truth, image_count=1)

    assert table.detection_source.tolist() == [1, 2, 0]
    assert table.detection_match[0].tolist() == [0, -1, 0]
    assert table.detection_ignored[0].tolist() == [True, False, True]
    assert table.truth_match[0].tolist() == [0, -1]
    assert table.truth_ignored.tolist() == [True, False]


def test_ignored_object_takes_one_detection_by_iou():
    """An ignored object that is no crowd swallows one detection that fits it, not all that lie inside."""
    truth = objects([SQUARE, [50, 50, 60, 60]], ignored=[True, False])
    detected = detections([SQUARE, SQUARE, [1, 1, 2, 2]], [0.9, 0.8, 0.7])

    table = match_detections(detected, truth, image_count=1)

    assert table.detection_ignored[0].tolist() == [True, False, False]


def test_object_that_counts_is_preferred_to_a_better_ignored_one():
    """A detection goes to an ignored object only where no other one reaches the threshold."""
    truth = objects([SQUARE, [0, 0, 10, 7]], ignored=[True, False])

    table = match_detections(detections([SQUARE], [0.9]), truth, image_count=1, iou_thresholds=[0.5, 0.7, 0.75])

    assert table.detection_match[:, 0].tolist() == [1, 1, 0]
    assert table.detection_ignored[:, 0].tolist() == [False, False, True]


def test_area_range_includes_its_bounds_and_ignores_the_rest():
    """Objects out of range are ignored, and so are detections out of range unless they match an object in range."""
    truth = objects([SQUARE, [20, 0, 40, 20]])
    detected = detections([[0, 0, 10, 9], [20, 0, 40, 20], [80, 80, 81, 81], [80, 80, 90, 90]], [0.9, 0.8, 0.7, 0.6])

    table = match_detections(detected, truth, image_count=1, area_range=(100, 200))

    assert table.truth_ignored.tolist() == [False, True]
    assert table.detection_match[0].tolist() == [0, 1, -1, -1]
    assert table.detection_ignored[0].tolist() == [False, True, True, False]


def test_given_area_overrides_the_box():
    """The area range looks at the given area of objects, as COCO does for masks."""
    table = match_detections(
        detections([SQUARE], [0.9]), objects([SQUARE], area=[50.0]), image_count=1, area_range=(60, 200)
    )

    assert table.truth_ignored.tolist() == [True]


def test_detections_beyond_the_limit_are_dropped_and_counted():
    """Only the best scored detections of each image and class take part."""
    detected = detections([SQUARE] * 4, [0.1, 0.4, 0.3, 0.2], labels=[0, 0, 0, 1])

    table = match_detections(detected, objects([SQUARE]), image_count=1, max_detections=2)

    assert table.detection_source.tolist() == [1, 2, 3]
    assert table.detection_rank.tolist() == [0, 1, 0]
    assert table.dropped_detections == 1


def test_box_without_area_matches_nothing():
    """A detection clipped to nothing at the border is a false positive, not an error."""
    table = match_detections(detections([[0, 5, 0, 5]], [0.9]), objects([SQUARE]), image_count=1)

    assert (table.detection_match == -1).all()
    assert not table.detection_ignored.any()


def test_threshold_of_one_is_reached_by_the_same_box():
    """A perfect box matches at IoU 1."""
    table = match_detections(
        detections([[0.1, 0.2, 0.3, 0.7]], [0.9]), objects([[0.1, 0.2, 0.3, 0.7]]), image_count=1, iou_thresholds=[1.0]
    )

    assert table.detection_match.tolist() == [[0]]


def test_threshold_of_one_allows_for_rounding():
    """COCO takes an IoU within 1e-10 of 1 for 1, and nothing less."""
    detected = detections([[0, 0, 1, 1 - 5e-11], [50, 0, 51, 1 - 2e-10]], [0.9, 0.8])
    truth = objects([[0, 0, 1, 1], [50, 0, 51, 1]])

    table = match_detections(detected, truth, image_count=1, iou_thresholds=[1.0])

    assert table.detection_match.tolist() == [[0, -1]]


def test_more_classes_than_sixteen_bits_hold():
    """Detections stay sorted by class however many classes there are."""
    detected = detections([SQUARE, SQUARE, SQUARE], [0.7, 0.9, 0.8], labels=[0, 65_536, 1])

    table = match_detections(detected, objects([SQUARE]), image_count=1, classes=range(70_000))

    assert table.detection_class.tolist() == [0, 1, 65_536]
    assert table.detection_source[table.class_rows(65_536)].tolist() == [1]


@pytest.mark.parametrize("count", [1, 63, 64])
def test_any_number_of_thresholds_up_to_the_limit(count):
    """Every threshold keeps its own matches, up to the last bit of the machine word."""
    thresholds = np.linspace(0.2, 0.9, count)
    table = match_detections(
        detections([[0, 0, 10, 6]], [0.9]), objects([SQUARE]), image_count=1, iou_thresholds=thresholds
    )

    assert (table.detection_match[:, 0] == 0).tolist() == (thresholds <= 0.6).tolist()


def test_without_detections_and_without_objects():
    """Empty images give empty tables; metrics refuse them later."""
    table = match_detections(detections([], []), objects([]), image_count=3, classes=[0, 1])

    assert table.detection_match.shape == (10, 0)
    assert table.truth_match.shape == (10, 0)
    assert table.classes_without_truth == (0, 1)
    assert table.class_rows(1) == slice(0, 0)


def test_classes_without_truth_are_named():
    """Labels that only detections have, that nothing has or whose objects are ignored are listed."""
    truth = objects([SQUARE, SQUARE], labels=[4, 6], ignored=[False, True])

    table = match_detections(detections([SQUARE], [0.9], labels=[5]), truth, image_count=1, classes=[9, 6, 5, 4])

    assert table.classes_without_truth == (5, 6, 9)


def matches_of(evaluator, class_count, image_count):
    """Read matches, ignore flags and rows per image and class from pycocotools' evaluation of one area range."""
    found = {}
    for (label, image), result in zip(
        itertools.product(range(class_count), range(image_count)), evaluator.evalImgs, strict=True
    ):
        if result is not None:
            for column, row in enumerate(result["dtIds"]):
                found[row - 1] = (
                    label,
                    image,
                    result["dtMatches"][:, column].astype(int) - 1,
                    result["dtIgnore"][:, column],
                )
    return found


@pytest.mark.parametrize("area_range", [(0, 1e10), (30, 120)])
@pytest.mark.parametrize("max_detections", [2, 100])
@pytest.mark.parametrize("seed", range(6))
def test_every_match_equals_pycocotools(random_data, pycocotools_evaluation, seed, max_detections, area_range):
    """Each detection has pycocotools' match and ignore flag: ties, crowds, ignored objects, crowded images."""
    detected, truth = random_data(seed, images=5, detections=90, objects=60, score_steps=8, crowds=0.15, ignored=0.15)

    table = match_detections(
        detected, truth, image_count=5, classes=range(3), area_range=area_range, max_detections=max_detections
    )

    evaluator = pycocotools_evaluation(
        detected, truth, image_count=5, class_count=3, area_ranges=[area_range], max_detections=[max_detections]
    )
    expected = matches_of(evaluator, 3, 5)
    assert sorted(expected) == sorted(table.detection_source.tolist())
    for row, source in enumerate(table.detection_source.tolist()):
        label, image, match, ignored = expected[source]
        assert (table.detection_class[row], table.detection_image[row]) == (label, image)
        assert table.detection_match[:, row].tolist() == match.tolist()
        assert table.detection_ignored[:, row].tolist() == ignored.tolist()
    assert (table.detection_match >= 0).any()


@pytest.mark.parametrize("seed", range(3))
def test_both_directions_agree(random_data, seed):
    """Objects that count and detections name each other; a crowd names the best scored of its detections."""
    detected, truth = random_data(seed, images=4, detections=90, objects=50, score_steps=8, crowds=0.3)

    table = match_detections(detected, truth, image_count=4)

    for threshold in range(10):
        match = table.detection_match[threshold]
        for row in range(len(truth)):
            rows = np.flatnonzero(match == row)
            assert truth.crowd[row] or len(rows) <= 1
            assert table.truth_match[threshold, row] == (rows[0] if len(rows) else -1)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_limiting_afterwards_equals_matching_fewer(random_data, limit):
    """Cutting a table to fewer detections gives the table of matching those alone."""
    detected, truth = random_data(1, images=3, detections=80, objects=40, score_steps=8, crowds=0.2)
    whole = match_detections(detected, truth, image_count=3)

    assert_equal_tables(whole.limited_to(limit), match_detections(detected, truth, image_count=3, max_detections=limit))


def test_limit_must_lie_below_the_table_s():
    """A table cannot be extended to detections that it dropped."""
    table = match_detections(detections([SQUARE], [0.9]), objects([SQUARE]), image_count=1, max_detections=10)

    with pytest.raises(ValueError, match=r"1\.\.10 for this table, got 11"):
        table.limited_to(11)


@pytest.mark.parametrize("pairs", [1, 7, 64])
def test_size_of_blocks_does_not_matter(random_data, monkeypatch, pairs):
    """Bounding the memory changes no match."""
    detected, truth = random_data(2, images=4, crowds=0.1)
    expected = match_detections(detected, truth, image_count=4)

    monkeypatch.setattr(matching, "PAIRS_PER_BLOCK", pairs)

    assert_equal_tables(match_detections(detected, truth, image_count=4), expected)


@given(seed=st.integers(0, 10_000), data=st.data())
@settings(deadline=None, max_examples=40)
def test_order_of_detections_does_not_matter(random_data, seed, data):
    """Without equal scores and overlaps, shuffled input gives the same matches."""
    detected, truth = random_data(seed, images=4, on_grid=False, crowds=0.1)
    order = np.array(data.draw(st.permutations(range(len(detected)))))
    shuffled = DetectedBoxes(
        detected.boxes[order], detected.scores[order], detected.labels[order], detected.image_index[order]
    )

    table = match_detections(detected, truth, image_count=4)
    other = match_detections(shuffled, truth, image_count=4)

    np.testing.assert_array_equal(order[other.detection_source], table.detection_source)
    np.testing.assert_array_equal(other.detection_match, table.detection_match)
    np.testing.assert_array_equal(other.truth_match, table.truth_match)


@given(seed=st.integers(0, 10_000), exponent=st.integers(-3, 8), shift=st.integers(-512, 512))
@settings(deadline=None, max_examples=40)
def test_matches_do_not_depend_on_scale_and_position(random_data, seed, exponent, shift):
    """IoU is relative: scaled and moved boxes match alike (powers of two and whole pixels, so that it is exact)."""
    detected, truth = random_data(seed, images=4, crowds=0.1, score_steps=8)
    factor = 2.0**exponent
    moved = dataclasses.replace(detected, boxes=(detected.boxes + shift) * factor)
    moved_truth = dataclasses.replace(truth, boxes=(truth.boxes + shift) * factor, area=None)

    assert_equal_tables(
        match_detections(moved, moved_truth, image_count=4), match_detections(detected, truth, image_count=4)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": [SQUARE, [0, np.nan, 1, 1]]}, r"detected boxes: row 1 is not finite: \[0.0, nan"),
        ({"boxes": [SQUARE, [0, 0, np.inf, 1]]}, "row 1 is not finite"),
        ({"boxes": [[5, 5, 2, 8], SQUARE]}, "row 0 has x2 < x1 or y2 < y1"),
        ({"boxes": [[5, 5, 8, 2], SQUARE]}, "row 0 has x2 < x1 or y2 < y1"),
        ({"boxes": [[1, 2, 3], [1, 2, 3]]}, r"shape \(box, 4\)"),
        ({"scores": [0.5, np.nan]}, "detected boxes: scores: row 1 is not finite: nan"),
        ({"scores": [np.inf, np.nan]}, r"row 0 is not finite: inf \(2 such rows\)"),
        ({"scores": [0.5]}, r"scores must have shape \(2,\)"),
        ({"labels": [0.0, 1.0]}, "labels must be integers, got float64"),
        ({"image_index": [True, False]}, "image_index must be integers, got bool"),
    ],
)
def test_bad_detections_are_refused(change, message):
    """Whatever is not a number or no box is named with its row."""
    good = {"boxes": [SQUARE, SQUARE], "scores": [0.5, 0.4], "labels": [0, 0], "image_index": [0, 0]}

    with pytest.raises(ValueError, match=message):
        DetectedBoxes(**(good | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": [SQUARE, [3, 3, 3, 9]]}, r"ground truth: row 1 has no area: \[3.0, 3.0, 3.0, 9.0\]"),
        ({"boxes": [SQUARE, [0, np.nan, 1, 1]]}, "ground truth: row 1 is not finite"),
        ({"area": [np.nan, 1.0]}, "ground truth: area: row 0 is not finite"),
        ({"crowd": [2, 0]}, "ground truth: crowd must be true or false"),
        ({"ignored": [True]}, r"ignored must have shape \(2,\)"),
    ],
)
def test_bad_ground_truth_is_refused(change, message):
    """An object that no detection could ever match is a labelling error, not a miss."""
    good = {"boxes": [SQUARE, SQUARE], "labels": [0, 0], "image_index": [0, 0]}

    with pytest.raises(ValueError, match=message):
        TrueBoxes(**(good | change))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_count": 0}, "image_count must be at least 1, got 0"),
        ({"image_count": 1}, r"detected boxes: image_index: row 1 is not in 0\.\.0: 1"),
        ({"classes": [1]}, r"detected boxes: labels: row 0 is not one of \[1\]: 0"),
        ({"iou_thresholds": []}, "1 to 64 IoU thresholds"),
        ({"iou_thresholds": np.linspace(0.1, 0.9, 65)}, "1 to 64 IoU thresholds"),
        ({"iou_thresholds": [0.0, 0.5]}, "must rise within"),
        ({"iou_thresholds": [0.5, 1.1]}, "must rise within"),
        ({"iou_thresholds": [0.5, 0.5]}, "must rise within"),
        ({"iou_thresholds": [np.nan]}, "must rise within"),
        ({"max_detections": 0}, "max_detections must be at least 1"),
        ({"area_range": (5, 5)}, "area_range must be"),
        ({"area_range": (np.nan, 5)}, "area_range must be"),
    ],
)
def test_settings_without_sense_are_refused(settings, message):
    """Limits under which nothing could be measured raise instead of giving an empty table."""
    detected = detections([SQUARE, SQUARE], [0.5, 0.4], images=[0, 1])

    with pytest.raises(ValueError, match=message):
        match_detections(detected, objects([SQUARE]), **({"image_count": 2} | settings))


def test_threshold_that_was_not_matched_is_refused():
    """Asking for another IoU threshold tells which ones there are."""
    table = match_detections(detections([SQUARE], [0.9]), objects([SQUARE]), image_count=1, iou_thresholds=[0.5, 0.7])

    assert table.threshold_position(0.7) == 1
    with pytest.raises(ValueError, match=r"not matched at IoU 0.6, only at 0.5, 0.7"):
        table.threshold_position(0.6)
