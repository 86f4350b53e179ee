"""Tests of cutting units into slices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle.checks.slices.partition import partition_by
from pytest_mle.errors import InputError

NAN, INF = float("nan"), float("inf")


def test_categories_and_missing_values():
    """Each value is a slice; None and NaN are the slice of the missing; 2 and 2.0 are one value."""
    parts = partition_by("lanes", [2, None, 2.0, "x", NAN, INF])
    assert parts.names == ("lanes=2", "lanes=x", "lanes=(missing)")
    assert parts.cell.tolist() == [0, 2, 0, 1, 2, 2]


def test_no_value_at_all_is_one_missing_slice():
    """An attribute that nobody filled in makes no slice but the missing one."""
    parts = partition_by("fog", [None, NAN])
    assert (parts.names, parts.cell.tolist()) == (("fog=(missing)",), [0, 0])


def test_named_ranges_with_an_empty_one_and_an_outside():
    """Lower limits belong to a range, upper ones to the next; an empty range stays, an empty outside goes."""
    parts = partition_by("distance_m", [0.0, 10, 19.9, 60, NAN], edges=[0, 10, 20, 50])
    assert parts.names == (
        "distance_m in [0, 10)",
        "distance_m in [10, 20)",
        "distance_m in [20, 50)",
        "distance_m >= 50",
        "distance_m=(missing)",
    )
    assert parts.cell.tolist() == [0, 1, 1, 3, 4]
    below = partition_by("x", [-1, 5], edges=[0, 10])
    assert (below.names, below.cell.tolist()) == (("x < 0", "x in [0, 10)"), [0, 1])


@pytest.mark.parametrize("edges", [[3], [2, 1], [0, 0], [0, NAN]])
def test_limits_must_ascend(edges):
    """Ranges that overlap or have no width are refused."""
    with pytest.raises(InputError, match="ascending numbers"):
        partition_by("x", [1, 2], edges=edges)


def test_ranges_need_numbers():
    """Text cannot be compared with a limit."""
    with pytest.raises(InputError, match="need numbers"):
        partition_by("x", [1, "near"], edges=[0, 1])


def test_many_numbers_are_cut_into_ranges_of_equal_size():
    """More than 10 distinct numbers make four ranges that hold a quarter each."""
    parts = partition_by("height", list(range(100)))
    assert parts.names[0].startswith("height in [0, ")
    assert parts.names[-1].endswith(", 99]")
    assert np.bincount(parts.cell).max() <= 26
    assert np.bincount(parts.cell).min() >= 24
    assert len(partition_by("flag", [True, False] * 20).names) == 2


def test_two_attributes_make_all_combinations():
    """Also those that no unit is in."""
    both = partition_by("a", ["x", "y"]).crossed_with(partition_by("b", [1, 2]))
    assert both.names == ("a=x & b=1", "a=x & b=2", "a=y & b=1", "a=y & b=2")
    assert both.cell.tolist() == [0, 3]


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-5, 5), st.sampled_from("ab")), min_size=1))
def test_every_unit_is_in_one_slice(values):
    """Whatever the values are, each unit has a slice, and none is empty unless ranges were named."""
    parts = partition_by("x", values)
    assert len(parts.cell) == len(values)
    assert sorted(set(parts.cell.tolist())) == list(range(len(parts.names)))
    assert len(set(parts.names)) == len(parts.names)
