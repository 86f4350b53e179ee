"""Tests of the ablation of regularization: several seeds, one difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_ind

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.training.regularization_ablation import (
    QUANTITIES,
    REGULARIZERS,
    difference_of_means,
    is_regularizer,
    regularization_ablation,
)
from pytest_mle.engine.judge import judge
from pytest_mle.errors import InputError
from pytest_mle.records.quantity import PointEstimate
from pytest_mle.spec.criteria import parse_criterion

WITH, WITHOUT = (0.040, 0.044, 0.036), (0.120, 0.130, 0.110)


@pytest.fixture
def run(training_log):
    """Make the log of a run whose best checkpoint has a gap; a seed of its own each."""

    def make(gap, name, *, val=0.8, seed=None, hyperparameters=None, status=None):
        log = training_log(
            train_accuracy=[0.5, val + gap, 0.99],
            val_accuracy=[0.5, val, 0.6],
            name=name,
            digest=name,
            seed=seed,
            status=status,
        )
        return replace(log, run=replace(log.run, hyperparameters=hyperparameters or {}))

    return make


@pytest.fixture
def arms(run):
    """Make the arguments for gaps with and without regularization."""

    def make(with_it=WITH, without=WITHOUT, **keys):
        def named(prefix, gaps, seeds):
            names = [prefix, *(f"{prefix}_{i}" for i in range(2, 6))]
            return {
                name: run(gap, name, seed=seed, **keys) for name, gap, seed in zip(names, gaps, seeds, strict=False)
            }

        return {**named("log", with_it, range(9)), **named("ablation", without, range(9))}

    return make


def verdict_of(arguments, text="absolute_gap_reduction > 0 pp", confidence=None, **parameters):
    """Judge as the engine does."""
    declared = built_in_check("regularization_ablation").quantities
    criterion = parse_criterion(text, declared[text.partition(" ")[0]])
    criterion = replace(criterion, confidence=confidence)
    return judge(regularization_ablation(**arguments, **parameters), declared, [criterion]).verdict


def test_case_by_hand(arms):
    """Gaps of 12, 13 and 11 pp without and of 4, 4.4 and 3.6 pp with regularization: 8 pp less."""
    measurement = regularization_ablation(**arms())

    quantities = measurement.quantities
    assert set(quantities) == set(QUANTITIES) == set(built_in_check("regularization_ablation").quantities)
    assert (quantities["regularized_runs"], quantities["ablation_runs"]) == (3, 3)
    assert quantities["absolute_gap_reduction"].value == pytest.approx(0.08)
    assert quantities["regularized_gap"] == pytest.approx(0.04)
    assert quantities["ablation_gap"] == pytest.approx(0.12)
    assert all(condition.holds for condition in measurement.validity)
    assert measurement.figures[0].labels[0] == "log (with)"
    assert len(measurement.figures[0].labels) == 6


def test_bounds_equal_scipy():
    """The one-sided bounds are those of Welch's test."""
    first, second = np.array(WITHOUT), np.array([0.04, 0.06, 0.03, 0.05])
    expected = ttest_ind(first, second, equal_var=False, alternative="greater").confidence_interval(0.95)

    lower, upper = difference_of_means(first, second).bounds(0.95)

    assert lower == pytest.approx(expected.low)
    assert upper == pytest.approx(2 * (first.mean() - second.mean()) - expected.low)


@pytest.mark.parametrize(("first", "second"), [([1.0], [2.0, 3.0]), ([1.0, 1.0], [2.0, 2.0])])
def test_no_spread_has_no_interval(first, second):
    """One run, or runs that all agree, bound nothing."""
    assert isinstance(difference_of_means(np.array(first), np.array(second)), PointEstimate)


def test_verdicts(arms):
    """A clear effect is shown at 95 %, one inside the noise of seeds is not, a reversed one fails."""
    noisy = arms(with_it=(0.04, 0.12, 0.08), without=(0.05, 0.13, 0.09))

    assert verdict_of(arms(), confidence=0.95) == "PASS"
    assert verdict_of(noisy, confidence=0.95) == "INCONCLUSIVE"
    assert verdict_of(arms(with_it=WITHOUT, without=WITH), confidence=0.95) == "FAIL"


@pytest.mark.parametrize(("with_it", "without"), [(WITH[:1], WITHOUT[:1]), (WITH, WITHOUT[:2]), (WITH[:2], WITHOUT)])
def test_fewer_than_three_seeds_make_no_claim(arms, with_it, without):
    """Planted: one lucky pair of runs is no evidence, however large the difference."""
    measurement = regularization_ablation(**arms(with_it, without))

    assert [one.name for one in measurement.validity if not one.holds] == ["enough_seeds"]
    assert verdict_of(arms(with_it, without)) == "INCONCLUSIVE"


def test_copies_of_a_run_count_once(run, arms):
    """Planted: the same log, or the same seed, three times is one run."""
    same = arms()
    same["log_2"] = replace(same["log_2"], digest=same["log"].digest)
    same["ablation_3"] = run(0.11, "again", seed=0)

    quantities = regularization_ablation(**same).quantities

    assert (quantities["regularized_runs"], quantities["ablation_runs"]) == (2, 2)


def test_same_log_in_both_arms(arms):
    """Planted: without `using` both arms would be the default log, and nothing would differ."""
    arguments = arms()

    with pytest.raises(InputError, match="same log is bound"):
        regularization_ablation(**{**arguments, "ablation": arguments["log"]})


def test_only_regularization_may_differ(run):
    """Planted: a run without dropout that also trained with another rate shows nothing of dropout."""

    def arguments(other):
        base = {"optimizer.weight_decay": 5e-4, "epochs": 30, "lr": 0.1, "seed": 1, "name": "a"}
        ablated = {**base, **other}
        return {
            **{
                name: run(gap, name, hyperparameters={**base, "seed": i})
                for i, (name, gap) in enumerate(zip(("log", "log_2", "log_3"), WITH, strict=True))
            },
            **{
                name: run(gap, name, hyperparameters={**ablated, "seed": i})
                for i, (name, gap) in enumerate(zip(("ablation", "ablation_2", "ablation_3"), WITHOUT, strict=True))
            },
        }

    assert verdict_of(arguments({"optimizer.weight_decay": 0.0})) == "PASS"
    assert verdict_of(arguments({"optimizer.weight_decay": 0.0, "lr": 0.2})) == "INCONCLUSIVE"
    assert verdict_of(arguments({"optimizer.weight_decay": 0.0, "name": "b"}), ignore=["name"]) == "PASS"
    (_, _, _, condition) = regularization_ablation(**arguments({"lr": 0.2})).validity
    assert (condition.holds, condition.detail) == (False, "no regularization differs between the arms")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("optimizer.weight_decay", True),
        ("model/dropout", True),
        ("dropout_rate", True),
        ("l2", True),
        ("regularization.label_smoothing", True),
        ("lr", False),
        ("model2", False),
        ("weight", False),
    ],
)
def test_names_of_regularizers(name, expected):
    """A regularizer is told by whole words."""
    assert is_regularizer(name, REGULARIZERS) is expected


def test_smaller_gap_by_learning_less(run, arms):
    """A gap that shrank because the model learned less shows as a loss of validation accuracy."""
    arguments = arms()
    for i, name in enumerate(("log", "log_2", "log_3")):
        arguments[name] = run(WITH[i], name, val=0.6 + i / 100, seed=i)

    quantities = regularization_ablation(**arguments).quantities

    assert quantities["absolute_gap_reduction"].value > 0
    assert quantities["absolute_validation_gain"].value == pytest.approx(0.61 - 0.8)


def test_unfinished_and_broken_runs(arms, run):
    """A run that was killed, or whose metric is NaN, keeps the arms from being compared."""
    killed = {**arms(), "ablation_2": run(0.13, "ablation_2", seed=1, status="killed")}
    nan = {**arms(), "ablation_2": run(float("nan"), "ablation_2", seed=1)}

    assert verdict_of(killed) == "INCONCLUSIVE"
    assert verdict_of(nan) == "INCONCLUSIVE"
    assert "ablation_2: has_both_metrics" in regularization_ablation(**nan).validity[1].detail


def test_loss_as_metric(training_log):
    """With losses less is better, for the gap and for the gain."""
    logs = {}
    for name, gap, val in (("log", 0.1, 0.4), ("ablation", 0.5, 0.7)):
        for i in range(3):
            key = name if i == 0 else f"{name}_{i + 1}"
            loss = val + i / 100
            logs[key] = training_log(
                train_loss=[1.0, loss - gap - i / 1000], val_loss=[2.0, loss], name=key, digest=key, seed=i
            )

    quantities = regularization_ablation(**logs, metric="loss").quantities

    assert quantities["absolute_gap_reduction"].value == pytest.approx(0.4)
    assert quantities["absolute_validation_gain"].value == pytest.approx(0.3)
