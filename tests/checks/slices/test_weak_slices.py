"""Tests of the search for weak slices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from pytest_mle.checks.cluster_intervals import ClusterCounts
from pytest_mle.checks.slices.partition import partition_by
from pytest_mle.checks.slices.weak_slices import (
    Outcomes,
    hypergeometric_tail,
    search_weak_slices,
    too_small,
    worse_than,
)


def _independent(wrong, units):
    events = np.zeros(units)
    events[:wrong] = 1
    return ClusterCounts(events, np.ones(units))


@pytest.mark.parametrize(("marked_drawn", "drawn", "marked", "total"), [(3, 10, 5, 40), (0, 4, 2, 9), (7, 8, 7, 200)])
def test_tail_is_that_of_scipy(marked_drawn, drawn, marked, total):
    """The hypergeometric tail equals scipy's survival function."""
    expected = scipy.stats.hypergeom.sf(marked_drawn - 1, total, marked, drawn)
    assert hypergeometric_tail(marked_drawn, drawn, marked, total) == pytest.approx(expected)


def test_independent_units_are_fishers_exact_test():
    """8 errors of 20 against 5 of 50, as scipy's one-sided exact test has it."""
    expected = scipy.stats.fisher_exact([[8, 12], [5, 45]], alternative="greater").pvalue
    assert worse_than(_independent(8, 20), _independent(5, 50)) == pytest.approx(expected)
    assert worse_than(_independent(0, 20), _independent(5, 50)) == 1


def test_errors_of_one_sequence_are_weak_evidence():
    """Twenty errors together in one of ten sequences of 20 say less than twenty independent ones."""
    together = ClusterCounts(np.array([20.0] + [0.0] * 9), np.full(10, 20.0))
    elsewhere = ClusterCounts(np.zeros(40), np.full(40, 20.0))
    assert worse_than(_independent(20, 200), _independent(0, 800)) < 1e-6
    assert worse_than(together, elsewhere) > 0.01


def _attributes(rng, images):
    return {
        "weather": rng.choice(["clear", "rain", "fog"], images, p=[0.6, 0.25, 0.15]).tolist(),
        "lighting": rng.choice(["day", "night"], images, p=[0.7, 0.3]).tolist(),
        "speed": rng.uniform(0, 30, images).tolist(),
    }


def _search(is_wrong, attributes, cluster, **options):
    partitions = [partition_by(name, values) for name, values in attributes.items()]
    return search_weak_slices(Outcomes(is_wrong, cluster), partitions, **{"minimum_slice": 30, **options})


def test_a_planted_pair_is_found_though_nobody_named_it():
    """Only rain at night is bad: the pair leads the list, and slices without it are not weak."""
    rng = np.random.default_rng(3)
    attributes = _attributes(rng, 3000)
    is_pair = (np.array(attributes["weather"]) == "rain") & (np.array(attributes["lighting"]) == "night")
    is_wrong = rng.random(3000) < np.where(is_pair, 0.4, 0.05)
    weak = [one for one in _search(is_wrong, attributes, np.arange(3000)) if one.p_value <= 0.05]
    assert "weather=rain & lighting=night" in [one.name for one in weak]
    assert not any("clear" in one.name or "day" in one.name or "fog" in one.name for one in weak)
    assert weak[0].p_value < 1e-6


def test_a_weak_attribute_does_not_make_its_pairs_weak():
    """Night is bad in every weather alike: night is found, and no pair with it."""
    rng = np.random.default_rng(4)
    attributes = _attributes(rng, 3000)
    is_wrong = rng.random(3000) < np.where(np.array(attributes["lighting"]) == "night", 0.3, 0.05)
    weak = [one.name for one in _search(is_wrong, attributes, np.arange(3000)) if one.p_value <= 0.05]
    assert weak == ["lighting=night"]


@pytest.mark.parametrize("frames", [1, 10])
def test_no_false_alarm_where_there_is_no_weak_slice(frames):
    """In 100 test sets without a weak slice, independent or in sequences that are good or bad, at most 5 alarms."""
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng([seed, frames])
        sequences = 600 // frames
        # A sequence has one weather and one kind of light, and its frames are right or wrong together.
        attributes = {name: np.repeat(values, frames).tolist() for name, values in _attributes(rng, sequences).items()}
        rate = np.repeat(rng.beta(0.5, 4.5, sequences), frames) if frames > 1 else 0.1
        is_wrong = rng.random(600) < rate
        searched = _search(is_wrong, attributes, np.repeat(np.arange(sequences), frames))
        assert len(searched) > 5
        alarms += searched[0].p_value <= 0.05
    assert alarms <= 5


def test_small_slices_and_single_sequences_are_not_compared():
    """What is below the minimum, or one sequence alone, is left out; nothing to compare is an empty list."""
    values = {"a": ["x"] * 20 + ["y"] * 80}
    wrong = np.arange(100) % 2 == 0
    assert [one.name for one in _search(wrong, values, np.arange(100))] == ["a=y"]
    assert _search(wrong, values, np.zeros(100, dtype=np.int64)) == []
    assert _search(wrong, {"a": ["x"] * 100}, np.arange(100)) == []
    assert too_small(_independent(3, 30), 30, "objects") is None
    assert too_small(_independent(3, 29), 30, "objects") == "29 objects, at least 30 are needed"
    one_sequence = ClusterCounts(np.array([5.0, 0.0]), np.array([50.0, 0.0]))
    assert too_small(one_sequence, 30, "objects") == "50 objects, all of one sequence"


def test_no_pairs_if_they_are_not_wanted():
    """``pairs=False`` compares slices of one attribute only."""
    rng = np.random.default_rng(0)
    searched = _search(rng.random(900) < 0.1, _attributes(rng, 900), np.arange(900), pairs=False)
    assert not any("&" in one.name for one in searched)
