"""The same training run, kept by each tracker, is the same log."""

from __future__ import annotations

import numpy as np
import pytest
import tracker_writers as writers

from pytest_mle.checks.training.training_convergence import training_convergence

SINGLE = ("tensorboard",)
# Keras counts epochs from 0, so what is counted in epochs differs by one.
OTHERS = [name for name in writers.WRITERS if name not in ("csv", "keras")]


@pytest.mark.parametrize("steps_per_epoch", [None, 50], ids=["step-is-epoch", "epoch-metric"])
@pytest.mark.parametrize("tracker", OTHERS)
def test_same_quantities(tracker, steps_per_epoch, tmp_path, read):
    """Every quantity of training_convergence is the same to the last bit as that of the CSV log."""
    run = writers.make_run(steps_per_epoch=steps_per_epoch, single_precision=tracker in SINGLE)
    expected = training_convergence(read(**writers.write_csv(run, tmp_path)))
    log = read(**writers.WRITERS[tracker](run, tmp_path))
    measured = training_convergence(log)

    assert writers.same(measured.quantities, expected.quantities)
    assert expected.quantities["epochs_logged"] == 30
    assert [(one.name, one.holds) for one in measured.validity] == [(one.name, one.holds) for one in expected.validity]
    assert log.step_series == {}


@pytest.mark.parametrize("tracker", OTHERS)
def test_same_run_record(tracker, tmp_path, read):
    """Seeds, commit, data set, hardware and versions are found again in every tracker."""
    run = writers.make_run(epochs=2)
    expected = read(**writers.write_csv(run, tmp_path)).run
    found = read(**writers.WRITERS[tracker](run, tmp_path)).run

    for name in ("seeds", "git_commit", "git_dirty", "dataset_version", "dataset_sha256"):
        assert getattr(found, name) == getattr(expected, name) is not None
    assert found.hardware["machine"] == "x86_64"
    assert found.framework_versions["torch"] == "2.13.0"
    assert {name: str(value) for name, value in found.hyperparameters.items()} == {
        "learning_rate": "0.004",
        "optimizer.name": "AdamW",
        "optimizer.weight_decay": "0.005",
    }


def test_keras_counts_epochs_from_0(tmp_path, read):
    """Keras' log has the same series, its epochs begin at 0."""
    run = writers.make_run()
    expected = read(**writers.write_csv(run, tmp_path))
    log = read(**writers.write_keras(run, tmp_path))

    assert (log.epochs == expected.epochs - 1).all()
    for name in writers.NAMES:
        np.testing.assert_array_equal(log.series[name], expected.series[name])


def test_keras_history(tmp_path, read):
    """A History saved as JSON has its lists beside the epochs."""
    (tmp_path / "history.json").write_text('{"epoch": [0, 1], "history": {"loss": [2, 1], "val_loss": [2, NaN]}}')
    log = read(path="history.json", format="keras")

    assert log.epochs.tolist() == [0, 1]
    np.testing.assert_array_equal(log.series["val_loss"], [2, np.nan])


@pytest.mark.parametrize("tracker", [name for name in writers.WRITERS if name != "keras"])
def test_values_that_are_not_finite_stay(tracker, tmp_path, read):
    """NaN and infinite values come back as such, from databases too that cannot hold them."""
    run = writers.make_run(epochs=4)
    run.series["val_loss"][1:] = [float("nan"), float("inf"), float("-inf")]
    log = read(**writers.WRITERS[tracker](run, tmp_path))

    np.testing.assert_array_equal(log.series["val_loss"][1:], [np.nan, np.inf, -np.inf])
    assert log.metadata["gaps"] == {}


@pytest.mark.parametrize("tracker", OTHERS)
def test_gaps(tracker, tmp_path, read):
    """An epoch without a value is a gap, in every tracker."""
    run = writers.make_run(steps_per_epoch=10, epochs=4)
    rows = list(run.rows())
    del rows[2][1]["val_loss"]

    class Gapped:
        epochs = run.epochs

        def rows(self):
            return iter(rows)

    log = read(**writers.WRITERS[tracker](Gapped(), tmp_path))

    assert log.metadata["gaps"] == {"val_loss": [3]}
    assert np.isnan(log.series["val_loss"]).tolist() == [False, False, True, False]


def test_single_precision_is_what_tensorboard_keeps(tmp_path, read):
    """TensorBoard rounds a plain scalar to single precision, and a double tensor not at all."""
    run = writers.make_run(epochs=3)
    plain = read(**writers.write_tensorboard(run, tmp_path)).series["val_loss"]

    np.testing.assert_array_equal(plain, np.float32(run.series["val_loss"]).astype(np.float64))
    assert plain.tolist() != run.series["val_loss"]
