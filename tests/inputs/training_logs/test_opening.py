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
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return read_training_log("final", {"path": name} | options, tmp_path, location=Location("spec.yaml", 20))

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
        ({"path": "log.parquet"}, r"cannot read \.parquet without `format:`. Allowed: csv, json"),
        ({"path": "log.csv", "format": "json"}, r"cannot read \.csv. Allowed: \.json"),
        ({"format": "csv", "run_id": "a"}, r"unknown option 'run_id' for format csv. "),
        ({"run_id": "a"}, r"unknown option 'run_id' for format csv. "),
        ({"path": "log.csv", "format": "cvs"}, r"unknown format 'cvs'. Did you mean 'csv'\?"),
        ({"path": "log.csv", "format": 7}, r"unknown format 7"),
        ({"path": "."}, "the folder . holds no log that can be told; say `format:`"),
        ({"run": "gone.json"}, "cannot read .*gone.json: No such file"),
    ],
)
def test_bad_options(read, options, message):
    """Each wrong option is blamed on the line of the spec."""
    with pytest.raises(InputError, match=message) as raised:
        read("epoch,val/loss\n1,2\n", **{"path": "log.csv", **options})

    assert str(raised.value).startswith("spec.yaml:20: training log final: ")


def test_path_outside_needs_a_grant(tmp_path, read):
    """A log elsewhere is not read without the invoker's word."""
    with pytest.raises(TrustError, match=r"--mle-data-root"):
        read(KERAS, path="../log.csv")


STEPS = """\
epoch,step,train_loss_step,train_loss_epoch,val_loss,lr-SGD
,0,,,,0.1
0,0,4.0,,,
0,1,2.0,,,
0,1,,3.0,2.5,
,2,,,,0.05
1,2,1.0,,,
1,3,nan,,,
1,3,,1.5,1.5,
,4,,,,0.01
"""


def test_series_by_step(read):
    """Values of single steps are kept with their steps, under the standard name too."""
    log = read(STEPS)

    assert log.epochs.tolist() == [0, 1]
    assert log.series["train_loss"].tolist() == [3.0, 1.5]
    assert log.step_series["train_loss"].steps.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(log.step_series["train_loss"].values, [4, 2, 1, np.nan])
    assert log.step_series["train_loss"] is log.step_series["train_loss_step"]
    assert "val_loss" not in log.step_series


def test_rows_without_an_epoch_belong_to_the_next_step_that_has_one(read):
    """Lightning logs the learning rate without its epoch; what comes after the last epoch stays by step."""
    log = read(STEPS)

    assert log.series["learning_rate"].tolist() == [0.1, 0.05]
    assert log.step_series["learning_rate"].steps.tolist() == [0, 2, 4]
    assert log.metadata["without_epoch"] == {"step": 1, "lr-SGD": 1}


def test_steps_that_begin_again_count_within_their_epoch(read):
    """Then rows are counted; steps that run backwards within an epoch are an error."""
    log = read("epoch,step,loss\n1,0,4\n1,1,2\n2,0,1\n2,1,1\n")

    assert log.step_series["train_loss"].steps.tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match=r"^log\.csv:3: the step goes back from 1 to 0 within an epoch"):
        read("epoch,step,loss\n1,1,4\n1,0,2\n")
    with pytest.raises(InputError, match=r"^log\.csv:3: the step must be a whole number, but it is 0\.5"):
        read("epoch,step,loss\n1,0,4\n1,0.5,2\n")


def test_a_series_without_any_value_is_all_gaps(read):
    """A column that stays empty is not a series that does not exist."""
    log = read("epoch,train_loss,val_loss\n1,2,\n2,1,\n")

    assert log.metadata["gaps"] == {"val_loss": [1, 2]}
    assert np.isnan(log.series["val_loss"]).all()


def test_run_record(read, tmp_path):
    """The record beside a log says what the run depended on; what is wrong in it is an error with its place."""
    (tmp_path / "run.json").write_text(
        '{"seeds": {"torch": 3, "dataloader_workers": "none"}, "model_version": "2.1", "dataset_sha256":'
        ' {"train": "aa", "val": "bb"}, "hyperparameters": {"optimizer": {"name": "SGD"}}, "other": 5}'
    )
    log = read(KERAS, run="run.json")

    assert log.run.seeds == {"torch": 3}
    assert (log.run.model_version, log.run.dataset_sha256) == ("2.1", "aa")
    assert log.run.hyperparameters == {
        "optimizer.name": "SGD",
        "seeds.dataloader_workers": "none",
        "dataset_sha256.train": "aa",
        "dataset_sha256.val": "bb",
    }
    assert log.digest != read(KERAS).digest
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(InputError, match=r"run.json: the record of a training run must be a mapping"):
        read(KERAS, run="run.json")
    (tmp_path / "run.json").write_text("{\n,")
    with pytest.raises(InputError, match=r"run.json:2: this is not JSON"):
        read(KERAS, run="run.json")


def test_settings_beside_the_log(read, tmp_path):
    """Ultralytics' args.yaml and Lightning's hparams.yaml are the hyperparameters, its checkpoints are listed."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "best.pt").touch()
    (tmp_path / "args.yaml").write_text("seed: 3\nlr0: 1e-2\nmodel: yolov8n.pt\n")
    run = read(ULTRALYTICS, "results.csv").run

    assert run.seeds == {"all": 3}
    assert run.hyperparameters == {"seed": 3, "lr0": 0.01, "model": "yolov8n.pt"}
    assert [(one.path, one.is_best) for one in run.checkpoints] == [("weights/best.pt", True)]

    (tmp_path / "version_0" / "checkpoints").mkdir(parents=True)
    (tmp_path / "version_0" / "checkpoints" / "epoch=2-step=12.ckpt").touch()
    (tmp_path / "version_0" / "hparams.yaml").write_text("lr: 0.1\n")
    log = read(LIGHTNING, "version_0/metrics.csv")
    assert [(one.path, one.epoch) for one in log.run.checkpoints] == [("checkpoints/epoch=2-step=12.ckpt", 2)]
    assert log.run.hyperparameters == {"lr": 0.1}
    (tmp_path / "version_0" / "hparams.yaml").write_text("a: {\n")
    with pytest.raises(InputError, match=r"^version_0/hparams.yaml:2: not valid YAML"):
        read(LIGHTNING, "version_0/metrics.csv")


def test_folder_with_two_logs_needs_a_format(read, tmp_path):
    """Nobody guesses between two programs."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.csv").write_text(ULTRALYTICS)
    with pytest.raises(InputError, match=r"several formats \(lightning, ultralytics\); say `format:`"):
        read(LIGHTNING, "out/metrics.csv", path="out")
    assert read(LIGHTNING, "out/metrics.csv", path="out", format="ultralytics").epochs.tolist() == [1, 2]


def test_digest_covers_content_and_mapping(read):
    """Another value or another mapping is another log."""
    digests = {
        read(KERAS).digest,
        read(KERAS + "2,0,0,0\n").digest,
        read(KERAS, columns={"val_loss": "loss"}).digest,
    }

    assert len(digests) == 3
    assert read(KERAS, "copy.csv").digest in digests
