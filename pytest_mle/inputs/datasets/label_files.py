"""What a check needs of a data set to judge its label files, broken ones included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path


@runtime_checkable
class HasYoloLabels(Protocol):
    """A data set with one YOLO label file an image."""

    def label_path(self, index: int) -> Path:
        """Return where the label file of an image belongs, whether it is there or not."""
        ...

    def orphan_labels(self) -> tuple[Path, ...]:
        """Return the label files of the whole data set that belong to no image."""
        ...


@runtime_checkable
class ShowsPaths(Protocol):
    """A data set that knows how its paths are shown in reports."""

    def shown(self, path: Path) -> str:
        """Return a path relative to the spec's folder where it lies below it."""
        ...
