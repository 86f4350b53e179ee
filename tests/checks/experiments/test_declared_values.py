"""What declares a value and what only looks like one."""

from __future__ import annotations

import pytest

from pytest_mle.checks.experiments.declared_values import (
    is_none_word,
    is_number_as_text,
    leaves,
    why_no_hyperparameter,
    why_undeclared,
)

NOTHING = [
    *(
        None,
        "",
        "  ",
        "''",
        {},
        [],
        float("nan"),
        float("inf"),
        "TBD",
        "tbd.",
        "_TBD_",
        "**TODO**",
        "To do",
        "n/a",
        "N.A.",
    ),
    *(
        "TODO: ask the data team",
        "- TBD (see ticket)",
        "???",
        "...",
        "…",
        "<fill in>",
        "<model version>",
        "${VERSION}",
        "{{ x }}",
    ),
    *("to be defined", "FIXME", "unknown", "xxx", "-", "[...]", "[insert text]", "TBC", "null", "NaN"),
]
SOMETHING = [
    0,
    0.0,
    -1,
    False,
    True,
    "none",
    "AdamW",
    "no",
    "cosine",
    [0.9],
    {"a": 1},
    "tbdnet",
    "Today",
    "a-b",
    "1.0.0",
    "x",
]


@pytest.mark.parametrize("value", NOTHING, ids=repr)
def test_nothing_is_declared(value):
    """Empty, not finite, or a placeholder in any of its usual spellings."""
    assert why_undeclared(value)


@pytest.mark.parametrize("value", SOMETHING, ids=repr)
def test_something_is_declared(value):
    """Zero, false and short words are values; so is what only begins like a placeholder."""
    assert why_undeclared(value) is None


@pytest.mark.parametrize(
    "text",
    [
        "250,000",
        "1e-7",
        "0.001",
        "-3",
        "5,000 images (front camera)",
        "5 %",
        "12 epochs",
        "1_000",
        "3,5",
        ".5",
        "1 000",
    ],
)
def test_number_written_as_text(text):
    """J1: what a program reads as text although it is a number for people."""
    assert is_number_as_text(text)
    assert "no number" in why_no_hyperparameter(text)


@pytest.mark.parametrize("text", ["1cycle", "2.1.0", "v3", "12:30", "3x3", "3 x 3", "cosine", "+", "e-7", "2025-01-20"])
def test_text_that_has_digits(text):
    """Names, versions, times and shapes are text."""
    assert not is_number_as_text(text)
    assert why_no_hyperparameter(text) is None


def test_words_for_not_used():
    """Only words and false state that something is not used; null and zero do not."""
    assert all(map(is_none_word, ["none", "Off", " disabled ", False]))
    assert not any(map(is_none_word, [None, 0, "", "nonesuch"]))


def test_leaves_have_dotted_names():
    """Mappings by name, lists by position, empty ones as a value."""
    assert dict(leaves({"a": {"b": 1, "c": []}, "d": [2, {"e": 3}]}, "")) == {
        "a.b": 1,
        "a.c": [],
        "d[0]": 2,
        "d[1].e": 3,
    }
