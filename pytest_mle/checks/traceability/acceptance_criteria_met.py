"""The state of each requirement after the run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_mle.checks.declaration import check
from pytest_mle.checks.traceability.sources import ml_requirements, verifying
from pytest_mle.errors import NotMeasurableError
from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact
from pytest_mle.records.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_mle.checks.traceability.sources import Requirements, Results
    from pytest_mle.records.result import ItemResult
    from pytest_mle.spec.model import Requirement

STATES = ("verified", "failed", "inconclusive", "untested", "partially_verified", "waived")


@check(
    quantities={
        "requirements_verified": exact(
            "{requirement}", "higher", "shown by at least one item, and by all that verify it"
        ),
        "requirements_failed": exact("{requirement}", "lower", "an item that verifies it is FAIL or ERROR"),
        "requirements_inconclusive": exact(
            "{requirement}", "lower", "an item that verifies it is INCONCLUSIVE or PENDING"
        ),
        "requirements_untested": exact("{requirement}", "lower", "no item that verifies it ran"),
        "requirements_partially_verified": exact(
            "{requirement}", "lower", "only items that verify a part of it are green"
        ),
        "requirements_waived": exact("{requirement}", "lower", "green only because a waiver covers an item"),
    },
    derived=True,
)
def acceptance_criteria_met(requirements: Requirements, results: Results) -> Measurement:
    """Count the ML requirements that the run verified, and those it did not.

    Each requirement is in exactly one state; the worst item that verifies it decides.

    Raises
    ------
    NotMeasurableError
        If the spec has no ML requirement.
    """
    ours = ml_requirements(requirements)
    if not ours:
        raise NotMeasurableError("the spec has no ML requirement under `requirements:`, so none can be met")
    states = {one.id: _state(one, verifying(one, results)) for one in ours}
    counts = Counter(states.values())
    findings = [
        Findings.collect(
            f"requirements_{state}",
            (_finding(one, verifying(one, results)) for one in ours if states[one.id] == state),
        )
        for state in STATES[1:]
        if counts[state]
    ]
    return Measurement(
        quantities={f"requirements_{state}": counts[state] for state in STATES}, findings=tuple(findings)
    )


def _state(requirement: Requirement, results: Sequence[ItemResult]) -> str:
    verdicts = {one.verdict for one in results} - {Verdict.NOT_APPLICABLE, Verdict.NOT_SELECTED}
    if verdicts & {Verdict.FAIL, Verdict.ERROR}:
        return "failed"
    if verdicts & {Verdict.INCONCLUSIVE, Verdict.PENDING}:
        return "inconclusive"
    if not verdicts:
        return "untested"
    if Verdict.WAIVED in verdicts:
        return "waived"
    if not any(requirement.id in one.verifies and one.verdict.is_shown for one in results):
        return "partially_verified"
    return "verified"


def _finding(requirement: Requirement, results: Sequence[ItemResult]) -> Finding:
    items = ", ".join(f"{one.name} {one.verdict}" for one in results) or "no item verifies it"
    place = requirement.location
    return Finding(
        items,
        path=None if place is None else place.path,
        line=None if place is None else place.line,
        subject=requirement.id,
    )
