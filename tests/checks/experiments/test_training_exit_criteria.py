"""Exit criteria in the config, and early stopping replayed on the log."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.training_exit_criteria import (
    QUANTITIES,
    StopRule,
    stop_position,
    training_exit_criteria,
)
from pytest_mle.inputs.configs import read_config

EXAMPLE = Path(__file__).resolve().parents[3] / "example_project"
CONFIG = "epochs: 10\nearly_stopping: {patience: 3, metric: val_map_50, min_delta: 0.01}\n"
# The best is the third; 0.605 is no improvement of more than 0.01, so patience ends with the sixth.
STOPS_AFTER_SIX = [0.4, 0.5, 0.6, 0.605, 0.6, 0.59]


def keras_position(values, rule):
    """Return where Keras's EarlyStopping stops: its update rule, written down from its documentation."""
    sign = 1 if rule.better == "higher" else -1
    best, wait = None, 0
    for position, value in enumerate(values):
        wait += 1
        if best is None or sign * (value - sign * rule.min_delta) > sign * best:
            best, wait = value, 0
        if wait >= rule.patience and position > 0:
            return position
    return None


def test_run_that_kept_its_rule(config, log, values):
    """Six epochs, stopped after the third evaluation without improvement."""
    measured = training_exit_criteria(config(CONFIG), log({"val_map_50": STOPS_AFTER_SIX}))
    assert values(measured) == {
        "missing_exit_criteria": 0,
        "maximum_epochs": 10,
        "epochs_logged": 6,
        "epochs_over_limit": 0,
        "stop_rule_violations": 0,
        "stop_epoch": 6,
    }
    assert all(one.holds for one in measured.validity)
    assert built_in_check("training_exit_criteria").quantities == QUANTITIES


def test_run_that_used_all_epochs(config, log, values):
    """Early stopping was never due, and the limit ended the run."""
    measured = values(training_exit_criteria(config(CONFIG), log({"val_map_50": [0.1 * n for n in range(10)]})))
    assert (measured["stop_rule_violations"], measured["stop_epoch"]) == (0, None)


@pytest.mark.parametrize(
    ("series", "text"),
    [
        ([*STOPS_AFTER_SIX, 0.58], "early stopping was due after epoch 6, but 1 more evaluations followed"),
        ([0.1, 0.2, 0.3, 0.4], "the run ended after 4 of 10 epochs (status killed), but early stopping was not due"),
    ],
)
def test_run_that_broke_its_rule(config, log, findings, series, text):
    """A run that went on, and one that somebody ended."""
    measured = training_exit_criteria(config(CONFIG), log({"val_map_50": series}, status="killed"))
    assert findings(measured, "stop_rule_violations") == [f"log.csv: val_map_50: {text}"]


def test_slack_for_frameworks_that_stop_later(config, log, values):
    """One evaluation more is allowed if the spec says so, two are not."""
    series = [*STOPS_AFTER_SIX, 0.58]
    one = training_exit_criteria(config(CONFIG), log({"val_map_50": series}), slack_epochs=1)
    two = training_exit_criteria(config(CONFIG), log({"val_map_50": [*series, 0.5]}), slack_epochs=1)
    assert (values(one)["stop_rule_violations"], values(two)["stop_rule_violations"]) == (0, 1)
    with pytest.raises(ValueError, match="slack_epochs"):
        training_exit_criteria(config(CONFIG), slack_epochs=-1)


@pytest.mark.parametrize(
    ("epochs", "over"),
    [(list(range(1, 13)), 2), (list(range(12)), 2), (list(range(1, 11)), 0), ([1, 5, 12], 2), (list(range(10)), 0)],
)
def test_epochs_beyond_the_limit(config, log, values, epochs, over):
    """Epochs count from 0 or 1; those that the log leaves out were trained too."""
    run = log({"val_map_50": [0.1 * n for n in range(len(epochs))]}, epochs=epochs)
    assert values(training_exit_criteria(config(CONFIG), run))["epochs_over_limit"] == over


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", 4),
        ("epochs: 10\n", 3),
        ("epochs: 10\nearly_stopping: none\n", 3),
        ("epochs: '300'\nearly_stopping: {patience: TBD, metric: 3, min_delta: null}\n", 4),
        ("epochs: none\nearly_stopping: {patience: true, metric: none, min_delta: .nan}\n", 4),
    ],
)
def test_open_exit_criteria(config, values, text, missing):
    """Absent, empty, placeholder, text for a number: none of these ends a training."""
    measured = values(training_exit_criteria(config("name: x\n" + text)))
    assert measured["missing_exit_criteria"] == missing
    assert measured["stop_rule_violations"] is None
    assert measured["epochs_over_limit"] is None


@pytest.mark.parametrize("text", ["epochs: 0\n", "epochs: -3\n", "epochs: 2.5\n", "epochs: true\n", "epochs: .inf\n"])
def test_limits_that_are_none(config, log, values, text):
    """No epoch, half of one, or infinitely many are no limit that a run could keep."""
    measured = training_exit_criteria(config(text), log({"val_map_50": [0.1]}))
    assert values(measured)["maximum_epochs"] is None
    assert values(measured)["epochs_over_limit"] is None


@pytest.mark.parametrize(
    "option", ["patience: 0", "patience: 2.5", "min_delta: -1", "min_delta: '0.01'", "metric: TBD"]
)
def test_rules_that_are_none(config, log, values, option):
    """A rule with a part that means nothing cannot be replayed."""
    text = CONFIG.replace("}", ", more: 1}").replace(
        next(part for part in ("patience: 3", "min_delta: 0.01", "metric: val_map_50") if part[:5] == option[:5]),
        option,
    )
    measured = training_exit_criteria(config(text), log({"val_map_50": STOPS_AFTER_SIX}))
    assert values(measured)["stop_rule_violations"] is None


def test_series_that_is_a_gap_throughout(config, log):
    """A column without a value has nothing to replay."""
    run = log({"val_map_50": [math.nan, math.nan]})
    run.metadata["gaps"] = {"val_map_50": [1, 2]}
    measured = training_exit_criteria(config(CONFIG), run)
    assert "has no value of 'val_map_50'" in measured.quantities["stop_rule_violations"].method


def test_d1_a_script_that_crashes_in_its_first_epoch(config, log, findings):
    """D1: a run that ended with an exception after one epoch did not end by its rule."""
    measured = training_exit_criteria(config(CONFIG), log({"val_map_50": [0.1]}, status="failed"))
    assert "ended after 1 of 10 epochs (status failed)" in findings(measured, "stop_rule_violations")[0]


@pytest.mark.parametrize(
    ("series", "reason"),
    [(None, "no training log"), ({}, "no series 'val_map_50'"), ({"val_loss": [1.0]}, "it has val_loss")],
)
def test_nothing_to_replay_on(config, log, series, reason):
    """Without log, epochs or the metric's series there is no number, but a reason."""
    measured = training_exit_criteria(config(CONFIG), None if series is None else log(series))
    assert reason in measured.quantities["stop_rule_violations"].method


def test_no_limit_and_no_stop(config, log):
    """A rule that was never due says nothing if there is no limit either."""
    text = "early_stopping: {patience: 3, metric: val_map_50}\n"
    measured = training_exit_criteria(config(text), log({"val_map_50": [0.1, 0.2]}), keys=["early_stopping.patience"])
    assert "no limit of epochs" in measured.quantities["stop_rule_violations"].method
    assert measured.quantities["missing_exit_criteria"] == 0


def test_nan_and_running_runs_show_nothing(config, log):
    """NaN cannot be replayed, and a run that goes on has not ended by any rule."""
    broken = training_exit_criteria(config(CONFIG), log({"val_map_50": [0.1, math.nan, 0.2]}))
    going_on = training_exit_criteria(config(CONFIG), log({"val_map_50": [0.1]}, status="running"))
    assert [one.name for one in broken.validity if not one.holds] == ["finite_metric"]
    assert [one.name for one in going_on.validity if not one.holds] == ["run_has_ended"]


def test_epochs_without_evaluation_are_not_counted(config, log, values):
    """A model that is validated each second epoch has half the evaluations."""
    series = [value for one in STOPS_AFTER_SIX[:4] for value in (math.nan, one)]
    run = log({"val_map_50": series})
    run.metadata["gaps"] = {"val_map_50": [1, 3, 5, 7]}
    measured = training_exit_criteria(config(CONFIG), run)
    assert values(measured)["stop_epoch"] is None
    assert all(one.holds for one in measured.validity)


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=40),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from(["lower", "higher"]),
)
def test_replay_agrees_with_keras(series, patience, min_delta, better):
    """The rule stops where the one of Keras stops, up to rounding of equal values."""
    series = [round(value) for value in series]
    rule = StopRule("metric", better, patience, min_delta)
    assert stop_position(series, rule) == keras_position(series, rule)


def test_example_project(log, values):
    """The example's run kept its exit criteria; the bad run never had early stopping."""
    with (EXAMPLE / "training_log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    run = log({"val_map_50": [float(row["val_map_50"]) for row in rows]})
    good = values(training_exit_criteria(read_config("c", {"path": "train.yaml"}, EXAMPLE), run))
    bad = values(training_exit_criteria(read_config("c", {"path": "train_bad.yaml"}, EXAMPLE), run))
    assert (good["missing_exit_criteria"], good["epochs_over_limit"], good["stop_rule_violations"]) == (0, 0, 0)
    assert bad["missing_exit_criteria"] == 3
