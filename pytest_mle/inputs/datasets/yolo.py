"""Detection data sets in the YOLO layout: ``images/**`` with ``labels/**.txt`` beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, Location
from pytest_mle.inputs.dataset import Objects
from pytest_mle.inputs.datasets.declaration import Declaration
from pytest_mle.inputs.datasets.folder import Attributes, FolderDataset
from pytest_mle.inputs.datasets.listing import list_files
from pytest_mle.inputs.datasets.table import read_table
from pytest_mle.inputs.datasets.yolo_label import LabelLine, LabelLineError, defects_of, parse_label_line
from pytest_mle.inputs.images import read_image_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Task
    from pytest_mle.inputs.datasets.table import Row, Table

OPTIONS = ("path", "format", "metadata", "objects", "classes", "extensions", "sequence")
BOX_PROPERTIES = ("box_height_px", "box_area_px")
_IGNORE: dict[Any, bool] = {None: False, 0: False, 1: True, "false": False, "true": True}


def open_yolo(
    name: str,
    options: Mapping[str, Any],
    root: Path,
    *,
    location: Location | None,
    allowed_roots: tuple[Path, ...],
) -> YoloDataset:
    """Open a folder with ``images/`` and ``labels/``, or one folder of such an ``images/`` (``data/images/train``).

    Options: ``path``, ``format``; ``metadata`` and ``objects`` (CSV files of attributes); ``classes`` (else from
    ``data.yaml`` in the folder or up to two above); ``extensions``; ``sequence`` (the attribute that groups images).
    """
    declaration = Declaration(name, options, root, location, allowed_roots)
    folder = declaration.folder()
    image_folder, label_folder = _image_and_label_folders(folder, declaration)
    prefix = "" if image_folder == folder else "images/"
    ids = [prefix + path for path in list_files(image_folder, declaration.extensions(), allowed_roots)]
    if not ids:
        extensions = " ".join(sorted(declaration.extensions()))
        raise declaration.error(f"no image in {declaration.shown(image_folder)} (looked for {extensions})")
    classes = declaration.class_names(folder)
    if classes is None:
        raise declaration.error(
            f"the classes are not known: no 'names' in {folder / 'data.yaml'} and no 'classes' here"
        )
    return YoloDataset(
        declaration,
        folder,
        classes,
        ids,
        _read_table(declaration, folder, "metadata", ("image",)),
        objects=_read_table(declaration, folder, "objects", ("image", "object")),
        label_folder=label_folder,
        label_files=list_files(label_folder, {".txt"}, allowed_roots) if label_folder.is_dir() else [],
        prefix=prefix,
    )


def _read_table(declaration: Declaration, folder: Path, option: str, required: tuple[str, ...]) -> Table | None:
    path = declaration.file(option, folder)
    return None if path is None else read_table(path, declaration.shown(path), required)


def _image_and_label_folders(folder: Path, declaration: Declaration) -> tuple[Path, Path]:
    if (folder / "images").is_dir():
        return declaration.resolve(folder / "images"), declaration.resolve(folder / "labels")
    # Relative to the last folder called `images`: `/images/set/images/train` has its labels in `/images/set/labels/`.
    parts = folder.parts
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        return folder, declaration.resolve(Path(*parts[:last], "labels", *parts[last + 1 :]))
    raise declaration.error(f"{folder} has no folder 'images'")


class YoloDataset(FolderDataset):
    """A detection data set with one label file an image.

    A label file with no line declares an image without objects; an image without label file is an error where its
    objects are asked for.

    Parameters
    ----------
    declaration, root, class_names, ids, metadata
        As in :class:`FolderDataset`.
    objects
        Table of object attributes with columns ``image`` and ``object`` (its number in the label file, from 0); an
        object whose ``ignore`` is 1 is an ignore region.
    label_folder, label_files
        Where labels lie, and which are there (relative to it).
    prefix
        What stands before the common part of an image's id and its label file's path.
    """

    task: Task = "detection"

    def __init__(
        self,
        declaration: Declaration,
        root: Path,
        class_names: tuple[str, ...],
        ids: Sequence[str],
        metadata: Table | None,
        *,
        objects: Table | None,
        label_folder: Path,
        label_files: Sequence[str],
        prefix: str,
    ) -> None:
        super().__init__(declaration, root, class_names, ids, metadata)
        self._label_folder = label_folder
        self._label_files = frozenset(label_files)
        self._prefix = prefix
        self._object_table = objects
        self._object_names = tuple(c for c in objects.columns if c not in ("image", "object")) if objects else ()
        self._object_rows: dict[int, dict[int, Row]] = {}
        # Shared by all slices, so that a label file is read once.
        self._parsed: dict[int, Objects] = {}
        if objects is not None:
            for row in objects.rows:
                self._add_object_row(objects, row)

    @property
    def object_attribute_names(self) -> tuple[str, ...]:
        """Columns of the table of objects."""
        return self._object_names

    @property
    def _object_conditions(self) -> tuple[str, ...]:
        return (*self._object_names, *(name for name in BOX_PROPERTIES if name not in self._object_names))

    def label_path(self, index: int) -> Path:
        """Return where the label file of an image belongs, whether it is there or not."""
        return self._label_folder / self._label_name(self._ids[int(self._indices[index])])

    def has_label(self, index: int) -> bool:
        """Say whether the label file of an image is there."""
        return self._label_name(self._ids[int(self._indices[index])]) in self._label_files

    def orphan_labels(self) -> tuple[Path, ...]:
        """Return the label files of the whole data set that belong to no image."""
        wanted = {self._label_name(sample) for sample in self._ids}
        return tuple(self._label_folder / name for name in sorted(self._label_files - wanted))

    def objects(self, index: int) -> Objects:
        """Return the boxes of one image; in a slice, objects outside are ignore regions.

        Raises :class:`~pytest_mle.errors.InputError` if the label file is missing, a line of it says no valid box, the
        table of objects names a box that is not there, or the image has no readable size.
        """
        position = int(self._indices[index])
        if position not in self._parsed:
            self._parsed[position] = self._read_objects(index, position)
        objects = self._parsed[position]
        if not self._object_selection:
            return objects
        outside = [
            not all(condition.matches(values.get(condition.attribute)) for condition in self._object_selection)
            for values in map(_with_box_properties, objects.boxes.tolist(), objects.attributes)
        ]
        ignore = objects.ignore | np.array(outside, dtype=np.bool_)
        return Objects(objects.boxes, objects.labels, ignore, objects.attributes)

    def _read_objects(self, index: int, position: int) -> Objects:
        lines = self._read_label_file(self.label_path(index))
        path = self.root / self._ids[position]
        scale = np.tile(np.array(read_image_size(path, self.shown(path)), dtype=np.float64), 2) if lines else 1.0
        boxes = np.array([line.corners for line in lines], dtype=np.float64).reshape(-1, 4) * scale
        labels = np.array([line.label for line in lines], dtype=np.int64)
        attributes, ignore = self._attributes_of_objects(position, len(lines))
        return Objects(boxes, labels, ignore, attributes)

    def _read_label_file(self, path: Path) -> list[LabelLine]:
        shown = self.shown(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            message = "the label file is missing (an image without objects needs an empty one)"
            raise InputError(message, Location(shown)) from error
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the label file: {error}", Location(shown)) from error
        lines = []
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                parsed = parse_label_line(line)
            except LabelLineError as error:
                raise InputError(str(error), Location(shown, number)) from error
            # A box that overhangs the image can still be matched; one without class or area cannot.
            for defect in defects_of(parsed, len(self.class_names), tolerance=float("inf")):
                raise InputError(defect, Location(shown, number))
            lines.append(parsed)
        return lines

    def _attributes_of_objects(self, position: int, count: int) -> tuple[tuple[Attributes, ...], NDArray[np.bool_]]:
        rows = self._object_rows.get(position, {})
        for number, row in rows.items():
            if number >= count:
                message = f"{self._ids[position]} has {count} objects, there is no object {number} (they count from 0)"
                raise InputError(message, self._row_location(row))
        attributes: list[Attributes] = []
        ignore = np.zeros(count, dtype=np.bool_)
        for number in range(count):
            found = rows.get(number)
            cells = {} if found is None else found.cells
            attributes.append({name: value for name, value in cells.items() if name not in ("image", "object")})
            ignore[number] = found is not None and self._is_ignored(found)
        return tuple(attributes), ignore

    def _is_ignored(self, row: Row) -> bool:
        value = row.cells.get("ignore")
        key = value.lower() if isinstance(value, str) else value
        if key not in _IGNORE:
            raise InputError(f"'ignore' must be 0 or 1, got {value!r}", self._row_location(row))
        return _IGNORE[key]

    def _row_location(self, row: Row) -> Location | None:
        return None if self._object_table is None else self._object_table.location(row)

    def _add_object_row(self, table: Table, row: Row) -> None:
        position = self._position_of(row.cells["image"], table, row)
        number = row.cells["object"]
        if not isinstance(number, int) or number < 0:
            raise InputError(f"'object' must be a number from 0, got {number!r}", table.location(row))
        rows = self._object_rows.setdefault(position, {})
        if number in rows:
            raise InputError(f"a second row for object {number} of {self._ids[position]}", table.location(row))
        rows[number] = row

    def _label_name(self, sample: str) -> str:
        name = sample.removeprefix(self._prefix)
        return name[: name.rfind(".")] + ".txt"

    def _possible_ids(self, name: str) -> Iterable[str]:
        return (name, "images/" + name)

    def _digested_files(self) -> Sequence[tuple[str, Path]]:
        files = list(super()._digested_files())
        files += [("label:" + name, self._label_folder / name) for name in sorted(self._label_files)]
        return files


def _with_box_properties(box: list[float], attributes: Attributes) -> Attributes:
    width, height = box[2] - box[0], box[3] - box[1]
    return {"box_height_px": height, "box_area_px": width * height, **attributes}
