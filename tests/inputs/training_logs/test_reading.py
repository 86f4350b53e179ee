"""Tests of reading CSV and JSON logs."""

from __future__ import annotations

import pytest

from pytest_mle.errors import InputError
from pytest_mle.inputs.training_logs import reading
from pytest_mle.inputs.training_logs.reading import read_columns


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

    with pytest.raises(InputError, match="more than the 10 allowed"):
        read_columns(b"epoch,loss\n1,2\n", ".csv", "log.csv")
