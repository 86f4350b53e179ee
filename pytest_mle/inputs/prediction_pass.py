"""Predict a whole data set once; keep, restrict and reload the result."""

from __future__ import annotations

import os
import zipfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from pytest_mle.errors import InputError
from pytest_mle.inputs.model import Detections
from pytest_mle.inputs.models.joining import join_predictions
from pytest_mle.inputs.models.layouts import NonFiniteOutputError
from pytest_mle.inputs.predictions import ClassificationPredictions, DetectionPredictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import Model
    from pytest_mle.inputs.models.preprocess import Placement, Preprocessor
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.records.progress import Progress

    Raw = Detections | NDArray[np.float32]

FORMAT_VERSION = 1
# While the model works on one batch, this many are being read; more would only cost memory.
BATCHES_AHEAD = 2
MAX_THREADS = 8
ROW_SUM_TOLERANCE = 1e-2


@runtime_checkable
class PreparingModel(Protocol):
    """A model whose preprocessing can run beside it, image by image."""

    preprocessor: Preprocessor

    def predict_input(self, values: NDArray[Any], placements: Sequence[Placement]) -> Raw:
        """Predict for one batch of the network's input."""
        ...


def predict_dataset(model: Model, dataset: Dataset, progress: Progress | None = None) -> Predictions:
    """Predict for every sample of a data set, in its order.

    Images are read (and, where the model allows it, prepared) by threads while the model works on the batch before,
    so that the pass takes little longer than the bare forward passes; at most three batches are in memory.

    Parameters
    ----------
    progress
        Called with the number of samples that are done and that there are, after every batch.

    Raises
    ------
    InputError
        If the data set is empty or of another task, its class names are not those of the model, an image cannot be
        read, or a prediction is not finite; the message names the sample.
    """
    _check_pair(model, dataset)
    parts: list[Raw] = []
    counts: list[int] = []
    done = 0
    for batch in _batches_read_ahead(model, dataset):
        try:
            part = batch.predict(model)
        except NonFiniteOutputError as error:
            sample = dataset.sample(done + error.image).id
            raise InputError(f"model {model.name!r} puts out NaN or infinity for image {sample!r}") from error
        _check_part(part, batch.size, model, dataset, done)
        parts.append(part)
        counts.append(batch.size)
        done += batch.size
        if progress is not None:
            progress(done, len(dataset))
    return _predictions(model, dataset, join_predictions(parts, counts))


def select_predictions(predictions: Predictions, dataset_slice: Dataset) -> Predictions:
    """Restrict predictions to a slice of the data set they were made for, without running the model again.

    Raises
    ------
    InputError
        If the slice is not part of that data set.
    """
    positions = _positions(predictions.dataset, dataset_slice)
    if isinstance(predictions, ClassificationPredictions):
        return ClassificationPredictions(predictions.model, dataset_slice, predictions.probabilities[positions])
    found = predictions.detections
    starts = np.searchsorted(found.image_index, positions, side="left")
    counts = np.searchsorted(found.image_index, positions, side="right") - starts
    before = np.cumsum(counts) - counts
    rows = np.repeat(starts - before, counts) + np.arange(counts.sum())
    chosen = Detections(
        boxes=found.boxes[rows],
        scores=found.scores[rows],
        labels=found.labels[rows],
        image_index=np.repeat(np.arange(len(positions)), counts),
    )
    return DetectionPredictions(predictions.model, dataset_slice, chosen)


def save_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions to a numpy archive, with the digests of model and data set."""
    if isinstance(predictions, ClassificationPredictions):
        arrays: dict[str, Any] = {"probabilities": predictions.probabilities}
    else:
        found = predictions.detections
        arrays = {name: getattr(found, name) for name in ("boxes", "scores", "labels", "image_index")}
    # An open file, because numpy appends .npz to a name that ends otherwise.
    with path.open("wb") as file:
        np.savez(
            file,
            format_version=FORMAT_VERSION,
            model=predictions.model.digest,
            dataset=predictions.dataset.digest,
            sample_count=len(predictions.dataset),
            **arrays,
        )


def load_predictions(path: Path, model: Model, dataset: Dataset) -> Predictions:
    """Read predictions that were saved for exactly this model and data set.

    Raises
    ------
    InputError
        If the file is absent, damaged, or was made by another model or for other data.
    """
    try:
        # numpy leaves a file open that it opened itself and found damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            stored = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"the predictions in {path.name} cannot be read: {error}") from error
    expected = {
        "format_version": FORMAT_VERSION,
        "model": model.digest,
        "dataset": dataset.digest,
        "sample_count": len(dataset),
    }
    for name, value in expected.items():
        if name not in stored or stored[name].item() != value:
            raise InputError(f"the predictions in {path.name} belong to another {name.replace('_', ' ')}")
    try:
        if model.task == "classification":
            raw: Raw = stored["probabilities"]
        else:
            raw = Detections(*(stored[name] for name in ("boxes", "scores", "labels", "image_index")))
    except KeyError as error:
        raise InputError(f"the predictions in {path.name} lack {error}") from error
    _check_part(raw, len(dataset), model, dataset, 0)
    return _predictions(model, dataset, raw)


@dataclass(slots=True)
class _ReadBatch:
    """Images that are being read by threads, and the network's input that they are written to."""

    images: list[Future[Any]]
    values: NDArray[Any] | None

    @property
    def size(self) -> int:
        return len(self.images)

    def predict(self, model: Any) -> Raw:
        results = [image.result() for image in self.images]
        if self.values is None:
            return model.predict(results)  # type: ignore[no-any-return]
        return model.predict_input(self.values, results)  # type: ignore[no-any-return]


def _batches_read_ahead(model: Model, dataset: Dataset) -> Iterator[_ReadBatch]:
    preprocessor = model.preprocessor if isinstance(model, PreparingModel) else None
    size = None if preprocessor is None else preprocessor.size

    def read(index: int) -> NDArray[np.uint8]:
        return dataset.image(index)

    def read_into(index: int, room: NDArray[Any]) -> Placement:
        assert preprocessor is not None
        return preprocessor.feed_into(dataset.image(index), room)

    pool = ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1), thread_name_prefix="read-images")

    def start(first: int) -> _ReadBatch:
        indices = range(first, min(first + model.batch_size, len(dataset)))
        if preprocessor is None or size is None:
            return _ReadBatch([pool.submit(read, index) for index in indices], None)
        values = preprocessor.new_input(len(indices), *size)
        futures = [pool.submit(read_into, index, room) for index, room in zip(indices, values, strict=True)]
        return _ReadBatch(futures, values)

    waiting: deque[_ReadBatch] = deque()
    try:
        for first in range(0, len(dataset), model.batch_size):
            waiting.append(start(first))
            if len(waiting) > BATCHES_AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _check_pair(model: Model, dataset: Dataset) -> None:
    if len(dataset) == 0:
        raise InputError(f"data set {dataset.name!r} holds no samples to predict")
    if model.task != dataset.task:
        raise InputError(f"model {model.name!r} is for {model.task}, data set {dataset.name!r} for {dataset.task}")
    named = model.class_names and dataset.class_names
    if named and tuple(model.class_names) != tuple(dataset.class_names):
        raise InputError(
            f"model {model.name!r} declares classes {list(model.class_names)}, data set {dataset.name!r} has "
            f"{list(dataset.class_names)}: same names in the same order are needed, or the labels mean different things"
        )


def _check_part(part: Raw, image_count: int, model: Model, dataset: Dataset, start: int) -> None:
    """Refuse predictions that no check may rest on, whoever made them."""
    bad = _first_bad_image(part, image_count, model, dataset)
    if bad is not None:
        sample = dataset.sample(start + min(bad[0], image_count - 1)).id
        raise InputError(f"model {model.name!r}, image {sample!r}: {bad[1]}")


def _first_bad_image(part: Raw, image_count: int, model: Model, dataset: Dataset) -> tuple[int, str] | None:
    if isinstance(part, Detections):
        if model.task != "detection":
            return 0, "detections from a classifier"
        return _first_bad_detection(part, image_count, len(dataset.class_names))
    if model.task != "classification" or part.ndim != 2 or len(part) != image_count:
        return 0, f"expected predictions for {image_count} images of task {model.task}, got an array {list(part.shape)}"
    is_bad = ~np.isfinite(part).all(axis=1) | (np.abs(part.sum(axis=1) - 1) > ROW_SUM_TOLERANCE)
    if is_bad.any():
        return int(is_bad.argmax()), "its probabilities are not finite or do not sum to 1"
    return None


def _first_bad_detection(part: Detections, image_count: int, class_count: int) -> tuple[int, str] | None:
    image = part.image_index
    if not len(part.boxes) == len(part.scores) == len(part.labels) == len(image):
        return 0, "boxes, scores, labels and image_index differ in length"
    if len(image) == 0:
        return None
    if image[0] < 0 or image[-1] >= image_count or (np.diff(image) < 0).any():
        return 0, f"image_index must ascend from 0 to {image_count - 1}"
    is_bad = ~np.isfinite(part.boxes).all(axis=1) | ~np.isfinite(part.scores)
    if is_bad.any():
        return int(image[is_bad.argmax()]), "a box or score is not finite"
    is_unknown = (part.labels < 0) | ((part.labels >= class_count) if class_count else False)
    if is_unknown.any():
        label = int(part.labels[is_unknown.argmax()])
        return int(image[is_unknown.argmax()]), f"label {label} is none of the {class_count} classes"
    return None


def _predictions(model: Model, dataset: Dataset, raw: Raw) -> Predictions:
    if isinstance(raw, Detections):
        return DetectionPredictions(model, dataset, raw)
    return ClassificationPredictions(model, dataset, raw)


def _positions(whole: Dataset, part: Dataset) -> NDArray[np.int64]:
    """Return where the samples of a slice stand in the data set of the predictions."""
    order = np.argsort(whole.indices, kind="stable")
    found = np.searchsorted(whole.indices[order], part.indices)
    is_known = found < len(order)
    positions = order[np.where(is_known, found, 0)] if len(order) else np.zeros(len(found), dtype=np.int64)
    is_same = is_known & (whole.indices[positions] == part.indices) if len(order) else np.zeros(len(found), dtype=bool)
    ends = (0, len(positions) - 1) if len(positions) else ()
    if not is_same.all() or any(whole.sample(int(positions[i])).id != part.sample(i).id for i in ends):
        raise InputError(f"{part.name!r} is no slice of the data set {whole.name!r} that the predictions were made for")
    return positions.astype(np.int64)
