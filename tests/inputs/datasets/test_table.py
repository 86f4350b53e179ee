"""Tests of tables of attributes."""

from __future__ import annotations

import pytest

from pytest_mle.errors import InputError
from pytest_mle.inputs.datasets.table import parse_cell, read_table


@pytest.fixture
def table(tmp_path):
    """Read a table from text."""

    def read(text, required=("image",)):
        path = tmp_path / "images.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_table(path, "data/images.csv", required)

    return read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("0.5", 0.5),
        ("1e-3", 0.001),
        (" 7 ", 7),
        ("", None),
        ("nan", None),
        ("NaN", None),
        ("inf", float("inf")),
        ("none", "none"),
        ("1_000", "1_000"),
        ("2025-04-15", "2025-04-15"),
        ("rain", "rain"),
        ("9" * 400, "9" * 400),
    ],
)
def test_cells(text, value):
    """A cell is a number where all of it is one, None where it is missing, else text."""
    found = parse_cell(text)

    assert found == value
    assert type(found) is type(value)


def test_rows_know_their_line(table):
    """Quoted line breaks and blank lines count."""
    read = table('image,note\na.png,"two\nlines"\n\nb.png,x\n')

    assert [(row.line, row.cells["image"]) for row in read.rows] == [(2, "a.png"), (5, "b.png")]
    assert str(read.location(read.rows[1])) == "data/images.csv:5"


def test_byte_order_mark_and_windows_lines(table):
    """Tables saved by Excel are read."""
    read = table(b"\xef\xbb\xbfimage, weather\r\na.png,rain\r\n")

    assert read.columns == ("image", "weather")
    assert read.rows[0].cells == {"image": "a.png", "weather": "rain"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"images\.csv: the table is empty"),
        ("file,weather\n", r"images\.csv:1: no column 'image'; there are file, weather"),
        ("image;weather\n", r"images\.csv:1: no column 'image'; there are image;weather"),
        ("image,a,a\n", r"images\.csv:1: two columns are called 'a'"),
        ("image,,a\n", r"images\.csv:1: column 2 has no name"),
        ("image,a\nx.png,1\ny.png\n", r"images\.csv:3: 1 cells, but the header has 2 columns"),
        ("image,a\nx.png,1,2\n", r"images\.csv:2: 3 cells, but the header has 2 columns"),
        ('image,a\nx.png,"1\n', r"images\.csv:2: this is not a CSV table"),
        (b"image,a\n\xff\xfe,1\n", r"images\.csv: cannot read the table"),
    ],
)
def test_bad_tables(table, text, message):
    """Each error names file and line."""
    with pytest.raises(InputError, match=rf"^data/{message}"):
        table(text)
