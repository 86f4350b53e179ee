"""JUnit XML, one file per base practice, as GitLab, Jenkins, Azure and the importers of test management tools read it.

Made by ``junit-xml``, whose output needs mending: its ``disabled`` attribute is invalid for Jenkins, testcases cannot
have properties, and a result with a message alone is shown by GitLab as a Ruby hash. So every result has its message as
element text too, and a test case has at most one result and one ``system-out`` (GitLab loses the file on a second one).
"""

from __future__ import annotations

import hashlib
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape

from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.decision import (
    base_practice_line,
    base_practice_title,
    decision_text,
    evidence_line,
    headline,
    quantity_text,
)
from pytest_mle.reports.escaping import xml_line, xml_text
from pytest_mle.reports.gate import base_practice_counts, items_of, unshown_base_practices
from pytest_mle.reports.properties import item_properties, spec_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_mle.records.result import ItemResult
    from pytest_mle.reports.run_report import RunReport, SpecReport
    from pytest_mle.spec.model import BasePractice

# GitLab reads 30 MB a file; what `write_reports` recognises its own files by stands in the first tag.
DECLARATION = "<?xml version='1.0' encoding='utf-8'?>"
FILE_LIMIT = 25_000_000
PRODUCER = "pytest-mle"
TEXT_LIMIT = 32_000
MESSAGE_LIMIT = 500
PROPERTY_LIMIT = 2_000
# How the lines of bundled checklists are named; they lie in the installed package.
BUNDLED = "pytest_mle/spec/checklists/"
# GitLab's history of a test case truncates names at 255.
NAME_LIMIT = 200
# Namespaced: ActiveSupport would parse the text by a `type` of "yaml", "date" or "integer".
TYPES = {
    Verdict.PENDING: "mle.pending",
    Verdict.INCONCLUSIVE: "mle.inconclusive",
    Verdict.FAIL: "mle.criterion",
    Verdict.ERROR: "mle.error",
    Verdict.WAIVED: "mle.waived",
    Verdict.NOT_APPLICABLE: "mle.not_applicable",
}
SKIPPED = (Verdict.WAIVED, Verdict.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True)
class _Case:
    """A test case before it is XML; all text already free of what XML forbids, and cut; properties are XML already."""

    name: str
    time_s: float
    file: str
    line: int | None
    type: str | None
    element: str | None
    message: str
    text: str
    system_out: str
    properties: str


class _WrittenCase(NamedTuple):
    """A test case as XML, and what its suite counts of it."""

    text: str
    element: str | None
    time_s: float


@dataclass(frozen=True, slots=True)
class _Suite:
    """What all test cases of a file share."""

    name: str
    classname: str
    hostname: str
    timestamp: str | None
    properties: dict[str, str]


def junit_files(report: RunReport) -> dict[str, bytes]:
    """Return file names and contents, one file per base practice that has something to tell.

    With several specs, names and classnames begin with a label of the spec. A file that would exceed what GitLab reads
    is split into numbered parts.
    """
    labels = _spec_labels([spec.path for spec in report.specs])
    files: dict[str, bytes] = {}
    for spec, label in zip(report.specs, labels, strict=True):
        missing = {practice.id: practice for practice in unshown_base_practices(spec)}
        for base_practice in base_practice_counts(spec):
            suite = _suite(report, spec, base_practice, label)
            stem = f"TEST-{label + '.' if label else ''}{_safe_file_name(base_practice)}"
            cases = [_write_case(suite, case) for case in _cases(spec, base_practice, missing.get(base_practice))]
            if not cases:
                continue
            for number, content in enumerate(_documents(suite, cases), start=1):
                files[_unused(stem if number == 1 else f"{stem}.part{number}", files)] = content
    return files


def _suite(report: RunReport, spec: SpecReport, base_practice: str, label: str) -> _Suite:
    title, is_official = base_practice_title(spec, base_practice)
    # Jenkins splits at the last dot: package `MLE.4`, class `BP3`; extensions stand in a package of their own.
    classname = ".".join(part for part in (label, "" if is_official else "extension", base_practice) if part)
    sha256 = spec_sha256(spec)
    properties = {
        "mle.spec": spec.path,
        **({"mle.spec.sha256": sha256} if sha256 else {}),
        "mle.project": spec.project.name,
        **({"mle.project.version": spec.project.version} if spec.project.version else {}),
        **({"mle.project.asil": spec.project.asil} if spec.project.asil else {}),
        "mle.base_practice": base_practice,
        "mle.base_practice.title": title,
        "mle.base_practice.official": "true" if is_official else "false",
        "mle.seed": str(spec.seed),
        **{f"mle.version.{name}": version for name, version in report.versions.items()},
    }
    return _Suite(
        name=_cut_name(classname),
        classname=_cut_name(classname),
        hostname=xml_line(report.hostname or "localhost"),
        timestamp=_without_zone(report.started),
        properties={xml_line(name): _property(value) for name, value in properties.items()},
    )


def _cases(spec: SpecReport, base_practice: str, missing: BasePractice | None) -> Iterator[_Case]:
    items = [item for item in items_of(spec, base_practice) if item.verdict is not Verdict.NOT_SELECTED]
    names = _unique_names([item.name for item in items])
    yield from (_case(item, name, spec) for item, name in zip(items, names, strict=True))
    if missing is not None and not any(item.verdict.is_red for item in items):
        yield _completeness_case(spec, missing, items)


def _case(item: ItemResult, name: str, spec: SpecReport) -> _Case:
    verdict = item.verdict
    element, message, text = None, "", ""
    if verdict in TYPES:
        element = "skipped" if verdict in SKIPPED else ("error" if verdict is Verdict.ERROR else "failure")
        message = _cut(xml_line(f"{verdict.value}: {headline(item)}"), MESSAGE_LIMIT)
        text = _cut(xml_text(decision_text(item, spec)), TEXT_LIMIT)
    file, line = _place(item, spec)
    return _Case(
        name=name,
        time_s=item.duration_s if math.isfinite(item.duration_s) and item.duration_s > 0 else 0.0,
        file=xml_line(file),
        line=line,
        type=TYPES.get(verdict),
        element=element,
        message=message,
        text=text,
        system_out=_cut(_without_attachments(xml_text(_system_out(item, spec))), TEXT_LIMIT),
        properties=_properties_text(item_properties(item, spec)),
    )


def _completeness_case(spec: SpecReport, practice: BasePractice, items: Sequence[ItemResult]) -> _Case:
    """Show in the file what the exit code says: green items alone would look as if the base practice were shown."""
    what = "has no item" if not items else "has no item that is PASS, WARNING or WAIVED and fits it closely"
    message = f"PENDING: {practice.id} ({practice.title}) {what}, but {practice.process} is claimed"
    return _Case(
        name="completeness",
        time_s=0.0,
        file=xml_line(spec.file or spec.path),
        line=None,
        type=TYPES[Verdict.PENDING],
        element="failure",
        message=_cut(xml_line(message), MESSAGE_LIMIT),
        text=_cut(
            xml_text(f"{message}\n\nAdd an item to {spec.path}, or leave the process out of `processes`."), TEXT_LIMIT
        ),
        system_out="",
        properties=_properties_text((("mle.verdict", Verdict.PENDING.value), ("mle.official_bp", practice.id))),
    )


def _system_out(item: ItemResult, spec: SpecReport) -> str:
    """Return quantities and criteria as ``key = value``; of a WARNING the reason comes first."""
    lines = []
    if item.verdict is Verdict.WARNING:
        lines += [decision_text(item, spec), ""]
    lines += [f"{quantity.name} = {quantity_text(quantity)}" for quantity in item.quantities]
    if item.verdict is Verdict.PASS:
        lines += [
            f"criterion.{number} = {one.text}: {one.verdict.value}" for number, one in enumerate(item.criteria, 1)
        ]
        lines += [
            f"evidence.{number} = {evidence_line(one).removeprefix('evidence ')}"
            for number, one in enumerate(item.evidence, 1)
        ]
        lines.append(f"base_practice = {base_practice_line(item, spec)}")
    return "\n".join(lines)


def _write_case(suite: _Suite, case: _Case) -> _WrittenCase:
    from junit_xml import TestSuite

    made = TestSuite(suite.name, [_junit_case(suite, case)]).build_xml_doc().find("testcase")
    _mend(made, case)
    ET.indent(made, level=2)
    # As elements, the properties would take most of the time. An empty element looks like nothing else in the text: in
    # attributes and contents its first character is escaped.
    before, _, after = ET.tostring(made, encoding="unicode").partition("<properties />")
    return _WrittenCase(f"    {before}{case.properties}{after}\n", case.element, case.time_s)


def _documents(suite: _Suite, cases: Sequence[_WrittenCase]) -> list[bytes]:
    content = _document(suite, cases)
    if len(content) <= FILE_LIMIT or len(cases) == 1:
        return [content]
    half = len(cases) // 2
    return [*_documents(suite, cases[:half]), *_documents(suite, cases[half:])]


def _document(suite: _Suite, cases: Sequence[_WrittenCase]) -> bytes:
    from junit_xml import TestSuite

    element = TestSuite(
        suite.name, hostname=suite.hostname, timestamp=suite.timestamp, properties=suite.properties
    ).build_xml_doc()
    del element.attrib["disabled"]
    element.set("tests", str(len(cases)))
    for name, kind in (("errors", "error"), ("failures", "failure"), ("skipped", "skipped")):
        element.set(name, str(sum(case.element == kind for case in cases)))
    element.set("time", f"{sum(case.time_s for case in cases):.3f}")
    root = ET.Element("testsuites", {"name": PRODUCER})
    for name in ("tests", "failures", "errors", "time"):
        root.set(name, element.attrib[name])
    root.append(element)
    ET.indent(root)
    before, end, after = ET.tostring(root, encoding="unicode").rpartition("  </testsuite>")
    return "".join((f"{DECLARATION}\n", before, *(case.text for case in cases), end, after, "\n")).encode()


def _properties_text(properties: Iterable[tuple[str, str]]) -> str:
    lines = "".join(_property_line(name, value) for name, value in properties)
    return f"<properties>\n{lines}      </properties>"


@lru_cache(maxsize=20_000)  # most properties of an item are those of its neighbours
def _property_line(name: str, value: str) -> str:
    return f'        <property name="{_attribute(_cut_name(name))}" value="{_attribute(_property(value))}" />\n'


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;"})


def _junit_case(suite: _Suite, case: _Case) -> Any:
    from junit_xml import TestCase

    made = TestCase(
        case.name,
        suite.classname,
        stdout=case.system_out or None,
        file=case.file,
        line=case.line,
    )
    if case.element == "failure":
        made.add_failure_info(case.message, case.text, case.type)
    elif case.element == "error":
        made.add_error_info(case.message, case.text, case.type)
    elif case.element == "skipped":
        made.add_skipped_info(case.message, case.text)
    return made


def _mend(element: ET.Element, case: _Case) -> None:
    element.set("time", f"{case.time_s:.3f}")  # junit-xml leaves a time of zero out
    if case.element == "skipped" and case.type is not None:
        element.find("skipped").set("type", case.type)  # type: ignore[union-attr]
    element.insert(0, ET.Element("properties"))


def _place(item: ItemResult, spec: SpecReport) -> tuple[str, int | None]:
    """Return a file that GitLab can link to: inside the repository, or else the spec without a line."""
    path = _path_inside(item.path, spec.folder)
    return (spec.file or spec.path, None) if path is None else (path, item.line)


@lru_cache(maxsize=1000)
def _path_inside(path: str, folder: str) -> str | None:
    inside = PurePosixPath(path.replace("\\", "/"))
    is_outside = inside.is_absolute() or ".." in inside.parts or re.match(r"[A-Za-z]:", path) is not None
    return None if not path or is_outside or path.startswith(BUNDLED) else str(folder / inside)


def _without_zone(moment: str) -> str | None:
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return None
    in_utc = parsed.astimezone(UTC) if parsed.tzinfo else parsed
    return in_utc.strftime("%Y-%m-%dT%H:%M:%S")


def _without_attachments(text: str) -> str:
    # GitLab would turn this tag into a link; it can only come from a name in the data.
    return text.replace("[[ATTACHMENT|", "[[ATTACHMENT |")


def _property(value: object) -> str:
    return _cut(xml_line(value), PROPERTY_LIMIT)


def _cut(text: str, limit: int) -> str:
    """Cut a text after a whole line where possible, and say how much is left out."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 60]
    cut_at = kept.rfind("\n")
    if cut_at > len(kept) // 2:
        kept = kept[:cut_at]
        return f"{kept}\n... {text[cut_at:].count(chr(10))} more lines, see results.json"
    return f"{kept} ... {len(text) - len(kept)} more characters, see results.json"


def _cut_name(name: str) -> str:
    """Return a name of one line and at most 200 characters; a changed one carries a digest and so stays unique."""
    safe = xml_line(name)
    if safe == name and 0 < len(name) <= NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{safe[: NAME_LIMIT - 13]}~{digest}"


def _unique_names(names: Iterable[str]) -> list[str]:
    """Return printable names; the plan's names are unique, and two that escape to the same text stay apart."""
    unique: dict[str, None] = {}
    for name in names:
        safe, number = _cut_name(name), 2
        while safe in unique or safe == "completeness":
            safe, number = f"{_cut_name(name)}~{number}", number + 1
        unique[safe] = None
    return list(unique)


def _spec_labels(paths: Sequence[str]) -> list[str]:
    """Return what tells several specs apart: their stems, or their whole paths where stems are equal."""
    if len(paths) <= 1:
        return [""] * len(paths)
    labels = [_safe_label(PurePosixPath(path).stem) for path in paths]
    if len(set(labels)) < len(labels):
        labels = [_safe_label(str(PurePosixPath(path).with_suffix(""))) for path in paths]
    if len({label.casefold() for label in labels}) < len(labels):
        labels = [f"{label}-{number}" for number, label in enumerate(labels, start=1)]
    return labels


def _safe_label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[-60:] or "spec"


def _safe_file_name(base_practice: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", base_practice)[:80]
    if safe == base_practice and safe.strip("."):
        return safe
    return f"{safe}-{hashlib.sha256(base_practice.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _unused(stem: str, files: dict[str, bytes]) -> str:
    """Return a file name that no other file has, on file systems that ignore case either."""
    taken = {name.casefold() for name in files}
    name, number = f"{stem}.xml", 2
    while name.casefold() in taken:
        name, number = f"{stem}~{number}.xml", number + 1
    return name
