"""Tests of loss curves: overfitting is one loss rising while the other falls."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy.stats import kendalltau, theilslopes

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.training.loss_curves import QUANTITIES, loss_curves
from pytest_mle.errors import InputError

NAN = math.nan


def falling(epochs, floor=0.1, pace=10.0):
    """Make a loss that falls towards a floor."""
    return floor + np.exp(-np.arange(epochs) / pace)


def validity(measurement):
    """Return which conditions hold."""
    return {condition.name: condition.holds for condition in measurement.validity}


def test_declared_as_a_check(training_log):
    """The catalogue knows it, and a complete log gives every quantity."""
    measurement = loss_curves(training_log(train_loss=falling(50), val_loss=falling(50)))

    assert set(measurement.quantities) == set(QUANTITIES) == set(built_in_check("loss_curves").quantities)
    assert all(math.isfinite(value) for value in measurement.quantities.values())
    assert validity(measurement) == {"run_finished": True, "enough_epochs": True, "finite_losses": True}


def test_case_by_hand(training_log):
    """Both fall to epoch 10, then the validation loss rises by 1 an epoch and the training loss falls by 1."""
    train = [*range(30, 20, -1), *range(20, 10, -1)]
    val = [*range(30, 20, -1), *range(22, 32)]

    quantities = loss_curves(training_log(train_loss=train, val_loss=val), smoothing=2).quantities

    # Smoothed over two: 21.5 at epochs 10 and 11 is the smallest, the last is 30.5.
    assert quantities["diverging_epochs"] == 10
    # Last four: validation 28..31 against training 14..11.
    assert quantities["final_loss_gap"] == 17
    assert quantities["loss_gap_slope_per_epoch"] == 2
    assert quantities["loss_gap_trend"] == 1
    assert quantities["loss_gap_trend_p_value"] < 1e-6
    assert quantities["relative_validation_loss_rise"] == pytest.approx(29.5 / 21.5 - 1)


def test_trends_equal_scipy(training_log):
    """Slope and tau of the difference over its last window are SciPy's."""
    rng = np.random.default_rng(2)
    train, val = falling(100) + rng.normal(0, 0.01, 100), falling(100) + rng.normal(0, 0.01, 100)

    quantities = loss_curves(training_log(train_loss=train, val_loss=val)).quantities

    gap = (val - train)[-20:]
    assert quantities["loss_gap_trend"] == pytest.approx(kendalltau(np.arange(20), gap).statistic)
    assert quantities["loss_gap_slope_per_epoch"] == pytest.approx(theilslopes(gap, np.arange(20)).slope)
    expected = kendalltau(np.arange(20), gap, method="exact", alternative="greater").pvalue
    assert quantities["loss_gap_trend_p_value"] == pytest.approx(expected)


def test_planted_overfitting(training_log):
    """A validation loss that turns at epoch 40 of 100 while training goes on is found, with its epoch."""
    rng = np.random.default_rng(1)
    train = falling(100, floor=0.01, pace=30) + rng.normal(0, 0.002, 100)
    val = np.concatenate([falling(40), falling(40)[-1] + 0.01 * np.arange(60)]) + rng.normal(0, 0.002, 100)

    measurement = loss_curves(training_log(train_loss=train, val_loss=val))

    assert 55 <= measurement.quantities["diverging_epochs"] <= 63
    assert measurement.figures[0].marks == (("best", 100 - measurement.quantities["diverging_epochs"]),)
    assert [figure.title for figure in measurement.figures] == ["Losses by epoch", "Difference of the losses"]


def test_both_losses_rising_is_no_overfitting(training_log):
    """A run that blows up is another defect: it is a rise, and no divergence."""
    loss = np.concatenate([falling(40), np.linspace(0.1, 3, 40)])

    quantities = loss_curves(training_log(train_loss=loss, val_loss=loss)).quantities

    assert quantities["diverging_epochs"] == 0
    assert quantities["relative_validation_loss_rise"] > 5


def test_noise_above_the_best_is_no_divergence(training_log):
    """A monitor that stays 1 % above its best while training goes on has not risen."""
    val = np.concatenate([falling(30, floor=0.5), np.full(30, falling(30, floor=0.5)[-5:].mean() * 1.01)])
    log = training_log(train_loss=np.linspace(1, 0.1, 60), val_loss=val)

    assert loss_curves(log).quantities["diverging_epochs"] == 0
    assert loss_curves(log, divergence_rise=0.001).quantities["diverging_epochs"] > 20


def test_gap_grows_before_the_monitor_rises(training_log):
    """Both losses fall, one faster: nothing diverges yet, and the trend of the difference already shows it."""
    quantities = loss_curves(
        training_log(train_loss=np.linspace(1, 0.1, 60), val_loss=np.linspace(1, 0.5, 60))
    ).quantities

    assert quantities["diverging_epochs"] == 0
    assert quantities["loss_gap_trend"] == 1


def test_sparse_validation_uses_common_epochs(training_log):
    """Validated each second epoch, the difference is taken where both losses are."""
    val = [1.5 if epoch % 2 else None for epoch in range(80)]

    quantities = loss_curves(training_log(train_loss=[1.0] * 80, val_loss=val)).quantities

    assert quantities["final_loss_gap"] == 0.5
    assert quantities["nonfinite_losses"] == 0


@pytest.mark.parametrize("epochs", [0, 1, 2, 19])
def test_short_runs_show_nothing(training_log, epochs):
    """Too few epochs give no judgement."""
    measurement = loss_curves(training_log(train_loss=falling(epochs), val_loss=falling(epochs)))

    assert not validity(measurement)["enough_epochs"]
    assert "diverging_epochs" not in measurement.quantities


@pytest.mark.parametrize("bad", [NAN, math.inf, None])
def test_losses_that_are_not_finite(training_log, bad):
    """One bad loss is counted, listed and keeps everything else from being measured."""
    loss = falling(40).tolist()

    measurement = loss_curves(training_log(train_loss=loss, val_loss=[*loss[:20], bad, *loss[21:]]))

    assert measurement.quantities["nonfinite_losses"] == 1
    assert measurement.findings[0].shown[0].subject == "val_loss of epoch 21"
    assert not validity(measurement)["finite_losses"]
    assert "final_loss_gap" not in measurement.quantities


def test_missing_series_and_unfinished_run(training_log):
    """What the log lacks is an error that lists what it has; a run that goes on is not judged."""
    loss = falling(30)
    with pytest.raises(InputError, match=r"no series 'val_loss'.*train_loss"):
        loss_curves(training_log(train_loss=loss))
    assert not validity(loss_curves(training_log(train_loss=loss, val_loss=loss, status="running")))["run_finished"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"smoothing": 1},
        {"window_fraction": 0},
        {"minimum_epochs": 2},
        {"divergence_rise": -1},
        {"divergence_rise": NAN},
    ],
)
def test_parameters_out_of_range(training_log, wrong):
    """A parameter that makes the measure meaningless is refused."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        loss_curves(training_log(train_loss=falling(30), val_loss=falling(30)), **wrong)


def test_a_million_epochs_take_seconds(training_log):
    """Trends of long series are counted, not written down."""
    loss = falling(1_000_000, pace=1e5)
    log = training_log(train_loss=loss, val_loss=loss * 1.1)
    begin = time.process_time()

    quantities = loss_curves(log).quantities

    assert time.process_time() - begin < 30
    assert quantities["loss_gap_trend"] == -1
