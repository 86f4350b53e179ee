"""Wording of decisions, where it depends on what is missing or unusual."""

from __future__ import annotations

import pytest

from pytest_mle.records.result import CriterionResult, EvidenceResult, QuantityResult
from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.decision import decision_text, evidence_line, headline, measured, quantity_text, reproduce


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("MLE4-2.2-01", "pytest '--mle-spec=my spec.yaml' -k MLE4-2.2-01"),
        ("MLE4-2.2-01[rain]", "pytest '--mle-spec=my spec.yaml' -k 'MLE4-2.2-01[rain]'"),
        ("a; rm -rf", "pytest '--mle-spec=my spec.yaml' 's.yaml::a; rm'"),
        ("not", "pytest '--mle-spec=my spec.yaml' 's.yaml::a; rm'"),
    ],
)
def test_command_runs_the_item_alone(make_item, make_report, name, command):
    """Names that `-k` cannot take are given by node id, and nothing in a name is run by the shell."""
    item = make_item(name, node_id="s.yaml::a; rm")
    assert reproduce(item, make_report(item, path="my spec.yaml").specs[0]) == command


def test_what_was_not_measured_is_said(make_item):
    """A missing value is called so, never shown as a number."""
    criterion = CriterionResult("q < 1", Verdict.INCONCLUSIVE, "q was not measured", "q")
    assert measured(criterion, make_item(criteria=(criterion,))) == "not measured"
    assert quantity_text(QuantityResult("q", None, "1", "estimate")) == "not measured"


def test_headline_is_what_decided(make_item):
    """Of a failed item with a breached advice and signed evidence, the failed criterion is told first."""
    advice = CriterionResult("a < 1", Verdict.WARNING, "a is 2", "a", is_advisory=True)
    failed = CriterionResult("b < 1", Verdict.FAIL, "b is 3", "b")
    assert headline(make_item("x", Verdict.FAIL, criteria=(advice, failed), reasons=("a is 2", "b is 3"))) == "b is 3"
    assert (
        headline(make_item("x", Verdict.ERROR, reasons=("\nInputError: no file\n  line 2",))) == "InputError: no file"
    )
    owed = EvidenceResult("file a.md", Verdict.PENDING, "file a.md awaits a sign-off")
    assert headline(make_item("x", Verdict.PENDING, evidence=(owed,))) == "file a.md awaits a sign-off"


def test_evidence_is_named_once():
    """Evidence whose reason does not name it is named before."""
    assert (
        evidence_line(EvidenceResult("file a.md", Verdict.PASS, "signed by X"))
        == "evidence PASS: file a.md: signed by X"
    )
    assert evidence_line(EvidenceResult("file a.md", Verdict.PENDING, "file a.md is empty")).count("file a.md") == 1


def test_green_evidence_of_a_failed_item_is_told(make_item, make_report):
    """The reader of a failure sees what was accepted as well."""
    signed = EvidenceResult("file a.md", Verdict.PASS, "signed by X")
    item = make_item("x", Verdict.FAIL, evidence=(signed,), where={"weather": "rain"}, partially_verifies=("R-2",))
    text = decision_text(item, make_report(item).specs[0])
    for told in ("evidence PASS: file a.md: signed by X", "where: weather = rain", "partially verifies: R-2"):
        assert told in text
