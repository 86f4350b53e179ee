"""Put into words how an item was decided: for JUnit readers and for the terminal."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from pytest_mle.records.verdict import Verdict
from pytest_mle.spec.criteria import unit_as_written
from pytest_mle.spec.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mle.records.finding import Findings
    from pytest_mle.records.result import CriterionResult, EvidenceResult, ItemResult, QuantityResult
    from pytest_mle.reports.run_report import SpecReport

FINDINGS_IN_JUNIT = 20
# What pytest's `-k` takes for one name; other names are given by node id.
_SELECTABLE = re.compile(r"(?!(?:and|or|not)$)[\w:+\-.\[\]\\/]+")


def headline(item: ItemResult) -> str:
    """Say in one line what decided the item."""
    for criterion in item.criteria:
        if criterion.verdict is item.verdict and criterion.reason:
            return _first_line(criterion.reason)
    for evidence in item.evidence:
        if evidence.verdict is item.verdict and evidence.reason:
            return _first_line(evidence.reason)
    return _first_line(item.reasons[0]) if item.reasons else item.title


def other_reasons(item: ItemResult) -> list[str]:
    """Return the reasons that neither a criterion nor a validity condition nor a piece of evidence repeats."""
    told = {criterion.reason for criterion in item.criteria} | {evidence.reason for evidence in item.evidence}
    return [
        reason
        for reason in item.reasons
        if reason not in told and not any(one.name in reason for one in item.validity if not one.holds)
    ]


def measured(criterion: CriterionResult, item: ItemResult) -> str:
    """Say what was measured, which bound decided and how many units it rests on."""
    if criterion.measured is None:
        return "not measured"
    kind = next((one.kind for one in item.quantities if one.name == criterion.quantity), None)
    written_in = unit_as_written(criterion.text)
    shown = format_value(criterion.measured, criterion.unit, kind=kind, name=criterion.quantity, written_in=written_in)
    parts = [f"measured {shown}"]
    if criterion.decided_by:
        parts.append(f"decided by {criterion.decided_by}")
    if criterion.n is not None:
        parts.append(f"n = {criterion.n}")
    return ", ".join(parts)


def quantity_text(quantity: QuantityResult) -> str:
    """Say a value with its interval: ``75.3 % (72.1 % to 78 % at 95 % confidence, n = 1812, Clopper-Pearson)``."""
    if quantity.value is None:
        return "not measured"

    def shown(value: float) -> str:
        return format_value(value, quantity.unit, kind=quantity.kind, name=quantity.name)

    details = []
    if quantity.lower is not None and quantity.upper is not None:
        at = "" if quantity.confidence is None else f" at {100 * quantity.confidence:g} % confidence"
        details.append(f"{shown(quantity.lower)} to {shown(quantity.upper)}{at}")
    if quantity.n is not None:
        details.append(f"n = {quantity.n}")
    if quantity.method:
        details.append(quantity.method)
    return shown(quantity.value) + (f" ({', '.join(details)})" if details else "")


def findings_lines(findings: Findings, limit: int) -> list[str]:
    """Return the first offenders, headed by how many there are."""
    shown = [f"  {finding}" for finding in findings.shown[:limit]]
    more = findings.total - len(shown)
    return [f"{findings.kind}: {findings.total} found", *shown, *([f"  ... and {more} more"] if more > 0 else [])]


def place(item: ItemResult, spec: SpecReport) -> str:
    """Name the line of the spec that the item stands in."""
    path = item.path or spec.path
    return path if item.line is None else f"{path}:{item.line}"


def reproduce(item: ItemResult, spec: SpecReport) -> str:
    """Return the command that runs this item alone."""
    command = f"pytest {shlex.quote(f'--mle-spec={spec.path}')}"
    if _SELECTABLE.fullmatch(item.name):
        return f"{command} -k {shlex.quote(item.name)}"
    return f"{command} {shlex.quote(item.node_id)}" if item.node_id else command


def base_practice_line(item: ItemResult, spec: SpecReport) -> str:
    """Name the base practice with its title, and say where it is an extension or the fit is weak."""
    title, is_official = base_practice_title(spec, item.base_practice)
    text = f"{item.base_practice} {title}".rstrip()
    if not is_official:
        text += " (extension, not part of Automotive SPICE 4.0)"
    return text + (" (weak fit, not counted for completeness)" if item.fit == "weak" else "")


def base_practice_title(spec: SpecReport, base_practice: str) -> tuple[str, bool]:
    """Return the title and whether the base practice is an official one."""
    for known in spec.base_practices:
        if known.id == base_practice:
            return known.title, known.is_official
    return "", False


def decision_text(item: ItemResult, spec: SpecReport) -> str:
    """Tell the whole decision, the reason first: what GitLab and Jenkins show for a test case."""
    decided_by = headline(item)
    rest = (line for line in _decision_lines(item, spec) if line != decided_by)
    return "\n".join((f"{item.verdict.value}: {decided_by}", "", *rest))


def _decision_lines(item: ItemResult, spec: SpecReport) -> Iterator[str]:
    yield f"{item.name} {item.title}"
    yield base_practice_line(item, spec)
    yield from other_reasons(item)
    if item.criteria:
        yield ""
    for criterion in item.criteria:
        yield from _criterion_lines(criterion, item)
    yield from unmet(item)
    for evidence in item.evidence:
        if not evidence.verdict.is_red:
            yield evidence_line(evidence)
    if any(findings.total for findings in item.findings):
        yield ""
    for findings in item.findings:
        if findings.total:
            yield from findings_lines(findings, FINDINGS_IN_JUNIT)
    yield ""
    yield from context_lines(item)
    yield f"spec: {place(item, spec)}"
    yield f"reproduce: {reproduce(item, spec)}"


def _criterion_lines(criterion: CriterionResult, item: ItemResult) -> Iterator[str]:
    advisory = " (advisory)" if criterion.is_advisory else ""
    yield f"criterion {criterion.text}: {criterion.verdict.value}{advisory}"
    yield f"  {measured(criterion, item)}"
    if criterion.verdict in (Verdict.INCONCLUSIVE, Verdict.WARNING) and criterion.reason:
        # The judge repeats the criterion in front of its reason, for places where it stands alone.
        yield f"  {criterion.reason.removeprefix(f'{criterion.text}: ')}"
    if criterion.path:
        line = "" if criterion.line is None else f":{criterion.line}"
        yield f"  from {criterion.origin or 'spec'}: {criterion.path}{line}"


def unmet(item: ItemResult) -> Iterator[str]:
    """Tell the validity conditions that do not hold and the evidence that is owed."""
    for condition in item.validity:
        if not condition.holds:
            yield f"validity condition {condition.name} does not hold: {condition.detail}".rstrip(": ")
    for evidence in item.evidence:
        if evidence.verdict.is_red:
            yield evidence_line(evidence)


def evidence_line(evidence: EvidenceResult) -> str:
    """Say what was found of one piece of evidence."""
    named = evidence.reason if evidence.text in evidence.reason else f"{evidence.text}: {evidence.reason}".rstrip(": ")
    return f"evidence {evidence.verdict.value}: {named}"


def context_lines(item: ItemResult) -> Iterator[str]:
    """Tell what was run on what."""
    if item.verifies:
        yield f"verifies: {', '.join(item.verifies)}"
    if item.partially_verifies:
        yield f"partially verifies: {', '.join(item.partially_verifies)}"
    if item.check:
        where = f" ({item.check_location})" if item.check_location else ""
        yield f"check: {item.check}{where}{', overridden by the project' if item.is_overridden else ''}"
    recorded = recorded_line(item)
    if recorded is not None:
        yield f"recorded, not measured here: {recorded}"
    for name, values in (("with", item.parameters), ("where", item.where)):
        if values:
            yield f"{name}: {', '.join(f'{key} = {value}' for key, value in values.items())}"
    for name, described in item.inputs.items():
        if isinstance(described, dict) and "sha256" in described:
            yield f"input {name}: {described.get('name', '')} sha256 {described['sha256']}"


def recorded_line(item: ItemResult) -> str | None:
    """Say which record the quantities were taken from, and who measured them when; None if they were measured here."""
    said = item.settings.get("recorded")
    if not isinstance(said, dict):
        return None
    hardware = ", ".join(f"{key} {value}" for key, value in said.get("hardware", {}).items())
    text = f"{said.get('path')} sha256 {said.get('sha256')}, measured {said.get('measured_at')} by "
    text += f"{said.get('measured_by')} with {said.get('tool')}"
    excused = "; ".join(f"{subject} not identified: {why}" for subject, why in said.get("unidentified", {}).items())
    return text + (f" on {hardware}" if hardware else "") + (f"; {excused}" if excused else "")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
