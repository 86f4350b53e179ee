"""Tests of predicting a data set once and keeping the result."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from pytest_mle.errors import InputError
from pytest_mle.inputs.model import Detections
from pytest_mle.inputs.models import open_model
from pytest_mle.inputs.prediction_pass import (
    load_predictions,
    predict_dataset,
    save_predictions,
    select_predictions,
)
from pytest_mle.records.condition import conditions
from tests.support.memory_dataset import MemoryDataset
from tests.support.onnx_files import save_linear_classifier

CLASSES = ("a", "b", "c")


class _CountingDetector:
    """Sees as many objects as the upper left pixel says; the scores tell the image's position in its data set."""

    name, task, class_names, files, batch_size = "counting", "detection", (), (), 3
    digest, description = "counting-1", {}

    def predict(self, images):
        counts = [int(image[0, 0, 0]) for image in images]
        scores = [int(image[0, 0, 1]) / 255 for image in images]
        n = sum(counts)
        return Detections(
            np.tile(np.array([0, 0, 2, 2], np.float32), (n, 1)),
            np.repeat(np.array(scores, np.float32), counts),
            np.zeros(n, np.int64),
            np.repeat(np.arange(len(images)), counts),
        )


def counted(counts, **keys):
    """Make images for the counting detector."""
    pictures = [np.array([[[count, position, 0]]], np.uint8) for position, count in enumerate(counts)]
    return MemoryDataset(pictures, boxes=[], **keys)


def _pictures(count, seed=0, width=9, height=7):
    return list(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


@pytest.fixture
def classifier(tmp_path):
    """Open a small ONNX classifier."""
    save_linear_classifier(tmp_path / "m.onnx")
    entry = {
        "path": "m.onnx",
        "task": "classification",
        "preprocess": {"resize": "stretch", "size": [6, 4], "mean": [0.5] * 3, "std": [0.25] * 3},
        "output": {"layout": "probabilities"},
        "classes": list(CLASSES),
        "batch_size": 4,
    }
    return open_model("candidate", entry, tmp_path)


@pytest.mark.parametrize("count", [1, 3, 4, 11])
def test_the_pass_equals_predict(classifier, count):
    """Threads and prefetching change nothing: the result is that of one plain call, in order."""
    images = _pictures(count)
    dataset = MemoryDataset(images, labels=[0] * count, class_names=CLASSES)
    found = predict_dataset(classifier, dataset)
    np.testing.assert_array_equal(found.probabilities, classifier.predict(images))
    assert (found.model, found.dataset) == (classifier, dataset)


def test_detections_of_any_model():
    """A model that only knows predict works too, and image numbers count through the data set."""
    found = predict_dataset(_CountingDetector(), counted((2, 0, 1, 0, 3, 1, 0)))
    assert found.detections.image_index.tolist() == [0, 0, 2, 4, 4, 4, 5]
    np.testing.assert_allclose(found.detections.scores * 255, found.detections.image_index, atol=1e-4)


def test_images_are_read_by_others_while_the_model_works():
    """While the model has one batch, the next is being read, and never more than three are in memory."""
    held, most = set(), []
    next_is_read = [threading.Event() for _ in range(9)]
    next_is_read[8].set()

    class Watched(MemoryDataset):
        def image(self, index):
            held.add(index)
            most.append(len(held))
            next_is_read[index // 3].set()
            assert threading.current_thread() is not threading.main_thread()
            return super().image(index)

    class Waiting(_CountingDetector):
        def predict(self, images):
            number = int(images[0][0, 0, 1]) // 3
            assert next_is_read[number + 1].wait(10), "the next batch waits for the model"
            held.difference_update(int(image[0, 0, 1]) for image in images)
            return super().predict(images)

    predict_dataset(Waiting(), Watched([np.array([[[1, i, 0]]], np.uint8) for i in range(24)], boxes=[]))
    assert max(most) <= 9


def test_progress_is_told_after_every_batch():
    """Done and total, ending at the total."""
    told = []
    predict_dataset(_CountingDetector(), counted([1] * 7), lambda done, total: told.append((done, total)))
    assert told == [(3, 7), (6, 7), (7, 7)]


def test_an_empty_data_set_is_refused():
    """No samples, no predictions: an error."""
    with pytest.raises(InputError, match="'memory' holds no samples"):
        predict_dataset(_CountingDetector(), counted([]))


def test_another_task_is_refused(classifier):
    """A classifier has nothing to say on boxes."""
    with pytest.raises(InputError, match="is for classification, data set 'memory' for detection"):
        predict_dataset(classifier, counted([1]))


def test_classes_in_another_order_are_refused(classifier):
    """The same names in another order would turn every label into another class."""
    dataset = MemoryDataset(_pictures(2), labels=[0, 1], class_names=("b", "a", "c"))
    with pytest.raises(InputError, match="same names in the same order"):
        predict_dataset(classifier, dataset)


def test_an_unreadable_image_stops_the_pass():
    """The error of the data set comes through; the missing image is not left out."""

    class Broken(MemoryDataset):
        def image(self, index):
            if index == 5:
                raise InputError("images/0005.png is cut off")
            return super().image(index)

    dataset = Broken([np.array([[[1, i, 0]]], np.uint8) for i in range(12)], boxes=[])
    before = threading.active_count()
    with pytest.raises(InputError, match=r"images/0005\.png is cut off"):
        predict_dataset(_CountingDetector(), dataset)
    assert threading.active_count() == before


def test_non_finite_outputs_name_the_sample(classifier):
    """Which image it was stands in the message."""
    dataset = MemoryDataset(_pictures(7), labels=[0] * 7, class_names=CLASSES)

    class Sick:
        fixed_batch, dtype, runs = None, "float32", 0

        def run(self, values):
            self.runs += 1
            outputs = network.run(values)
            if self.runs == 2:
                outputs[0].arrays["probabilities"][1, 2] = np.nan
            return outputs

    network, classifier.network = classifier.network, Sick()
    with pytest.raises(InputError, match=r"NaN or infinity for image 'images/0005\.png'"):
        predict_dataset(classifier, dataset)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.array([0.5, np.nan, 0.5], np.float32)}, r"images/0002\.png.*not finite"),
        ({"labels": np.array([0, 0, 9])}, r"images/0002\.png.*label 9 is none of the 2 classes"),
        ({"image_index": np.array([0, 2, 1])}, "must ascend"),
        ({"image_index": np.array([0, 1, 3])}, "must ascend"),
        ({"labels": np.array([0])}, "differ in length"),
    ],
)
def test_predictions_of_a_careless_model_are_refused(change, message):
    """Whoever wrote the model, nothing that breaks its contract becomes a result."""
    good = {
        "boxes": np.zeros((3, 4), np.float32),
        "scores": np.full(3, 0.5, np.float32),
        "labels": np.zeros(3, np.int64),
        "image_index": np.array([0, 2, 2]),
    }

    class Careless(_CountingDetector):
        def predict(self, images):
            return Detections(**{**good, **change})

    with pytest.raises(InputError, match=message):
        predict_dataset(Careless(), counted([1, 1, 1], class_names=("x", "y")))


@pytest.mark.parametrize("rows", [np.full((1, 2), np.nan), np.array([[0.5, 0.6]]), np.zeros((2, 2)), np.zeros(2)])
def test_probabilities_of_a_careless_model_are_refused(rows):
    """NaN, rows that do not sum to 1, and a wrong number of rows."""

    class Careless(_CountingDetector):
        task = "classification"

        def predict(self, images):
            return rows

    with pytest.raises(InputError, match="counting"):
        predict_dataset(Careless(), MemoryDataset(_pictures(1), labels=[0]))


def test_a_slice_equals_predicting_it():
    """Restricting predictions gives what a pass over the slice would."""
    dataset = counted((2, 0, 1, 4, 3, 1, 0, 2), sequences=["x", "y", "x", "y", "z", "x", "z", "y"])
    whole = predict_dataset(_CountingDetector(), dataset)
    for name in ("x", "y", "z"):
        chosen = dataset.select(conditions({"sequence": name}))
        direct = predict_dataset(_CountingDetector(), chosen).detections
        found = select_predictions(whole, chosen).detections
        for field in ("boxes", "scores", "labels", "image_index"):
            np.testing.assert_array_equal(getattr(found, field), getattr(direct, field))


def test_a_slice_of_a_slice_and_of_probabilities(classifier):
    """Positions count in the whole data set, also from a slice to a smaller one."""
    dataset = MemoryDataset(_pictures(9), labels=[0] * 9, class_names=CLASSES, sequences=list("abcabcabc"))
    whole = predict_dataset(classifier, dataset)
    part = dataset.select(conditions({"sequence": ["a", "b"]}))
    smaller = dataset.select(conditions({"sequence": "b"}))
    found = select_predictions(select_predictions(whole, part), smaller)
    np.testing.assert_array_equal(found.probabilities, whole.probabilities[[1, 4, 7]])
    assert found.dataset is smaller


def test_an_empty_slice_has_no_predictions():
    """It stays empty, for the check to say that it has no data."""
    dataset = counted([1, 2], sequences=["x", "x"])
    empty = dataset.select(conditions({"sequence": "y"}))
    found = select_predictions(predict_dataset(_CountingDetector(), dataset), empty)
    assert len(found.detections.boxes) == 0


def test_a_slice_of_something_else_is_refused():
    """Positions that the predictions do not cover are an error."""
    dataset = counted([1, 2, 3], sequences=["x", "y", "y"])
    part = predict_dataset(_CountingDetector(), dataset.select(conditions({"sequence": "y"})))
    with pytest.raises(InputError, match="no slice of the data set"):
        select_predictions(part, dataset)


def test_saved_predictions_come_back(tmp_path, classifier):
    """Detections and probabilities survive the disk bit by bit."""
    dataset = counted([2, 0, 1])
    detector = _CountingDetector()
    found = predict_dataset(detector, dataset)
    save_predictions(tmp_path / "d.npz", found)
    again = load_predictions(tmp_path / "d.npz", detector, dataset)
    for field in ("boxes", "scores", "labels", "image_index"):
        np.testing.assert_array_equal(getattr(again.detections, field), getattr(found.detections, field))
    images = MemoryDataset(_pictures(5), labels=[0] * 5, class_names=CLASSES)
    rows = predict_dataset(classifier, images)
    save_predictions(tmp_path / "c", rows)
    np.testing.assert_array_equal(
        load_predictions(tmp_path / "c", classifier, images).probabilities, rows.probabilities
    )


def test_predictions_for_something_else_are_refused(tmp_path):
    """Another model, other data or another number of samples never borrow a result."""
    detector, dataset = _CountingDetector(), counted([2, 0, 1])
    save_predictions(tmp_path / "d.npz", predict_dataset(detector, dataset))
    other = _CountingDetector()
    other.digest = "counting-2"
    with pytest.raises(InputError, match="belong to another model"):
        load_predictions(tmp_path / "d.npz", other, dataset)
    with pytest.raises(InputError, match="belong to another dataset"):
        load_predictions(tmp_path / "d.npz", detector, counted([2, 0, 2]))


@pytest.mark.parametrize("part", [0, 0.5, 0.95])
def test_damaged_predictions_are_refused(tmp_path, part):
    """A file that is cut off, or holds pickles, is an error that the cache can mend."""
    detector, dataset = _CountingDetector(), counted([2, 0, 1])
    path = tmp_path / "d.npz"
    save_predictions(path, predict_dataset(detector, dataset))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(InputError, match=r"d\.npz cannot be read"):
        load_predictions(path, detector, dataset)
    np.savez(path, model=np.array([object()], dtype=object))
    with pytest.raises(InputError, match=r"d\.npz cannot be read"):
        load_predictions(path, detector, dataset)


def test_a_bare_array_is_no_archive(tmp_path):
    """Another numpy format is refused like any other file."""
    detector, dataset = _CountingDetector(), counted([2, 0, 1])
    with (tmp_path / "d.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match=r"d\.npz cannot be read"):
        load_predictions(tmp_path / "d.npz", detector, dataset)


def test_tampered_predictions_are_refused(tmp_path):
    """Values that no model may give are refused from the cache as well."""
    detector, dataset = _CountingDetector(), counted([2, 0, 1])
    path = tmp_path / "d.npz"
    save_predictions(path, predict_dataset(detector, dataset))
    with np.load(path) as archive:
        stored = dict(archive)
    stored["scores"][0] = np.nan
    np.savez(path, **stored)
    with pytest.raises(InputError, match="not finite"):
        load_predictions(path, detector, dataset)
