"""Hyperparameters of a config: declared, in range, and those of the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.hyperparameter_declared import QUANTITIES, hyperparameter_declared
from pytest_mle.inputs.config import Config
from pytest_mle.inputs.configs import read_config

EXAMPLE = Path(__file__).resolve().parents[3] / "example_project"
SCHEDULE = ["learning_rate.initial", "learning_rate.warmup_epochs", "learning_rate.schedule"]
GOOD = """\
learning_rate: {initial: 1e-3, warmup_epochs: 5, schedule: cosine}
optimizer: {name: SGD, momentum: 0.9}
regularization: {weight_decay: 0.0005, dropout: none}
loss_weights: {classification: 1.0, localization: 2.0}
ranges:
  learning_rate.initial: [1e-4, 1e-2]
  learning_rate.warmup_epochs: {min: 0, max: 10}
"""


def test_everything_declared_and_used(config, log, values):
    """Three values in their ranges, and the run logged the same as text: nothing to count."""
    run = log(
        hyperparameters={
            "learning_rate.initial": "0.001",
            "learning_rate/warmup_epochs": "5",
            "learning_rate": {"schedule": "cosine"},
        }
    )
    measured = hyperparameter_declared(config(GOOD), run, keys=SCHEDULE, allowed_schedules=["cosine", "step"])
    assert values(measured) == {
        "declared_hyperparameters": 3,
        "missing_hyperparameters": 0,
        "out_of_range_hyperparameters": 0,
        "nonpositive_loss_weights": None,
        "config_run_mismatches": 0,
        "unlogged_hyperparameters": 0,
    }
    assert measured.findings == ()


def test_declared_as_a_check():
    """The catalogue knows it, and the log is optional."""
    declaration = built_in_check("hyperparameter_declared")
    assert [(one.kind, one.is_optional) for one in declaration.inputs] == [("config", False), ("training_log", True)]
    assert declaration.quantities == QUANTITIES


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "is not declared"),
        ("batch_size:", "is empty"),
        ("batch_size: ''", "is empty"),
        ("batch_size: {}", "is empty"),
        ("batch_size: TBD", "is a placeholder"),
        ("batch_size: 'TODO: measure'", "is a placeholder"),
        ("batch_size: .nan", "is nan"),
        ("batch_size: none", "declares no value"),
        ("batch_size: '32'", "is the text '32', no number"),
        ("batch_size: [16, null]", "is empty"),
        ("batch_size: {train: 16, val: tbd}", "is a placeholder"),
    ],
)
def test_what_declares_nothing_is_missing(config, findings, values, line, reason):
    """Absent, empty, placeholder, NaN or a number as text: never a declared batch size, and the finding has its line."""
    measured = hyperparameter_declared(config(f"epochs: 3\n{line}\n"), keys=["batch_size"])
    (found,) = findings(measured, "missing_hyperparameters")
    assert values(measured)["missing_hyperparameters"] == 1
    assert reason in found
    assert found.startswith("train.yaml:2: batch_size" if line else "train.yaml: batch_size: ")


def test_j1_numbers_for_people_only(config, findings):
    """J1: `250,000` is text in every YAML version; `1e-7` without quotes is a number in this one."""
    measured = hyperparameter_declared(
        config("samples: 250,000\nmin_lr: 1e-7\nimages: 5,000 images (front)\n"), keys=["samples", "min_lr", "images"]
    )
    assert [one.partition(": is")[0] for one in findings(measured, "missing_hyperparameters")] == [
        "train.yaml:1: samples",
        "train.yaml:3: images",
    ]


def test_values_outside_their_range(config, findings, values):
    """Above the range, another schedule than allowed, a range that is none: each is found at its line."""
    text = (
        "learning_rate:\n  initial: 0.1\n  warmup_epochs: 5\n  schedule: zigzag\n"
        "ranges:\n  learning_rate.initial: [0.0001, 0.01]\n  learning_rate.warmup_epochs: [10, 1]\n"
    )
    measured = hyperparameter_declared(config(text), keys=SCHEDULE, allowed_schedules=["cosine", "step"])
    assert values(measured)["out_of_range_hyperparameters"] == 3
    assert findings(measured, "out_of_range_hyperparameters") == [
        "train.yaml:2: learning_rate.initial: is 0.1, outside [0.0001, 0.01]",
        "train.yaml:7: ranges.learning_rate.warmup_epochs: [10, 1] is no range: 10 is not below 1",
        "train.yaml:4: learning_rate.schedule: is 'zigzag'. Allowed: cosine, step",
    ]


def test_without_ranges_nothing_is_in_range(config):
    """No range is not the same as no violation."""
    measured = hyperparameter_declared(config("batch_size: 16\n"), keys=["batch_size"])
    assert "no range for these keys" in measured.quantities["out_of_range_hyperparameters"].method


def test_run_with_other_values(config, log, findings, values):
    """A config that was edited after the run, and a value that nobody logged, are mismatches of two kinds."""
    run = log(hyperparameters={"learning_rate.initial": "0.01", "learning_rate.schedule": "cosine"})
    measured = hyperparameter_declared(config(GOOD), run, keys=SCHEDULE)
    assert values(measured)["config_run_mismatches"] == 2
    assert values(measured)["unlogged_hyperparameters"] == 1
    assert findings(measured, "config_run_mismatches") == [
        "train.yaml:1: learning_rate.initial: is 0.001, but the run used '0.01'",
        "train.yaml:1: learning_rate.warmup_epochs: is 5, and the run did not log 'learning_rate.warmup_epochs'",
    ]


def test_names_of_the_run_can_differ(config, log, values):
    """`run_names` says how the tracker calls a key."""
    run = log(hyperparameters={"lr0": 0.001})
    names = {"learning_rate.initial": "lr0"}
    measured = hyperparameter_declared(config(GOOD), run, keys=["learning_rate.initial"], run_names=names)
    assert values(measured)["config_run_mismatches"] == 0


@pytest.mark.parametrize("has_log", [True, False])
def test_d3_a_run_that_says_nothing_agrees_with_nothing(config, log, has_log):
    """D3: without log or logged hyperparameters nothing was compared, and the quantity says what to do."""
    measured = hyperparameter_declared(config(GOOD), log() if has_log else None, keys=SCHEDULE)
    for name in ("config_run_mismatches", "unlogged_hyperparameters"):
        assert ("log.csv says nothing" if has_log else "no training log") in measured.quantities[name].method
        assert measured.quantities[name].value != measured.quantities[name].value


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("optimizer: SGD\nmomentum: 0.9\n", 0),
        ("optimizer: {name: sgd, momentum: 0.9}\n", 0),
        ("optimizer: {type: SGD, momentum: 0.9}\n", 0),
        ("optimizer: AdamW\n", 0),
        ("optimizer: SGD\n", 1),
        ("optimizer: {name: SGD, momentum: null}\n", 1),
        ("optimizer: {name: SGD}\nmomentum: none\n", 1),
        ("optimizer: {lr: 3}\n", 1),
        ("optimizer: {name: null, lr: 3}\n", 2),
    ],
)
def test_a_choice_needs_its_own_values(config, values, text, missing):
    """SGD needs its momentum, beside the key or inside it; a choice without name tells nothing."""
    measured = hyperparameter_declared(config(text), keys=["optimizer"], conditional={"SGD": ["momentum"]})
    assert values(measured)["missing_hyperparameters"] == missing


@pytest.mark.parametrize(
    ("line", "none_allowed", "missing"),
    [
        ("regularization: {dropout: 0.1}", True, 0),
        ("regularization: {dropout: none, weight_decay: 0.1}", True, 0),
        ("regularization: {dropout: none}", True, 0),
        ("regularization: none", True, 0),
        ("regularization: none", False, 2),
        ("regularization: {dropout: none}", False, 2),
        ("regularization: {dropout: null}", True, 2),
        ("regularization: {mixup: 0.1}", True, 1),
        ("regularization: {}", True, 2),
        ("other: 1", True, 1),
    ],
)
def test_one_of_several(config, values, line, none_allowed, missing):
    """At least one kind of regularization, or the word none where that is allowed; null is never a statement."""
    measured = hyperparameter_declared(
        config(line + "\n"),
        keys=["regularization"],
        one_of=["dropout", "weight_decay", "label_smoothing"],
        explicit_none_allowed=none_allowed,
    )
    assert values(measured)["missing_hyperparameters"] == missing


@pytest.mark.parametrize(
    ("weights", "bad"),
    [
        ("{a: 1.0, b: 2.0}", 0),
        ("[7.5, 0.5]", 0),
        ("{a: 0, b: -1}", 2),
        ("{a: .nan}", 1),
        ("{a: '1.0:2.0'}", 1),
        ("{}", 1),
    ],
)
def test_loss_weights_are_positive(config, values, weights, bad):
    """A weight of zero switches a task off, a negative one rewards errors, a text is no weight."""
    measured = hyperparameter_declared(config(f"loss_weights: {weights}\n"), keys=["loss_weights"])
    assert values(measured)["nonpositive_loss_weights"] == bad


def test_empty_config(values):
    """A config without content misses every key."""
    empty = Config("training", "train.yaml", {}, "digest")
    measured = values(hyperparameter_declared(empty, keys=SCHEDULE))
    assert measured["missing_hyperparameters"] == 3
    assert measured["declared_hyperparameters"] == 0
    assert measured["config_run_mismatches"] is None


def test_parameters_that_ask_for_nothing(config):
    """No key, or allowed schedules without a schedule, is a mistake in the spec."""
    with pytest.raises(ValueError, match="at least one"):
        hyperparameter_declared(config(GOOD), keys=[])
    with pytest.raises(ValueError, match="ends in 'schedule'"):
        hyperparameter_declared(config(GOOD), keys=["epochs"], allowed_schedules=["cosine"])


@pytest.mark.parametrize(("file", "missing"), [("train.yaml", 0), ("train_bad.yaml", 0)])
def test_example_project(values, file, missing):
    """Both configs of the example declare what the checklist asks for."""
    config = read_config("training", {"path": file}, EXAMPLE)
    keys = [*SCHEDULE, "optimizer", "batch_size", "loss_weights", "regularization"]
    measured = hyperparameter_declared(config, keys=keys, explicit_none_allowed=True)
    assert values(measured)["missing_hyperparameters"] == missing
