"""What the training wrote against what the store kept."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.metrics_persisted import QUANTITIES, epoch_offset, metrics_persisted
from pytest_mle.errors import InputNotDeclaredError

WRITTEN = {"train_loss": [3.0, 2.0, 1.0], "val_loss": [3.5, math.nan, 1.5]}


@pytest.fixture
def store(log):
    """The store's log of the same run."""

    def make(series=None, digest="store", **more):
        return log(WRITTEN if series is None else series, name="mlflow", path="mlruns", digest=digest, **more)

    return make


def test_store_that_kept_everything(log, store, values):
    """The same series, one value NaN in both, one kept as float32, one rounded by the log."""
    kept = {"train_loss": [3.00001, np.float32(2.0), 1.0], "val_loss": [3.5, math.nan, 1.5], "more": [1, 2, 3]}
    measured = metrics_persisted(log(WRITTEN), store(kept))
    assert values(measured) == {"compared_series": 2, "missing_metric_series": 0, "log_vs_store_mismatches": 0}
    assert all(one.holds for one in measured.validity)
    assert built_in_check("metrics_persisted").quantities == QUANTITIES


@pytest.mark.parametrize(
    ("kept", "epochs", "missing", "mismatches"),
    [
        ({"train_loss": [3.0, 2.0, 1.0]}, None, 1, 0),
        ({"train_loss": [3.0, 2.0, 1.1], "val_loss": [3.5, 2.0, 1.5]}, None, 0, 2),
        ({"train_loss": [3.0, math.nan, 1.0], "val_loss": [3.5, math.nan, 1.5]}, None, 0, 1),
        ({"train_loss": [3.0, 2.0], "val_loss": [3.5, math.nan]}, None, 0, 2),
        ({"train_loss": [3.0, 2.0, 1.0], "val_loss": [3.5, math.nan, 1.5]}, [0, 1, 2], 0, 0),
        ({"train_loss": [3.0, 1.0], "val_loss": [3.5, 1.5]}, [1, 3], 0, 1),
        ({"train_loss": [3.0, 2.0, 1.0, 0.5], "val_loss": [3.5, math.nan, 1.5, math.nan]}, None, 0, 1),
        ({}, None, 2, None),
        ({"train_loss": [], "val_loss": []}, None, 0, None),
        ({"train_loss": [3.0], "val_loss": [3.5]}, None, 0, 3),
    ],
)
def test_losses_of_the_store(log, store, values, kept, epochs, missing, mismatches):
    """Series, values and epochs that it lost or changed; epochs that count from 0 are no loss."""
    measured = values(metrics_persisted(log(WRITTEN), store(kept, epochs=epochs)))
    assert (measured["missing_metric_series"], measured["log_vs_store_mismatches"]) == (missing, mismatches)


def test_findings_name_series_and_epoch(log, store, findings):
    """What differs is said with both values."""
    kept = {"train_loss": [3.0, 2.0, 1.1], "val_loss": [3.5, 9.0, 1.5]}
    assert findings(metrics_persisted(log(WRITTEN), store(kept)), "log_vs_store_mismatches") == [
        "mlruns: train_loss of epoch 3: the log has 1, the store 1.1",
        "mlruns: val_loss of epoch 2: the log has no number, the store 9",
    ]


def test_standard_series_and_required_ones(log, store, values):
    """Columns under the tracker's own names are not asked for; what the project requires is, though nobody has it."""
    written = log({**WRITTEN, "seconds": [1, 2, 3]})
    written.metadata["columns"] = {"train_loss": "loss", "val_loss": "val/loss"}
    measured = metrics_persisted(written, store(), required=["train_loss", "val_f1"])
    assert values(measured)["missing_metric_series"] == 1
    assert values(measured)["compared_series"] == 2


def test_the_log_is_not_its_own_store(log, store):
    """A store that nobody declared is owed, and a copy of the log's file shows nothing."""
    with pytest.raises(InputNotDeclaredError, match=r"using: \{store: ...\}"):
        metrics_persisted(log(WRITTEN), log(WRITTEN))
    (condition,) = metrics_persisted(log(WRITTEN), store(digest="digest")).validity
    assert not condition.holds
    (condition,) = metrics_persisted(log(WRITTEN), store(digest="digest", uri="sqlite:///mlflow.db")).validity
    assert condition.holds


def test_empty_logs(log, store, values):
    """Two logs without series agree on nothing."""
    measured = metrics_persisted(log(), store({}))
    assert values(measured) == {
        "compared_series": 0,
        "missing_metric_series": None,
        "log_vs_store_mismatches": None,
    }


def test_offsets():
    """Only the same epochs counted from elsewhere are shifted."""
    assert epoch_offset([1, 2], [0, 1]) == 1
    assert epoch_offset([0, 1], [1, 2]) == -1
    assert epoch_offset([1, 2], [1, 2]) == 0
    assert epoch_offset([1, 3], [0, 1]) == 0
    assert epoch_offset([], []) == 0
