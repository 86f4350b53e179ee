"""The data set protocol: samples, annotations, attributes, slices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pytest_mle.records.condition import Condition

Task = Literal["detection", "classification"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its attributes.

    ``id`` is unique in the data set and stable across machines (path relative to the data set's folder, POSIX style).
    """

    id: str
    path: Path
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Ground truth of one image.

    ``boxes`` ``(object, 4)`` float64, x1 y1 x2 y2 in pixels of the original image; ``labels`` ``(object,)`` int64;
    ``ignore`` ``(object,)`` bool: regions in which detections count neither as hit nor as false alarm (crowd, too
    occluded, outside the slice); ``attributes`` one mapping an object.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    attributes: tuple[Mapping[str, Any], ...] = ()


@runtime_checkable
class Dataset(Protocol):
    """Samples in a fixed order.

    Opening one is cheap (file names and tables); images and labels are read when they are asked for. Reading raises
    :class:`pytest_mle.errors.InputError` with file and line.
    """

    name: str
    root: Path
    task: Task
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def sample(self, index: int) -> Sample:
        """Return one sample."""
        ...

    def image(self, index: int) -> NDArray[np.uint8]:
        """Decode one image: RGB, shape ``(height, width, 3)``."""
        ...

    def objects(self, index: int) -> Objects:
        """Return the ground truth boxes (task detection)."""
        ...

    def label(self, index: int) -> int:
        """Return the class of one sample (task classification)."""
        ...

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Attributes of images."""
        ...

    @property
    def object_attribute_names(self) -> tuple[str, ...]:
        """Attributes of objects."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 over ids, contents, labels and tables; changes with anything a result could depend on."""
        ...

    @property
    def indices(self) -> NDArray[np.int64]:
        """Positions of these samples in the whole data set (``arange`` unless it is a slice)."""
        ...

    def sequence_ids(self) -> NDArray[np.int64]:
        """Return a cluster number a sample, shape ``(sample,)``: equal for samples that are not independent.

        Frames of one sequence share a number; a sample of which no sequence is known is a cluster of its own.
        """
        ...

    def select(self, where: tuple[Condition, ...]) -> Dataset:
        """Return the slice: images by their attributes, objects outside become ignore regions.

        Raises :class:`~pytest_mle.errors.InputError` for an attribute that neither images nor objects have (naming the
        closest ones), :class:`~pytest_mle.errors.NotMeasurableError` if no sample is left.
        """
        ...
