"""Tests of cells of a training log."""

from __future__ import annotations

import math

import pytest

from pytest_mle.errors import InputError
from pytest_mle.inputs.training_logs.columns import Columns, NotANumberError, parse_number


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1.5", 1.5),
        (" 2 ", 2),
        (3, 3),
        ("1e-7", 1e-7),
        ("inf", math.inf),
        (10**400, math.inf),
        ("-Infinity", -math.inf),
    ],
)
def test_numbers(cell, number):
    """Numbers are read, infinite ones included."""
    assert parse_number(cell) == number


@pytest.mark.parametrize("cell", ["nan", "NaN", math.nan])
def test_nan_is_a_value(cell):
    """NaN stays visible."""
    assert math.isnan(parse_number(cell))


@pytest.mark.parametrize("cell", ["", "  ", None, "null"])
def test_empty_cells_are_gaps(cell):
    """An empty cell is no value."""
    assert parse_number(cell) is None


@pytest.mark.parametrize("cell", ["abc", "0,5", "1_000", True, [1], {}, "tensor(0.5)"])
def test_what_is_no_number(cell):
    """Neither number nor empty is an error."""
    with pytest.raises(NotANumberError):
        parse_number(cell)


def test_columns_know_where_their_cells_stand():
    """In a CSV file the line is named, in JSON the position."""
    with pytest.raises(InputError, match=r"^log\.csv:7: loss: 'x' is not a number"):
        Columns("log.csv", {"loss": ["1", "x"]}, [5, 7], {}).numbers("loss")
    with pytest.raises(InputError, match=r"^log\.json: loss at position 1: 'x' is not a number"):
        Columns("log.json", {"loss": [1, "x"]}, None, {}).numbers("loss")


def test_column_of_gaps_is_not_numeric():
    """Without a single number a column is no series."""
    columns = Columns("log.csv", {"a": ["", ""], "b": ["", "nan"], "c": ["", "x"]}, [2, 3], {})

    assert [columns.is_numeric(name) for name in "abc"] == [False, True, False]
