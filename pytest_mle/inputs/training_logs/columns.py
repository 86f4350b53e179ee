"""Columns of a log as it was written, cell by cell, with the place of each cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, Location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_GAPS = frozenset({"", "null", "none"})


class NotANumberError(ValueError):
    """A cell is neither a number nor empty."""


@dataclass(frozen=True, slots=True)
class Columns:
    """A log before its columns are understood: one list of raw cells a column, all of the same length.

    ``lines`` is the line of each row in a CSV file, None for JSON; ``scalars`` is what a JSON log says of the run.
    """

    shown: str
    cells: Mapping[str, Sequence[Any]]
    lines: Sequence[int] | None
    scalars: Mapping[str, Any]

    def location(self, row: int) -> Location:
        """Return where a row stands."""
        return Location(self.shown, None if self.lines is None else self.lines[row])

    def numbers(self, column: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return a column's values and which rows have one; ``nan`` and ``inf`` are values, empty cells are gaps.

        Raises :class:`~pytest_mle.errors.InputError` with file and line for a cell that is neither.
        """
        values = np.full(len(self.cells[column]), math.nan)
        has_value = np.zeros(len(values), dtype=np.bool_)
        for row, cell in enumerate(self.cells[column]):
            try:
                number = parse_number(cell)
            except NotANumberError as error:
                where = "" if self.lines is not None else f" at position {row}"
                raise InputError(f"{column}{where}: {error}", self.location(row)) from error
            if number is not None:
                values[row], has_value[row] = number, True
        return values, has_value

    def is_numeric(self, column: str) -> bool:
        """Say whether each cell of a column is a number or empty, and at least one is a number."""
        try:
            return bool(self.numbers(column)[1].any())
        except InputError:
            return False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns in their order."""
        return tuple(self.cells)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.cells.values()), ()))


@dataclass(frozen=True, slots=True, eq=False)
class NumberColumns:
    """A CSV log that holds nothing but numbers and empty cells, one row a line below the header.

    ``table`` ``(column, row)`` float64; an empty cell is a NaN whose sign bit is set, a ``nan`` in the log one whose
    sign bit is not.
    """

    shown: str
    names: tuple[str, ...]
    table: NDArray[np.float64]
    scalars: Mapping[str, Any]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.table.shape[1])

    def location(self, row: int) -> Location:
        """Return where a row stands."""
        return Location(self.shown, row + 2)

    def numbers(self, column: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return a column's values and which rows have one."""
        values = self.table[self.names.index(column)]
        return values, ~(np.isnan(values) & np.signbit(values))

    def is_numeric(self, column: str) -> bool:
        """Say whether at least one cell of a column is a number."""
        return bool(self.numbers(column)[1].any())


def parse_number(cell: Any) -> float | None:
    """Return a number (``nan`` and ``inf`` included), or None for an empty cell."""
    if cell is None:
        return None
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        raise NotANumberError(f"{cell!r} is not a number")
    if isinstance(cell, str) and cell.strip().lower() in _GAPS:
        return None
    try:
        # Python reads `1_000`, nobody else does.
        return float(str(cell).replace("_", "?"))
    except ValueError as error:
        raise NotANumberError(f"{cell!r} is not a number") from error
