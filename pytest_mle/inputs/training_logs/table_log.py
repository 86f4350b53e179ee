"""Logs that are one table: CSV and JSON files, and what programs write beside them."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, Location, MleError
from pytest_mle.inputs.training_log import Checkpoint, TrainingLog
from pytest_mle.inputs.training_logs.by_epoch import NO_EPOCH, Points, arrange
from pytest_mle.inputs.training_logs.layouts import COUNTED_STEPS, EPOCH_NAMES
from pytest_mle.inputs.training_logs.metrics import named_sources, places_of_steps, whole_epochs
from pytest_mle.inputs.training_logs.reading import read_table
from pytest_mle.inputs.training_logs.run_record import training_run
from pytest_mle.yaml_with_lines import plain, read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from pytest_mle.inputs.training_log import TrainingRun
    from pytest_mle.inputs.training_logs.columns import Columns, NumberColumns
    from pytest_mle.inputs.training_logs.declared import DeclaredLog

FILES = {"lightning": "metrics.csv", "ultralytics": "results.csv"}
SETTINGS = {"lightning": "hparams.yaml", "ultralytics": "args.yaml"}
SUFFIXES = {"json": (".json",), "keras": (".csv", ".json")}
_MAX_SETTINGS = 16 << 20
_LIGHTNING_CHECKPOINT = re.compile(r"epoch=(\d+)")


def read_table_log(log: DeclaredLog, chosen: str) -> TrainingLog:
    """Read a CSV or JSON log, with what its program wrote beside it and the record that ``run:`` names.

    Rows belong to the epoch in their column ``epoch`` (without one, each row is an epoch, from 1). A row that has none
    although the log has epochs and a column ``step`` (Lightning's learning-rate monitor) belongs to the epoch of its
    step, or of the next later step that has one. A ``step`` that starts again with each epoch counts within it; then
    rows are counted instead.
    """
    path = _file(log, chosen)
    shown = log.shown(path)
    try:
        columns, content_digest = read_table(path, shown)
    except OSError as error:
        raise log.refusal(f"cannot read {path}: {error.strerror or error}") from error
    mapping = log.mapping()
    sources = named_sources(dict.fromkeys(columns.names), mapping, log.name, shown, log.location)
    rows = _rows(columns, mapping)
    named = {term for terms in sources.values() for term in terms}
    points = (
        (column, _points(columns, column, rows))
        for column in columns.names
        if column in named or (column != rows.epoch_column and columns.is_numeric(column))
    )
    arranged = arrange(points, sources, rows.epochs)
    # A series that is asked for and has no value is one of gaps, and not a series that is not there.
    series, gaps = dict(arranged.series), dict(arranged.gaps)
    for target in {*sources, *named} - set(series):
        series[target], gaps[target] = np.full(len(rows.epochs), np.nan), rows.epochs.tolist()
    run, record_digest = _run(log, path, chosen)
    digest = hashlib.sha256(f"{content_digest}{record_digest}{json.dumps(mapping, sort_keys=True)}".encode())
    return TrainingLog(
        name=log.name,
        path=shown,
        epochs=rows.epochs,
        series=series,
        digest=digest.hexdigest(),
        metadata={
            **columns.scalars,
            "columns": {target: " + ".join(terms) for target, terms in sources.items()},
            "gaps": gaps,
            "epochs_from": rows.epoch_column or "rows",
            "without_epoch": arranged.without_epoch,
        },
        step_series=arranged.step_series,
        run=run,
    )


def _file(log: DeclaredLog, chosen: str) -> Path:
    path = log.path()
    if chosen in FILES and path.is_dir():
        path = log.trusted(path / FILES[chosen])
    allowed = SUFFIXES.get(chosen, (".csv",))
    if path.suffix.lower() not in allowed:
        raise log.refusal(f"cannot read {path.suffix or 'a file without suffix'}. Allowed: {', '.join(allowed)}")
    return path


class _Rows:
    """To which epoch and step each row belongs."""

    def __init__(
        self,
        epochs: NDArray[np.int64],
        positions: NDArray[np.int64],
        steps: NDArray[np.int64] | None,
        epoch_column: str | None,
    ) -> None:
        self.epochs = epochs
        self.positions = positions
        self.steps = steps
        self.epoch_column = epoch_column


def _points(columns: Columns | NumberColumns, column: str, rows: _Rows) -> Points:
    values, has_value = columns.numbers(column)
    if has_value.all():
        return Points(values, rows.positions, rows.steps)
    steps = None if rows.steps is None else rows.steps[has_value]
    return Points(values[has_value], rows.positions[has_value], steps)


def _rows(columns: Columns | NumberColumns, mapping: Mapping[str, str]) -> _Rows:
    column = mapping.get("epoch") or next((name for name in EPOCH_NAMES if name in columns.names), None)
    if column is None:
        return _Rows(np.arange(1, columns.count + 1), np.arange(columns.count), None, None)
    values, has_value = columns.numbers(column)
    step_column = next((name for name in COUNTED_STEPS if name in columns.names), None)
    raw_steps = None if step_column is None else _step_numbers(columns, step_column)
    _check_epochs(columns, values, has_value, needs_each=raw_steps is None)
    numbers = values[has_value].astype(np.int64)
    epochs, places = _distinct(numbers)
    positions = np.full(columns.count, NO_EPOCH)
    positions[has_value] = places
    steps = None if raw_steps is None else _ascending(columns, raw_steps, positions)
    if steps is not None and not has_value.all():
        known, first = np.unique(steps[has_value], return_index=True)
        positions[~has_value] = places_of_steps(known, places[first], steps[~has_value])
    return _Rows(epochs, positions, steps, column)


def _distinct(ascending: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different ones of ascending numbers, and the place of each among them."""
    begins = np.ones(len(ascending), dtype=np.bool_)
    begins[1:] = ascending[1:] != ascending[:-1]
    return ascending[begins], np.cumsum(begins) - 1


def _check_epochs(
    columns: Columns | NumberColumns, values: NDArray[np.float64], has_value: NDArray[np.bool_], *, needs_each: bool
) -> None:
    bad = np.flatnonzero((has_value & ~whole_epochs(values)) | (~has_value & needs_each))
    row_of = np.flatnonzero(has_value)
    back = row_of[1:][np.diff(values[has_value]) < 0]
    if len(bad) and not (len(back) and back[0] < bad[0]):
        row = int(bad[0])
        shown = f"{values[row]:g}" if has_value[row] else "empty"
        raise InputError(f"the epoch must be a whole number, but it is {shown}", columns.location(row))
    if len(back):
        row = int(back[0])
        before = values[row_of[np.searchsorted(row_of, row) - 1]]
        message = f"the epoch goes back from {before:g} to {values[row]:g}: is this the log of several runs?"
        raise InputError(message, columns.location(row))
    if not has_value.any():
        raise InputError("the log has no epoch", Location(columns.shown))


def _step_numbers(columns: Columns | NumberColumns, column: str) -> NDArray[np.int64] | None:
    """Return the steps of all rows, or None if some rows have none."""
    values, has_value = columns.numbers(column)
    if not has_value.all():
        return None
    bad = np.flatnonzero(~(np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 1 << 62)))
    if len(bad):
        row = int(bad[0])
        raise InputError(f"the step must be a whole number, but it is {values[row]:g}", columns.location(row))
    return values.astype(np.int64)


def _ascending(
    columns: Columns | NumberColumns, steps: NDArray[np.int64], positions: NDArray[np.int64]
) -> NDArray[np.int64]:
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    within = back[positions[back] == positions[back - 1]]
    if len(within):
        row = int(within[0])
        message = f"the step goes back from {steps[row - 1]} to {steps[row]} within an epoch"
        raise InputError(message, columns.location(row))
    return np.arange(len(steps)) if len(back) else steps


def _run(log: DeclaredLog, path: Path, chosen: str) -> tuple[TrainingRun, str]:
    """Return what is known of the run, and a digest of where that stands."""
    texts: list[bytes] = []
    record: dict[str, Any] = {}
    beside = path.parent / SETTINGS[chosen] if chosen in SETTINGS else None
    if beside is not None and beside.is_file():
        texts.append(read_beside(log, beside))
        record = settings(texts[-1], log.shown(beside))
    if "run" in log.options:
        sidecar = log.path("run")
        texts.append(read_beside(log, sidecar))
        record |= record_of(texts[-1], log.shown(sidecar))
    found = training_run(record, checkpoints=_checkpoints(path.parent, chosen))
    return found, "".join(hashlib.sha256(text).hexdigest() for text in texts)


def read_beside(log: DeclaredLog, path: Path) -> bytes:
    """Read a small file that belongs to a log."""
    try:
        with log.trusted(path).open("rb") as stream:
            data = stream.read(_MAX_SETTINGS + 1)
    except OSError as error:
        raise log.refusal(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > _MAX_SETTINGS:
        raise InputError(f"more than the {_MAX_SETTINGS} bytes allowed", Location(log.shown(path)))
    return data


def settings(data: bytes, shown: str) -> dict[str, Any]:
    """Return the hyperparameters that a program wrote as YAML."""
    try:
        content = plain(read_yaml(data.decode("utf-8-sig"), shown))
    except UnicodeDecodeError as error:
        raise InputError(f"this is no UTF-8 text: {error}", Location(shown)) from error
    except InputError:
        raise
    except MleError as error:
        raise InputError(str(error)) from error
    if content is not None and not isinstance(content, dict):
        raise InputError("hyperparameters must be a mapping", Location(shown))
    return content or {}


def record_of(data: bytes, shown: str) -> dict[str, Any]:
    """Return the record of a training run that a training script wrote as JSON."""
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(f"this is not JSON: {error.msg}", Location(shown, error.lineno)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"this is not JSON: {error}", Location(shown)) from error
    if not isinstance(content, dict):
        raise InputError("the record of a training run must be a mapping", Location(shown))
    return content


def _checkpoints(folder: Path, chosen: str) -> list[Checkpoint]:
    """Return the checkpoints that a program keeps beside its log."""
    if chosen == "ultralytics":
        kept = [folder / "weights" / name for name in ("best.pt", "last.pt")]
        return [Checkpoint(f"weights/{one.name}", is_best=one.stem == "best") for one in kept if one.is_file()]
    if chosen != "lightning":
        return []
    found = []
    for one in sorted((folder / "checkpoints").glob("*.ckpt")):
        epoch = _LIGHTNING_CHECKPOINT.search(one.stem)
        found.append(Checkpoint(f"checkpoints/{one.name}", epoch=int(epoch[1]) if epoch else None))
    return found
