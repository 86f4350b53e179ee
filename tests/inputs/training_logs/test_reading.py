"""Tests of reading CSV and JSON logs."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle.errors import InputError
from pytest_mle.inputs.training_logs import reading
from pytest_mle.inputs.training_logs.columns import NumberColumns
from pytest_mle.inputs.training_logs.reading import read_columns, read_table


def test_csv_with_padded_names_and_blank_lines():
    """Names are stripped, blank lines left out, and each row knows its line."""
    columns = read_columns(b"\xef\xbb\xbf  epoch,  loss\r\n1,2\r\n\r\n2,1\r\n", ".csv", "log.csv")

    assert dict(columns.cells) == {"epoch": ["1", "2"], "loss": ["2", "1"]}
    assert columns.lines == [2, 4]


def test_json_rows_with_different_keys():
    """A row that lacks a name has a gap there."""
    columns = read_columns(b'[{"epoch": 1, "loss": 2}, {"epoch": 2, "val_loss": 1}]', ".json", "log.json")

    assert dict(columns.cells) == {"epoch": [1, 2], "loss": [2, None], "val_loss": [None, 1]}


def test_json_lists_with_scalars():
    """What is no list is said of the run."""
    columns = read_columns(b'{"loss": [2, NaN], "seed": 7, "nested": {}}', ".JSON", "log.json")

    assert set(columns.cells) == {"loss"}
    assert columns.scalars == {"seed": 7}


@pytest.mark.parametrize(
    ("data", "suffix", "message"),
    [
        (b"", ".csv", "the log has no epoch"),
        (b"epoch,loss\n", ".csv", "the log has no epoch"),
        (b"epoch,loss\n1\n", ".csv", "log:2: 1 cells, but the header has 2 columns"),
        (b"loss,loss\n1,1\n", ".csv", "log:1: two columns are called 'loss'"),
        (b"epoch,\n1,1\n", ".csv", "log:1: column 2 has no name"),
        (b'epoch,loss\n1,"2\n', ".csv", "this is not a CSV log"),
        (b"\xff\xfe", ".csv", "no UTF-8 text"),
        (b"{}", ".json", "the log has no epoch"),
        (b"[]", ".json", "the log has no epoch"),
        (b'{"loss": []}', ".json", "the log has no epoch"),
        (b'{"loss": [1],\n}', ".json", "log:2: this is not JSON|log:1: this is not JSON"),
        (b"7", ".json", "a JSON log must be a mapping"),
        (b"[1, 2]", ".json", "a JSON log must be a mapping"),
        (b'{"a": [1], "b": [1, 2]}', ".json", "different lengths: a 1, b 2"),
        (b"[" * 100_000, ".json", "nested too deeply"),
        (b'{"a": [' + b"1" * 5000 + b"]}", ".json", "too long"),
    ],
)
def test_bad_logs(data, suffix, message):
    """Each error says what is wrong, with the line where there is one."""
    with pytest.raises(InputError, match=message):
        read_columns(data, suffix, "log")


def test_size_is_bounded(monkeypatch):
    """A log beyond the limit is refused before it is parsed."""
    monkeypatch.setattr(reading, "MAX_BYTES", 10)

    with pytest.raises(InputError, match="more than the 10 bytes allowed"):
        read_columns(b"epoch,loss\n1,2\n", ".csv", "log.csv")


CELLS = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(["", "nan", "NaN", "inf", "-inf", " 1.5 ", "1e400", "7", "+2"]),
)
ROWS = st.integers(2, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1))


@given(rows=ROWS, end=st.sampled_from(["\n", "\r\n"]), has_last_end=st.booleans())
def test_both_ways_of_reading_agree(rows, end, has_last_end, tmp_path_factory):
    """A log of numbers parsed as a whole has the values and gaps that it has cell by cell, to the last bit."""
    names = [f"c{position}" for position in range(len(rows[0]))]
    text = end.join(",".join(row) for row in [names, *rows]) + (end if has_last_end else "")
    path = tmp_path_factory.getbasetemp() / "numbers.csv"
    path.write_bytes(text.encode())
    fast, _ = read_table(path, "numbers.csv")
    slow = read_columns(text.encode(), ".csv", "numbers.csv")

    assert isinstance(fast, NumberColumns)
    assert fast.count == slow.count
    for name in names:
        np.testing.assert_array_equal(fast.numbers(name)[0], slow.numbers(name)[0])
        np.testing.assert_array_equal(fast.numbers(name)[1], slow.numbers(name)[1])
    assert str(fast.location(len(rows) - 1)) == str(slow.location(len(rows) - 1))


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,x\n",
        "a,b\n1\n",
        'a,b\n1,"2"\n',
        "a,b\n1,null\n",
        "a,b\n\n1,2\n",
        "a,b\n1,-nan\n",
        'a,"b"\n1,2\n',
        "a\n1\n\n2",
    ],
)
def test_what_is_not_plain_numbers_is_read_cell_by_cell(text, tmp_path):
    """Text, quotes, blank lines and rows of another length are never guessed at."""
    (tmp_path / "log.csv").write_text(text)

    def cells(reading_of_it):
        try:
            return reading_of_it().cells
        except InputError as error:
            return str(error)

    expected = cells(lambda: read_columns(text.encode(), ".csv", "log.csv"))
    assert cells(lambda: read_table(tmp_path / "log.csv", "log.csv")[0]) == expected


def test_blocks_are_joined(tmp_path, monkeypatch):
    """A log of many blocks is one table, with the digest of the whole file."""
    monkeypatch.setattr(reading, "_BLOCK", 64)
    text = "epoch,loss\n" + "".join(f"{row},{row / 7!r}\n" for row in range(500))
    (tmp_path / "log.csv").write_text(text)
    columns, digest = read_table(tmp_path / "log.csv", "log.csv")

    assert columns.numbers("loss")[0].tolist() == [row / 7 for row in range(500)]
    assert digest == hashlib.sha256(text.encode()).hexdigest()
