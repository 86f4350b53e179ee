"""Tests of the status of a run."""

from __future__ import annotations

import pytest

from pytest_mle.checks.training.run_status import run_finished


@pytest.mark.parametrize("status", ["running", "failed", "killed"])
def test_unfinished_runs_are_named(training_log, status):
    """A run that goes on or broke off shows nothing, whatever the other one is."""
    condition = run_finished(training_log(status="finished"), training_log(status=status))

    assert not condition.holds
    assert condition.detail == f"run r7 is {status}"


@pytest.mark.parametrize(("status", "detail"), [("finished", "finished"), (None, "the log does not tell")])
def test_finished_or_unknown(training_log, status, detail):
    """A file that tells no status is read as that of a finished run, and says so."""
    condition = run_finished(training_log(status=status))

    assert condition.holds
    assert condition.detail == detail
