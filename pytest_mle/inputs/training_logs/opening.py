"""Read a declared training log into series by epoch."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, Location, closest
from pytest_mle.inputs.training_log import TrainingLog
from pytest_mle.inputs.training_logs.layouts import EPOCH_NAMES, standard_columns
from pytest_mle.inputs.training_logs.reading import MAX_BYTES, read_columns
from pytest_mle.inputs.trusted_path import resolve_trusted, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from pytest_mle.inputs.training_logs.columns import Columns

OPTIONS = ("path", "columns")
_MAX_EPOCH = 1 << 31
SUFFIXES = (".csv", ".json")


def read_training_log(
    name: str,
    options: Mapping[str, Any],
    root: Path,
    *,
    location: Location | None = None,
    allowed_roots: Iterable[Path] = (),
) -> TrainingLog:
    """Read the log that ``inputs.training_logs.<name>`` declares.

    CSV files (Ultralytics ``results.csv``, Keras ``CSVLogger``, Lightning ``metrics.csv``) and JSON files (a mapping
    from names to lists, a list of mappings). Rows of the same epoch are merged: each series takes the mean of the
    values that they have. ``nan`` and ``inf`` stay in the series; empty cells are gaps, listed by series and epoch in
    ``metadata["gaps"]``. All columns of numbers are series under their own names besides the standard ones.

    Parameters
    ----------
    name
        Its name in the spec.
    options
        ``path``, and ``columns`` (series to column, ``{val_map_50: "metrics/mAP50(B)"}``) where a name is not known.
    root
        The spec's folder.
    location
        Where it was declared, for errors.
    allowed_roots
        Further folders that the invoker has granted.

    Raises
    ------
    InputError
        Absent, unreadable, empty, a cell that is no number, epochs that run backwards; with file and line.
    TrustError
        The path leads out of ``root`` and ``allowed_roots``.
    """
    for option in options:
        if option not in OPTIONS:
            raise InputError(f"training log {name}: unknown option {option!r}. {closest(option, OPTIONS)}", location)
    mapping = _declared_columns(name, options, location)
    path, data = _read(name, options.get("path"), root.resolve(), location, allowed_roots)
    shown = shown_path(path, root.resolve())
    columns = read_columns(data, path.suffix, shown)
    sources = _sources(name, columns, mapping, location)
    epochs, groups, epoch_column = _epochs(columns)
    series: dict[str, NDArray[np.float64]] = {}
    gaps: dict[str, list[int]] = {}
    for target, terms in sources.items():
        series[target], has_value = _merged_sum(columns, terms, groups, len(epochs))
        gaps[target] = epochs[~has_value].tolist()
    for column in columns.cells:
        if column not in series and column != epoch_column and columns.is_numeric(column):
            series[column], has_value = _merged_sum(columns, (column,), groups, len(epochs))
            gaps[column] = epochs[~has_value].tolist()
    return TrainingLog(
        name=name,
        path=shown,
        epochs=epochs,
        series=series,
        digest=hashlib.sha256(data + json.dumps(mapping, sort_keys=True).encode()).hexdigest(),
        metadata={
            **columns.scalars,
            "columns": {target: " + ".join(terms) for target, terms in sources.items()},
            "gaps": {target: missing for target, missing in gaps.items() if missing},
        },
    )


def _declared_columns(name: str, options: Mapping[str, Any], location: Location | None) -> dict[str, str]:
    declared = options.get("columns") or {}
    if not isinstance(declared, dict) or not all(isinstance(text, str) for pair in declared.items() for text in pair):
        message = f"training log {name}: 'columns' must map series to columns, got {declared!r}"
        raise InputError(message, location)
    return dict(declared)


def _read(
    name: str, declared: Any, root: Path, location: Location | None, allowed_roots: Iterable[Path]
) -> tuple[Path, bytes]:
    if not isinstance(declared, str):
        raise InputError(f"training log {name}: 'path' must name its file, got {declared!r}", location)
    path = resolve_trusted(declared, root, allowed_roots=allowed_roots, location=location)
    if path.suffix.lower() not in SUFFIXES:
        message = f"training log {name}: cannot read {path.suffix or 'a file without suffix'}. Allowed: .csv, .json"
        raise InputError(message, location)
    try:
        with path.open("rb") as stream:
            return path, stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"training log {name}: cannot read {path}: {error.strerror or error}", location) from error


def _sources(
    name: str, columns: Columns, mapping: Mapping[str, str], location: Location | None
) -> dict[str, tuple[str, ...]]:
    for target, column in mapping.items():
        if column not in columns.cells:
            hint = closest(column, list(columns.cells))
            message = f"training log {name}: {columns.shown} has no column {column!r} for {target}. {hint}"
            raise InputError(message, location)
    return {**standard_columns(columns.cells), **{target: (column,) for target, column in mapping.items()}}


def _epochs(columns: Columns) -> tuple[NDArray[np.int64], NDArray[np.int64], str | None]:
    """Return the epochs, the position of each row's epoch among them, and the column they come from."""
    column = next((name for name in EPOCH_NAMES if name in columns.cells), None)
    if column is None:
        count = len(next(iter(columns.cells.values())))
        return np.arange(1, count + 1), np.arange(count), None
    values, has_value = columns.numbers(column)
    for row, value in enumerate(values.tolist()):
        if not has_value[row] or not math.isfinite(value) or value != round(value) or not 0 <= value < _MAX_EPOCH:
            shown = "empty" if not has_value[row] else f"{value:g}"
            raise InputError(f"the epoch must be a whole number, but it is {shown}", columns.location(row))
        if row and value < values[row - 1]:
            message = f"the epoch goes back from {values[row - 1]:g} to {value:g}: is this the log of several runs?"
            raise InputError(message, columns.location(row))
    epochs, groups = np.unique(values.astype(np.int64), return_inverse=True)
    return epochs, groups.astype(np.int64), column


def _merged_sum(
    columns: Columns, terms: tuple[str, ...], groups: NDArray[np.int64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Average each term over the rows of an epoch that have it, and add the terms up; NaN where one is missing."""
    total = np.zeros(count)
    is_there = np.ones(count, dtype=np.bool_)
    for term in terms:
        values, has_value = columns.numbers(term)
        rows = np.bincount(groups[has_value], minlength=count)
        with np.errstate(invalid="ignore"):
            sums = np.bincount(groups[has_value], weights=values[has_value], minlength=count)
            total = total + np.divide(sums, rows, out=np.full(count, math.nan), where=rows > 0)
        is_there &= rows > 0
    return total, is_there
