"""Ranges of hyperparameters and the values inside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.hyperparameter_ranges import QUANTITIES, hyperparameter_ranges
from pytest_mle.errors import NotMeasurableError
from pytest_mle.inputs.configs import read_config

EXAMPLE = Path(__file__).resolve().parents[3] / "example_project"
GOOD = """\
seed: 3
epochs: 36
learning_rate: {initial: 0.004, schedule: cosine}
ranges:
  epochs: [20, 60]
  learning_rate:
    initial: {min: 0.001, max: 0.008}
"""


def test_every_value_has_a_range(config, log, values):
    """Two numbers, two ranges, nested or by dotted name; the seed and words need none; the run kept text."""
    run = log(hyperparameters={"epochs": "36", "learning_rate.initial": "0.004"})
    measured = hyperparameter_ranges(config(GOOD), run)
    assert values(measured) == {
        "hyperparameters": 2,
        "hyperparameters_without_range": 0,
        "final_values_out_of_range": 0,
        "declared_values_out_of_range": 0,
        "ranges_without_hyperparameter": 0,
    }
    assert measured.settings["final_values"] == "log.csv"
    assert hyperparameter_ranges(config(GOOD)).settings["final_values"] == "train.yaml"
    assert built_in_check("hyperparameter_ranges").quantities == QUANTITIES


def test_each_gap_is_found(config, log, findings, values):
    """No range, a range that is none, a final value outside, one that nobody logged, a range of nothing."""
    text = (
        "epochs: 36\nbatch_size: 16\nmomentum: 0.9\nclip: 5\nweight_decay: 0.1\n"
        "ranges:\n  epochs: [20, 60]\n  momentum: [0.9, 0.5]\n  clip: [1, 10]\n  weight_decay: [0, 0.01]\n  droput: [0, 1]\n"
    )
    run = log(hyperparameters={"epochs": "100", "weight_decay": "0.005", "batch_size": 16})
    measured = hyperparameter_ranges(config(text), run)
    assert findings(measured, "hyperparameters_without_range") == [
        "train.yaml:2: batch_size: has no range under 'ranges'",
        "train.yaml:8: momentum: [0.9, 0.5] is no range: 0.9 is not below 0.5",
    ]
    assert findings(measured, "final_values_out_of_range") == [
        "train.yaml:1: epochs: ended as 100.0, outside [20, 60]",
        "train.yaml:4: clip: has no final value: the run did not log 'clip'",
    ]
    assert findings(measured, "declared_values_out_of_range") == [
        "train.yaml:5: weight_decay: is 0.1, outside [0, 0.01]"
    ]
    assert findings(measured, "ranges_without_hyperparameter") == [
        "train.yaml:11: droput: has a range, but the config does not declare it"
    ]
    assert values(measured)["hyperparameters"] == 5


@pytest.mark.parametrize(
    ("text", "keys", "without"),
    [
        ("epochs: 36\n", None, 1),
        ("epochs: '250,000'\n", None, 1),
        ("epochs: 36\nranges: {}\n", None, 1),
        ("epochs: 36\nranges: none\n", None, 1),
        ("a: 1\n", ["epochs"], 1),
        ("epochs:\n", ["epochs"], 1),
        ("group: {a: 1, b: 2, c: word}\nranges: {group.a: [0, 2]}\n", ["group"], 1),
        ("optimizer: SGD\nranges: {optimizer: {choices: [SGD, AdamW]}}\n", ["optimizer"], 0),
    ],
)
def test_hyperparameters_that_are_asked_for(config, values, text, keys, without):
    """Named keys need a range whatever they are; without names every number does. Without any range nothing is inside."""
    measured = values(hyperparameter_ranges(config(text), keys=keys))
    assert measured["hyperparameters_without_range"] == without
    if "ranges: {g" not in text and "ranges: {o" not in text:
        assert measured["final_values_out_of_range"] is None


@pytest.mark.parametrize("value", ["''", "null", ".nan", "TBD", "'0.004'"])
def test_a_value_that_is_none_is_in_no_range(config, values, value):
    """A range does not make a placeholder a value."""
    measured = hyperparameter_ranges(config(f"lr: {value}\nranges: {{lr: [0.001, 0.01]}}\n"), keys=["lr"])
    assert values(measured)["final_values_out_of_range"] == 1


def test_config_without_hyperparameters(config):
    """Nothing to look at is no pass."""
    with pytest.raises(NotMeasurableError, match="no number outside 'ranges'"):
        hyperparameter_ranges(config("seed: 3\nname: x\nranges: {a: [0, 1]}\n"))


def test_example_project(values):
    """The example declares ranges for what it tunes, and its run stayed inside."""
    config = read_config("training", {"path": "train.yaml"}, EXAMPLE)
    tuned = list(config.get("ranges"))
    assert len(tuned) >= 15
    measured = values(hyperparameter_ranges(config, keys=tuned))
    assert (measured["hyperparameters"], measured["hyperparameters_without_range"]) == (len(tuned), 0)
    assert measured["final_values_out_of_range"] == 0
    bad = read_config("training", {"path": "train_bad.yaml"}, EXAMPLE)
    assert values(hyperparameter_ranges(bad, keys=tuned))["hyperparameters_without_range"] == len(tuned)
