"""Tests of declared schedules against PyTorch's schedulers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from pytest_mle.checks.training.lr_schedule import KEYS, plateau_rates, rates_at, read_schedule

EPOCHS = 40
CASES = {
    "constant": ({"schedule": "constant", "initial": 0.01}, lambda s, o: s.ConstantLR(o, factor=1.0)),
    "step": (
        {"schedule": "step", "initial": 0.01, "step_size": 7, "gamma": 0.5},
        lambda s, o: s.StepLR(o, step_size=7, gamma=0.5),
    ),
    "milestones": (
        {"schedule": "step", "initial": 0.01, "milestones": [30, 10]},
        lambda s, o: s.MultiStepLR(o, milestones=[10, 30]),
    ),
    "exponential": (
        {"schedule": "exponential", "initial": 0.01, "gamma": 0.9},
        lambda s, o: s.ExponentialLR(o, gamma=0.9),
    ),
    "cosine": (
        {"schedule": "cosine", "initial": 0.01, "min_lr": 1e-5},
        lambda s, o: s.CosineAnnealingLR(o, T_max=EPOCHS, eta_min=1e-5),
    ),
    "linear": (
        {"schedule": "linear", "initial": 0.01, "min_lr": 0.001, "decay_epochs": 25},
        lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=25),
    ),
    "warm-up and cosine": (
        {"schedule": "cosine", "initial": 0.01, "warmup_epochs": 5, "start_factor": 0.1},
        lambda s, o: s.SequentialLR(
            o,
            [s.LinearLR(o, start_factor=0.1, total_iters=5), s.CosineAnnealingLR(o, T_max=EPOCHS - 5)],
            milestones=[5],
        ),
    ),
    "warm-up and step": (
        {"schedule": "step", "initial": 0.01, "step_size": 10, "warmup_epochs": 5, "start_factor": 0.1},
        lambda s, o: s.SequentialLR(
            o, [s.LinearLR(o, start_factor=0.1, total_iters=5), s.StepLR(o, step_size=10)], milestones=[5]
        ),
    ),
    "one cycle": (
        {"schedule": "one_cycle", "max_lr": 0.1},
        lambda s, o: s.OneCycleLR(o, max_lr=0.1, total_steps=EPOCHS),
    ),
    "one cycle, linear": (
        {
            "schedule": "one_cycle",
            "max_lr": 0.1,
            "pct_start": 0.4,
            "div_factor": 10,
            "final_div_factor": 100,
            "anneal_strategy": "linear",
        },
        lambda s, o: s.OneCycleLR(
            o,
            max_lr=0.1,
            total_steps=EPOCHS,
            pct_start=0.4,
            div_factor=10,
            final_div_factor=100,
            anneal_strategy="linear",
        ),
    ),
}


def optimizer_of(torch, rate=0.01):
    """Make an optimizer of one parameter."""
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)


def torch_rates(build, count=EPOCHS):
    """Return the rates that PyTorch's scheduler gives, the first one before any step."""
    torch = pytest.importorskip("torch")
    optimizer = optimizer_of(torch)
    with warnings.catch_warnings():
        # SequentialLR steps its parts with an epoch, which PyTorch itself deprecates.
        warnings.simplefilter("ignore", UserWarning)
        scheduler = build(torch.optim.lr_scheduler, optimizer)
        rates = [optimizer.param_groups[0]["lr"]]
        for _ in range(count - 1):
            optimizer.step()
            scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
    return np.array(rates)


@pytest.mark.torch
@pytest.mark.parametrize("name", CASES)
def test_equals_pytorch(name):
    """Each declared schedule gives the rates of PyTorch's scheduler, update by update."""
    declared, build = CASES[name]

    found = rates_at(read_schedule(declared, EPOCHS), np.arange(float(EPOCHS)))

    np.testing.assert_allclose(found, torch_rates(build), rtol=1e-6, atol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"patience": 2, "factor": 0.5},
        {"patience": 1, "cooldown": 3, "min_lr": 0.002, "factor": 0.5},
        {"patience": 0, "threshold": 0.2, "threshold_mode": "abs"},
        {"patience": 1, "mode": "max", "threshold": 0.01},
        {"patience": 0, "factor": 0.01, "min_lr": 0.0},
    ],
)
def test_plateau_equals_pytorch(keys):
    """Replaying a noisy metric lowers the rate where ReduceLROnPlateau lowers it."""
    torch = pytest.importorskip("torch")
    metric = np.exp(-np.arange(60) / 8) + np.random.default_rng(3).normal(0, 0.02, 60)
    optimizer = optimizer_of(torch)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **keys)
    before, after = [], []
    for value in metric:
        before.append(optimizer.param_groups[0]["lr"])
        scheduler.step(value)
        after.append(optimizer.param_groups[0]["lr"])
    schedule = read_schedule({"schedule": "plateau", "initial": 0.01, **keys}, 60)

    found = plateau_rates(schedule, metric)

    np.testing.assert_allclose(found, [before, after], rtol=1e-12)
    assert "patience" not in keys or len(set(after)) > 1


def test_plateau_waits_for_a_metric_and_for_warm_up():
    """An epoch without metric does not count as bad; during warm-up nothing is counted."""
    schedule = read_schedule(
        {"schedule": "plateau", "initial": 1.0, "patience": 1, "warmup_epochs": 2, "start_factor": 0.5}, 10
    )

    before, after = plateau_rates(schedule, np.array([9, 9, 1, 1, np.nan, np.nan, 1, 1]))

    assert before.tolist() == pytest.approx([0.5, 0.75, 1, 1, 1, 1, 1, 0.1])
    assert after.tolist() == pytest.approx([0.75, 1, 1, 1, 1, 1, 0.1, 0.1])


def test_plain_number_is_constant():
    """A configuration that only names a rate declares that it does not change."""
    assert rates_at(read_schedule(0.1, 10), np.arange(3.0)).tolist() == [0.1] * 3


def test_updates_of_batches():
    """Lengths are in epochs also where the scheduler steps each batch."""
    schedule = read_schedule({"schedule": "linear", "initial": 1.0, "steps_per_epoch": 10}, 4)

    assert rates_at(schedule, np.array([0.0, 10, 40])).tolist() == [1.0, 0.75, 0.0]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"schedule": "cosin", "initial": 1}, "Did you mean 'cosine'"),
        ({"initial": 1}, "unknown learning-rate schedule None"),
        ({"schedule": "cosine"}, "needs initial"),
        ({"schedule": "exponential", "initial": 1}, "needs gamma"),
        ({"schedule": "one_cycle"}, "needs max_lr"),
        ({"schedule": "one_cycle", "max_lr": 1, "initial": 1}, "has no 'initial'"),
        ({"schedule": "step", "initial": 1}, "needs step_size or milestones"),
        ({"schedule": "step", "initial": 1, "step_size": 1, "milestones": [1]}, "one of them"),
        ({"schedule": "step", "initial": 1, "milestones": 3}, "list of epochs"),
        ({"schedule": "step", "initial": 1, "step_size": 0}, "above 0"),
        ({"schedule": "cosine", "initial": 1, "gamma": 0.1}, "has no 'gamma'"),
        ({"schedule": "cosine", "initial": "1e-3"}, "initial must be a number"),
        ({"schedule": "cosine", "initial": True}, "initial must be a number"),
        ({"schedule": "cosine", "initial": float("nan")}, "initial must be a number"),
        ({"schedule": "cosine", "initial": -1}, "at least 0"),
        ({"schedule": "cosine", "initial": 1, "warmup_epochs": 40}, "warmup_epochs must lie in"),
        ({"schedule": "plateau", "initial": 1, "mode": "mean"}, "mode must be one of min, max"),
    ],
)
def test_wrong_declarations(declared, message):
    """A declaration that would be half read is refused."""
    with pytest.raises(ValueError, match=message):
        read_schedule(declared, EPOCHS)


def test_leftovers_of_another_schedule():
    """A configuration may keep the floor of the cosine that it had before; what no schedule knows is refused."""
    declared = {"schedule": "constant", "initial": 0.1, "min_lr": 0.01}

    schedule = read_schedule(declared, EPOCHS, leftovers=True)

    assert rates_at(schedule, np.array([30.0])).tolist() == [0.1]
    with pytest.raises(ValueError, match="has no 'min_lr'"):
        read_schedule(declared, EPOCHS)
    with pytest.raises(ValueError, match="has no 'lowest'"):
        read_schedule({**declared, "lowest": 1}, EPOCHS, leftovers=True)


def test_every_schedule_has_a_case():
    """A schedule without a case here is compared with nothing."""
    assert {declared["schedule"] for declared, _ in CASES.values()} | {"plateau"} == set(KEYS)
