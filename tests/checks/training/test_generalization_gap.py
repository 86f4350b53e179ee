"""Tests of the generalization gap: at the checkpoint that was kept, in the right direction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.training.generalization_gap import QUANTITIES, generalization_gap, is_higher_better
from pytest_mle.engine.judge import judge
from pytest_mle.errors import InputError
from pytest_mle.inputs.training_log import TrainingLog
from pytest_mle.spec.criteria import parse_criterion

NAN = math.nan
TRAIN = [0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 0.97, 0.98, 0.99, 1.00, 1.00, 1.00]
VAL = [0.50, 0.60, 0.68, 0.77, 0.86, 0.90, 0.91, 0.92, 0.93, 0.94, 0.90, 0.80]


def verdict_of(log, text="absolute_generalization_gap <= 5 pp", **parameters):
    """Judge a log as the engine does."""
    declared = built_in_check("generalization_gap").quantities
    criterion = parse_criterion(text, declared[text.partition(" ")[0]])
    return judge(generalization_gap(log, **parameters), declared, [criterion]).verdict


def test_gap_at_the_best_checkpoint_by_hand(training_log):
    """Best validation accuracy 0.94 at epoch 10 where training has 1.00: 6 pp, whatever came after."""
    measurement = generalization_gap(training_log(train_accuracy=TRAIN, val_accuracy=VAL))

    quantities = measurement.quantities
    assert set(quantities) == set(QUANTITIES) == set(built_in_check("generalization_gap").quantities)
    assert quantities["selected_epoch"] == 10
    assert quantities["absolute_generalization_gap"] == pytest.approx(0.06)
    assert quantities["relative_generalization_gap"] == pytest.approx(0.06)
    # Gaps of epochs 8 to 12: 0.06 0.06 0.06 0.10 0.20.
    assert quantities["median_gap_nearby"] == pytest.approx(0.06)
    assert (quantities["train_metric"], quantities["validation_metric"]) == (1.0, 0.94)
    assert 0.8 < quantities["gap_trend"] <= 1
    assert measurement.figures[1].marks == (("selected", 10.0),)


def test_c6_last_epoch_is_not_the_checkpoint(training_log):
    """C6: the last epoch has a gap of 20 pp, the checkpoint that was kept one of 4 pp."""
    log = training_log(train_accuracy=TRAIN, val_accuracy=VAL)

    assert generalization_gap(log, at="last_epoch").quantities["absolute_generalization_gap"] == pytest.approx(0.2)
    kept = generalization_gap(log, selected_epoch=5).quantities
    assert kept["absolute_generalization_gap"] == pytest.approx(0.04)
    marked = training_log(train_accuracy=TRAIN, val_accuracy=VAL, best=6)
    assert generalization_gap(marked).quantities["selected_epoch"] == 6


def test_loss_has_the_other_direction(training_log):
    """A validation loss above the training loss is a positive gap, and the smallest one is selected."""
    log = training_log(train_loss=[1.0, 0.5, 0.2, 0.1], val_loss=[1.1, 0.7, 0.6, 0.9])

    quantities = generalization_gap(log, metric="loss").quantities

    assert quantities["selected_epoch"] == 3
    assert quantities["absolute_generalization_gap"] == pytest.approx(0.4)
    assert quantities["relative_generalization_gap"] == pytest.approx(2.0)
    # Gaps of 0.1, 0.2, 0.4 and 0.8.
    assert quantities["median_gap_nearby"] == pytest.approx(0.3)
    assert quantities["gap_trend"].method == "3 epochs up to the selected one, a trend needs 10"


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("accuracy", True), ("map_50", True), ("loss", False), ("box_loss", False), ("false_negative_rate", False)],
)
def test_direction_by_name(metric, expected):
    """Less of a loss, an error or a rate is better."""
    assert is_higher_better(metric) is expected


@pytest.mark.parametrize(
    ("train_name", "val_name"),
    [("train_f1", "val_f1"), ("f1", "val_f1"), ("train/f1", "val/f1"), ("training_f1", "validation_f1")],
)
def test_names_that_trackers_use(training_log, train_name, val_name):
    """Keras writes the training metric without a prefix, others with a slash."""
    log = training_log(of={train_name: TRAIN, val_name: VAL})

    assert generalization_gap(log, metric="f1").quantities["absolute_generalization_gap"] == pytest.approx(0.06)


@pytest.mark.parametrize(("given", "missing"), [("val_accuracy", "train_accuracy"), ("train_accuracy", "val_accuracy")])
def test_c10_missing_series(training_log, given, missing):
    """C10: without the other metric there is no gap; the error names what was looked for and what there is."""
    with pytest.raises(InputError, match=rf"no series {missing} or .*The log has: {given}"):
        generalization_gap(training_log(of={given: TRAIN}))


@pytest.mark.parametrize("bad", [NAN, math.inf, None])
def test_c1_no_number_at_the_checkpoint(training_log, bad):
    """C1: a metric that is NaN, infinite or absent at the selected checkpoint is no gap of 0."""
    train = [*TRAIN[:9], bad, *TRAIN[10:]]

    assert verdict_of(training_log(train_accuracy=train, val_accuracy=VAL)) == "INCONCLUSIVE"
    assert verdict_of(training_log(train_accuracy=TRAIN, val_accuracy=[bad] * 12)) == "INCONCLUSIVE"


def test_verdicts(training_log):
    """5 pp is the limit; percent in place of ratios is no measurement; a run that goes on shows nothing."""
    good = [value - 0.03 for value in TRAIN]

    assert verdict_of(training_log(train_accuracy=TRAIN, val_accuracy=VAL)) == "FAIL"
    assert verdict_of(training_log(train_accuracy=TRAIN, val_accuracy=good)) == "PASS"
    percent = training_log(train_accuracy=[100 * v for v in TRAIN], val_accuracy=[100 * v for v in good])
    assert verdict_of(percent) == "INCONCLUSIVE"
    assert verdict_of(training_log(train_accuracy=TRAIN, val_accuracy=good, status="killed")) == "INCONCLUSIVE"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_epochs(training_log, count):
    """One epoch has a gap, none has nothing."""
    log = training_log(train_accuracy=TRAIN[:count], val_accuracy=VAL[:count])

    assert verdict_of(log) == ("PASS" if count else "INCONCLUSIVE")


def test_neighbourhood_out_of_range(training_log):
    """A median of nothing is refused."""
    with pytest.raises(ValueError, match="neighbourhood"):
        generalization_gap(training_log(train_accuracy=TRAIN, val_accuracy=VAL), neighbourhood=0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_gap_lies_between_minus_one_and_one(pairs):
    """A gap of ratios is a difference of ratios, and turns its sign with the data."""
    train, val = np.array(pairs).T

    def measure(ours, theirs):
        log = TrainingLog("x", "x", np.arange(len(ours)), {"train_f1": ours, "val_f1": theirs}, "")
        return generalization_gap(log, metric="f1", selected_epoch=0).quantities["absolute_generalization_gap"]

    assert -1 <= measure(train, val) <= 1
    assert measure(train, val) == -measure(val, train)
