"""Tests of ONNX models on real files and the real runtime."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytest_mle.errors import InputError, Location, MissingExtraError, TrustError
from pytest_mle.inputs.model import Detections, DifferentiableModel, Model
from pytest_mle.inputs.models import open_model
from tests.support.onnx_files import save_constant_detector, save_linear_classifier, save_onnx

HERE = Location("spec.yaml", 7)
CLASSIFIER = {
    "path": "m.onnx",
    "task": "classification",
    "preprocess": {"resize": "stretch", "size": [6, 4], "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.2, 0.5]},
    "output": {"layout": "probabilities"},
    "batch_size": 4,
}
DETECTOR = {
    "path": "m.onnx",
    "task": "detection",
    "preprocess": {"resize": "letterbox", "size": [64, 48]},
    "output": {"layout": "boxes_scores_labels"},
    "classes": ["car", "person"],
}


def _opened(root, entry=CLASSIFIER, **changes):
    return open_model("candidate", {**entry, **changes}, root, location=HERE)


def _images(count, width=6, height=4, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def _expected_probabilities(pictures, weights):
    values = (np.stack(pictures) / 255 - [0.5, 0.4, 0.3]) / [0.25, 0.2, 0.5]
    logits = values.transpose(0, 3, 1, 2).reshape(len(pictures), -1) @ weights
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("batch", ["n", 1, 3])
def test_probabilities_are_those_of_the_matrix(tmp_path, batch):
    """A linear network gives what numpy gives, whatever batch size its graph is fixed to."""
    weights = save_linear_classifier(tmp_path / "m.onnx", batch=batch)
    model = _opened(tmp_path)
    pictures = _images(7)
    found = model.predict(pictures)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, _expected_probabilities(pictures, weights), atol=1e-5)
    assert isinstance(model, Model)
    assert not isinstance(model, DifferentiableModel)


def test_logits_become_probabilities(tmp_path):
    """The layout logits applies the softmax that the graph lacks."""
    weights = save_linear_classifier(tmp_path / "m.onnx", softmax=False)
    pictures = _images(3)
    found = _opened(tmp_path, output={"layout": "logits"}).predict(pictures)
    np.testing.assert_allclose(found, _expected_probabilities(pictures, weights), atol=1e-5)


def test_logits_declared_as_probabilities_are_refused(tmp_path):
    """Rows that do not sum to 1 are no probabilities."""
    save_linear_classifier(tmp_path / "m.onnx", softmax=False)
    with pytest.raises(InputError, match="declare layout: logits"):
        _opened(tmp_path).predict(_images(3))


def test_prepare_and_forward_are_the_parts_of_predict(tmp_path):
    """What prepare gives is 0..1 without mean and std; forward gives the bare outputs."""
    weights = save_linear_classifier(tmp_path / "m.onnx")
    model = _opened(tmp_path)
    pictures = _images(2)
    prepared = model.prepare(pictures)
    np.testing.assert_allclose(prepared, np.stack(pictures).transpose(0, 3, 1, 2) / 255, atol=1e-7)
    (output,) = model.forward(prepared)
    np.testing.assert_allclose(output.arrays["probabilities"], _expected_probabilities(pictures, weights), atol=1e-5)


def test_letterboxed_detections_come_back_to_the_image(tmp_path):
    """A 128x48 image is scaled by half and sits 12 rows down; boxes are mapped back, clipped and sorted by score."""
    save_constant_detector(
        tmp_path / "m.onnx",
        {
            "boxes": np.array([[[10, 20, 30, 30], [0, 0, 64, 48]]], np.float32),
            "scores": np.array([[0.25, 0.75]], np.float32),
            "labels": np.array([[1, 0]], np.int64),
        },
        shape=(1, 3, 48, 64),
    )
    found = _opened(tmp_path, DETECTOR).predict(_images(2, 128, 48))
    assert isinstance(found, Detections)
    assert found.boxes.tolist() == [[0, 0, 128, 48], [20, 16, 60, 36]] * 2
    assert found.scores.tolist() == [0.75, 0.25] * 2
    assert found.labels.tolist() == [0, 1] * 2
    assert found.image_index.tolist() == [0, 0, 1, 1]


def test_normalised_coordinates_are_scaled_by_the_network_size(tmp_path):
    """Half the width of the network's input is half the width of a stretched image."""
    rows = np.array([[[0.5, 0.25, 1, 1, 0.9, 1]]], np.float32)
    save_constant_detector(tmp_path / "m.onnx", {"rows": rows}, shape=(1, 3, 48, 64))
    found = _opened(
        tmp_path,
        DETECTOR,
        preprocess={"resize": "stretch", "size": [64, 48]},
        output={"layout": "boxes_scores_labels", "coordinates": "normalised"},
    ).predict(_images(1, 200, 100))
    assert found.boxes.tolist() == [[100, 25, 200, 100]]


def test_raw_head_with_our_suppression(tmp_path):
    """Two anchors on one object become one detection, the other class stays, max_detections cuts."""
    head = np.zeros((1, 6, 30), np.float32)
    head[0, :, 0] = [20, 20, 10, 10, 0.5, 0]
    head[0, :, 1] = [21, 20, 10, 10, 0.9, 0]
    head[0, :, 2] = [21, 20, 10, 10, 0, 0.7]
    save_constant_detector(tmp_path / "m.onnx", {"output0": head}, shape=(1, 3, 48, 64))
    output = {"layout": "yolov8", "nms": {"iou": 0.5}}
    found = _opened(tmp_path, DETECTOR, output=output).predict(_images(1, 64, 48))
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
    assert found.labels.tolist() == [0, 1]
    one = _opened(tmp_path, DETECTOR, output={**output, "max_detections": 1}).predict(_images(1, 64, 48))
    assert one.labels.tolist() == [0]
    agnostic = _opened(tmp_path, DETECTOR, output={"layout": "yolov8", "nms": {"iou": 0.5, "class_agnostic": True}})
    assert agnostic.predict(_images(1, 64, 48)).labels.tolist() == [0]


def test_images_that_are_not_resized_may_differ_in_size(tmp_path):
    """With resize none, neighbours of one size share a batch, and each box belongs to its image."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Flatten", ["means"], ["three"]),
        helper.make_node("Softmax", ["three"], ["p"], axis=1),
    ]
    save_onnx(tmp_path / "m.onnx", nodes, {"p": ("n", 3)}, shape=("n", 3, "h", "w"))
    pictures = [*_images(2, 5, 4), *_images(1, 9, 3, 1), *_images(1, 5, 4, 2)]
    found = _opened(tmp_path, preprocess={"resize": "none"}).predict(pictures)
    means = np.array([p.mean(axis=(0, 1)) / 255 for p in pictures])
    np.testing.assert_allclose(found, np.exp(means) / np.exp(means).sum(axis=1, keepdims=True), atol=1e-6)


def test_bytes_and_channels_last_come_from_the_graph(tmp_path):
    """A uint8 nhwc graph gets the image's own bytes."""
    nodes = [
        helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["values", "axes"], ["sums"], keepdims=0),
    ]
    save_onnx(
        tmp_path / "m.onnx",
        nodes,
        {"sums": ("n", 3)},
        shape=("n", 4, 6, 3),
        dtype=TensorProto.UINT8,
        initializers=[("axes", np.array([1, 2]))],
    )
    pictures = _images(2)
    model = _opened(
        tmp_path, preprocess={"resize": "stretch", "size": [6, 4], "layout": "nhwc"}, output={"layout": "logits"}
    )
    (output,) = model.forward(model.prepare(pictures))
    np.testing.assert_array_equal(output.arrays["sums"], np.stack(pictures).sum(axis=(1, 2)))


@pytest.mark.parametrize(
    ("preprocess", "message"),
    [
        ({"resize": "stretch", "size": [8, 4]}, r"has shape \['n', 3, 4, 6\], but preprocess declares nchw"),
        ({"resize": "stretch", "size": [6, 4], "color": "gray"}, "and 1 channels"),
        ({"resize": "stretch", "size": [6, 4], "layout": "nhwc"}, "Layout nchw would fit"),
        ({"resize": "stretch", "size": [6, 4], "dtype": "uint8"}, "takes float32, but preprocess declares dtype uint8"),
    ],
)
def test_an_input_that_does_not_fit_the_graph_is_refused_on_opening(tmp_path, preprocess, message):
    """The graph's own shape and type are compared with the declaration before anything runs."""
    save_linear_classifier(tmp_path / "m.onnx")
    with pytest.raises(InputError, match=message) as caught:
        _opened(tmp_path, preprocess=preprocess)
    assert str(caught.value).startswith("spec.yaml:7: model 'candidate': ")


def test_number_of_classes_is_compared(tmp_path):
    """Three columns under two class names are an error."""
    save_linear_classifier(tmp_path / "m.onnx")
    with pytest.raises(InputError, match="3 numbers an image for 2 declared classes"):
        _opened(tmp_path, classes=["a", "b"]).predict(_images(1))


def test_a_graph_with_two_inputs_is_refused(tmp_path):
    """Only the image can be fed."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"])],
        "two",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 4, 6]) for n in "ab"],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 3, 4, 6])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"takes 2 inputs \(a, b\)"):
        _opened(tmp_path)


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(tmp_path, part):
    """Whatever is missing at the end, opening fails with a reason."""
    save_linear_classifier(tmp_path / "m.onnx")
    content = (tmp_path / "m.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(content[: int(len(content) * part)])
    with pytest.raises(InputError, match=r"spec.yaml:7: model 'candidate': .*m\.onnx"):
        _opened(tmp_path)


def test_garbage_and_missing_files_are_refused(tmp_path):
    """A text file is no ONNX file; a missing one and a folder are told apart."""
    (tmp_path / "m.onnx").write_text("not a model, sorry")
    with pytest.raises(InputError, match=r"m\.onnx"):
        _opened(tmp_path)
    with pytest.raises(InputError, match=r"model file 'no\.onnx' does not exist"):
        _opened(tmp_path, path="no.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        _opened(tmp_path, path="folder.onnx")


def test_non_finite_outputs_are_refused(tmp_path):
    """NaN from the network never becomes a prediction; the message names the image's place."""
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("Slice", ["flat", "starts", "ends", "axes"], ["three"]),
        helper.make_node("Log", ["three"], ["p"]),
    ]
    constants = [("starts", np.array([0])), ("ends", np.array([3])), ("axes", np.array([1]))]
    save_onnx(tmp_path / "m.onnx", nodes, {"p": ("n", 3)}, initializers=constants)
    pictures = _images(6)
    pictures[5][:] = 0
    model = _opened(
        tmp_path, preprocess={"resize": "stretch", "size": [6, 4]}, output={"layout": "logits"}, batch_size=2
    )
    with pytest.raises(InputError, match="model 'candidate': the network puts out NaN or infinity for image 5 "):
        model.predict(pictures)


def test_external_weights_belong_to_the_model(tmp_path):
    """A second file with weights is listed, changes the digest, and is missed when it is gone."""
    weights = save_linear_classifier(
        tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0
    )
    model = _opened(tmp_path)
    assert [path.name for path in model.files] == ["m.onnx", "m.onnx.data"]
    assert model.parameter_count == weights.size
    before = model.digest
    data = tmp_path / "m.onnx.data"
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    assert _opened(tmp_path).digest != before
    data.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cannot load m\.onnx"):
        _opened(tmp_path)
    data.unlink()
    with pytest.raises(InputError, match=r"needs the weights file 'm\.onnx\.data', which is not there"):
        _opened(tmp_path)


def test_external_weights_outside_the_folder_need_trust(tmp_path):
    """A model file may not read any file of the machine as its weights."""
    folder = tmp_path / "models"
    folder.mkdir()
    save_linear_classifier(folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    proto = onnx.load_model(str(folder / "m.onnx"), load_external_data=False)
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../secret.bin"
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    (folder / "m.data").rename(tmp_path / "secret.bin")
    with pytest.raises(TrustError, match=r"takes weights from '\.\./secret\.bin', outside its folder"):
        _opened(tmp_path, path="models/m.onnx")


def test_digest_follows_content_and_declaration_but_not_the_place(tmp_path):
    """Renaming changes nothing; another weight, mean or threshold does."""
    save_linear_classifier(tmp_path / "m.onnx")
    digest = _opened(tmp_path).digest
    (tmp_path / "copy.onnx").write_bytes((tmp_path / "m.onnx").read_bytes())
    assert _opened(tmp_path, path="copy.onnx").digest == digest
    assert _opened(tmp_path, preprocess={"resize": "stretch", "size": [6, 4]}).digest != digest
    save_linear_classifier(tmp_path / "m.onnx", seed=1)
    assert _opened(tmp_path).digest != digest


def test_description_is_plain_data(tmp_path):
    """What is recorded survives JSON and names runtime and provider."""
    import json

    save_linear_classifier(tmp_path / "m.onnx")
    found = _opened(tmp_path, intra_op_threads=1).description
    assert json.loads(json.dumps(found))["runtime"]["providers"] == ["CPUExecutionProvider"]
    assert found["files"] == ["m.onnx"]
    assert found["runtime"]["intra_op_threads"] == 1


def test_parameters_are_all_initialisers_but_shapes(tmp_path):
    """Integer shapes and indices are no parameters; weights in sub-graphs are."""
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [5])],
        [numpy_helper.from_array(np.zeros(5, np.float32), "inner")],
    )
    nodes = [
        helper.make_node("Reshape", ["images", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("If", ["yes"], ["five"], then_branch=branch, else_branch=branch),
    ]
    save_onnx(
        tmp_path / "m.onnx",
        nodes,
        {"logits": ("n", 2), "five": (5,)},
        initializers=[
            ("shape", np.array([-1, 72])),
            ("weights", np.zeros((72, 2), np.float32)),
            ("yes", np.ones((), dtype=bool)),
        ],
    )
    assert _opened(tmp_path).parameter_count == 72 * 2 + 2 * 5


def test_an_unavailable_provider_is_refused(tmp_path):
    """Nothing runs on the CPU under the name of another device."""
    save_linear_classifier(tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"'TensorrtExecutionProvider' is not available here\. Available: .*CPU"):
        _opened(tmp_path, provider="TensorrtExecutionProvider")


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_a_missing_library_names_the_extra(tmp_path, monkeypatch, library):
    """The error is the command to run."""
    save_linear_classifier(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf'{library} is not installed.*pip install "pytest-mle\[onnx\]"'):
        _opened(tmp_path)


def test_no_images_are_refused(tmp_path):
    """A prediction of nothing is an error."""
    save_linear_classifier(tmp_path / "m.onnx")
    with pytest.raises(InputError, match="was given no images"):
        _opened(tmp_path).predict([])


def test_a_named_output_is_taken(tmp_path):
    """Of several outputs the declared one counts."""
    good, bad = np.array([[0.25, 0.75]], np.float32), np.array([[9.0, 9.0, 9.0]], np.float32)
    save_constant_detector(tmp_path / "m.onnx", {"first": bad, "second": good}, shape=(1, 3, 4, 6))
    model = _opened(tmp_path, output={"layout": "probabilities", "names": {"output": "second"}})
    assert model.predict(_images(2)).tolist() == [[0.25, 0.75]] * 2
    wrong = _opened(tmp_path, output={"layout": "probabilities", "names": {"output": "third"}})
    with pytest.raises(InputError, match="no output 'third', only first, second"):
        wrong.predict(_images(1))
