"""Values as trackers keep them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle.checks.experiments.logged_values import as_number, find_logged, is_same_value, logged_hyperparameters
from pytest_mle.inputs.training_log import TrainingRun

SAME = [
    (1e-3, "0.001"), (0.001, np.float32(0.001)), (16, "16"), (16, 16.0), (16, "16.0"), (True, "True"), (False, "false"),
    (None, "None"), ("none", "None"), ("none", None), ("AdamW", " AdamW "), ([0.9, 0.999], "[0.9, 0.999]"),
    ([0.9, 0.999], (0.9, 0.999)), ([0.9, 0.999], "(0.9, 0.999)"), (["a", "b"], "['a', 'b']"), ({"a": 1}, '{"a": 1}'), (1.6e-6, "1.6e-06"),
]  # fmt: skip
DIFFERENT = [
    (1e-3, "0.01"), (16, 32), (True, 1), (True, "1"), (1, True), ("AdamW", "Adam"), ("AdamW", "adamw"), (0.0, "none"), (0.0, None),
    ([0.9, 0.999], [0.9]), ([0.9], 0.9), (float("nan"), "nan"), ("cosine", ""), (1e-3, "1e-3 "[:2]), ("a", "[broken"), ({"a": 1}, {"b": 1}), ({"a": 1}, 1), (1, {"a": 1}), (1000, "1_000"),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "logged"), SAME, ids=repr)
def test_same_value(declared, logged):
    """Text stands for what it prints, float32 for the number that it rounds."""
    assert is_same_value(declared, logged)


@pytest.mark.parametrize(("declared", "logged"), DIFFERENT, ids=repr)
def test_different_value(declared, logged):
    """Other numbers, other words, booleans for numbers, and NaN, which equals nothing."""
    assert not is_same_value(declared, logged)


@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**9), 10**9), st.booleans()))
def test_every_printed_value_is_found_again(value):
    """Trackers that keep ``str(value)`` agree with every number and boolean."""
    assert is_same_value(value, str(value))
    assert is_same_value(value, repr(value))


@given(st.floats(1e-9, 1e9), st.floats(1e-4, 10))
def test_other_numbers_are_found(value, by):
    """A value that differs by 0.01 % or more is never taken for the declared one."""
    assert not is_same_value(value, str(value * (1 + by)))


def test_names_of_trackers():
    """A slash is a dot, nested mappings and lists that were taken apart are found."""
    run = TrainingRun(hyperparameters={"optimizer/lr": 1, "nested": {"a": {"b": 2}}, "betas[0]": 0.9, "betas[1]": 0.99})
    logged = logged_hyperparameters(run)
    assert find_logged(logged, "optimizer.lr", 1, None) == (True, 1)
    assert find_logged(logged, "nested.a.b", 2, None) == (True, 2)
    assert find_logged(logged, "betas", [0.9, 0.99], None) == (True, [0.9, 0.99])
    assert find_logged(logged, "betas", [0.9, 0.99, 1], None) == (False, None)
    assert find_logged(logged, "learning_rate", 1, "optimizer.lr") == (True, 1)
    assert find_logged(logged, "absent", [], None) == (False, None)


def test_numbers_of_trackers():
    """Text that prints a number is one; words and booleans are none."""
    assert [as_number(one) for one in ("1e-3", 2, "cosine", True, None, np.float64(3))] == [
        0.001,
        2,
        None,
        None,
        None,
        3,
    ]
