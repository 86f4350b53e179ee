"""Tests of reading a declared training log."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pytest_mle.errors import InputError, Location, TrustError
from pytest_mle.inputs.training_logs import read_training_log

ULTRALYTICS = """\
                  epoch,         train/box_loss,         train/cls_loss,   metrics/mAP50(B),           val/box_loss,   val/cls_loss
                      1,                    1.5,                      2,               0.10,                      1,              3
                      2,                    1.0,                      1,               0.30,                    nan,              2
"""
KERAS = "epoch,accuracy,loss,val_loss\n0,0.5,2.0,2.5\n1,0.6,1.0,inf\n"
# Training and validation are logged in rows of their own, steps in between.
LIGHTNING = """\
epoch,step,train_loss_epoch,train_loss_step,val_loss
0,49,,3.0,
0,99,,1.0,
0,99,,,2.5
0,99,2.0,,
1,149,,1.0,
1,199,,,1.5
1,199,1.0,,
2,299,0.5,,
"""


@pytest.fixture
def read(tmp_path):
    """Read a log from its text."""

    def make(text, name="log.csv", **options):
        (tmp_path / name).write_text(text)
        return read_training_log("final", {"path": name, **options}, tmp_path, location=Location("spec.yaml", 20))

    return make


def test_ultralytics(read):
    """Terms add up epoch by epoch, and a NaN term makes a NaN sum that is no gap."""
    log = read(ULTRALYTICS)

    assert log.epochs.tolist() == [1, 2]
    assert log.series["train_loss"].tolist() == [3.5, 2.0]
    np.testing.assert_array_equal(log.series["val_loss"], [4.0, np.nan])
    assert log.series["val_map_50"].tolist() == [0.1, 0.3]
    assert log.series["train/box_loss"].tolist() == [1.5, 1.0]
    assert log.metadata["gaps"] == {}
    assert log.metadata["columns"]["val_loss"] == "val/box_loss + val/cls_loss"


def test_keras(read):
    """Epochs stay as they are numbered, infinite losses stay infinite."""
    log = read(KERAS)

    assert log.epochs.tolist() == [0, 1]
    assert log.series["train_loss"].tolist() == [2.0, 1.0]
    assert log.series["val_loss"].tolist() == [2.5, np.inf]
    assert log.series["accuracy"].tolist() == [0.5, 0.6]


def test_lightning_rows_are_merged_by_epoch(read):
    """Gaps inside an epoch are filled by its other rows, several steps averaged, what is left is a gap."""
    log = read(LIGHTNING)

    assert log.epochs.tolist() == [0, 1, 2]
    assert log.series["train_loss"].tolist() == [2.0, 1.0, 0.5]
    np.testing.assert_array_equal(log.series["val_loss"], [2.5, 1.5, np.nan])
    np.testing.assert_array_equal(log.series["train_loss_step"], [2.0, 1.0, np.nan])
    assert log.metadata["gaps"] == {"val_loss": [2], "train_loss_step": [2]}


def test_json_lists_without_epochs(read):
    """A history without epochs counts from 1, and NaN differs from null."""
    log = read('{"loss": [2, 1, 0.5], "val_loss": [2, NaN, null], "seed": 7}', "log.json")

    assert log.epochs.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(log.series["val_loss"], [2, np.nan, np.nan])
    assert log.metadata["gaps"] == {"val_loss": [3]}
    assert log.metadata["seed"] == 7


def test_json_rows(read):
    """A list of mappings is one row each."""
    log = read(json.dumps([{"epoch": 5, "train_loss": 2.0}, {"epoch": 6, "train_loss": 1.0}]), "log.json")

    assert log.epochs.tolist() == [5, 6]
    assert log.series["train_loss"].tolist() == [2.0, 1.0]


def test_declared_columns_win(read):
    """A mapping overrides what is known, and may name new series."""
    log = read("epoch,loss,val_loss,x\n1,2,3,4\n", columns={"val_loss": "x", "val_map_50": "loss"})

    assert log.series["val_loss"].tolist() == [4.0]
    assert log.series["val_map_50"].tolist() == [2.0]


def test_column_of_text_is_no_series(read):
    """Times and names beside the numbers do no harm."""
    log = read("epoch,loss,time\n1,2,2026-01-01\n2,1,2026-01-02\n")

    assert set(log.series) == {"train_loss", "loss"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,val_loss\n1,2\n2,abc\n", r"^log\.csv:3: val_loss: 'abc' is not a number"),
        ("epoch,val_loss\n1,2\none,2\n", r"^log\.csv:3: epoch: 'one' is not a number"),
        ("epoch,val_loss\n1,2\n,2\n", r"^log\.csv:3: the epoch must be a whole number, but it is empty"),
        ("epoch,val_loss\n1,2\n1.5,2\n", r"^log\.csv:3: the epoch must be a whole number, but it is 1\.5"),
        ("epoch,val_loss\nnan,2\n", r"^log\.csv:2: the epoch must be a whole number, but it is nan"),
        ("epoch,val_loss\n-1,2\n", r"^log\.csv:2: the epoch must be"),
        ("epoch,val_loss\n1e30,2\n", r"^log\.csv:2: the epoch must be"),
        ("epoch,val_loss\n1,2\n2,2\n1,3\n", r"^log\.csv:4: the epoch goes back from 2 to 1: .*several runs"),
        ("epoch,val_loss\n", r"^log\.csv: the log has no epoch"),
    ],
)
def test_bad_cells(read, text, message):
    """A cell that is no number, or epochs that make no sense, are errors with file and line."""
    with pytest.raises(InputError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": {}}, r"unknown option 'column'. Did you mean 'columns'\?"),
        (
            {"columns": {"val_loss": "val/los"}},
            r"log\.csv has no column 'val/los' for val_loss. Did you mean 'val/loss'",
        ),
        ({"columns": ["val_loss"]}, "'columns' must map series to columns"),
        ({"columns": {"val_loss": 3}}, "'columns' must map series to columns"),
        ({"path": 3}, "'path' must name its file"),
        ({"path": "gone.csv"}, "cannot read .*gone.csv: No such file"),
        ({"path": "log.parquet"}, r"cannot read \.parquet. Allowed: \.csv, \.json"),
    ],
)
def test_bad_options(read, options, message):
    """Each wrong option is blamed on the line of the spec."""
    with pytest.raises(InputError, match=message) as raised:
        read("epoch,val/loss\n1,2\n", **options)

    assert str(raised.value).startswith("spec.yaml:20: training log final: ")


def test_path_outside_needs_a_grant(tmp_path, read):
    """A log elsewhere is not read without the invoker's word."""
    with pytest.raises(TrustError, match="--mle-data-root"):
        read(KERAS, path="../log.csv")


def test_digest_covers_content_and_mapping(read):
    """Another value or another mapping is another log."""
    digests = {
        read(KERAS).digest,
        read(KERAS + "2,0,0,0\n").digest,
        read(KERAS, columns={"val_loss": "loss"}).digest,
    }

    assert len(digests) == 3
    assert read(KERAS, "copy.csv").digest in digests
