"""Tests of the choice of the checkpoint's epoch."""

from __future__ import annotations

import math

import pytest

from pytest_mle.checks.training.epoch_series import epoch_series
from pytest_mle.checks.training.selected_checkpoint import selected_epoch, value_at
from pytest_mle.errors import InputError

METRIC = [0.1, 0.7, math.nan, 0.9, 0.9, 0.3]


def test_best_value_by_direction(training_log):
    """Without more knowledge it is the first best epoch, and NaN is never the best."""
    log = training_log(metric=METRIC)
    scored = epoch_series(log, "metric")

    assert selected_epoch(log, scored, None) == 4
    assert selected_epoch(log, scored, None, higher_is_better=False) == 1


def test_what_the_run_kept_comes_before_the_best_value(training_log):
    """The checkpoint that the run marks as its best counts, and the declared one before it."""
    log = training_log(metric=METRIC, best=2)
    scored = epoch_series(log, "metric")

    assert selected_epoch(log, scored, None) == 2
    assert selected_epoch(log, scored, 6) == 6


def test_nothing_to_select(training_log):
    """No metric, or none that is finite, selects nothing."""
    log = training_log(metric=[math.nan] * 3)

    assert selected_epoch(log, None, None) is None
    assert selected_epoch(log, epoch_series(log, "metric"), None) is None


@pytest.mark.parametrize(("declared", "best"), [(7, None), (None, 7)])
def test_epoch_that_the_log_does_not_have(training_log, declared, best):
    """A checkpoint from another run is an error, not a silent second choice."""
    log = training_log(metric=METRIC, best=best)

    with pytest.raises(InputError, match=r"no epoch 7; it has 1\.\.6"):
        selected_epoch(log, None, declared)


def test_value_at(training_log):
    """A value is that of its epoch, and None where the epoch has none."""
    series = epoch_series(training_log(metric=[1.0, None, 3.0]), "metric")

    assert value_at(series, 3) == 3.0
    assert value_at(series, 2) is None
