"""Scores that tell whether an image is like those that a model knows; higher is more familiar."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pytest_mle.errors import InputError, MissingExtraError
from pytest_mle.inputs.prediction_pass import predict_dataset
from pytest_mle.inputs.predictions import ClassificationPredictions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Dataset, Sample
    from pytest_mle.inputs.model import Model
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.records.progress import Progress

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

# Bounds the working memory of the distances: 8 bytes an entry.
ENTRIES_PER_BLOCK = 1 << 22


class UnlabelledImages:
    """The images of a data set for a model of any task and classes: unknown inputs have other labels, or none."""

    class_names = ()

    def __init__(self, dataset: Dataset, model: Model) -> None:
        self.name, self.task = dataset.name, model.task
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def sample(self, index: int) -> Sample:
        """Return one sample of the data set."""
        return self._dataset.sample(index)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Read one image."""
        return self._dataset.image(index)


def predict_unlabelled(model: Model, dataset: Dataset, progress: Progress) -> Predictions:
    """Predict images whose labels are not looked at."""
    return predict_dataset(model, cast("Dataset", UnlabelledImages(dataset, model)), progress)


def output_confidence(predictions: Predictions) -> Floats:
    """Return the largest probability of each image, or the highest score of its detections, 0 without any.

    The maximum softmax probability is the baseline of Hendrycks and Gimpel 2017.
    """
    if isinstance(predictions, ClassificationPredictions):
        largest: Floats = predictions.probabilities.max(axis=1).astype(np.float64)
        return largest
    highest = np.zeros(len(predictions.dataset))
    np.maximum.at(highest, predictions.detections.image_index, predictions.detections.scores.astype(np.float64))
    return highest


def negative_energy(logits: Floats) -> Floats:
    """Return ``log(sum(exp(logits)))`` of each row (Liu et al. 2020, Energy-based OOD detection, equation 4, T = 1)."""
    from scipy.special import logsumexp

    energy: Floats = logsumexp(logits, axis=1)
    return energy


def class_distance(features: Floats, known: Floats, labels: Integers) -> Floats:
    """Return minus the squared Mahalanobis distance to the nearest class (Lee et al. 2018, equations 1 and 2).

    Parameters
    ----------
    features
        ``(image, feature)`` of the images to score.
    known, labels
        Features of images that the model knows, ``(image, feature)``, and their classes: one mean each, and one
        covariance around the means.
    """
    classes, position = np.unique(labels, return_inverse=True)
    means = np.array([known[position == number].mean(axis=0) for number in range(len(classes))])
    centred = known - means[position.reshape(-1)]
    precision = np.linalg.pinv(centred.T @ centred / len(known), hermitian=True)
    distances = []
    for mean in means:
        difference = features - mean
        distances.append(np.einsum("ij,ij->i", difference @ precision, difference))
    nearest: Floats = np.min(distances, axis=0)
    return -nearest


def neighbour_distance(features: Floats, known: Floats, neighbours: int) -> Floats:
    """Return minus the distance to the k-th nearest known image, on features of length 1 (Sun et al. 2022, section 3).

    Parameters
    ----------
    features, known
        ``(image, feature)`` of the images to score and of images that the model knows.
    neighbours
        k, at most the number of known images.
    """
    query, base = _of_length_one(features), _of_length_one(known)
    scores = np.empty(len(query))
    step = max(1, ENTRIES_PER_BLOCK // len(base))
    for start in range(0, len(query), step):
        alike = query[start : start + step] @ base.T
        nearest = -np.partition(-alike, neighbours - 1, axis=1)[:, neighbours - 1]
        scores[start : start + step] = -np.sqrt(np.maximum(2 - 2 * nearest, 0))
    return scores


def logits_of(model: Model, dataset: Dataset, progress: Progress) -> Floats:
    """Return the logits of each image: ``(image, class)``.

    Raises
    ------
    InputError
        If the model gives none: a detector, or a network that ends in a softmax.
    """
    declaration = getattr(model, "declaration", None)
    if declaration is not None:
        if declaration.output.layout != "logits":
            raise InputError(
                f"model {model.name!r} puts out {declaration.output.layout} and no logits, so it has no energy: "
                "use score: max_softmax"
            )
        return network_output(model, dataset, declaration.output.names.output, progress)
    if not hasattr(model, "logits"):
        raise InputError(f"model {model.name!r} gives no logits, so it has no energy: use score: max_softmax")
    torch = _torch()
    rows = []
    for prepared in _prepared(model, dataset, progress):
        with torch.no_grad():
            rows.append(model.logits(torch.from_numpy(prepared).to(getattr(model, "device", "cpu"))).cpu().numpy())
    return _finite(np.concatenate(rows).astype(np.float64), model, dataset)


def network_output(model: Model, dataset: Dataset, name: str | None, progress: Progress) -> Floats:
    """Return one output of the bare network for each image, flat: ``(image, number)``; the first if no name is given.

    Raises
    ------
    InputError
        If the network has no output of that name.
    """
    rows: list[Floats] = []
    for prepared in _prepared(model, dataset, progress):
        result: Any = model.forward(prepared)
        # A model of ours gives parts of a batch; a project's own may give its outputs by name.
        for part in result if isinstance(result, list) else [result]:
            arrays: Any = getattr(part, "arrays", part)
            key = name or next(iter(arrays))
            if key not in arrays:
                raise InputError(f"model {model.name!r} has no output {key!r}, only {', '.join(map(str, arrays))}")
            count = getattr(part, "image_count", len(prepared))
            flat = np.asarray(arrays[key], dtype=np.float64).reshape(count, -1)
            rows.append(flat[: getattr(part, "used", count)])
    return _finite(np.concatenate(rows), model, dataset)


def shared_images(first: Dataset, second: Dataset) -> list[int]:
    """Return the positions in the second data set of images that are in the first as well, byte by byte."""
    sizes: dict[int, list[int]] = {}
    for index in range(len(first)):
        sizes.setdefault(_size(first, index), []).append(index)
    known: dict[int, set[str]] = {}
    found = []
    for index in range(len(second)):
        size = _size(second, index)
        if size in sizes:
            if size not in known:
                known[size] = {_digest(first, one) for one in sizes[size]}
            if _digest(second, index) in known[size]:
                found.append(index)
    return found


def _prepared(model: Model, dataset: Dataset, progress: Progress) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(dataset), model.batch_size):
        batch = range(start, min(start + model.batch_size, len(dataset)))
        yield model.prepare([dataset.image(index) for index in batch])
        progress(batch.stop, len(dataset))


def _finite(rows: Floats, model: Model, dataset: Dataset) -> Floats:
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        sample = dataset.sample(int(bad[0])).id
        raise InputError(f"model {model.name!r} puts out NaN or infinity for image {sample!r}")
    return rows


def _of_length_one(features: Floats) -> Floats:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit: Floats = features / np.maximum(length, 1e-12)
    return unit


def _size(dataset: Dataset, index: int) -> int:
    """Return the size of an image's file, so that few files need to be read; 0 if there is no file."""
    try:
        return dataset.sample(index).path.stat().st_size
    except OSError:
        return 0


def _digest(dataset: Dataset, index: int) -> str:
    path = dataset.sample(index).path
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    image = dataset.image(index)
    return hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("PyTorch", 'pip install torch, or pip install "pytest-mle[torch]"') from error
    return torch
