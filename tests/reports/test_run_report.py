"""The data behind every report: plan first, results second; strict JSON and back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.errors import Location, MleError
from pytest_mle.records.result import QuantityResult
from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.run_report import (
    report_from_json,
    report_text,
    report_to_json,
    spec_report,
    strict_text,
)
from pytest_mle.spec.model import BasePractice, PlannedItem, Policy, Project, Spec

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


@pytest.fixture
def spec() -> Spec:
    """Return a plan of three items."""
    planned = [
        PlannedItem(name, name, f"Title {name}", "MLE.4", "MLE.4.BP3", location=Location("mle.yaml", line))
        for line, name in enumerate("abc", start=10)
    ]
    return Spec(
        path=Path("/repo/mle.yaml"),
        root=Path("/repo"),
        project=Project("P", "1", "C"),
        policy=Policy(seed=7, confidence=0.9),
        processes=("MLE.4",),
        base_practices={"MLE.4.BP3": BasePractice("MLE.4.BP3", "Evaluate", "MLE.4")},
        process_titles={"MLE.4": "Testing"},
        inputs={},
        defaults={},
        requirements={},
        items=tuple(planned),
        files={"mle.yaml": "ab"},
    )


def test_plan_decides_what_is_reported(spec, make_item):
    """An item that never reported is ERROR, a deselected one NOT_SELECTED, and the order is the plan's."""
    report = spec_report(spec, "mle.yaml", {"c": [make_item("c")]}, {"b"})
    assert [(item.name, item.verdict) for item in report.items] == [
        ("a", Verdict.ERROR),
        ("b", Verdict.NOT_SELECTED),
        ("c", Verdict.PASS),
    ]
    assert "never reported" in report.items[0].reasons[0]
    assert (report.items[0].path, report.items[0].line) == ("mle.yaml", 10)


def test_variants_of_a_fixture_are_all_reported(spec, make_item):
    """An item with a parametrized fixture has a result per variant; none hides another."""
    results = {"a": [make_item("a[seed1]"), make_item("a[seed2]", Verdict.FAIL)]}
    names = [item.name for item in spec_report(spec, "mle.yaml", results, {"b", "c"}).items]
    assert names == ["a[seed1]", "a[seed2]", "b", "c"]


def test_unplanned_result_is_an_error(spec, make_item):
    """A pass that no plan asked for does not pass, and is not lost."""
    report = spec_report(spec, "mle.yaml", {"x": [make_item("x")]}, {"a", "b", "c"})
    assert report.items[-1].name == "x"
    assert report.items[-1].verdict is Verdict.ERROR


def test_report_survives_json(every_verdict):
    """What is written can be read back without loss."""
    text = report_text(every_verdict)
    assert report_from_json(json.loads(text, parse_constant=pytest.fail)) == every_verdict


def test_json_tells_the_gate(every_verdict):
    """Other readers find the gate, its reasons and the counts without working them out."""
    data = report_to_json(every_verdict)
    assert data["format_version"] == 1
    assert data["gate"]["is_green"] is False
    assert data["gate"]["not_shown"] == ["MLE.4.BP7"]
    assert data["specs"][0]["base_practice_counts"]["MLE.4.BP7"] == {}


def test_json_equals_golden(every_verdict, golden):
    """The layout of results.json is a contract with its readers."""
    golden("results.json", report_text(every_verdict) + "\n")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_cannot_hold_come_back(make_item, make_report, value):
    """An infinite bound or a NaN is a string in the file and a number again after reading."""
    report = make_report(make_item("a", quantities=(QuantityResult("q", value, "s", "estimate", upper=value),)))
    text = report_text(report)
    again = report_from_json(json.loads(text, parse_constant=pytest.fail))
    assert repr(again.specs[0].items[0].quantities) == repr(report.specs[0].items[0].quantities)


@settings(max_examples=50, deadline=None)
@given(ANY_TEXT, ANY_TEXT)
def test_hostile_text_survives_json(make_item, make_report, name, text):
    """Any text is strict UTF-8 JSON; only lone surrogates are written differently."""
    report = make_report(make_item(name, reasons=(text,), parameters={text: text}))
    content = report_text(report).encode("utf-8")
    again = report_from_json(json.loads(content)).specs[0].items[0]
    assert again.name == name.encode("utf-8", "backslashreplace").decode()


def test_strict_text_takes_what_options_hold():
    """Numpy's scalars stay numbers; paths become text; keys become text."""
    value = {1: np.float32(0.5), "n": np.int64(3), "p": Path("a/b"), "t": (True, None, np.float64("inf"))}
    assert json.loads(strict_text(value)) == {"1": 0.5, "n": 3, "p": "a/b", "t": [True, None, "Infinity"]}


def test_other_format_version_is_refused(every_verdict):
    """A file of another format is not half understood."""
    with pytest.raises(MleError, match="format version 2"):
        report_from_json({**report_to_json(every_verdict), "format_version": 2})


@pytest.mark.parametrize("missing", ["specs", "problems", "started"])
def test_incomplete_data_is_refused(every_verdict, missing):
    """A truncated or edited file is told, not filled up with defaults."""
    data = report_to_json(every_verdict)
    del data[missing]
    with pytest.raises(MleError, match="incomplete"):
        report_from_json(data)
