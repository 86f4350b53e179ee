"""Write the reference pages that follow from the code: checks, keys and units of the spec, the bundled checklist.

Run ``make docs`` after a change of these; a test compares the pages with what this file makes of the code.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mle.checks.catalogue import BUILT_IN, built_in_check
from pytest_mle.spec.base_practices import official_base_practices
from pytest_mle.spec.evidence import describe_needed
from pytest_mle.spec.fields import TABLES
from pytest_mle.spec.source_files import CHECKLISTS, SourceFiles
from pytest_mle.spec.units import UNITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_mle.records.check import CheckDeclaration, InputDeclaration

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate_reference.py: change the code and run `make docs`. -->\n"
FAMILIES = {
    "data": "Data",
    "training": "Training",
    "detection": "Detection",
    "classification": "Classification",
    "slices": "Slices",
    "robustness": "Robustness",
    "uncertainty": "Uncertainty",
    "drift": "Drift",
    "deployment": "Deployment",
    "resources": "Resources",
    "experiments": "Experiments",
    "traceability": "Traceability",
}
# What the tables of keys are called; the order is that of the page.
SECTIONS = {
    "spec": "The spec",
    "project": "`project`",
    "extends": "An entry of `extends`",
    "inputs": "`inputs`",
    "defaults": "`defaults`",
    "policy": "`policy`",
    "requirement": "An entry of `requirements`",
    "requirement_file": "A file of requirements",
    "under": "`under` of a requirement",
    "item": "An entry of `items`",
    "variant": "An entry of `for_each`",
    "criterion": "A criterion as a mapping",
    "evidence": "An entry of `evidence`",
    "verifies": "An entry of `verifies`",
    "base_practice": "An entry of `base_practices`",
    "process": "An entry of `processes` in a checklist",
    "checklist": "A checklist file",
}
KINDS = {
    "any": "text or list",
    "texts": "list of texts",
    "natural": "whole number",
    "scalar": "text or number",
    "asil": "ASIL",
    "asil_levels": "list of ASILs",
    "duration": "number with unit of time",
    "confidence": "percentage",
    "boolean": "true or false",
    "version": "1",
}


def pages() -> dict[str, str]:
    """Return the generated pages by file name."""
    return {"checks.md": checks_page(), "spec-keys.md": keys_page(), "checklist.md": checklist_page()}


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    columns = list(header)
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


# Checks


def checks_page() -> str:
    """Return the page of checks, by family."""
    checks = [check for name in sorted(BUILT_IN) if (check := built_in_check(name)) is not None]
    unknown = {BUILT_IN[check.name].split(".")[2] for check in checks} - set(FAMILIES)
    if unknown:
        raise KeyError(f"give the new families {', '.join(sorted(unknown))} a title in FAMILIES")
    lines = [
        NOTE,
        "# Checks",
        "",
        "A check measures; the criteria in the spec decide. `pytest-mle checks NAME` prints what stands here.",
        "",
        "Units are those in which the code computes and `results.json` counts; a criterion may use any unit of the",
        "same dimension ([units](spec-keys.md#units)). An *estimate* can have a confidence bound; an *exact* value is",
        "what it is, for these files.",
        "",
    ]
    for family, title in FAMILIES.items():
        lines += [f"## {title}", ""]
        for check in checks:
            if BUILT_IN[check.name].split(".")[2] == family:
                lines += _check_lines(check)
    return "\n".join(lines)


def kind_of(one: InputDeclaration) -> str:
    """Return what an input is, in words."""
    return one.kind.replace("_", " ") + (", optional" if one.is_optional else "")


def _check_lines(check: CheckDeclaration) -> Iterator[str]:
    summary, body, sections = split_docstring(inspect.getdoc(check.function) or "")
    meanings = _entries(sections.get("Parameters", []))
    yield from (f"### {check.name}", "", summary, "")
    yield from body
    flags = [
        text
        for text, is_set in (
            ("It runs alone, also under `-n`.", check.is_exclusive),
            ("It judges other items, after all of them.", check.is_derived),
        )
        if is_set
    ]
    if flags:
        yield from (*flags, "")
    yield from table(
        ("input", "kind", "meaning"),
        ((f"`{one.name}`", kind_of(one), meanings.get(one.name, "")) for one in check.inputs),
    )
    if check.parameters:
        yield from table(
            ("parameter (`with:`)", "type", "default", "meaning"),
            (
                (
                    f"`{one.name}`",
                    f"`{one.annotation}`",
                    "required" if one.is_required else f"`{one.default!r}`",
                    meanings.get(one.name, ""),
                )
                for one in check.parameters
            ),
        )
    yield from table(
        ("quantity", "unit", "kind", "better", "meaning"),
        (
            (f"`{name}`", f"`{one.unit}`", one.kind, one.better or "", markdown(one.description))
            for name, one in (check.quantities or {}).items()
        ),
    )
    for title in ("Raises", "Notes"):
        if title == "Notes" and title in sections:
            yield from (*paragraphs(sections[title]), "")
        elif title in sections:
            raised = _entries(sections[title])
            yield from (f"- {ERRORS.get(name, name)}: {text}" for name, text in raised.items())
            yield ""
    yield from (f"Source: `{BUILT_IN[check.name].replace('.', '/')}.py`", "")


ERRORS = {
    "NotMeasurableError": "INCONCLUSIVE",
    "InputError": "ERROR",
    "MissingExtraError": "ERROR",
    "ValueError": "ERROR",
}


def split_docstring(text: str) -> tuple[str, list[str], dict[str, list[str]]]:
    """Return the first line, the paragraphs after it, and the sections of a numpy docstring."""
    first, _, rest = text.partition("\n")
    sections: dict[str, list[str]] = {"": []}
    current = ""
    lines = rest.splitlines()
    for index, line in enumerate(lines):
        if index + 1 < len(lines) and line and set(lines[index + 1]) == {"-"}:
            current = line
            sections[current] = []
        elif not (line and set(line) == {"-"}):
            sections[current].append(line)
    return markdown(first), paragraphs(sections.pop("")), sections


def paragraphs(lines: list[str]) -> list[str]:
    """Return paragraphs as lines of Markdown, each followed by an empty one."""
    found: list[str] = []
    for paragraph in "\n".join(lines).strip().split("\n\n"):
        if paragraph:
            found += [markdown(" ".join(paragraph.split())), ""]
    return found


def _entries(lines: list[str]) -> dict[str, str]:
    """Return what a section says of each name; one line can name several."""
    entries: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.split(",")]
            entries |= dict.fromkeys(names, "")
        elif line.strip():
            for name in names:
                entries[name] = f"{entries[name]} {line.strip()}".strip()
    return {name: markdown(text) for name, text in entries.items()}


def markdown(text: str) -> str:
    """Turn the markup of docstrings into Markdown's."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")


# Keys and units


def keys_page() -> str:
    """Return the page of all keys and units."""
    lines = [
        NOTE,
        "# Keys and units of the spec",
        "",
        "Every key of the format; anything else is an error. What they mean together: [spec format](spec-format.md).",
        "`pytest-mle schema` prints the same as a JSON Schema, for editors.",
        "",
    ]
    for name, title in SECTIONS.items():
        lines += [f"## {title}", ""]
        rows = (
            (
                f"`{key}`" + (" (required)" if one.is_required else ""),
                ", ".join(f"`{choice}`" for choice in one.choices) or KINDS.get(one.kind, one.kind),
                one.description,
            )
            for key, one in TABLES[name].items()
        )
        lines += table(("key", "value", "meaning"), rows)
    lines += ["## Units", "", "The table is closed: a spec can use these spellings and no others.", ""]
    dimensions: dict[tuple[str, str], list[str]] = {}
    nouns: list[str] = []
    for unit in UNITS.values():
        if unit.base.startswith("{"):
            nouns += [unit.base[1:-1]] if unit.spelling == unit.base else []
        else:
            dimensions.setdefault((unit.dimension, unit.base), []).append(f"`{unit.spelling}`")
    lines += table(
        ("dimension", "computed in", "spellings"),
        ((dimension, f"`{base}`", " ".join(spellings)) for (dimension, base), spellings in dimensions.items()),
    )
    lines += [
        "Counted things, singular or plural (`3 files`); in the code they are `{file}`:",
        ", ".join(sorted(nouns)) + ".",
        "",
    ]
    return "\n".join(lines)


# The bundled checklist


def checklist_page() -> str:
    """Return the page of the bundled checklist."""
    reader = SourceFiles()
    folder = CHECKLISTS / "aspice-mle"
    files = [reader.read(folder / name) for name in reader.read(folder / "_index.yaml")["files"]]
    items = [item for file in files for item in file["items"]]
    with_check = [item for item in items if "check" in item]
    existing = sum(item["check"] in BUILT_IN for item in with_check)
    lines = [
        NOTE,
        "# The checklist `aspice-mle`",
        "",
        f"{len(items)} items. {len(with_check)} name a check; this release has it for {existing} of them. The others",
        "are PENDING until a project brings a fixture of that name or closes them. Where base practices and criteria",
        "come from: [process mapping](../explanation/process-mapping.md).",
        "",
        "Criteria of origin *proposed* only advise until a project adopts them. *Advises* never gates.",
        "",
    ]
    titles = dict(official_base_practices()[1])
    for file in files:
        titles |= {one["id"]: one["title"] for one in file.get("processes", ())}
        lines += [f"## {file['title']}", ""]
        lines += table(
            ("item", "title", "base practice", "shown by", "criteria"), (_item_row(item) for item in file["items"])
        )
    return "\n".join(lines)


def _item_row(item: Any) -> tuple[str, str, str, str, str]:
    shown_by = []
    if "check" in item:
        state = "" if item["check"] in BUILT_IN else " (not yet)"
        shown_by.append(f"`{item['check']}`{state}")
    if "evidence_needed" in item:
        shown_by.append(f"evidence: {describe_needed(item['evidence_needed'])}")
    criteria = [f"`{one['criterion']}` ({one['origin'].replace('_', ' ')})" for one in item.get("accept", ())]
    criteria += [f"advises `{one['criterion']}` ({one['origin'].replace('_', ' ')})" for one in item.get("advise", ())]
    fit = " (weak fit)" if item.get("fit") == "weak" else ""
    return item["id"], item["title"], f"{item['base_practice']}{fit}", "<br>".join(shown_by), "<br>".join(criteria)


def main() -> None:
    """Write the pages."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        print(f"written  docs/reference/{name}")


if __name__ == "__main__":
    main()
