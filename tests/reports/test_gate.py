"""The gate: red items, base practices that nothing shows, runs that were broken off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.gate import base_practice_counts, gate

SHOWN_BP7 = {"base_practice": "MLE.4.BP7"}


def test_all_base_practices_shown_is_green(make_item, make_report):
    """A pass in every claimed base practice opens the gate."""
    report = make_report(make_item("a"), make_item("b", **SHOWN_BP7))
    assert report.gate.is_green
    assert report.gate.reasons == ()


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.WARNING, Verdict.WAIVED])
def test_shown_verdicts_count_for_completeness(make_item, make_report, verdict):
    """PASS, WARNING and WAIVED show a base practice."""
    assert make_report(make_item("a"), make_item("b", verdict, **SHOWN_BP7)).gate.is_green


@pytest.mark.parametrize("verdict", [Verdict.PENDING, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.ERROR])
def test_one_red_item_closes_the_gate(make_item, make_report, verdict):
    """Any red item closes it, though its base practice is shown by another."""
    report = make_report(make_item("a"), make_item("b", verdict), make_item("c", **SHOWN_BP7))
    assert report.gate.reasons == (f"1 of 3 selected items is red: 1 {verdict.value}",)


def test_missing_base_practice_is_named(make_item, make_report):
    """A claimed base practice without items closes the gate and is named with its title."""
    report = make_report(make_item("a"))
    assert not report.gate.is_green
    assert report.gate.reasons == (
        "no item of MLE.4.BP7 (Summarize and communicate agreed ML test results) is shown: the spec has none",
    )


def test_weak_fit_does_not_count(make_item, make_report):
    """A pass of weak fit leaves its base practice unshown."""
    report = make_report(make_item("a"), make_item("b", fit="weak", **SHOWN_BP7))
    assert report.gate.reasons[0].endswith("is shown: 1 PASS (1 of weak fit, which does not count)")


def test_not_applicable_alone_shows_nothing(make_item, make_report):
    """A base practice that is only NOT_APPLICABLE is not shown."""
    report = make_report(make_item("a"), make_item("b", Verdict.NOT_APPLICABLE, **SHOWN_BP7))
    assert [missing.base_practice for missing in report.gate.not_shown] == ["MLE.4.BP7"]


def test_deselection_drops_the_question_of_completeness(make_item, make_report):
    """With deselected items only the selected ones are judged."""
    report = make_report(make_item("a"), make_item("b", Verdict.NOT_SELECTED, **SHOWN_BP7))
    assert report.gate.is_green


def test_nothing_selected_is_red(make_item, make_report):
    """A selection that matches nothing shows nothing."""
    assert make_report(make_item("a", Verdict.NOT_SELECTED)).gate.reasons == (
        "no item was selected, so nothing is shown",
    )
    assert not make_report(processes=()).gate.is_green


def test_problem_of_the_run_is_red(make_item, make_report):
    """An interrupted run is red whatever its items say."""
    report = make_report(make_item("a"), make_item("b", **SHOWN_BP7), problems=("the run was interrupted",))
    assert report.gate.reasons == ("the run was interrupted",)


def test_extension_needs_no_item(make_item, make_report):
    """Extensions are not official, so nobody needs to show them."""
    report = make_report(make_item("a"), make_item("b", **SHOWN_BP7), processes=("MLE.4", "MLE.5"))
    assert report.gate.is_green


def test_claimed_process_without_base_practices_is_red(make_item, make_report):
    """A process that nobody knows cannot be shown."""
    report = make_report(make_item("a"), make_item("b", **SHOWN_BP7), processes=("MLE.4", "MLE.9"))
    assert report.gate.reasons == ("no base practice of MLE.9 is known",)


def test_several_specs_are_judged_apart(make_item, make_report):
    """One spec's pass does not show the base practice of another, and reasons name the spec."""
    one = make_report(make_item("a"), make_item("b", **SHOWN_BP7)).specs[0]
    other = replace(make_report(make_item("a")).specs[0], path="other.yaml")
    report = replace(make_report(), specs=(one, other))
    assert gate(one).is_green
    assert len(report.gate.reasons) == 1
    assert report.gate.reasons[0].startswith("other.yaml: no item of MLE.4.BP7")


def test_counts_include_claimed_base_practices_without_items(make_item, make_report):
    """The table of base practices has a line for what is missing, in the official order."""
    spec = make_report(make_item("a"), make_item("b", Verdict.FAIL), make_item("c", base_practice="X.BP1")).specs[0]
    assert base_practice_counts(spec) == {
        "MLE.4.BP3": {Verdict.FAIL: 1, Verdict.PASS: 1},
        "MLE.4.BP7": {},
        "X.BP1": {Verdict.PASS: 1},
    }
