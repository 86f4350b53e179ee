"""Tests of what is written back to an MLflow run."""

from __future__ import annotations

from dataclasses import replace

from pytest_mle.records.result import QuantityResult
from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.mlflow_run import metrics_of, tags_of

ACCURACY = QuantityResult("fgsm_accuracy", 0.753, "1", "estimate", 0.721, 0.783, 0.95, 1812, "Clopper-Pearson")


def test_quantities_are_metrics(make_item, make_report):
    """Each measured quantity has a name that MLflow takes; one that was not measured has none."""
    unknown = QuantityResult("other", None, "1", "exact")
    report = make_report(make_item("A-1[rain]", quantities=(ACCURACY, unknown)), make_item("A-2"))

    assert metrics_of(report) == {"mle.A-1_rain_.fgsm_accuracy": 0.753}


def test_verdicts_are_tags(make_item, make_report):
    """Each item has its verdict, the run its gate, time and specs."""
    tags = tags_of(make_report(make_item("A-1"), make_item("A-2", Verdict.FAIL)))

    assert (tags["mle.verdict.A-1"], tags["mle.verdict.A-2"], tags["mle.gate"]) == ("PASS", "FAIL", "RED")
    assert tags["mle.spec"] == "specs/mle.yaml"
    assert all(isinstance(value, str) for value in tags.values())


def test_items_of_several_specs_do_not_collide(make_item, make_report):
    """With more than one spec, each stands in front of its items."""
    one = make_report(make_item("A-1"))
    other = make_report(make_item("A-1", Verdict.FAIL), path="other.yaml")
    tags = tags_of(replace(one, specs=(*one.specs, *other.specs)))

    assert tags["mle.specs/mle.yaml/verdict.A-1"] == "PASS"
    assert tags["mle.other.yaml/verdict.A-1"] == "FAIL"


def test_long_names_are_cut(make_item, make_report):
    """MLflow takes keys of 250 characters."""
    assert max(map(len, tags_of(make_report(make_item("A" * 1000))))) == 250
