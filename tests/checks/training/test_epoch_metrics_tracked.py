"""Tests of tracked metrics: nothing missing, no gap, every value a number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.training.epoch_metrics_tracked import (
    QUANTITIES,
    epoch_metrics_tracked,
    is_series_of,
    overdue,
)

NAN = math.nan
METRICS = ("map", "f1", "precision", "recall")
COMPLETE = {"val_map_50": [0.1] * 6, "val_f1": [0.2] * 6, "val/precision": [0.3] * 6, "metrics/recall(B)": [0.4] * 6}


def defects(log, **parameters):
    """Return the three counts that an item gates on."""
    quantities = epoch_metrics_tracked(log, **parameters).quantities
    return tuple(quantities[name] for name in ("missing_metric_series", "epoch_gaps", "nonfinite_values"))


def test_complete_log(training_log):
    """Four metrics under the names of four trackers, in every epoch."""
    measurement = epoch_metrics_tracked(training_log(of=COMPLETE))

    assert measurement.quantities == {
        "epochs_logged": 6,
        "tracked_metric_series": 4,
        "missing_metric_series": 0,
        "epoch_gaps": 0,
        "nonfinite_values": 0,
    }
    assert measurement.settings["series"] == {
        "map": "val_map_50",
        "f1": "val_f1",
        "precision": "val/precision",
        "recall": "metrics/recall(B)",
    }
    assert measurement.findings == ()
    assert set(measurement.quantities) == set(QUANTITIES) == set(built_in_check("epoch_metrics_tracked").quantities)


def test_d3_log_without_f1_learning_rate_and_gradient_norm(training_log):
    """D3: what the handbook's MLflow script forgets is missing, each with a message that helps."""
    log = training_log(train_loss=[1.0] * 5, val_loss=[1.0] * 5, val_map_50=[0.5] * 5)

    measurement = epoch_metrics_tracked(log, required=["map", "f1", "learning_rate", "gradient_norm"])

    assert measurement.quantities["missing_metric_series"] == 3
    assert [str(one) for one in measurement.findings[0].shown] == [
        f"log.csv: {name}: no series of it. Allowed: train_loss, val_loss, val_map_50."
        for name in ("f1", "learning_rate", "gradient_norm")
    ]


def test_metric_of_training_data_is_none(training_log):
    """F1 on training data says nothing of F1 on validation data."""
    log = training_log(of={**COMPLETE, "val_f1": [None] * 6, "train_f1": [0.9] * 6})

    assert defects(log)[0] == 1


def test_gaps_and_numbers_that_are_none(training_log):
    """An empty cell is a gap, NaN and infinity are values that are no numbers; each is named with its epoch."""
    log = training_log(of={**COMPLETE, "val_f1": [0.1, None, 0.3, NAN, math.inf, 0.6]})

    measurement = epoch_metrics_tracked(log)

    assert defects(log) == (0, 1, 2)
    assert [str(one) for found in measurement.findings for one in found.shown] == [
        "log.csv: val_f1 of epoch 2: a value is due and absent",
        "log.csv: val_f1 of epoch 4: the value is not finite",
        "log.csv: val_f1 of epoch 5: the value is not finite",
    ]


def test_epochs_left_out_are_gaps(training_log):
    """A log that skips epochs in its numbering tracks nothing in them."""
    assert defects(training_log(epochs=[1, 2, 3, 7, 8, 9], of=COMPLETE)) == (0, 3, 0)


def test_rhythm_must_be_declared(training_log):
    """Validation each second epoch is no tracking per epoch, unless the spec says so."""
    every_second = {name: [value if i % 2 else None for i, value in enumerate(v)] for name, v in COMPLETE.items()}

    assert defects(training_log(of=every_second)) == (0, 12, 0)
    assert defects(training_log(of=every_second), every_n_epochs=2) == (0, 0, 0)


def test_log_that_falls_silent(training_log):
    """A metric that is no longer logged is a gap, also with a rhythm."""
    silent = {name: [*values[:2], *[None] * 4] for name, values in COMPLETE.items()}

    assert defects(training_log(of=silent), every_n_epochs=2) == (0, 4 * 3, 0)


@pytest.mark.parametrize("value", [NAN, None])
def test_column_without_any_number_is_missing(training_log, value):
    """A header is no metric."""
    assert defects(training_log(of={**COMPLETE, "val_f1": [value] * 6}))[0] == 1


def test_series_with_fewest_defects_counts(training_log):
    """mAP at one threshold in every epoch is tracked, whatever a second one lacks."""
    log = training_log(of={"val_map_50_95": [0.1] + [None] * 5, **COMPLETE})

    assert epoch_metrics_tracked(log).settings["series"]["map"] == "val_map_50"
    assert defects(log) == (0, 0, 0)


@pytest.mark.parametrize(
    ("series", "metric", "expected"),
    [
        ("metrics/mAP50-95(B)", "map", True),
        ("mAP", "map", True),
        ("val_mAP_50", "map", True),
        ("val_map_50", "map_50", True),
        ("bbox_mAP_75", "map", True),
        ("val/F1_macro", "f1", True),
        ("val_f1_score", "f1", True),
        ("eval_precision", "precision", True),
        ("average_precision", "precision", False),
        ("train_precision", "precision", False),
        ("map_loss", "map", False),
        ("remap", "map", False),
        ("f2", "f1", False),
        ("val", "val_loss", False),
        ("", "map", False),
    ],
)
def test_names_of_metrics(series, metric, expected):
    """Words around a metric are read as trackers write them; what another word changes is another metric."""
    assert is_series_of(series, metric) is expected


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=30), st.integers(1, 5))
def test_overdue_by_definition(has_value, every):
    """A value is overdue where none of the last so many positions has one."""
    expected = [i for i in range(len(has_value)) if i >= every - 1 and not any(has_value[i - every + 1 : i + 1])]

    assert overdue(np.array(has_value, dtype=bool), every).tolist() == expected


def test_empty_log_and_unfinished_run_show_nothing(training_log):
    """No epoch tracks nothing; a run that goes on may still lose a metric."""
    empty = epoch_metrics_tracked(training_log(of={name: [] for name in COMPLETE}))
    running = epoch_metrics_tracked(training_log(status="running", of=COMPLETE))

    assert [one.name for one in empty.validity if not one.holds] == ["has_epochs"]
    assert [one.name for one in running.validity if not one.holds] == ["run_finished"]


@pytest.mark.parametrize("wrong", [{"required": []}, {"every_n_epochs": 0}])
def test_parameters_out_of_range(training_log, wrong):
    """To require nothing would always pass."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        epoch_metrics_tracked(training_log(of=COMPLETE), **wrong)
