"""Does an approach document say something in each section that it must have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.declared_values import leaves, why_undeclared
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.inputs.datasets.table import parse_cell
from pytest_mle.records.condition import conditions
from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from pytest_mle.inputs.config import Config
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.records.quantity import Quantity

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_HEADING = re.compile(r"^#{1,6}[ \t].*$", re.MULTILINE)
_MARKS = re.compile(r"^[ \t]*(?:[-*+>]|\d+[.)])?[ \t]*", re.MULTILINE)
_COUNTS = ("samples", "images", "count", "frequency")

QUANTITIES = {
    "sections": exact("1", "higher", "Required sections that say something."),
    "missing_approach_sections": exact(
        "{finding}", "lower", "Required sections that are absent, empty or a placeholder."
    ),
    "placeholders": exact("{line}", "lower", "Lines and values in required sections that are only a placeholder."),
    "scenario_count_mismatches": exact(
        "{finding}", "lower", "Scenarios whose number of samples is not the one that the document states."
    ),
}


@check(quantities=QUANTITIES)
def approach_sections(
    approach: Config,
    dataset: Dataset | None = None,
    *,
    sections: list[str],
    headings: dict[str, str] | None = None,
    minimum_words: int = 3,
    scenarios: str = "scenarios",
) -> Measurement:
    """Count sections that a document lacks or leaves empty, and scenarios that the data do not have as stated.

    Whether what stands there is adequate is for a person to say. All quantities are exact. Automotive SPICE 4.0 has
    these documents as information items 08-64 (ML test approach) and 08-65 (ML training and validation approach).

    Parameters
    ----------
    approach
        A Markdown document, whose headings are the sections (``## 3.1 Exit criteria`` is ``exit_criteria``), or a YAML,
        JSON or TOML file, whose keys are.
    dataset
        The data whose samples are counted for each scenario.
    sections
        Names of sections that must be there.
    headings
        Section to the name that it has in this document, as ``{exit_criteria: abbruchkriterien}``.
    minimum_words
        A section of a Markdown document with fewer words, headings and comments left out, is empty.
    scenarios
        Section in which each scenario stands with the number of its samples: a Markdown table, or a list of mappings,
        with ``samples`` and attributes of the data set (``{weather: rain, samples: 54}``). If there is none or no
        data set, ``scenario_count_mismatches`` is not measured (NaN).

    Raises
    ------
    ValueError
        ``sections`` is empty.
    InputError
        A scenario names an attribute that the data set does not have.
    """
    if not sections:
        raise ValueError("sections must name at least one section")
    names = {section: (headings or {}).get(section, section) for section in sections}
    reasons = {section: _why_missing(approach, name, minimum_words) for section, name in names.items()}
    placeholders = [one for name in names.values() for one in _placeholders(approach, name)]
    mismatches = _scenario_mismatches(approach, dataset, (headings or {}).get(scenarios, scenarios))
    kinds = {
        "missing_approach_sections": [
            _finding(approach, names[section], reason) for section, reason in reasons.items() if reason is not None
        ],
        "placeholders": placeholders,
        "scenario_count_mismatches": [] if isinstance(mismatches, str) else mismatches,
    }
    quantities: dict[str, Quantity | float] = {name: len(found) for name, found in kinds.items()}
    if isinstance(mismatches, str):
        quantities["scenario_count_mismatches"] = unmeasured(mismatches)
    return Measurement(
        quantities={"sections": sum(reason is None for reason in reasons.values()), **quantities},
        findings=tuple(Findings.collect(name, found) for name, found in kinds.items() if found),
        settings={"document": approach.path, "sha256": approach.digest},
    )


def _why_missing(approach: Config, name: str, minimum_words: int) -> str | None:
    if name not in approach:
        return "the document has no such section"
    value = approach.get(name)
    if isinstance(value, str):
        lines = [line for line in _content(value) if why_undeclared(line) is None]
        words = re.findall(r"\w+", " ".join(lines))
        if not words:
            return "says nothing"
        is_document = approach.path.lower().endswith(".md")
        if is_document and len(words) < minimum_words:
            return f"has {len(words)} words; {minimum_words} are the least"
        return None
    values = list(leaves(value, ""))
    return "says nothing" if all(why_undeclared(one) is not None for _, one in values) else None


def _content(text: str) -> list[str]:
    """Return the lines of a section without comments, headings and marks of lists."""
    bare = _MARKS.sub("", _HEADING.sub("", _COMMENT.sub("", text)))
    return [line.strip() for line in bare.splitlines() if line.strip() and not re.fullmatch(r"[\s|:=-]+", line)]


def _placeholders(approach: Config, name: str) -> list[Finding]:
    value = approach.get(name)
    if isinstance(value, str):
        return [_finding(approach, name, f"{line[:80]!r} is open") for line in _content(value) if why_undeclared(line)]
    return [
        _finding(approach, where, reason)
        for where, one in leaves(value, name)
        if value is not None and (reason := why_undeclared(one)) is not None
    ]


@dataclass(frozen=True, slots=True)
class _Scenario:
    where: dict[str, Any]
    samples: Any


def _scenario_mismatches(approach: Config, dataset: Dataset | None, name: str) -> list[Finding] | str:
    if dataset is None:
        return "no data set is declared whose samples could be counted"
    declared = approach.get(name)
    found = _from_table(declared) if isinstance(declared, str) else _from_list(declared)
    if not found:
        return f"section {name!r} of {approach.path} states no scenario with its number of samples"
    mismatches = []
    for scenario in found:
        shown = ", ".join(f"{key}: {value}" for key, value in scenario.where.items()) or "(no attribute)"
        if not scenario.where:
            mismatches.append(_finding(approach, name, "a scenario has no attribute of the data set"))
            continue
        if isinstance(scenario.samples, bool) or not isinstance(scenario.samples, int) or scenario.samples < 1:
            text = f"states {scenario.samples!r} samples, no whole number above 0"
            mismatches.append(_finding(approach, name, f"{shown}: {text}"))
            continue
        actual = _count(dataset, scenario.where)
        if actual != scenario.samples:
            text = f"{scenario.samples} samples are stated, data set {dataset.name} has {actual}"
            mismatches.append(_finding(approach, name, f"{shown}: {text}"))
    return mismatches


def _count(dataset: Dataset, where: dict[str, Any]) -> int:
    unknown = [attribute for attribute in where if attribute not in dataset.attribute_names]
    if unknown:
        # The data set says which attributes there are.
        dataset.select(conditions({unknown[0]: where[unknown[0]]}))
    wanted = conditions(where)
    attributes = (dataset.sample(index).attributes for index in range(len(dataset)))
    return sum(all(one.matches(values.get(one.attribute)) for one in wanted) for values in attributes)


def _from_list(declared: Any) -> list[_Scenario]:
    found = []
    for one in declared if isinstance(declared, list) else []:
        if isinstance(one, dict):
            count = next((one[name] for name in _COUNTS if name in one), None)
            where = one.get("where") if isinstance(one.get("where"), dict) else one
            found.append(
                _Scenario({k: v for k, v in (where or {}).items() if k not in (*_COUNTS, "name", "title")}, count)
            )
    return found


def _from_table(text: str) -> list[_Scenario]:
    rows = [
        [cell.strip(" `*") for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    header = [cell.lower() for cell in rows[0]] if rows else []
    counted = next((header.index(name) for name in _COUNTS if name in header), None)
    if counted is None:
        return []
    found = []
    for row in rows[1:]:
        if len(row) == len(header) and not all(re.fullmatch(r":?-+:?", cell) for cell in row):
            where = {
                name: parse_cell(cell)
                for position, (name, cell) in enumerate(zip(header, row, strict=True))
                if position != counted and name not in ("scenario", "name", "title") and cell
            }
            found.append(_Scenario(where, parse_cell(row[counted])))
    return found


def _finding(approach: Config, name: str, message: str) -> Finding:
    place = approach.location(name)
    return Finding(message, place.path, place.line, name)
