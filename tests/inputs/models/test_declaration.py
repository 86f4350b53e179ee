"""Tests of the model entry of a spec."""

from __future__ import annotations

import pytest

from pytest_mle.errors import InputError, Location
from pytest_mle.inputs.models.declaration import Output, read_declaration

DETECTOR = {
    "path": "m.onnx",
    "task": "detection",
    "preprocess": {"size": [64, 48], "resize": "letterbox"},
    "output": {"layout": "boxes_scores_labels"},
}
CLASSIFIER = {**DETECTOR, "task": "classification", "output": {"layout": "logits"}}


def _read(**changes):
    return read_declaration("candidate", {**DETECTOR, **changes}, Location("spec.yaml", 14))


def test_the_entry_of_the_design_is_accepted():
    """The example that the docs show is a valid entry."""
    found = _read(
        preprocess={
            "size": [192, 144],
            "resize": "letterbox",
            "color": "rgb",
            "range": [0, 1],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
        },
        output={"layout": "boxes_scores_labels", "boxes": "xyxy", "coordinates": "pixel"},
        device="cpu",
        batch_size=16,
    )
    assert found.preprocess.size == (192, 144)
    assert found.batch_size == 16


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batchsize": 4}, "unknown key batchsize. Did you mean 'batch_size'?"),
        (
            {"preprocess": {"size": [64, 48], "resise": "stretch", "resize": "none"}},
            "unknown key preprocess.resise. Did you mean 'resize'?",
        ),
        (
            {"output": {"layout": "yolov8", "nms": {"iou": 0.5, "agnostic": True}}},
            "unknown key output.nms.agnostic. Did you mean 'class_agnostic'?",
        ),
        (
            {"output": {"layout": "boxes_scores_labels", "names": {"box": "b"}}},
            "unknown key output.names.box. Did you mean 'boxes'?",
        ),
        ({"preprocess": {"size": [64, 48]}}, "preprocess.resize is missing"),
        ({"preprocess": {"resize": "letterbox"}}, "preprocess: resize 'letterbox' needs size"),
        ({"preprocess": {"resize": "none", "mean": [0.5]}}, "mean needs 3 values for color 'rgb', got 1"),
        ({"preprocess": {"resize": "none", "std": [1, 0, 1]}}, "std must be positive"),
        ({"preprocess": {"resize": "none", "range": [1, 0]}}, "range must ascend"),
        ({"preprocess": {"resize": "none", "dtype": "uint8", "range": [0, 1]}}, "dtype uint8 needs range [0, 255]"),
        (
            {"preprocess": {"resize": "none", "color": "hsv"}},
            "preprocess.color: Input should be 'rgb', 'bgr' or 'gray'",
        ),
        ({"batch_size": "16"}, "batch_size: Input should be a valid integer, got '16'"),
        ({"batch_size": True}, "batch_size: Input should be a valid integer, got True"),
        ({"device": "gpu"}, "device: String should match pattern"),
        ({"path": None}, "needs either path: FILE or factory: module:function"),
        ({"factory": "net:build"}, "needs either path: FILE or factory: module:function"),
        ({"state_dict": "w.pt"}, "belong to factory: module:function"),
        ({"format": "factory"}, "format 'factory' does not go with path"),
        ({"output": {"layout": "yolov5"}}, "output: layout 'yolov5' needs nms: {iou: 0.55}, or nms: none"),
        ({"output": {"layout": "logits"}}, "output layout 'logits' does not belong to task 'detection'"),
        ({"classes": ["a", "a"]}, "classes holds a name twice"),
        (
            {"output": {"layout": "boxes_scores_labels", "labels_start_at": 1, "background_class": "first"}},
            "would both shift the labels",
        ),
        ({"output": {"layout": "boxes_scores_labels", "background_class": "last"}}, "needs classes"),
        ({"output": {"layout": "boxes_scores_labels", "score_threshold": 1.5}}, "less than 1, got 1.5"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place(changes, message):
    """Every mistake names the key, what is wrong and the line of the entry."""
    with pytest.raises(InputError) as caught:
        _read(**changes)
    assert str(caught.value).startswith("spec.yaml:14: model 'candidate': ")
    assert message in str(caught.value)


def test_all_mistakes_are_told_at_once():
    """Two wrong keys take one round to mend, not two."""
    with pytest.raises(InputError, match=r"batchsize.*devise"):
        _read(batchsize=4, devise="cpu")


def test_a_threshold_for_a_classifier_is_refused():
    """A key that would be ignored is an error."""
    with pytest.raises(InputError, match="score_threshold means nothing for layout 'logits'"):
        read_declaration("c", {**CLASSIFIER, "output": {"layout": "logits", "score_threshold": 0.5}}, None)


def test_dense_heads_have_bounded_output_by_default():
    """Thousands of anchors are cut at the usual bounds unless declared, finished detections are not."""
    dense = Output(layout="yolov8", nms="none")
    assert (dense.effective_score_threshold, dense.effective_max_detections) == (0.001, 300)
    finished = Output(layout="boxes_scores_labels")
    assert (finished.effective_score_threshold, finished.effective_max_detections) == (0.0, None)
    assert Output(layout="yolov8", nms="none", score_threshold=0.0).effective_score_threshold == 0.0


def test_places_on_this_machine_are_not_recorded():
    """The digest must not depend on where a file lies."""
    assert _read().recorded() == _read(path="elsewhere/m.onnx", like="base").recorded()
    assert _read().recorded() != _read(batch_size=2).recorded()
