"""Traceability and the state of requirements, by hand."""

from __future__ import annotations

import pytest

from pytest_mle.checks.traceability.acceptance_criteria_met import acceptance_criteria_met
from pytest_mle.checks.traceability.requirements_traceability import requirements_traceability
from pytest_mle.errors import Location, NotMeasurableError
from pytest_mle.records.result import ItemResult
from pytest_mle.records.verdict import Verdict
from pytest_mle.spec.model import Requirement


def requirement(identifier, parents=("SYS-1",), kind=None):
    """Return a requirement at a line of its own."""
    return Requirement(identifier, "text", parents=parents, type=kind, location=Location("spec.yaml", 7))


def result(name, verdict=Verdict.PASS, full=(), partial=(), check="model_size"):
    """Return a result that verifies requirements."""
    return ItemResult(
        name=name, item=name, title=name, process="MLE.4", base_practice="MLE.4.BP3", verdict=verdict,
        verifies=tuple(full), partially_verifies=tuple(partial), check=check, path="spec.yaml", line=9,
    )  # fmt: skip


def by_id(*requirements):
    """Return requirements by id."""
    return {one.id: one for one in requirements}


SYSTEM = requirement("SYS-1", parents=(), kind="system")


def test_complete_chain_has_no_gap():
    """System requirement, ML requirement and item: nothing is missing."""
    measured = requirements_traceability(by_id(SYSTEM, requirement("R-1")), [result("A", full=["R-1"])])
    assert measured.quantities == {
        "ml_requirements": 1,
        "orphan_ml_requirements": 0,
        "dangling_links": 0,
        "uncovered_parent_requirements": 0,
        "requirements_without_test": 0,
        "items_without_requirement": 0,
    }
    assert measured.findings == ()


def test_each_gap_is_counted_and_named():
    """Orphan, dangling, uncovered, untested and an item without requirement: one of each, with its place."""
    requirements = by_id(
        SYSTEM,
        requirement("SYS-2", parents=(), kind="system"),
        requirement("R-1"),
        requirement("R-2", parents=()),
        requirement("R-3", parents=("SYS-9",)),
    )
    results = [result("A", full=["R-1"]), result("B", partial=["R-2"]), result("C"), result("D", check=None)]
    measured = requirements_traceability(requirements, results)
    assert measured.quantities == {
        "ml_requirements": 3,
        "orphan_ml_requirements": 1,
        "dangling_links": 1,
        "uncovered_parent_requirements": 1,
        "requirements_without_test": 1,
        "items_without_requirement": 1,
    }
    shown = {one.kind: [finding.subject for finding in one.shown] for one in measured.findings}
    assert shown == {
        "orphan_ml_requirements": ["R-2"],
        "dangling_links": ["R-3"],
        "uncovered_parent_requirements": ["SYS-2"],
        "requirements_without_test": ["R-3"],
        "items_without_requirement": ["C"],
    }


@pytest.mark.parametrize("check", [requirements_traceability, acceptance_criteria_met])
@pytest.mark.parametrize("requirements", [{}, by_id(SYSTEM)])
def test_no_ml_requirement_shows_nothing(check, requirements):
    """Without ML requirements there is nothing to trace or to meet."""
    with pytest.raises(NotMeasurableError, match="no ML requirement"):
        check(requirements, [result("A")])


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ([Verdict.PASS], "verified"),
        ([Verdict.WARNING], "verified"),
        ([Verdict.PASS, Verdict.FAIL], "failed"),
        ([Verdict.PASS, Verdict.ERROR], "failed"),
        ([Verdict.INCONCLUSIVE, Verdict.FAIL], "failed"),
        ([Verdict.PASS, Verdict.INCONCLUSIVE], "inconclusive"),
        ([Verdict.PASS, Verdict.PENDING], "inconclusive"),
        ([], "untested"),
        ([Verdict.NOT_APPLICABLE], "untested"),
        ([Verdict.NOT_SELECTED, Verdict.NOT_APPLICABLE], "untested"),
        ([Verdict.PASS, Verdict.WAIVED], "waived"),
    ],
)
def test_worst_item_decides(verdicts, state):
    """A requirement is in exactly one state, and the worst item that verifies it decides."""
    results = [result(f"A-{place}", verdict, full=["R-1"]) for place, verdict in enumerate(verdicts)]
    measured = acceptance_criteria_met(by_id(SYSTEM, requirement("R-1")), results)
    assert {name for name, count in measured.quantities.items() if count} == {f"requirements_{state}"}


def test_parts_alone_do_not_verify_the_whole():
    """Green items that verify a part of a requirement leave it partially verified."""
    requirements = by_id(SYSTEM, requirement("R-1"))
    parts = [result("A", partial=["R-1"]), result("B", partial=["R-1"])]
    assert acceptance_criteria_met(requirements, parts).quantities["requirements_partially_verified"] == 1
    whole = [*parts, result("C", full=["R-1"])]
    assert acceptance_criteria_met(requirements, whole).quantities["requirements_verified"] == 1


def test_finding_names_items_and_verdicts():
    """A requirement that is not met says which items decided and where it stands."""
    measured = acceptance_criteria_met(by_id(SYSTEM, requirement("R-1")), [result("A", Verdict.FAIL, full=["R-1"])])
    assert str(measured.findings[0].shown[0]) == "spec.yaml:7: R-1: A FAIL"
