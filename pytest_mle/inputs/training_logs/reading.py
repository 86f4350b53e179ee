"""Read CSV and JSON logs into columns."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from pytest_mle.errors import InputError, Location
from pytest_mle.inputs.training_logs.columns import Columns

MAX_BYTES = 256 << 20


def read_columns(data: bytes, suffix: str, shown: str) -> Columns:
    """Read a log by its suffix: ``.json``, else CSV.

    Raises :class:`~pytest_mle.errors.InputError` if it is neither, or has no row.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"the log has {len(data)} bytes, more than the {MAX_BYTES} allowed", Location(shown))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"the log is no UTF-8 text: {error}", Location(shown)) from error
    columns = _read_json(text, shown) if suffix.lower() == ".json" else _read_csv(text, shown)
    if not columns.cells or not len(next(iter(columns.cells.values()))):
        raise InputError("the log has no epoch", Location(shown))
    return columns


def _read_csv(text: str, shown: str) -> Columns:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        # Ultralytics pads its column names.
        names = [name.strip() for name in next(reader, [])]
        line = reader.line_num + 1
        for row in reader:
            if row:
                if len(row) != len(names):
                    message = f"{len(row)} cells, but the header has {len(names)} columns"
                    raise InputError(message, Location(shown, line))
                rows.append(row)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"this is not a CSV log: {error}", Location(shown, reader.line_num)) from error
    _check_names(names, shown)
    cells = {name: [row[position] for row in rows] for position, name in enumerate(names)}
    return Columns(shown, cells, lines, {})


def _check_names(names: list[str], shown: str) -> None:
    for position, name in enumerate(names):
        if not name or name in names[:position]:
            what = f"two columns are called {name!r}" if name else f"column {position + 1} has no name"
            raise InputError(what, Location(shown, 1))


def _read_json(text: str, shown: str) -> Columns:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"this is not JSON: {error.msg}", Location(shown, error.lineno)) from error
    except (RecursionError, ValueError) as error:
        raise InputError(
            "this JSON is nested too deeply or holds a number that is too long", Location(shown)
        ) from error
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return _from_rows(content, shown)
    if isinstance(content, dict):
        return _from_lists(content, shown)
    message = "a JSON log must be a mapping from names to lists, or a list of mappings (one an epoch)"
    raise InputError(message, Location(shown))


def _from_rows(rows: list[dict[str, Any]], shown: str) -> Columns:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Columns(shown, {name: [row.get(name) for row in rows] for name in names}, None, {})


def _from_lists(content: dict[str, Any], shown: str) -> Columns:
    cells = {name: values for name, values in content.items() if isinstance(values, list)}
    scalars = {name: value for name, value in content.items() if isinstance(value, (str, int, float, bool))}
    lengths = {name: len(values) for name, values in cells.items()}
    if len(set(lengths.values())) > 1:
        shown_lengths = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"the series have different lengths: {shown_lengths}", Location(shown))
    return Columns(shown, cells, None, scalars)
