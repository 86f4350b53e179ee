"""What data sets of image files in a folder share: samples, attributes, slices, sequences, digest."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, Location, NotMeasurableError, closest
from pytest_mle.inputs.dataset import Objects, Sample
from pytest_mle.inputs.images import read_rgb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Task
    from pytest_mle.inputs.datasets.declaration import Declaration
    from pytest_mle.inputs.datasets.table import Row, Table
    from pytest_mle.records.condition import Condition

Attributes = Mapping[str, Any]
_NONE: Attributes = {}
_CHUNK_BYTES = 1 << 20


class FolderDataset:
    """Samples of a folder in the order of their ids; a slice is a copy with fewer of them.

    Parameters
    ----------
    declaration
        The entry in the spec.
    root
        The data set's folder, resolved.
    class_names
        By class number.
    ids
        Paths of the images relative to ``root``, POSIX style, sorted.
    metadata
        Table of image attributes with a column ``image``, if there is one.
    """

    task: Task

    def __init__(
        self,
        declaration: Declaration,
        root: Path,
        class_names: tuple[str, ...],
        ids: Sequence[str],
        metadata: Table | None,
    ) -> None:
        self.name = declaration.name
        self.root = root
        self.class_names = class_names
        self._declaration = declaration
        self._ids = tuple(ids)
        self._positions = {sample: position for position, sample in enumerate(self._ids)}
        self._attributes: dict[int, Attributes] = {}
        self._attribute_names: tuple[str, ...] = ()
        if metadata is not None:
            self._attribute_names = tuple(column for column in metadata.columns if column != "image")
            self._attributes = self._attributes_by_position(metadata)
        self._sequence = self._sequence_attribute()
        self._indices = np.arange(len(self._ids), dtype=np.int64)
        self._selection: tuple[Condition, ...] = ()
        self._object_selection: tuple[Condition, ...] = ()
        # Shared by all slices, so that contents are read once.
        self._digests: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._indices)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {len(self)} samples>"

    @property
    def indices(self) -> NDArray[np.int64]:
        """Positions of these samples in the whole data set."""
        return self._indices

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Attributes of images."""
        return self._attribute_names

    @property
    def object_attribute_names(self) -> tuple[str, ...]:
        """Attributes of objects."""
        return ()

    def sample(self, index: int) -> Sample:
        """Return one sample."""
        position = int(self._indices[index])
        sample = self._ids[position]
        return Sample(sample, self.root / sample, self._attributes.get(position, _NONE))

    def image(self, index: int) -> NDArray[np.uint8]:
        """Decode one image: RGB, shape ``(height, width, 3)``."""
        path = self.sample(index).path
        return read_rgb(path, self.shown(path))

    def objects(self, index: int) -> Objects:  # noqa: ARG002  the protocol's signature
        """Refuse: there are no boxes."""
        raise InputError(f"data set {self.name} has no boxes: it is for {self.task}", self._declaration.location)

    def label(self, index: int) -> int:  # noqa: ARG002  the protocol's signature
        """Refuse: there is no class of the whole image."""
        raise InputError(
            f"data set {self.name} has no image classes: it is for {self.task}", self._declaration.location
        )

    def shown(self, path: Path) -> str:
        """Return a path as reports show it: relative to the spec's folder where it lies below it."""
        return self._declaration.shown(path)

    def sequence_ids(self) -> NDArray[np.int64]:
        """Return a cluster number a sample: equal inside one sequence; a sample without one is a cluster of its own."""
        clusters: dict[Any, int] = {}
        numbers = np.empty(len(self), dtype=np.int64)
        for index, position in enumerate(self._indices.tolist()):
            value = None if self._sequence is None else self._attributes.get(position, _NONE).get(self._sequence)
            key = ("sample", position) if value is None else ("sequence", value)
            numbers[index] = clusters.setdefault(key, len(clusters))
        return numbers

    @property
    def digest(self) -> str:
        """SHA-256 over ids, contents, labels, tables and classes, and over the selection of a slice."""
        if "whole" not in self._digests:
            self._digests["whole"] = self._whole_digest()
        whole = self._digests["whole"]
        if not self._selection:
            return whole
        return hashlib.sha256(whole.encode() + repr(self._selection).encode() + self._indices.tobytes()).hexdigest()

    def select(self, where: tuple[Condition, ...]) -> FolderDataset:
        """Return the slice; see :meth:`pytest_mle.inputs.dataset.Dataset.select`.

        Raises
        ------
        InputError
            Nobody has the attribute, or both images and objects have it.
        NotMeasurableError
            No sample is left.
        """
        if not where:
            return self
        of_objects = tuple(condition for condition in where if self._is_object_condition(condition))
        of_images = tuple(condition for condition in where if condition not in of_objects)
        kept = [index for index in self._indices.tolist() if self._matches(index, of_images)]
        if not kept:
            raise NotMeasurableError(f"data set {self.name}: no sample has {self._describe(of_images)}")
        part = copy.copy(self)
        part._indices = np.array(kept, dtype=np.int64)  # noqa: SLF001  a copy of itself
        part._selection = (*self._selection, *where)  # noqa: SLF001
        part._object_selection = (*self._object_selection, *of_objects)  # noqa: SLF001
        return part

    def _is_object_condition(self, condition: Condition) -> bool:
        is_of_image = condition.attribute in self.attribute_names
        is_of_object = condition.attribute in self._object_conditions
        if is_of_image and is_of_object:
            message = f"both images and objects have an attribute {condition.attribute!r}: rename one of the columns"
            raise self._declaration.error(message)
        if not is_of_image and not is_of_object:
            known = (*self.attribute_names, *self._object_conditions)
            message = f"neither images nor objects have an attribute {condition.attribute!r}"
            raise self._declaration.error(f"{message}. {closest(condition.attribute, known)}")
        return is_of_object

    @property
    def _object_conditions(self) -> tuple[str, ...]:
        """What conditions on objects may name."""
        return self.object_attribute_names

    def _matches(self, position: int, where: tuple[Condition, ...]) -> bool:
        attributes = self._attributes.get(position, _NONE)
        return all(condition.matches(attributes.get(condition.attribute)) for condition in where)

    def _describe(self, where: tuple[Condition, ...]) -> str:
        parts = []
        for condition in where:
            found = {self._attributes.get(i, _NONE).get(condition.attribute) for i in self._indices.tolist()}
            values = sorted(str(value) for value in found if value is not None)
            shown = ", ".join(values[:8]) + (", ..." if len(values) > 8 else "")
            parts.append(f"{condition.attribute}: {condition.expected} (there are: {shown or 'no values'})")
        return " and ".join(parts)

    def _position_of(self, name: Any, table: Table, row: Row) -> int:
        """Find the sample that a table's row names."""
        text = str(name).replace("\\", "/").removeprefix("./")
        for candidate in self._possible_ids(text):
            if candidate in self._positions:
                return self._positions[candidate]
        hint = closest(text, self._ids) if len(self._ids) <= 1000 else ""
        raise InputError(f"there is no image {text!r} in {self.shown(self.root)}. {hint}".strip(), table.location(row))

    def _possible_ids(self, name: str) -> Iterable[str]:
        return (name,)

    def _attributes_by_position(self, table: Table) -> dict[int, Attributes]:
        attributes: dict[int, Attributes] = {}
        for row in table.rows:
            position = self._position_of(row.cells["image"], table, row)
            if position in attributes:
                raise InputError(f"a second row for {self._ids[position]}", table.location(row))
            attributes[position] = {name: value for name, value in row.cells.items() if name != "image"}
        return attributes

    def _sequence_attribute(self) -> str | None:
        declared = self._declaration.options.get("sequence")
        if declared is None:
            return "sequence" if "sequence" in self._attribute_names else None
        if declared not in self._attribute_names:
            hint = closest(str(declared), self._attribute_names)
            raise self._declaration.error(f"'sequence' names no attribute of images: {declared!r}. {hint}")
        return str(declared)

    def _digested_files(self) -> Sequence[tuple[str, Path]]:
        """Return all files that results depend on under names that are the same on every machine."""
        files = [(sample, self.root / sample) for sample in self._ids]
        for option in ("metadata", "objects"):
            path = self._declaration.file(option, self.root)
            if path is not None:
                files.append((f"{option}:", path))
        return files

    def _whole_digest(self) -> str:
        files = self._digested_files()
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            contents = pool.map(self._file_digest, [path for _, path in files], chunksize=64)
        total = hashlib.sha256(json.dumps([self.task, self.class_names, self._sequence]).encode())
        for (name, _), content in zip(files, contents, strict=True):
            total.update(json.dumps([name, content]).encode())
        return total.hexdigest()

    def _file_digest(self, path: Path) -> str:
        digest = hashlib.sha256()
        try:
            with path.open("rb", buffering=0) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
        except OSError as error:
            raise InputError(f"cannot read the file: {error.strerror or error}", Location(self.shown(path))) from error
        return digest.hexdigest()
