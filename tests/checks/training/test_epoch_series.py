"""Tests of series with gaps."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.checks.training.epoch_series import epoch_series
from pytest_mle.errors import InputError

NAN, GAP = float("nan"), None


@pytest.mark.parametrize(
    ("values", "nonfinite"),
    [
        ([1, 2, 3, 4], ()),
        ([1, NAN, 3, np.inf], (2, 4)),
        # Validated each second epoch, from the first or the second on; the last epoch in addition.
        ([1, GAP, 3, GAP, 5, GAP], ()),
        ([GAP, 2, GAP, 4, GAP, 6], ()),
        ([GAP, GAP, 3, GAP, GAP, 6, GAP], ()),
        ([1, GAP, GAP, 4, GAP, GAP, 7, 8], ()),
        # Out of rhythm: something was lost.
        ([1, 2, GAP, 4, 5], (3,)),
        ([1, 2, 3, GAP, GAP], (4, 5)),
        ([GAP, GAP, 3, 4, 5], (1, 2)),
        ([1, GAP, 3, GAP, GAP, GAP], (2, 4, 5, 6)),
        ([1, GAP, GAP], (2, 3)),
        ([GAP, GAP, GAP], (1, 2, 3)),
        ([1, GAP, NAN, GAP, 5, GAP], (3,)),
    ],
)
def test_gaps_in_rhythm_and_out_of_it(training_log, values, nonfinite):
    """A regular rhythm is a schedule; a loss that falls silent was NaN in disguise."""
    assert epoch_series(training_log(val_loss=values), "val_loss").nonfinite_epochs == nonfinite


def test_values_without_gaps(training_log):
    """Values keep their epochs."""
    series = epoch_series(training_log(val_loss=[3, GAP, 1, GAP], epochs=[10, 11, 12, 13]), "val_loss")

    assert series.epochs.tolist() == [10, 12]
    assert series.values.tolist() == [3, 1]
    assert epoch_series(training_log(val_loss=[3, NAN, 1]), "val_loss").finite.epochs.tolist() == [1, 3]


def test_missing_series_lists_those_there_are(training_log):
    """The error helps to map the columns."""
    with pytest.raises(InputError, match=r"^log\.csv: the log has no series 'val_loss'. Allowed: bbox, time"):
        epoch_series(training_log(bbox=[1], time=[2]), "val_loss")
