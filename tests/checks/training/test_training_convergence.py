"""Tests of training convergence: every trap of the handbook's script, planted."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.training.training_convergence import (
    QUANTITIES,
    epochs_since_improvement,
    smoothed,
    training_convergence,
)
from pytest_mle.engine.judge import judge
from pytest_mle.errors import InputError
from pytest_mle.inputs.training_log import TrainingLog
from pytest_mle.spec.criteria import parse_criterion

NAN = float("nan")
CONVERGENCE = {
    *("plateau_epochs", "best_epoch", "relative_train_loss_reduction", "relative_validation_loss_rise"),
    *("best_smoothed_loss", "relative_validation_loss_reduction"),
    *("final_slope_per_epoch", "overfitting_trend", "overfitting_trend_p_value"),
}


def falling(epochs, floor=0.1, pace=10.0):
    """Make a loss that falls towards a floor."""
    return floor + np.exp(-np.arange(epochs) / pace)


def validity(measurement):
    """Return which conditions hold."""
    return {condition.name: condition.holds for condition in measurement.validity}


def test_run_by_hand(training_log):
    """Twenty epochs without smoothing: the loss falls by one from 20 to 11, then stays."""
    val = [*range(20, 10, -1), *[11] * 10]
    log = training_log(train_loss=list(range(40, 20, -1)), val_loss=val, val_map_50=np.linspace(0.05, 1, 20))

    measurement = training_convergence(log, smoothing=1)

    quantities = measurement.quantities
    assert validity(measurement) == {"run_finished": True, "enough_epochs": True, "finite_losses": True}
    assert quantities["epochs_logged"] == 20
    assert quantities["plateau_epochs"] == 10
    assert quantities["best_epoch"] == 10
    assert quantities["best_smoothed_loss"] == 11
    assert quantities["relative_validation_loss_reduction"] == pytest.approx(9 / 20)
    # First window 40..37, last 24..21: (38.5 - 22.5) / 38.5.
    assert quantities["relative_train_loss_reduction"] == pytest.approx(16 / 38.5)
    assert quantities["relative_validation_loss_rise"] == 0
    assert quantities["final_slope_per_epoch"] == 0
    assert quantities["overfitting_trend"] == 0
    assert quantities["selected_epoch"] == 20
    assert quantities["selected_metric"] == 1


def test_declared_as_a_check(training_log):
    """The catalogue knows it, and a complete log gives every quantity that it declares."""
    declaration = built_in_check("training_convergence")
    loss = falling(50).tolist()
    log = training_log(train_loss=loss, val_loss=loss, val_map_50=loss)

    assert [i.kind for i in declaration.inputs] == ["training_log"]
    quantities = training_convergence(log).quantities
    assert set(quantities) == set(QUANTITIES) == set(declaration.quantities)
    assert all(math.isfinite(value) for value in quantities.values())


@pytest.mark.parametrize("bad", [NAN, math.inf, None])
def test_c1_not_finite_is_never_a_pass(training_log, bad):
    """C1: NaN everywhere, in one epoch, or as empty cells: counted, listed, and the condition does not hold."""
    good = falling(40).tolist()
    one = [*good[:30], bad, *good[31:]]

    everywhere = training_convergence(training_log(train_loss=[bad] * 40, val_loss=[bad] * 40))
    measurement = training_convergence(training_log(train_loss=good, val_loss=one))

    assert everywhere.quantities["nonfinite_losses"] == 80
    assert measurement.quantities["nonfinite_losses"] == 1
    assert [str(f) for f in measurement.findings[0].shown] == [
        "log.csv: val_loss of epoch 31: the value is not finite or absent"
    ]
    for found in (everywhere, measurement):
        assert not validity(found)["finite_losses"]
        assert not CONVERGENCE & set(found.quantities)


@pytest.mark.parametrize("epochs", [0, 1, 15, 19])
def test_c2_short_runs_show_nothing(training_log, epochs):
    """C2: an exploding validation loss on 15 epochs passed the script; too short a run is not judged."""
    log = training_log(train_loss=falling(epochs), val_loss=np.exp(np.arange(epochs)))

    measurement = training_convergence(log)

    assert not validity(measurement)["enough_epochs"]
    assert not CONVERGENCE & set(measurement.quantities)


@pytest.mark.parametrize("epochs", [20, 58, 300])
def test_c2_windows_are_a_share_of_the_run(training_log, epochs):
    """C2: an exploding loss is a rise and an upward trend at any length."""
    log = training_log(train_loss=falling(epochs), val_loss=np.exp(np.linspace(0, 3, epochs)))

    quantities = training_convergence(log).quantities

    assert quantities["relative_validation_loss_rise"] > 5
    assert quantities["overfitting_trend"] == 1
    assert quantities["overfitting_trend_p_value"] < 0.001
    assert quantities["plateau_epochs"] == 0


def test_c3_rise_after_an_early_minimum(training_log):
    """C3: a minimum at epoch 30 and a fourfold rise that is over by the middle of 300 epochs."""
    val = np.concatenate([np.linspace(1, 0.1, 30), np.linspace(0.1, 0.4, 100), np.full(170, 0.4)])
    assert val[-20:].mean() <= val[140:160].mean() * 1.1

    quantities = training_convergence(training_log(train_loss=falling(300), val_loss=val), smoothing=5).quantities

    assert quantities["relative_validation_loss_rise"] == pytest.approx(0.4 / 0.10364 - 1, abs=0.01)
    assert 30 <= quantities["best_epoch"] <= 34
    assert quantities["plateau_epochs"] == 0


@pytest.mark.parametrize(("length", "expected"), [(20, 20), (50, 50), (120, 120)])
def test_c4_plateau_is_measured(training_log, length, expected):
    """C4: after a steady fall the loss stays; the plateau is as long as it is, not a yes or no."""
    val = np.concatenate([np.linspace(2, 1, 180), np.full(length, 1.0)])

    quantities = training_convergence(training_log(train_loss=val, val_loss=val), smoothing=1).quantities

    assert quantities["plateau_epochs"] == expected


def test_c4_noise_is_no_improvement(training_log):
    """C4: a record low by less than the tolerance does not end a plateau, a lasting slow fall does."""
    rng = np.random.default_rng(2)
    flat = np.concatenate([np.linspace(2, 1, 100), 1 + rng.normal(0, 1e-4, 100)])
    creeping = np.concatenate([np.linspace(2, 1, 100), np.linspace(1, 0.97, 100)])

    assert training_convergence(training_log(train_loss=flat, val_loss=flat)).quantities["plateau_epochs"] >= 90
    assert training_convergence(training_log(train_loss=flat, val_loss=creeping)).quantities["plateau_epochs"] <= 5


def test_c4_loss_that_never_fell_is_no_plateau(training_log):
    """C4: a flat loss is what a learning rate of 0 gives; it has converged to nothing."""
    flat = training_log(train_loss=[0.7] * 300, val_loss=[0.7] * 300)
    rng = np.random.default_rng(3)
    noisy = training_log(train_loss=[0.7] * 300, val_loss=0.7 + rng.normal(0, 1e-5, 300))

    for log in (flat, noisy):
        quantities = training_convergence(log).quantities
        assert quantities["plateau_epochs"] == 0
        assert quantities["relative_validation_loss_reduction"] == pytest.approx(0, abs=1e-4)


def test_c5_reduction_of_fine_tuning_and_negative_losses(training_log):
    """C5: 0.10 to 0.06 is 40 %; a loss that falls from -1 to -3 fell by 200 %; one lucky last value is no fall."""
    tuning = [0.10] * 10 + [0.08] * 30 + [0.06] * 10
    negative = [-1.0] * 10 + [-2.0] * 30 + [-3.0] * 10
    lucky = [1.0] * 49 + [0.1]

    def reduction(train):
        log = training_log(train_loss=train, val_loss=falling(50))
        return training_convergence(log).quantities["relative_train_loss_reduction"]

    assert reduction(tuning) == pytest.approx(0.4)
    assert reduction(negative) == pytest.approx(2.0)
    assert reduction(lucky) == pytest.approx(0.09)


def test_c6_metric_of_the_selected_checkpoint(training_log):
    """C6: best 0.97 with last 0.80 is 0.97; a lone spike of 0.96 stands out against its neighbours."""
    loss = falling(300).tolist()
    fallen = [*np.linspace(0.5, 0.97, 200), *np.linspace(0.96, 0.8, 100)]
    spike = [0.5] * 299 + [0.96]

    kept = training_convergence(training_log(train_loss=loss, val_loss=loss, val_map_50=fallen)).quantities
    lone = training_convergence(training_log(train_loss=loss, val_loss=loss, val_map_50=spike)).quantities

    assert (kept["selected_epoch"], kept["selected_metric"]) == (200, 0.97)
    assert kept["selected_metric_neighbourhood"] == pytest.approx(0.966, abs=0.005)
    assert (lone["selected_epoch"], lone["selected_metric"]) == (300, 0.96)
    assert lone["selected_metric_neighbourhood"] == 0.5


def test_c6_declared_checkpoint(training_log):
    """C6: if another epoch than the best was shipped, its value counts, and none where it was not validated."""
    loss = falling(30).tolist()
    metric = [0.9, None] * 15
    log = training_log(train_loss=loss, val_loss=loss, val_map_50=metric)

    assert training_convergence(log, selected_epoch=3).quantities["selected_metric"] == 0.9
    assert math.isnan(training_convergence(log, selected_epoch=4).quantities["selected_metric"])
    with pytest.raises(InputError, match=r"no epoch 31; it has 1\.\.30"):
        training_convergence(log, selected_epoch=31)


def test_c7_no_target_in_the_check(training_log):
    """C7: a poor metric is a number; nothing in the check says that it is poor."""
    loss = falling(30).tolist()

    measurement = training_convergence(training_log(train_loss=loss, val_loss=loss, val_map_50=[0.1] * 30))

    assert measurement.quantities["selected_metric"] == 0.1
    assert all(condition.holds for condition in measurement.validity)


def test_c10_missing_series(training_log):
    """C10: a needed series that is not there is an error that lists the others; an optional one is not measured."""
    loss = falling(30).tolist()

    with pytest.raises(
        InputError, match=r"no series 'val_loss'. Did you mean 'val_los'\? The log has: train_loss, val_los\."
    ):
        training_convergence(training_log(train_loss=loss, val_los=loss))
    with pytest.raises(InputError, match="no series 'train_loss'"):
        training_convergence(training_log(val_loss=loss))
    quantities = training_convergence(training_log(train_loss=loss, val_loss=loss)).quantities
    optional = {"selected_epoch", "selected_metric", "selected_metric_neighbourhood"}
    assert {name for name, value in quantities.items() if math.isnan(value)} == optional


CONVERGED = ("plateau_epochs >= 10", "nonfinite_losses == 0")


def verdict_of(log, *criteria):
    """Judge a log as the engine does."""
    declared = built_in_check("training_convergence").quantities
    criteria = [parse_criterion(text, declared[text.partition(" ")[0]]) for text in criteria or CONVERGED]
    return judge(training_convergence(log), declared, criteria).verdict


@pytest.mark.parametrize(
    ("epochs", "verdict"),
    [(1, "INCONCLUSIVE"), (2, "INCONCLUSIVE"), (19, "INCONCLUSIVE"), (20, "PASS"), (59, "PASS"), (60, "PASS")],
)
def test_c2_verdicts_by_length(training_log, epochs, verdict):
    """C2: the same curve is judged from 20 epochs on, whether it falls into a plateau or explodes."""
    loss = falling(epochs, pace=0.5)
    exploding = np.exp(np.linspace(0, 5, epochs))

    assert verdict_of(training_log(train_loss=loss, val_loss=loss)) == verdict
    broken = verdict_of(training_log(train_loss=loss, val_loss=exploding), "relative_validation_loss_rise <= 10 %")
    assert broken == ("FAIL" if verdict == "PASS" else "INCONCLUSIVE")


@pytest.mark.parametrize("series", ["train_loss", "val_loss"])
@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf, None])
@pytest.mark.parametrize("position", [0, 30, 59])
def test_c1_one_bad_loss_is_never_green(training_log, series, bad, position):
    """C1: wherever it stands, a loss that is NaN, infinite or absent keeps the item from passing."""
    logged = {"train_loss": falling(60, pace=2).tolist(), "val_loss": falling(60, pace=2).tolist()}
    assert verdict_of(training_log(**logged)) == "PASS"
    logged[series][position] = bad

    assert verdict_of(training_log(**logged)) == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("finished", "PASS"),
        (None, "PASS"),
        ("running", "INCONCLUSIVE"),
        ("failed", "INCONCLUSIVE"),
        ("killed", "INCONCLUSIVE"),
    ],
)
def test_run_that_has_not_finished_has_not_converged(training_log, status, verdict):
    """A perfect curve of a run that goes on, crashed or was killed shows nothing yet."""
    loss = falling(60, pace=2)

    assert verdict_of(training_log(train_loss=loss, val_loss=loss, status=status)) == verdict


def test_c9_typed_results_gate(training_log):
    """C9: the script returns texts such as "[WARN] WARNING", which gate nothing; a breach here is a FAIL."""
    train, val = falling(300), np.concatenate([falling(150), np.linspace(0.1, 1, 150)])
    log = training_log(train_loss=train, val_loss=val)

    assert verdict_of(log, "relative_validation_loss_rise <= 10 %") == "FAIL"


def test_series_by_step_only_is_named(training_log):
    """C10: a loss that the log has by step only is missing by epoch, and the error says where it is."""
    log = training_log(val_loss=falling(30), steps={"train_loss": falling(300)})

    with pytest.raises(InputError, match=r"'train_loss'. It has values by step, but none by epoch"):
        training_convergence(log)


def test_a_million_epochs_take_seconds(training_log):
    """A log by step that has no epochs has a million of them; its trends are counted, its figure is thinned."""
    loss = falling(1_000_000, pace=1e5)
    series = {f"term_{i}": loss for i in range(18)}
    log = TrainingLog("x", "x", np.arange(1_000_000), {"train_loss": loss, "val_loss": loss, **series}, "")
    begin = time.process_time()

    measurement = training_convergence(log)

    assert time.process_time() - begin < 30
    assert measurement.quantities["overfitting_trend"] == -1
    assert max(len(line.y) for line in measurement.figures[0].series) == 1000


def test_other_monitor_and_metric(training_log):
    """Any series can be watched."""
    log = training_log(train_loss=falling(30), box=falling(30, pace=3), f1=np.linspace(0, 0.5, 30))

    measurement = training_convergence(log, monitor="box", metric="f1")

    assert measurement.quantities["selected_metric"] == 0.5
    assert measurement.settings["monitor"] == "box"
    assert [series.name for series in measurement.figures[0].series] == ["train_loss", "box", "box (smoothed)"]


def test_validation_every_second_epoch(training_log):
    """Sparse validation keeps its epochs: the plateau counts epochs, not values."""
    val = [None if epoch % 2 else value for epoch, value in enumerate([*np.linspace(2, 1, 40), *[1.0] * 40])]

    measurement = training_convergence(training_log(train_loss=falling(80), val_loss=val), smoothing=1)

    assert validity(measurement) == {"run_finished": True, "enough_epochs": True, "finite_losses": True}
    assert measurement.quantities["plateau_epochs"] == 38


def test_few_validations_show_nothing(training_log):
    """Forty epochs with four validations are not enough to smooth over five."""
    val = [1.0 if epoch % 10 == 9 else None for epoch in range(40)]

    assert not validity(training_convergence(training_log(train_loss=falling(40), val_loss=val)))["enough_epochs"]


def test_epochs_left_out(training_log):
    """A hole in the numbering is counted."""
    loss = falling(30).tolist()
    log = training_log(train_loss=loss, val_loss=loss, epochs=[*range(10), *range(15, 35)])

    assert training_convergence(log).quantities["missing_epochs"] == 5


def test_figure_marks_the_selected_epoch(training_log):
    """The curves come as data, with the selected epoch marked and NaN left out."""
    loss = [*falling(29).tolist(), NAN]
    log = training_log(train_loss=loss, val_loss=loss, val_map_50=[0.1] * 20 + [0.9] + [0.2] * 9)

    (figure,) = training_convergence(log).figures

    assert figure.kind == "line"
    assert figure.marks == (("selected", 21.0),)
    assert figure.series[0].x == tuple(float(epoch) for epoch in range(1, 30))
    assert all(math.isfinite(value) for series in figure.series for value in series.y)


@pytest.mark.parametrize(
    "wrong",
    [
        {"smoothing": 0},
        {"window_fraction": 0},
        {"window_fraction": 0.6},
        {"window_fraction": NAN},
        {"minimum_epochs": 2},
        {"tolerance": -0.1},
        {"tolerance": NAN},
        {"plateau_rise": -1},
    ],
)
def test_parameters_out_of_range(training_log, wrong):
    """A parameter that makes the measure meaningless is refused."""
    loss = falling(30).tolist()

    with pytest.raises(ValueError, match=next(iter(wrong))):
        training_convergence(training_log(train_loss=loss, val_loss=loss), **wrong)


def test_loss_of_zero(training_log):
    """A best of exactly 0 makes any rise infinite and no rise 0."""
    zero = [1.0] * 20 + [0.0] * 20
    quantities = training_convergence(training_log(train_loss=zero, val_loss=zero)).quantities
    back = [*zero[:30], *[1.0] * 10]
    risen = training_convergence(training_log(train_loss=zero, val_loss=back)).quantities

    assert quantities["relative_validation_loss_rise"] == 0
    assert quantities["relative_train_loss_reduction"] == 1
    assert risen["relative_validation_loss_rise"] == math.inf
    assert risen["plateau_epochs"] == 0


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=20, max_size=80), st.integers(-8, 8), st.integers(1, 5))
def test_scale_of_the_loss_does_not_matter(values, power, smoothing):
    """Measuring the loss in other units (a power of two, which rounds nothing) changes no relative measure."""

    def measure(loss):
        log = TrainingLog("x", "x", np.arange(len(loss)), {"train_loss": loss, "val_loss": loss}, "")
        quantities = training_convergence(log, smoothing=smoothing).quantities
        return {
            name: quantities[name]
            for name in CONVERGENCE - {"final_slope_per_epoch", "best_smoothed_loss"}
            if name in quantities
        }

    assert measure(np.array(values)) == measure(np.array(values) * 2.0**power)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=80), st.floats(0, 0.5), st.floats(0, 0.5))
def test_plateau_lies_within_the_run(values, tolerance, more):
    """A constant loss is a plateau from the start, and no fall exceeds a tolerance of 100 %."""
    epochs = np.arange(len(values))

    plateau = epochs_since_improvement(np.array(values), epochs, tolerance)

    assert 0 <= plateau <= len(values) - 1
    assert epochs_since_improvement(np.array(values), epochs, 1.0) == len(values) - 1
    constant = np.full(len(values), values[0])
    assert epochs_since_improvement(constant, epochs, more) == len(values) - 1


def test_smoothing_by_hand():
    """The mean of three values ends at each position."""
    assert smoothed(np.array([3.0, 6.0, 9.0, 0.0]), 3).tolist() == pytest.approx([6.0, 5.0])
