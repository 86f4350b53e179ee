"""Tests of the output layouts, on arrays made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.inputs.models.declaration import Output
from pytest_mle.inputs.models.layouts import LayoutError, NonFiniteOutputError, corners, decode

NAN = float("nan")


def _f32(*rows):
    return np.array(rows, dtype=np.float32)


def _run(outputs, images=1, classes=None, **keys):
    nms = {"nms": "none"} if keys.get("layout", "") in ("yolov5", "yolov8", "ssd") else {}
    declared = Output.model_validate({"layout": "boxes_scores_labels", **nms, **keys})
    return decode(outputs, images, declared, classes)


def _rows(candidates):
    return [
        [*np.round(box.astype(float), 4).tolist(), round(float(score), 4), int(label)]
        for box, score, label in zip(candidates.boxes, candidates.scores, candidates.labels, strict=True)
    ]


SPLIT = {
    "boxes": _f32([[1, 2, 3, 4], [5, 6, 7, 8]], [[0, 0, 9, 9], [0, 0, 0, 0]]),
    "scores": _f32([0.9, 0.5], [0.25, 0]),
    "labels": np.array([[0, 2], [1, 0]]),
}
EXPECTED = [[[1, 2, 3, 4, 0.9, 0], [5, 6, 7, 8, 0.5, 2]], [[0, 0, 9, 9, 0.25, 1]]]


def test_split_outputs():
    """Boxes, scores and labels of two images; the row of score zero is padding."""
    assert [_rows(one) for one in _run(SPLIT, 2)] == EXPECTED


def test_split_outputs_found_by_declared_names_and_by_order():
    """Unusual names are declared, or the order boxes, scores, labels counts."""
    renamed = dict(zip("abc", SPLIT.values(), strict=True))
    assert [_rows(one) for one in _run(renamed, 2)] == EXPECTED
    shuffled = {"c": SPLIT["labels"], "a": SPLIT["boxes"], "b": SPLIT["scores"]}
    assert [_rows(one) for one in _run(shuffled, 2, names={"boxes": "a", "scores": "b", "labels": "c"})] == EXPECTED


def test_usual_names_beat_the_order():
    """The order of torchvision, boxes, labels, scores, is no trap when the outputs have their names."""
    shuffled = {name: SPLIT[name] for name in ("boxes", "labels", "scores")}
    assert [_rows(one) for one in _run(shuffled, 2)] == EXPECTED


def test_labels_in_the_place_of_scores_are_refused():
    """Whole numbers are no scores: a wrong order is an error, not a perfect detector."""
    wrong = {"a": SPLIT["boxes"], "b": SPLIT["labels"], "c": SPLIT["scores"]}
    with pytest.raises(LayoutError, match="b holds int64, scores are fractions"):
        _run(wrong, 2)


def test_no_axis_of_images_and_a_variable_count():
    """One image at a time may come without batch axis, with any number of rows, zero included."""
    single = {name: array[0] for name, array in SPLIT.items()}
    assert _rows(_run(single)[0]) == EXPECTED[0]
    none = {"boxes": np.zeros((0, 4), np.float32), "scores": np.zeros(0, np.float32), "labels": np.zeros(0, np.int64)}
    assert len(_run(none)[0]) == 0
    with pytest.raises(LayoutError, match="the first for 2 images"):
        _run(single, 2)


def test_one_array():
    """Six columns: box, score, label."""
    array = _f32([[1, 2, 3, 4, 0.9, 0], [5, 6, 7, 8, 0.5, 2]])
    assert _rows(_run({"detections": array})[0]) == EXPECTED[0]
    assert _rows(_run({"detections": array[0]})[0]) == EXPECTED[0]
    with pytest.raises(LayoutError, match="needs 6 columns"):
        _run({"detections": array[:, :, :5]})


def test_count_cuts_the_filled_rows():
    """Rows behind the count are whatever was in memory, NaN included, and do not matter."""
    outputs = {
        "num": np.array([[1], [2]]),
        "boxes": _f32([[1, 2, 3, 4], [NAN, 0, 0, 0]], [[0, 0, 9, 9], [1, 1, 2, 2]]),
        "scores": _f32([0.9, 7], [0.5, 0.4]),
        "labels": np.array([[0, -5], [1, 1]]),
    }
    found = _run(outputs, 2, names={"count": "num"})
    assert [len(one) for one in found] == [1, 2]
    outputs["num"] = np.array([1, 3])
    with pytest.raises(LayoutError, match="num holds"):
        _run(outputs, 2, names={"count": "num"})


def test_tensorflow_object_detection():
    """Normalised y x y x boxes, float labels from 1 and a count, as TF's Object Detection API gives them."""
    outputs = {
        "detection_boxes": _f32([[0.1, 0.2, 0.3, 0.4], [0, 0, 0, 0]]),
        "detection_classes": _f32([1, 1]),
        "detection_scores": _f32([0.75, 0]),
        "num_detections": _f32(1),
    }
    names = {
        "boxes": "detection_boxes",
        "scores": "detection_scores",
        "labels": "detection_classes",
        "count": "num_detections",
    }
    found = _run(outputs, names=names, boxes="yxyx", coordinates="normalised", labels_start_at=1, classes=1)
    assert _rows(found[0]) == [[0.2, 0.1, 0.4, 0.3, 0.75, 0]]


@pytest.mark.parametrize(
    ("form", "box"),
    [("xyxy", [10, 20, 40, 60]), ("yxyx", [20, 10, 60, 40]), ("xywh", [10, 20, 30, 40]), ("cxcywh", [25, 40, 30, 40])],
)
def test_box_forms(form, box):
    """The same box written in four ways."""
    assert corners(_f32(box), form).tolist() == [[10, 20, 40, 60]]


def test_boxes_of_another_form_are_refused():
    """Widths read as corners turn most boxes inside out."""
    with pytest.raises(LayoutError, match="2 of 3 boxes end before they begin, so they are not 'xyxy'"):
        corners(_f32([50, 50, 10, 10], [60, 40, 9, 8], [1, 1, 5, 5]), "xyxy")


def test_a_single_box_inside_out_stays_as_a_box_without_area():
    """A weak network's odd box is kept, so that it counts as a false alarm."""
    found = corners(_f32([5, 5, 4, 9], [1, 1, 2, 2], [3, 3, 4, 4]), "xyxy")
    assert found.tolist() == [[5, 5, 5, 9], [1, 1, 2, 2], [3, 3, 4, 4]]


def test_label_zero_point():
    """labels_start_at 1 moves labels down; a label below it is an error, not class -1."""
    outputs = {**SPLIT, "labels": np.array([[1, 3], [2, 1]])}
    assert [_rows(one) for one in _run(outputs, 2, labels_start_at=1)] == EXPECTED
    with pytest.raises(LayoutError, match="a label is 0: see labels_start_at"):
        _run(SPLIT, 2, labels_start_at=1)


def test_background_rows_are_dropped_and_the_labels_above_move_down():
    """Background as class 1 of 0, 1, 2."""
    found = _run({**SPLIT, "labels": np.array([[0, 2], [1, 0]])}, 2, background_class=1)
    assert [_rows(one) for one in found] == [[[1, 2, 3, 4, 0.9, 0], [5, 6, 7, 8, 0.5, 1]], []]
    last = _run(SPLIT, 2, classes=2, background_class="last")
    assert [one.labels.tolist() for one in last] == [[0], [1]]


def test_labels_beyond_the_declared_classes_are_refused():
    """A label without a name means that labels are shifted or the model is another one."""
    with pytest.raises(LayoutError, match="label 2 of 2 declared classes"):
        _run(SPLIT, 2, classes=2)


def test_a_single_class_needs_no_labels():
    """With one declared class two outputs are enough."""
    outputs = {"boxes": SPLIT["boxes"], "scores": SPLIT["scores"]}
    assert [one.labels.tolist() for one in _run(outputs, 2, classes=1)] == [[0, 0], [0]]
    with pytest.raises(LayoutError, match="no output for labels"):
        _run(outputs, 2, classes=2)


def test_score_threshold_keeps_equality():
    """A score equal to the threshold is kept."""
    assert [len(one) for one in _run(SPLIT, 2, score_threshold=0.5)] == [2, 0]


@pytest.mark.parametrize("bad", [1.5, -0.5])
def test_scores_outside_the_unit_interval_are_refused(bad):
    """Logits in the place of scores are an error."""
    with pytest.raises(LayoutError, match=r"expected 0\.\.1"):
        _run({**SPLIT, "scores": _f32([0.9, bad], [0.25, 0])}, 2)


@pytest.mark.parametrize("name", ["boxes", "scores"])
@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_non_finite_detections_are_refused_with_the_image(name, value):
    """NaN is never dropped: it names the second image."""
    broken = {**SPLIT, name: SPLIT[name].copy()}
    broken[name][1, 0] = value
    with pytest.raises(NonFiniteOutputError) as caught:
        _run(broken, 2)
    assert caught.value.image == 1


def test_end2end():
    """Rows of image, box, label, score in any order of images; an image without rows is empty."""
    array = _f32([2, 1, 2, 3, 4, 5, 0.9], [0, 5, 6, 7, 8, 1, 0.5])
    found = _run({"output": array}, 3, layout="end2end")
    assert [_rows(one) for one in found] == [[[5, 6, 7, 8, 0.5, 1]], [], [[1, 2, 3, 4, 0.9, 5]]]
    assert [len(one) for one in _run({"output": np.zeros((0, 7), np.float32)}, 2, layout="end2end")] == [0, 0]
    with pytest.raises(LayoutError, match=r"holds 0\.\.2 for 2 images"):
        _run({"output": array}, 2, layout="end2end")


YOLOV5 = np.zeros((1, 12, 8), np.float32)
YOLOV5[0, 3] = [50, 40, 20, 10, 0.8, 0.1, 0.9, 0.0]
YOLOV5[0, 7] = [10, 10, 4, 4, 0.5, 0.5, 0.1, 0.2]


def test_yolov5():
    """Objectness times class probability, boxes from centre and size."""
    found = _run({"output0": YOLOV5, "features": np.zeros((1, 3, 4, 4))}, layout="yolov5", score_threshold=0.1)
    assert _rows(found[0]) == [[40, 35, 60, 45, 0.72, 1], [8, 8, 12, 12, 0.25, 0]]


def test_yolov5_with_every_class_of_an_anchor():
    """multi_label keeps each class that reaches the threshold."""
    found = _run({"output0": YOLOV5}, layout="yolov5", score_threshold=0.05, multi_label=True)
    assert _rows(found[0]) == [
        [40, 35, 60, 45, 0.08, 0],
        [40, 35, 60, 45, 0.72, 1],
        [8, 8, 12, 12, 0.25, 0],
        [8, 8, 12, 12, 0.05, 1],
        [8, 8, 12, 12, 0.1, 2],
    ]


YOLOV8 = np.zeros((2, 6, 20), np.float32)
YOLOV8[0, :, 4] = [50, 40, 20, 10, 0.25, 0.75]
YOLOV8[1, :, 9] = [10, 10, 4, 4, 0.5, 0.125]


@pytest.mark.parametrize("classes", [2, None])
def test_yolov8_and_its_transpose(classes):
    """No objectness; channels stand first or last."""
    expected = [[[40, 35, 60, 45, 0.75, 1]], [[8, 8, 12, 12, 0.5, 0]]]
    for head in (YOLOV8, YOLOV8.transpose(0, 2, 1)):
        found = _run({"output0": head}, 2, classes, layout="yolov8")
        assert [_rows(one) for one in found] == expected


def test_declared_classes_decide_the_axis_where_anchors_are_few():
    """With 6 channels and 5 anchors only the declared classes tell which axis is which."""
    head = np.zeros((1, 6, 5), np.float32)
    head[0, :, 2] = [5, 5, 2, 2, 0.1, 0.9]
    assert _rows(_run({"o": head}, 1, 2, layout="yolov8")[0]) == [[4, 4, 6, 6, 0.9, 1]]


@pytest.mark.parametrize(("background", "label"), [("first", 0), ("last", 1), (1, 1)])
def test_ssd_without_its_background(background, label):
    """The background column wins nowhere and its place in the label order is closed."""
    scores = {"first": [0.7, 0.2, 0.1], "last": [0.1, 0.2, 0.7], 1: [0.1, 0.7, 0.2]}[background]
    outputs = {"boxes": _f32([[1, 2, 3, 4]]), "scores": _f32([scores])}
    found = _run(outputs, 1, 2, layout="ssd", background_class=background)
    assert _rows(found[0]) == [[1, 2, 3, 4, 0.2, label]]


def test_dense_heads_refuse_nan_and_logits():
    """A NaN in any anchor, and class scores beyond 1, are errors."""
    broken = YOLOV8.copy()
    broken[1, 5, 19] = NAN
    with pytest.raises(NonFiniteOutputError) as caught:
        _run({"o": broken}, 2, layout="yolov8")
    assert caught.value.image == 1
    with pytest.raises(LayoutError, match="a sigmoid is missing"):
        _run({"o": YOLOV8 * 4}, 2, layout="yolov8")


def test_a_misfit_names_outputs_shapes_and_what_would_fit():
    """The error is enough to correct the spec."""
    with pytest.raises(LayoutError) as caught:
        _run({"output0": YOLOV8}, 2, 2, layout="end2end")
    message = str(caught.value)
    assert "output0 [2, 6, 20] float32" in message
    assert "'end2end'" in message
    assert "They would fit: yolov8" in message


def test_a_misfit_of_everything_says_so():
    """Outputs of a segmentation network fit nothing."""
    with pytest.raises(LayoutError, match="No known layout fits them"):
        _run({"mask": np.zeros((1, 2, 3, 4, 5))}, layout="yolov5")


def test_wrong_number_of_classes():
    """A head for 80 classes under a declaration of 3 is an error in every dense layout."""
    for layout, shape in (("yolov5", (1, 100, 85)), ("yolov8", (1, 84, 100))):
        with pytest.raises(LayoutError, match="expected"):
            _run({"o": np.zeros(shape, np.float32)}, 1, 3, layout=layout)
    with pytest.raises(LayoutError, match="expected scores of 3 classes, got 80"):
        _run({"boxes": np.zeros((1, 9, 4)), "scores": np.zeros((1, 9, 80))}, 1, 3, layout="ssd")


def test_a_transposed_yolov5_head_is_refused_without_declared_classes():
    """More columns than anchors is a head on its side."""
    with pytest.raises(LayoutError, match="transposed"):
        _run({"o": np.zeros((1, 85, 12), np.float32).transpose(0, 2, 1)}, layout="yolov5")


def test_a_missing_named_output_is_refused():
    """A name that the graph does not have is an error."""
    with pytest.raises(LayoutError, match="there is no output 'bboxes'"):
        _run(SPLIT, 2, names={"boxes": "bboxes", "scores": "scores", "labels": "labels"})
