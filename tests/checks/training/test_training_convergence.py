"""Tests of training convergence: every trap of the handbook's script, planted."""

from __future__ import annotations

import math

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
from pytest_mle.errors import InputError
from pytest_mle.inputs.training_log import TrainingLog

NAN = float("nan")
CONVERGENCE = {
    *("plateau_epochs", "best_epoch", "relative_train_loss_reduction", "relative_validation_loss_rise"),
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
    assert validity(measurement) == {"enough_epochs": True, "finite_losses": True}
    assert quantities["epochs_logged"] == 20
    assert quantities["plateau_epochs"] == 10
    assert quantities["best_epoch"] == 10
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
    log = training_log(train_loss=loss, val_loss=loss, val_map_50=loss, gradient_norm=loss)

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


def test_c8_gradients(training_log):
    """C8: single zeros and spikes are a share, lasting ones windows, and NaN is counted wherever it stands."""
    loss = falling(100).tolist()

    def gradients(norms):
        quantities = training_convergence(training_log(train_loss=loss, val_loss=loss, gradient_norm=norms)).quantities
        return {name: quantities[name] for name in GRADIENTS}

    names = ("nonfinite_gradients", "median_gradient_norm", "exploding_steps_fraction", "vanishing_windows")
    GRADIENTS = names
    healthy = [1500.0, 0.0, *[2.0] * 98]
    vanished = [2.0] * 60 + [1e-8] * 40
    broken = [2.0, NAN, math.inf, *[2.0] * 97]

    assert gradients(healthy) == dict(zip(names, (0, 2.0, 0.01, 0), strict=True))
    assert gradients(vanished)["vanishing_windows"] == 38
    assert gradients([2e-6] * 100)["median_gradient_norm"] == 2e-6
    assert gradients(broken)["nonfinite_gradients"] == 2
    assert gradients(broken)["exploding_steps_fraction"] == pytest.approx(1 / 99)
    nothing = gradients([NAN] * 100)
    assert nothing["nonfinite_gradients"] == 100
    assert math.isnan(nothing["median_gradient_norm"])


def test_c10_missing_series(training_log):
    """C10: a needed series that is not there is an error that lists the others; an optional one is not measured."""
    loss = falling(30).tolist()

    with pytest.raises(InputError, match=r"no series 'val_loss'. Did you mean 'val_los'\?"):
        training_convergence(training_log(train_loss=loss, val_los=loss))
    with pytest.raises(InputError, match="no series 'train_loss'"):
        training_convergence(training_log(val_loss=loss))
    quantities = training_convergence(training_log(train_loss=loss, val_loss=loss)).quantities
    optional = {"selected_epoch", "selected_metric", "selected_metric_neighbourhood", "median_gradient_norm"}
    assert {name for name, value in quantities.items() if math.isnan(value)} == {
        *optional,
        *("nonfinite_gradients", "exploding_steps_fraction", "vanishing_windows"),
    }


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

    assert validity(measurement) == {"enough_epochs": True, "finite_losses": True}
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
        return {name: quantities[name] for name in CONVERGENCE - {"final_slope_per_epoch"} if name in quantities}

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
