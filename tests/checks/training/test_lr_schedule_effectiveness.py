"""Tests of learning rates: what ran is what was declared, and what a drop did to the loss."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.training.lr_schedule import rates_at, read_schedule
from pytest_mle.checks.training.lr_schedule_effectiveness import (
    QUANTITIES,
    lr_drops,
    lr_schedule_effectiveness,
)
from pytest_mle.engine.judge import judge
from pytest_mle.errors import InputError, InputNotDeclaredError
from pytest_mle.inputs.config import Config
from pytest_mle.spec.criteria import parse_criterion

NAN = math.nan
COSINE = {"schedule": "cosine", "initial": 0.001, "warmup_epochs": 5, "start_factor": 0.1, "min_lr": 1e-5}
STEP = {"schedule": "step", "initial": 0.01, "step_size": 10, "gamma": 0.1}
DECLARED = {
    "constant": {"schedule": "constant", "initial": 0.01},
    "step": STEP,
    "milestones": {"schedule": "step", "initial": 0.01, "milestones": [12, 25]},
    "exponential": {"schedule": "exponential", "initial": 0.01, "gamma": 0.9},
    "cosine": COSINE,
    "linear": {"schedule": "linear", "initial": 0.01, "min_lr": 0.001},
    "one_cycle": {"schedule": "one_cycle", "max_lr": 0.1},
    "plateau": {"schedule": "plateau", "initial": 0.01, "patience": 3},
}


def rates_of(declared, epochs=40, at=0.0):
    """Return the rate of each epoch, logged at a share of it."""
    schedule = read_schedule(declared, epochs)
    return rates_at(schedule, (np.arange(epochs) + at) * schedule.steps_per_epoch)


def falling(epochs=40):
    """Make a loss."""
    return 0.1 + np.exp(-np.arange(epochs) / 10)


def measure(log, schedule=COSINE, config=None, **parameters):
    """Return the quantities."""
    return lr_schedule_effectiveness(log, config, schedule=schedule, **parameters).quantities


def test_declared_as_a_check(training_log):
    """The catalogue knows it, with an optional configuration."""
    declaration = built_in_check("lr_schedule_effectiveness")
    log = training_log(learning_rate=rates_of(COSINE), val_loss=falling())

    assert [(one.kind, one.is_optional) for one in declaration.inputs] == [("training_log", False), ("config", True)]
    assert set(measure(log)) == set(QUANTITIES) == set(declaration.quantities)


def test_drop_by_hand(training_log):
    """Thirty epochs, a tenth of the rate from epoch 11 and from 21 on; the loss stands at 3, 2 and 4."""
    log = training_log(learning_rate=rates_of(STEP, 30), val_loss=[3.0] * 10 + [2.0] * 10 + [4.0] * 10)

    quantities = measure(log, STEP)

    assert quantities == {
        "epochs_compared": 30,
        "lr_schedule_mismatches": 0,
        "lr_drops": 2,
        "mean_loss_change_after_drop": pytest.approx((-1 + 2) / 2),
        "improving_drops_fraction": 0.5,
    }


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", [name for name in DECLARED if name != "plateau"])
def test_each_schedule_fits_itself_however_it_is_logged(training_log, name, at):
    """The rate at the beginning, in the middle and at the end of an epoch are the declared one."""
    log = training_log(learning_rate=rates_of(DECLARED[name], at=at), val_loss=falling())

    assert measure(log, DECLARED[name])["lr_schedule_mismatches"] == 0


@pytest.mark.parametrize("name", DECLARED)
@pytest.mark.parametrize("ran", DECLARED)
def test_another_schedule_is_found(training_log, name, ran):
    """Planted: any other schedule than the declared one gives mismatches."""
    rates = {other: rates_of(DECLARED[other]) for other in DECLARED if other != "plateau"}
    # A metric that never improves: each four bad epochs lower the rate, down to where PyTorch makes no change.
    rates["plateau"] = np.maximum(0.01 * 0.1 ** (np.maximum(np.arange(40) - 1, 0) // 4), 1e-8)
    log = training_log(learning_rate=rates[ran], val_loss=[1.0] * 40)

    assert (measure(log, DECLARED[name])["lr_schedule_mismatches"] > 0) is (name != ran)


def test_warm_up_that_never_ran(training_log):
    """Planted: the run started at the full rate; the first epochs mismatch, with what was declared."""
    rates = rates_of(COSINE)
    rates[:4] = 0.001

    measurement = lr_schedule_effectiveness(training_log(learning_rate=rates, val_loss=falling()), schedule=COSINE)

    assert measurement.quantities["lr_schedule_mismatches"] == 4
    assert str(measurement.findings[0].shown[0]) == (
        "log.csv: epoch 1: the rate is 0.001, declared is 0.0001 to 0.00028"
    )


def test_warm_up_from_an_undeclared_rate(training_log):
    """Without start_factor warm-up may begin anywhere up to the initial rate, and not above."""
    declared = {**COSINE, "start_factor": None}
    rates = rates_of(COSINE)
    above = rates.copy()
    above[1] = 0.002

    assert measure(training_log(learning_rate=rates, val_loss=falling()), declared)["lr_schedule_mismatches"] == 0
    assert measure(training_log(learning_rate=above, val_loss=falling()), declared)["lr_schedule_mismatches"] == 1


def test_scheduler_that_steps_each_batch(training_log):
    """Rates logged at the last batch of an epoch, as the scheduler of a one-cycle run gives them."""
    declared = {"schedule": "one_cycle", "max_lr": 0.1, "steps_per_epoch": 63}
    schedule = read_schedule(declared, 40)
    rates = rates_at(schedule, np.arange(1, 41) * 63.0 - 1)
    log = training_log(learning_rate=rates, val_loss=falling())

    assert measure(log, declared)["lr_schedule_mismatches"] == 0
    assert measure(log, {**declared, "max_lr": 0.2})["lr_schedule_mismatches"] == 40


def test_run_stopped_early_needs_its_declared_length(training_log):
    """A cosine of 40 epochs that was stopped after 25 fits a length of 40, and not one of 25."""
    log = training_log(learning_rate=rates_of(COSINE)[:25], val_loss=falling(25))

    assert measure(log, epochs=40)["lr_schedule_mismatches"] == 0
    assert measure(log)["lr_schedule_mismatches"] > 10


@pytest.mark.parametrize("first", [0, 1])
def test_epochs_from_zero_or_one(training_log, first):
    """Both ways to count are the same run."""
    for at in (0.0, 1.0):
        rates = rates_of(COSINE, at=at)
        log = training_log(epochs=range(first, first + 40), learning_rate=rates, val_loss=falling())
        assert measure(log, epochs=40)["lr_schedule_mismatches"] == 0


@pytest.mark.parametrize("prefix", ["", "training"])
def test_schedule_from_the_configuration(training_log, prefix):
    """The handbook's configuration has everything below `training`; others have it at the top."""
    values = {"epochs": 40, "learning_rate": COSINE}
    config = Config("training", "train.yaml", {prefix: values} if prefix else values, "digest")
    log = training_log(learning_rate=rates_of(COSINE)[:25], val_loss=falling(25))

    measurement = lr_schedule_effectiveness(log, config)

    assert measurement.quantities["lr_schedule_mismatches"] == 0
    assert measurement.settings["declared"]["epochs"] == 40


def test_nothing_declared_or_wrongly(training_log):
    """No schedule is owed, a wrong one is an error with its place."""
    log = training_log(learning_rate=rates_of(COSINE), val_loss=falling())
    broken = {"learning_rate": {"initial": 1, "schedule": "cosin"}}

    with pytest.raises(InputNotDeclaredError, match=r"inputs\.configs"):
        lr_schedule_effectiveness(log)
    with pytest.raises(InputError, match=r"train\.yaml:3: unknown learning-rate schedule 'cosin'"):
        lr_schedule_effectiveness(log, Config("t", "train.yaml", broken, "", {"learning_rate": 3}))
    with pytest.raises(InputError, match=r"no 'learning_rate'"):
        lr_schedule_effectiveness(log, Config("t", "train.yaml", {"lr": 1}, ""))
    with pytest.raises(InputError, match="whole number"):
        lr_schedule_effectiveness(log, Config("t", "train.yaml", {"epochs": "40", "learning_rate": COSINE}, ""))


def test_d3_log_without_learning_rate(training_log):
    """D3: the handbook's MLflow script logs no learning rate; the error lists what the log has."""
    with pytest.raises(InputError, match=r"no series 'learning_rate'.*val_loss"):
        measure(training_log(val_loss=falling()))


def test_constant_rate_never_drops(training_log):
    """Without a drop there is no change to measure, and the reason stands with it."""
    log = training_log(learning_rate=[0.01] * 40, val_loss=falling())

    change = measure(log, DECLARED["constant"])["mean_loss_change_after_drop"]

    assert math.isnan(change.value)
    assert change.method == "the rate never fell by 50 % between two epochs with a loss"


def test_drops_by_hand():
    """A drop is a fall by half below the highest since the last one; warm-up raises what it is measured from."""
    rates = np.array([0.1, 0.5, 1.0, 0.9, 0.6, 0.5, 0.4, 0.25, 0.25])

    assert lr_drops(rates, 0.5).tolist() == [5, 7]
    assert lr_drops(np.zeros(5), 0.5).tolist() == []


@pytest.mark.parametrize("bad", [NAN, math.inf, None])
@pytest.mark.parametrize("series", ["learning_rate", "val_loss"])
def test_c1_values_that_are_not_finite(training_log, bad, series):
    """C1: a rate or loss that is no number is no agreement."""
    logged = {"learning_rate": rates_of(COSINE).tolist(), "val_loss": falling().tolist()}
    logged[series][20] = bad
    declared = built_in_check("lr_schedule_effectiveness").quantities
    criterion = parse_criterion("lr_schedule_mismatches == 0", declared["lr_schedule_mismatches"])

    measurement = lr_schedule_effectiveness(training_log(**logged), schedule=COSINE)

    assert judge(measurement, declared, [criterion]).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_epochs(training_log, count):
    """No epoch compares nothing; one is compared and has no drop."""
    log = training_log(learning_rate=[0.01] * count, val_loss=[1.0] * count)
    measurement = lr_schedule_effectiveness(log, schedule=DECLARED["constant"])

    assert measurement.quantities["epochs_compared"] == count
    assert all(one.holds for one in measurement.validity) is (count > 0)


@pytest.mark.parametrize("wrong", [{"window": 0}, {"drop_share": 0}, {"drop_share": 1}, {"tolerance": -1}])
def test_parameters_out_of_range(training_log, wrong):
    """A parameter that makes the measure meaningless is refused."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        measure(training_log(learning_rate=[1.0], val_loss=[1.0]), **wrong)
