"""Read CSV and JSON logs into columns."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, Location
from pytest_mle.inputs.training_logs.columns import Columns, NumberColumns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

# Of a log that has to be taken apart cell by cell; one of numbers alone needs eight bytes a cell.
MAX_BYTES = 256 << 20
MAX_NUMBER_BYTES = 4 << 30
_BLOCK = 4 << 20
_MAX_HEADER = 1 << 20


def read_table(path: Path, shown: str) -> tuple[Columns | NumberColumns, str]:
    """Read a log file by its suffix (``.json``, else CSV) and return its columns and its SHA-256.

    A CSV file of numbers is parsed as a whole, block by block. Any other, and any with something wrong in it, is taken
    apart cell by cell, which names the line.

    Raises :class:`~pytest_mle.errors.InputError` if it is neither, or has no row; OSError if it cannot be read.
    """
    if path.suffix.lower() != ".json":
        with path.open("rb") as stream:
            numbers = _read_numbers(stream, shown)
        if numbers is not None:
            return numbers
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    return read_columns(data, path.suffix, shown), hashlib.sha256(data).hexdigest()


def read_columns(data: bytes, suffix: str, shown: str) -> Columns:
    """Read a log by its suffix: ``.json``, else CSV.

    Raises :class:`~pytest_mle.errors.InputError` if it is neither, or has no row.
    """
    if len(data) > MAX_BYTES:
        message = f"the log has more than the {MAX_BYTES} bytes allowed where a log holds more than numbers"
        raise InputError(message, Location(shown))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"the log is no UTF-8 text: {error}", Location(shown)) from error
    columns = _read_json(text, shown) if suffix.lower() == ".json" else _read_csv(text, shown)
    if not columns.cells or not len(next(iter(columns.cells.values()))):
        raise InputError("the log has no epoch", Location(shown))
    return columns


def _read_numbers(stream: BinaryIO, shown: str) -> tuple[NumberColumns, str] | None:
    """Return a CSV file of numbers and its SHA-256, or None if it is not plainly one."""
    header = stream.readline(_MAX_HEADER)
    names = _plain_header(header)
    if names is None:
        return None
    digest = hashlib.sha256(header)
    size = rows = 0
    for block in _blocks(stream):
        digest.update(block)
        size += len(block)
        rows += block.count(b"\n") + (not block.endswith(b"\n"))
    if not rows or size > MAX_NUMBER_BYTES:
        return None
    table = np.empty((len(names), rows))
    stream.seek(len(header))
    filled = 0
    for block in _blocks(stream):
        numbers = _parse_block(block, len(names))
        if numbers is None:
            return None
        table[:, filled : filled + len(numbers)] = numbers.T
        filled += len(numbers)
    return (NumberColumns(shown, names, table, {}), digest.hexdigest()) if filled == rows else None


def _plain_header(header: bytes) -> tuple[str, ...] | None:
    if not header.endswith(b"\n") or b'"' in header:
        return None
    try:
        # Ultralytics pads its column names.
        names = tuple(name.strip() for name in header.decode("utf-8-sig").rstrip("\r\n").split(","))
    except UnicodeDecodeError:
        return None
    return names if all(names) and len(set(names)) == len(names) else None


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield a file in blocks of whole lines."""
    while block := stream.read(_BLOCK):
        yield block + stream.readline()


def _parse_block(block: bytes, columns: int) -> NDArray[np.float64] | None:
    """Return the numbers of some lines ``(row, column)``, or None if anything but numbers and gaps is in them."""
    # A NaN with a sign marks the gaps, so it must not be in the log itself.
    if b"-n" in block or b"-N" in block:
        return None
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    numbers = _parse(block)
    # A line of a single column would be empty itself.
    if numbers is None and columns > 1:
        numbers = _parse(_mark_gaps(block))
    # NumPy leaves blank lines out; then lines could not be counted.
    return numbers if numbers is not None and numbers.shape == (lines, columns) else None


def _parse(block: bytes) -> NDArray[np.float64] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.loadtxt(io.BytesIO(block), delimiter=",", comments=None, ndmin=2)
    except ValueError:
        return None


def _mark_gaps(block: bytes) -> bytes:
    for _ in range(2):
        block = block.replace(b",,", b",-nan,")
    block = block.replace(b",\n", b",-nan\n").replace(b"\n,", b"\n-nan,")
    if block.startswith(b","):
        block = b"-nan" + block
    return block + b"-nan" if block.endswith(b",") else block


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
    # Keras: `History` as a mapping of its own, with the epochs beside it.
    history = content.get("history")
    if isinstance(history, dict) and not any(isinstance(value, dict) for value in history.values()):
        cells = {**cells, **{name: values for name, values in history.items() if isinstance(values, list)}}
    lengths = {name: len(values) for name, values in cells.items()}
    if len(set(lengths.values())) > 1:
        shown_lengths = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"the series have different lengths: {shown_lengths}", Location(shown))
    return Columns(shown, cells, None, scalars)
