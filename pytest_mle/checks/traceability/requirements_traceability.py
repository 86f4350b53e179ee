"""Traceability from system requirement to ML requirement to item, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.checks.declaration import check
from pytest_mle.checks.traceability.sources import PARENT_TYPES, ml_requirements, verifying
from pytest_mle.errors import NotMeasurableError
from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_mle.checks.traceability.sources import Requirements, Results
    from pytest_mle.spec.model import Requirement


@check(
    quantities={
        "ml_requirements": exact("{requirement}", "higher", "ML requirements in the spec"),
        "orphan_ml_requirements": exact("{requirement}", "lower", "ML requirements without a parent"),
        "dangling_links": exact("{finding}", "lower", "parents that no requirement of the spec has as its id"),
        "uncovered_parent_requirements": exact(
            "{requirement}", "lower", "parent requirements that no ML requirement refines"
        ),
        "requirements_without_test": exact("{requirement}", "lower", "ML requirements that no item verifies"),
        "items_without_requirement": exact("{item}", "lower", "measuring items that verify no requirement"),
    },
    derived=True,
)
def requirements_traceability(requirements: Requirements, results: Results) -> Measurement:
    """Count the gaps in the chain system requirement, ML requirement, item, in both directions.

    Requirements of ``type`` system, software, software_architecture or stakeholder are parents; all others are ML
    requirements. Automotive SPICE 4.0 asks for it in MLE.1.BP5 (parents) and MLE.4.BP6 (tests).

    Raises
    ------
    NotMeasurableError
        If the spec has no ML requirement: nothing can be traced then.
    """
    ours = ml_requirements(requirements)
    if not ours:
        raise NotMeasurableError("the spec has no ML requirement under `requirements:`, so nothing can be traced")
    parents = [one for one in requirements.values() if one.type in PARENT_TYPES]
    refined = {parent for one in ours for parent in one.parents}
    gaps = {
        "orphan_ml_requirements": _findings((one for one in ours if not one.parents), "has no parent"),
        "dangling_links": [
            _finding(one, f"names the parent {parent}, which is not in the spec")
            for one in requirements.values()
            for parent in one.parents
            if parent not in requirements
        ],
        "uncovered_parent_requirements": _findings(
            (one for one in parents if one.id not in refined), "is refined by no ML requirement"
        ),
        "requirements_without_test": _findings(
            (one for one in ours if not verifying(one, results)), "is verified by no item"
        ),
        "items_without_requirement": [
            Finding("verifies no requirement", path=one.path, line=one.line, subject=one.name)
            for one in results
            if one.check is not None and not one.verifies and not one.partially_verifies
        ],
    }
    return Measurement(
        quantities={"ml_requirements": len(ours), **{name: len(found) for name, found in gaps.items()}},
        findings=tuple(Findings.collect(name, found) for name, found in gaps.items() if found),
    )


def _findings(requirements: Iterable[Requirement], message: str) -> list[Finding]:
    return [_finding(one, message) for one in requirements]


def _finding(requirement: Requirement, message: str) -> Finding:
    place = requirement.location
    return Finding(
        message,
        path=None if place is None else place.path,
        line=None if place is None else place.line,
        subject=requirement.id,
    )
