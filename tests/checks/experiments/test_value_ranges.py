"""Ranges, and what is none."""

from __future__ import annotations

import pytest

from pytest_mle.checks.experiments.value_ranges import read_range


@pytest.mark.parametrize(
    ("declared", "inside", "outside"),
    [
        ([0.1, 1], [0.1, 0.5, 1], [0.0999, 1.1, "0.5", None, True, float("nan")]),
        ({"min": 1, "max": 3}, [1, 2, 3], [0, 4]),
        ({"choices": ["SGD", "AdamW"]}, ["SGD", "AdamW"], ["Adam", None]),
        ({"choices": [8, 16]}, [8, 16.0], [12, None]),
    ],
)
def test_range_by_hand(declared, inside, outside):
    """Both ends belong to a range; text, NaN and booleans are in none."""
    within = read_range(declared)
    assert all(value in within for value in inside)
    assert not any(value in within for value in outside)


@pytest.mark.parametrize(
    "declared",
    [
        *(None, "0.1-1", 3, [], [1], [1, 2, 3], [2, 1], [1, 1], ["1", "2"], [0, float("inf")], [float("nan"), 1]),
        *(
            {},
            {"min": 1},
            {"max": 1, "min": 2},
            {"choices": []},
            {"choices": [1]},
            {"choices": "ab"},
            {"low": 1, "high": 2},
        ),
        *([True, False], {"choices": [1, None]}),
    ],
    ids=repr,
)
def test_what_is_no_range_says_why(declared):
    """An open, reversed or empty range is a text that explains itself."""
    assert isinstance(read_range(declared), str)


def test_shown_to_people():
    """A finding shows the range as it is meant."""
    assert str(read_range([0.0001, 1])) == "[0.0001, 1]"
    assert str(read_range({"choices": ["a", "b"]})) == "one of a, b"
