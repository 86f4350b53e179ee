"""The gate: what must hold for exit code 0."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_mle.records.verdict import PRECEDENCE, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_mle.records.result import ItemResult
    from pytest_mle.reports.run_report import RunReport, SpecReport
    from pytest_mle.spec.model import BasePractice

ORDER = (*PRECEDENCE, Verdict.WAIVED, Verdict.NOT_APPLICABLE, Verdict.NOT_SELECTED)


@dataclass(frozen=True, slots=True)
class NotShown:
    """An official base practice that the project claims and that no item shows."""

    base_practice: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gate:
    """Open (green) or closed (red), and why it is closed."""

    problems: tuple[str, ...] = ()
    not_shown: tuple[NotShown, ...] = ()

    @property
    def is_green(self) -> bool:
        """Whether nothing closes it."""
        return not self.problems and not self.not_shown

    @property
    def reasons(self) -> tuple[str, ...]:
        """All reasons why it is closed, one sentence each."""
        return (*self.problems, *(missing.reason for missing in self.not_shown))


def run_gate(report: RunReport) -> Gate:
    """Judge a whole run: every spec's gate, at least one selected item, and no problem of the run itself."""
    problems = list(report.problems)
    not_shown: list[NotShown] = []
    if not any(_selected(spec) for spec in report.specs):
        problems.append("no item was selected, so nothing is shown")
    for spec in report.specs:
        prefix = "" if len(report.specs) == 1 else f"{spec.path}: "
        one = gate(spec)
        problems += [f"{prefix}{problem}" for problem in one.problems]
        not_shown += [NotShown(missing.base_practice, f"{prefix}{missing.reason}") for missing in one.not_shown]
    return Gate(tuple(problems), tuple(not_shown))


def gate(spec: SpecReport) -> Gate:
    """Judge one spec: no selected item is red and, unless some were deselected, every base practice is shown."""
    selected = _selected(spec)
    red = [item for item in selected if item.verdict.is_red]
    problems = []
    if red:
        are = "is" if len(red) == 1 else "are"
        problems.append(f"{len(red)} of {len(selected)} selected items {are} red: {counts_text(count_verdicts(red))}")
    known = {practice.process for practice in spec.base_practices}
    problems += [f"no base practice of {process} is known" for process in spec.processes if process not in known]
    not_shown = tuple(
        NotShown(practice.id, f"no item of {practice.id} ({practice.title}) is shown: {_state(spec, practice)}")
        for practice in unshown_base_practices(spec)
    )
    return Gate(tuple(problems), not_shown)


def unshown_base_practices(spec: SpecReport) -> tuple[BasePractice, ...]:
    """Return the official base practices of the claimed processes that no item shows.

    Items with a weak fit show nothing; with deselected items the question is not asked.
    """
    if len(_selected(spec)) < len(spec.items):
        return ()
    shown = {item.base_practice for item in spec.items if item.verdict.is_shown and item.fit != "weak"}
    return tuple(
        practice
        for practice in spec.base_practices
        if practice.is_official and practice.process in spec.processes and practice.id not in shown
    )


def base_practice_counts(spec: SpecReport) -> dict[str, dict[Verdict, int]]:
    """Count the verdicts of each base practice, in the order of the plan; claimed ones without items count nothing."""
    claimed = [practice.id for practice in spec.base_practices if practice.process in spec.processes]
    used = {item.base_practice for item in spec.items}
    known = [practice.id for practice in spec.base_practices]
    order = [practice for practice in known if practice in used or practice in claimed]
    order += [
        practice for practice in dict.fromkeys(item.base_practice for item in spec.items) if practice not in known
    ]
    items: dict[str, list[ItemResult]] = {practice: [] for practice in order}
    for item in spec.items:
        items[item.base_practice].append(item)
    return {practice: count_verdicts(of_practice) for practice, of_practice in items.items()}


def items_of(spec: SpecReport, base_practice: str) -> tuple[ItemResult, ...]:
    """Return the items that are reported under a base practice, in the order of the plan."""
    return tuple(item for item in spec.items if item.base_practice == base_practice)


def count_verdicts(items: Iterable[ItemResult]) -> dict[Verdict, int]:
    """Count verdicts, the most severe first."""
    counts = Counter(item.verdict for item in items)
    return {verdict: counts[verdict] for verdict in ORDER if counts[verdict]}


def counts_text(counts: dict[Verdict, int]) -> str:
    """Say ``1 ERROR, 2 FAIL``."""
    return ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items())


def _selected(spec: SpecReport) -> list[ItemResult]:
    return [item for item in spec.items if item.verdict is not Verdict.NOT_SELECTED]


def _state(spec: SpecReport, practice: BasePractice) -> str:
    items = items_of(spec, practice.id)
    if not items:
        return "the spec has none"
    weak = sum(item.fit == "weak" and item.verdict.is_shown for item in items)
    return counts_text(count_verdicts(items)) + (f" ({weak} of weak fit, which does not count)" if weak else "")
