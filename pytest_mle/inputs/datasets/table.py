"""Tables of attributes as CSV files, with the line of every row."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_mle.errors import InputError, Location

if TYPE_CHECKING:
    from pathlib import Path

Cell = int | float | str | None

# Python's int() also takes `1_000` and non-ASCII digits, which are names here.
_INTEGER = re.compile(r"[+-]?[0-9]+")
# Only these: `none` is a fine value of an attribute called `occlusion`.
_MISSING = frozenset({"", "nan"})
_MAX_DIGITS = 300


@dataclass(frozen=True, slots=True)
class Row:
    """One row; ``line`` is where it begins."""

    line: int
    cells: dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file with a header."""

    shown: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def location(self, row: Row) -> Location:
        """Return file and line of a row."""
        return Location(self.shown, row.line)


def read_table(path: Path, shown: str, required: tuple[str, ...]) -> Table:
    """Read a CSV file (UTF-8, commas); cells become int or float where they are numbers, None where they are missing.

    Raises :class:`~pytest_mle.errors.InputError` with file and line for a missing column or a row of another length.
    """
    rows: list[Row] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            columns = tuple(column.strip() for column in next(reader, ()))
            _check_columns(columns, shown, required)
            line = reader.line_num + 1
            for values in reader:
                if values:
                    if len(values) != len(columns):
                        message = f"{len(values)} cells, but the header has {len(columns)} columns"
                        raise InputError(message, Location(shown, line))
                    rows.append(Row(line, {name: parse_cell(v) for name, v in zip(columns, values, strict=True)}))
                line = reader.line_num + 1
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the table: {error}", Location(shown)) from error
    except csv.Error as error:
        raise InputError(f"this is not a CSV table: {error}", Location(shown, reader.line_num)) from error
    return Table(shown, columns, tuple(rows))


def _check_columns(columns: tuple[str, ...], shown: str, required: tuple[str, ...]) -> None:
    if not columns:
        raise InputError("the table is empty; it needs a header line", Location(shown))
    for column in required:
        if column not in columns:
            raise InputError(f"no column {column!r}; there are {', '.join(columns)}", Location(shown, 1))
    for position, column in enumerate(columns):
        if not column or column in columns[:position]:
            what = f"two columns are called {column!r}" if column else f"column {position + 1} has no name"
            raise InputError(what, Location(shown, 1))


def parse_cell(text: str) -> Cell:
    """Return a number where the text is one, None where the value is missing, else the text."""
    text = text.strip()
    if text.lower() in _MISSING:
        return None
    if len(text) > _MAX_DIGITS:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if "_" in text:
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return None if math.isnan(number) else number
