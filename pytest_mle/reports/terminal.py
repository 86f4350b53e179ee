"""The summary at the end of a run, as lines of text with a style; the plugin colours them."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from typing import TYPE_CHECKING, Literal, NamedTuple

from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.decision import (
    base_practice_title,
    findings_lines,
    headline,
    measured,
    other_reasons,
    place,
    unmet,
)
from pytest_mle.reports.escaping import terminal_line
from pytest_mle.reports.gate import base_practice_counts, counts_text, items_of, unshown_base_practices

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_mle.records.result import ItemResult
    from pytest_mle.reports.run_report import RunReport, SpecReport

Style = Literal["green", "red", "yellow", "bold", "dim", ""]
FINDINGS_SHOWN = 3
# A traceback or a list of requirements belongs into the files.
LINES_OF_A_REASON = 4
NARROWEST = 40
# So many items that are owed are told in full; of more, one line each.
FEW_PENDING = 12


class Line(NamedTuple):
    """One line of the summary."""

    text: str
    style: Style = ""


def summary_lines(report: RunReport, *, width: int = 80, written: Sequence[str] = ()) -> list[Line]:
    """Return the summary of a run.

    Parameters
    ----------
    report
        What was found.
    width
        Columns of the terminal.
    written
        Where the reports are, for the last line.
    """
    width = max(width, NARROWEST)
    lines: list[Line] = []
    for spec in report.specs:
        lines += _spec_lines(spec, width)
    lines += _gate_lines(report, width)
    if written:
        lines += _wrapped(f"reports: {', '.join(written)}", width, 0, "dim", hanging=9)
    return lines


def plain_text(lines: Sequence[Line]) -> str:
    """Return the lines without styles, for logs."""
    return "".join(f"{line.text}\n" for line in lines)


def _spec_lines(spec: SpecReport, width: int) -> Iterator[Line]:
    name = " ".join(part for part in (spec.project.name, spec.project.version) if part)
    yield from _wrapped(f"{name} ({spec.path})", width, 0, "bold")
    yield from _base_practice_table(spec, width)
    yield from _pending(spec, width)
    for item in spec.items:
        if item.verdict.is_red and item.verdict is not Verdict.PENDING:
            yield Line("")
            yield from _red_item(item, spec, width)
    yield from _noted(spec, width)


def _base_practice_table(spec: SpecReport, width: int) -> Iterator[Line]:
    rows = []
    for base_practice, counts in base_practice_counts(spec).items():
        title, is_official = base_practice_title(spec, base_practice)
        title += "" if is_official else " (extension)"
        rows.append((terminal_line(base_practice), terminal_line(title), counts_text(counts) or "no item", counts))
    if not rows:
        return
    id_width = min(max(_cells(row[0]) for row in rows), 24)
    counts_width = min(max(_cells(row[2]) for row in rows), width // 2)
    title_width = max(8, min(max(_cells(row[1]) for row in rows), width - id_width - counts_width - 4))
    missing = {practice.id for practice in unshown_base_practices(spec)}
    for base_practice, title, counted, counts in rows:
        left = f"{_padded(base_practice, id_width)}  {_padded(title, title_width)}"
        first, *more = [line.text for line in _wrapped(re.sub(r"(?<=\d) ", "\xa0", counted), counts_width, 0)]
        style = _table_style(counts, is_missing=base_practice in missing)
        yield Line(f"{left}  {first}", style)
        yield from (Line(f"{' ' * (id_width + title_width + 2)}{text}", style) for text in more)


def _table_style(counts: dict[Verdict, int], *, is_missing: bool) -> Style:
    if is_missing or any(verdict.is_red for verdict in counts):
        return "red"
    if Verdict.WARNING in counts or Verdict.WAIVED in counts:
        return "yellow"
    return "green" if Verdict.PASS in counts else "dim"


def _pending(spec: SpecReport, width: int) -> Iterator[Line]:
    """Yield what is owed: a few items in full, many in one line each (an empty repository owes the whole checklist)."""
    are_few = sum(item.verdict is Verdict.PENDING for item in spec.items) <= FEW_PENDING
    for base_practice in base_practice_counts(spec):
        items = [item for item in items_of(spec, base_practice) if item.verdict is Verdict.PENDING]
        if not items:
            continue
        yield Line("")
        if are_few:
            yield Line(_shortened(f"PENDING  {base_practice}", width), "red")
            for item in items:
                yield from _wrapped(f"{item.name}  {item.title}", width, 2, hanging=4)
                for reason in item.reasons:
                    yield from _reason(reason, width)
            continue
        shared = _shared_beginning([headline(item) for item in items])
        yield Line(_shortened(f"PENDING  {base_practice}  {shared}".rstrip(": "), width), "red")
        id_width = min(max(_cells(terminal_line(item.name)) for item in items), width // 3)
        title_width = min(max(_cells(terminal_line(item.title)) for item in items), width // 3)
        for item in items:
            name, title = _padded(item.name, id_width), _padded(item.title, title_width)
            yield Line(_shortened(f"  {name}  {title}  {headline(item).removeprefix(shared)}", width))


def _shared_beginning(reasons: Sequence[str]) -> str:
    """Return the words up to a colon that all reasons begin with, so that the line has room for what differs."""
    beginning, colon, _ = reasons[0].partition(": ")
    shared = beginning + colon
    return shared if colon and all(reason.startswith(shared) for reason in reasons) else ""


def _red_item(item: ItemResult, spec: SpecReport, width: int) -> Iterator[Line]:
    yield from _wrapped(f"{item.verdict.value}  {item.name}  {item.title}", width, 0, "red", hanging=4)
    yield from _red_criteria(item, width)
    for text in unmet(item):
        yield from _wrapped(text, width, 4)
    for reason in other_reasons(item):
        yield from _reason(reason, width)
    for findings in item.findings:
        if findings.total:
            for line in findings_lines(findings, FINDINGS_SHOWN):
                yield from _wrapped(line.strip(), width, 6 if line.startswith(" ") else 4)
    yield from _wrapped(place(item, spec), width, 4, "dim")


def _red_criteria(item: ItemResult, width: int) -> Iterator[Line]:
    for criterion in item.criteria:
        if criterion.verdict.is_red:
            yield from _wrapped(criterion.text, width, 4, "bold")
            yield from _wrapped(measured(criterion, item), width, 6)
            if criterion.verdict is Verdict.INCONCLUSIVE:
                yield from _wrapped(criterion.reason.removeprefix(f"{criterion.text}: "), width, 6)


def _reason(reason: str, width: int) -> Iterator[Line]:
    lines = [line.rstrip() for line in reason.splitlines() if line.strip()]
    for line in lines[:LINES_OF_A_REASON]:
        yield from _wrapped(line, width, 4)
    if len(lines) > LINES_OF_A_REASON:
        yield Line(f"    ... {len(lines) - LINES_OF_A_REASON} more lines in results.json", "dim")


def _noted(spec: SpecReport, width: int) -> Iterator[Line]:
    """Yield what is green and yet should be read: warnings and waivers."""
    noted = [item for item in spec.items if item.verdict in (Verdict.WARNING, Verdict.WAIVED)]
    if noted:
        yield Line("")
    for item in noted:
        yield from _wrapped(f"{item.verdict.value}  {item.name}  {headline(item)}", width, 0, "yellow", hanging=4)


def _gate_lines(report: RunReport, width: int) -> Iterator[Line]:
    gate = report.gate
    yield Line("")
    items = [item for spec in report.specs for item in spec.items]
    not_selected = sum(item.verdict is Verdict.NOT_SELECTED for item in items)
    if gate.is_green:
        selected = _count(len(items) - not_selected, "item")
        yield from _wrapped(f"gate: GREEN, {selected} selected, none is red", width, 0, "green")
    else:
        yield Line("gate: RED", "red")
    # Base practices that are not shown take one line together; the table has their counts.
    for problem in gate.problems:
        yield from _wrapped(problem, width, 2, "red", hanging=4)
    if gate.not_shown:
        shown = f"claimed but not shown: {', '.join(missing.base_practice for missing in gate.not_shown)}"
        yield from _wrapped(shown, width, 2, "red", hanging=4)
    if not_selected:
        text = f"{_count(not_selected, 'item')} not selected: whether every base practice is shown was not judged"
        yield from _wrapped(text, width, 2, "dim", hanging=4)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _wrapped(text: str, width: int, indent: int, style: Style = "", hanging: int = 0) -> list[Line]:
    # A number stays with its unit and its name.
    kept = terminal_line(text).replace(" = ", "\xa0=\xa0").replace(" %", "\xa0%")
    wrapped = textwrap.wrap(
        kept,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + (hanging or 2)),
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )
    return [Line(line.replace("\xa0", " "), style) for line in wrapped]


def _padded(text: str, width: int) -> str:
    shortened = _shortened(text, width)
    return shortened + " " * (width - _cells(shortened))


def _shortened(text: str, width: int) -> str:
    safe = terminal_line(text)
    if _cells(safe) <= width:
        return safe
    kept = ""
    for character in safe:
        if _cells(kept) + _cells(character) > width - 3:
            break
        kept += character
    return f"{kept}..."


def _cells(text: str) -> int:
    """Return how many columns a text takes: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )
