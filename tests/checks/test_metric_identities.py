"""Metrics of one evaluation contradict each other or do not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle.checks.metric_identities import contradictions


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        ({"recall": 0.971, "false_negative_rate": 0.008}, ["false_negative_rate is 0.8 %, but 1 - recall = 2.9 % "]),
        ({"recall": 0.971, "false_negative_rate": 0.03}, []),
        ({"recall": 0.971, "false_negative_rate": 0.0312}, ["false_negative_rate is 3.12 %"]),
        ({"precision": 0.5, "recall": 1.0, "f1": 0.667}, []),
        ({"precision": 0.5, "recall": 1.0, "f1": 0.75}, ["f1 is 75 %, but 2 precision recall / (precision + recall)"]),
        ({"precision": 0.0, "recall": 0.0, "f1": 0.0}, []),
        ({"recall": 0.8, "true_positives": 90, "false_negatives": 10}, ["recall is 80 %, but true_positives / "]),
        ({"precision": 0.9, "true_positives": 90, "false_positives": 10}, []),
        ({"precision": 0.9, "true_positives": 0, "false_positives": 0}, ["precision is 90 %"]),
        ({"recall": math.nan, "false_negative_rate": 0.1}, ["false_negative_rate is 10 %"]),
        ({"recall": 0.971}, []),
        ({}, []),
    ],
)
def test_contradictions_are_found(values, reasons):
    """Each identity holds within a tenth of a percent, or is told with both sides."""
    found = [one.reason for one in contradictions(values)]
    assert len(found) == len(reasons)
    assert all(reason in told for reason, told in zip(reasons, found, strict=True))


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.integers(0, 10_000))
def test_what_follows_from_counts_is_consistent(hits, false_alarms, misses):
    """Metrics of any counts, each rounded to a tenth of a percent, never contradict each other."""
    precision, recall = hits / (hits + false_alarms), hits / (hits + misses)
    values = {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall),
        "false_negative_rate": misses / (hits + misses),
    }
    counts = {"true_positives": hits, "false_positives": false_alarms, "false_negatives": misses}
    assert not list(contradictions({name: round(value, 3) for name, value in values.items()} | counts))
