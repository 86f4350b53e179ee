"""A network with the pre- and post-processing of its declaration: what the checks call a model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pytest_mle.errors import InputError
from pytest_mle.inputs.model import Detections
from pytest_mle.inputs.models.joining import join_predictions
from pytest_mle.inputs.models.layouts import Candidates, LayoutError, NonFiniteOutputError, decode
from pytest_mle.inputs.models.preprocess import Preprocessor
from pytest_mle.inputs.models.suppression import non_maximum_suppression

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pytest_mle.inputs.models.declaration import ModelDeclaration
    from pytest_mle.inputs.models.preprocess import Placement

# Probabilities in half precision, summed over a thousand classes.
ROW_SUM_TOLERANCE = 5e-3


@dataclass(frozen=True, slots=True, eq=False)
class NetworkOutput:
    """Named outputs for ``image_count`` images, of which only the first ``used`` were asked for."""

    arrays: Mapping[str, NDArray[Any]]
    image_count: int
    used: int


class Network(Protocol):
    """The bare network of one framework."""

    @property
    def dtype(self) -> str | None:
        """Number type of the input, None if any is taken."""
        ...

    @property
    def fixed_batch(self) -> int | None:
        """Number of images that every run needs, None if any is taken."""
        ...

    def run(self, values: NDArray[Any]) -> list[NetworkOutput]:
        """Run on one batch, in the number type and axis order of the network; returns when the result is there."""
        ...

    @property
    def parameter_count(self) -> int | None:
        """Number of stored parameters, None where the file does not tell."""
        ...

    @property
    def runtime(self) -> dict[str, Any]:
        """Framework with version, device, provider, threads."""
        ...


class LoadedModel:
    """A model that is ready to predict; see :class:`pytest_mle.inputs.model.Model`.

    Parameters
    ----------
    declaration
        The validated entry of the spec.
    network
        The network of one framework.
    files
        Files that hold the model, external weights included.
    sources
        Python files that a ``module:factory`` consists of; part of the digest, not of the model's size.
    """

    def __init__(
        self,
        name: str,
        declaration: ModelDeclaration,
        network: Network,
        files: Sequence[Path],
        sources: Sequence[Path] = (),
    ) -> None:
        self.name = name
        self.declaration = declaration
        self.network = network
        self.files = tuple(files)
        self.sources = tuple(sources)
        self.task = declaration.task
        self.class_names = declaration.classes
        self.batch_size = declaration.batch_size
        self.preprocessor = Preprocessor(declaration.preprocess, network.dtype)

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> Detections | NDArray[np.float32]:
        """Predict for RGB images of any size, in batches of ``batch_size``."""
        if len(images) == 0:
            raise InputError(f"model {self.name!r} was given no images")
        parts: list[Detections | NDArray[np.float32]] = []
        counts: list[int] = []
        for batch in _batches(images, self.batch_size, is_mixed=self.preprocessor.declared.resize == "none"):
            values, placements = self.preprocessor.feed(batch)
            try:
                parts.append(self.predict_input(values, placements))
            except NonFiniteOutputError as error:
                raise _moved(error, sum(counts)) from error
            counts.append(len(batch))
        return join_predictions(parts, counts)

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Resize and scale to the network's size in 0..1, without mean and std."""
        return self.preprocessor.prepare(images)

    def forward(self, prepared: NDArray[np.float32]) -> list[NetworkOutput]:
        """Run the bare network on prepared images (range, mean and std included) and wait for the result."""
        return self._run(self.preprocessor.network_input(prepared))

    def predict_input(self, values: NDArray[Any], placements: Sequence[Placement]) -> Detections | NDArray[np.float32]:
        """Predict for one batch of the network's input; ``placements`` tell where each image lies in it."""
        outputs = self._run(values)
        height, width = values.shape[2:] if self.declaration.preprocess.layout == "nchw" else values.shape[1:3]
        try:
            if self.task == "classification":
                return self._probabilities(outputs, len(values))
            return self._detections(outputs, (width, height), placements)
        except NonFiniteOutputError as error:
            raise NonFiniteOutputError(error.image, self.name) from error
        except LayoutError as error:
            raise LayoutError(f"model {self.name!r}: {error.message}") from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the contents of all files, the declaration and, for a factory, the weights it made."""
        total = hashlib.sha256()
        for path in (*self.files, *self.sources):
            total.update(_file_digest(path).encode())
        total.update(json.dumps(self.declaration.recorded(), sort_keys=True).encode())
        weights = getattr(self.network, "weights_digest", None)
        if weights is not None:
            total.update(weights().encode())
        return total.hexdigest()

    @property
    def description(self) -> dict[str, Any]:
        """What is recorded with each result."""
        return {
            "name": self.name,
            "files": [path.name for path in self.files],
            "sources": [path.name for path in self.sources],
            **self.declaration.recorded(),
            "input_dtype": self.preprocessor.dtype,
            "score_threshold": self.declaration.output.effective_score_threshold,
            "max_detections": self.declaration.output.effective_max_detections,
            "runtime": {**self.network.runtime, "numpy": np.__version__},
        }

    @property
    def parameter_count(self) -> int | None:
        """Number of stored parameters, None where the file does not tell."""
        return self.network.parameter_count

    def _run(self, values: NDArray[Any]) -> list[NetworkOutput]:
        batch = self.network.fixed_batch
        if batch is None or len(values) == batch:
            return self.network.run(values)
        outputs: list[NetworkOutput] = []
        for start in range(0, len(values), batch):
            part = values[start : start + batch]
            missing = batch - len(part)
            if missing:
                part = np.concatenate((part, np.repeat(part[-1:], missing, axis=0)))
            whole = self.network.run(part)
            outputs += _first_images(whole, batch - missing)
        return outputs

    def _detections(
        self, outputs: Sequence[NetworkOutput], size: tuple[int, int], placements: Sequence[Placement]
    ) -> Detections:
        class_count = len(self.class_names) or None
        found: list[Candidates] = []
        for part in outputs:
            try:
                candidates = decode(part.arrays, part.image_count, self.declaration.output, class_count)
            except NonFiniteOutputError as error:
                raise _moved(error, len(found)) from error
            found += candidates[: part.used]
        if len(found) != len(placements):
            raise LayoutError(f"the network answered for {len(found)} of {len(placements)} images")
        chosen = [self._suppressed(one, size) for one in found]
        return Detections(
            boxes=np.concatenate([p.to_image(one.boxes) for one, p in zip(chosen, placements, strict=True)]),
            scores=np.concatenate([one.scores for one in chosen]),
            labels=np.concatenate([one.labels for one in chosen]),
            image_index=np.repeat(np.arange(len(chosen)), [len(one) for one in chosen]),
        )

    def _suppressed(self, candidates: Candidates, size: tuple[int, int]) -> Candidates:
        output = self.declaration.output
        boxes = candidates.boxes
        if output.coordinates == "normalised":
            boxes = boxes * np.array([*size, *size], dtype=np.float32)
        limit = output.effective_max_detections
        if output.nms is None or output.nms == "none":
            kept = np.argsort(-candidates.scores, kind="stable")[:limit]
        else:
            kept = non_maximum_suppression(
                boxes,
                candidates.scores,
                candidates.labels,
                iou=output.nms.iou,
                class_agnostic=output.nms.class_agnostic,
                max_detections=limit,
            )
        return Candidates(boxes[kept], candidates.scores[kept], candidates.labels[kept])

    def _probabilities(self, outputs: Sequence[NetworkOutput], image_count: int) -> NDArray[np.float32]:
        name = self.declaration.output.names.output
        rows = []
        for part in outputs:
            key = name or next(iter(part.arrays))
            if key not in part.arrays:
                raise LayoutError(f"there is no output {key!r}, only {', '.join(part.arrays)}")
            rows.append(np.asarray(part.arrays[key], dtype=np.float64).reshape(part.image_count, -1)[: part.used])
        values = np.concatenate(rows)
        _check_classes(values, image_count, len(self.class_names))
        if self.declaration.output.layout == "logits":
            values = np.exp(values - values.max(axis=1, keepdims=True))
        elif values.min() < 0 or np.abs(values.sum(axis=1) - 1).max() > ROW_SUM_TOLERANCE:
            raise LayoutError("the outputs are no probabilities (rows do not sum to 1): declare layout: logits?")
        probabilities: NDArray[np.float32] = (values / values.sum(axis=1, keepdims=True)).astype(np.float32)
        return probabilities


def _batches(
    images: Sequence[NDArray[np.uint8]], batch_size: int, *, is_mixed: bool
) -> Iterable[list[NDArray[np.uint8]]]:
    """Cut into batches; images that are not resized share one only with neighbours of the same size."""
    batch: list[NDArray[np.uint8]] = []
    for image in images:
        if batch and (len(batch) == batch_size or (is_mixed and image.shape != batch[0].shape)):
            yield batch
            batch = []
        batch.append(image)
    yield batch


def _first_images(outputs: list[NetworkOutput], count: int) -> list[NetworkOutput]:
    kept = []
    for one in outputs:
        if count > 0:
            kept.append(NetworkOutput(one.arrays, one.image_count, min(one.used, count)))
        count -= one.image_count
    return kept


def _moved(error: NonFiniteOutputError, images_before: int) -> NonFiniteOutputError:
    return NonFiniteOutputError(error.image + images_before, error.model)


def _check_classes(values: NDArray[np.float64], image_count: int, class_count: int) -> None:
    if len(values) != image_count:
        raise LayoutError(f"the network answered for {len(values)} of {image_count} images")
    if values.shape[1] < 2:
        raise LayoutError("the network puts out one number an image; a classification needs one for each class")
    if class_count and values.shape[1] != class_count:
        raise LayoutError(f"the network puts out {values.shape[1]} numbers an image for {class_count} declared classes")
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise NonFiniteOutputError(int(bad[0]))


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
