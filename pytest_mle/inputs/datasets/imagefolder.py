"""Classification data sets with one folder a class: ``<class>/**/*.png``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mle.errors import InputError, Location, closest
from pytest_mle.inputs.datasets.declaration import Declaration
from pytest_mle.inputs.datasets.folder import FolderDataset
from pytest_mle.inputs.datasets.listing import list_files
from pytest_mle.inputs.datasets.table import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_mle.inputs.dataset import Task
    from pytest_mle.inputs.datasets.table import Table

OPTIONS = ("path", "format", "metadata", "classes", "extensions", "sequence")


def open_imagefolder(
    name: str,
    options: Mapping[str, Any],
    root: Path,
    *,
    location: Location | None,
    allowed_roots: tuple[Path, ...],
) -> ImageFolderDataset:
    """Open a folder whose folders are the classes.

    Classes are numbered as in ``classes`` or ``data.yaml``, else by the sorted names of the folders: where the model
    was trained with another order, say so. Options: ``path``, ``format``, ``metadata``, ``classes``, ``extensions``,
    ``sequence``.
    """
    declaration = Declaration(name, options, root, location, allowed_roots)
    folder = declaration.folder()
    ids = list_files(folder, declaration.extensions(), allowed_roots)
    if not ids:
        extensions = " ".join(sorted(declaration.extensions()))
        raise declaration.error(f"no image in {declaration.shown(folder)} (looked for {extensions})")
    stray = next((sample for sample in ids if "/" not in sample), None)
    if stray is not None:
        raise InputError("the image lies outside every class folder", Location(declaration.shown(folder / stray)))
    # Folders without images count: leaving one out would number all classes after it differently.
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    classes = declaration.class_names(folder) or tuple(folders)
    for found in folders:
        if found not in classes:
            raise declaration.error(f"the folder {found!r} is no class. {closest(found, classes)}")
    file = declaration.file("metadata", folder)
    metadata = None if file is None else read_table(file, declaration.shown(file), ("image",))
    return ImageFolderDataset(declaration, folder, classes, ids, metadata)


class ImageFolderDataset(FolderDataset):
    """A classification data set: the first folder of an image's path is its class."""

    task: Task = "classification"

    def __init__(
        self,
        declaration: Declaration,
        root: Path,
        class_names: tuple[str, ...],
        ids: Sequence[str],
        metadata: Table | None,
    ) -> None:
        super().__init__(declaration, root, class_names, ids, metadata)
        self._numbers = {name: number for number, name in enumerate(class_names)}

    def label(self, index: int) -> int:
        """Return the class of one sample."""
        return self._numbers[self._ids[int(self._indices[index])].split("/", 1)[0]]
