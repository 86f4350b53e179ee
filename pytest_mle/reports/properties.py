"""Test case properties: our own (``mle.*``), and those that Xray, S-CORE and sphinx-needs read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.decision import base_practice_title, evidence_line, headline, recorded_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mle.records.result import ItemResult, QuantityResult
    from pytest_mle.reports.run_report import SpecReport

QUANTITY_LIMIT = 200
TEST_TYPES = (
    (
        "resource-usage",
        ("latency", "throughput", "memory", "model_size", "file_size", "flop", "parameter_count", "energy"),
    ),
    ("fault-injection", ("adversarial", "fgsm", "pgd", "corruption", "noise", "fault", "perturbation")),
    ("interface-test", ("interface", "signature", "schema")),
)


def item_properties(item: ItemResult, spec: SpecReport) -> Iterator[tuple[str, str]]:
    """Yield the properties of a test case as name and value, unescaped."""
    yield from _identity(item, spec)
    yield from _measured(item)
    for number, criterion in enumerate(item.criteria, start=1):
        advisory = " (advisory)" if criterion.is_advisory else ""
        yield f"mle.criterion.{number}", f"{criterion.text}: {criterion.verdict.value}{advisory}"
    for number, evidence in enumerate(item.evidence, start=1):
        yield f"mle.evidence.{number}", evidence_line(evidence).removeprefix("evidence ")
    for name, described in item.inputs.items():
        if isinstance(described, dict) and described.get("sha256"):
            yield f"mle.input.{name}.sha256", str(described["sha256"])
    for requirement, digest in item.requirement_hashes.items():
        yield f"mle.requirement.{requirement}.hash", digest
    yield from _xray(item)
    yield from _score(item)


def spec_sha256(spec: SpecReport) -> str | None:
    """Return the digest of the spec file itself among the files that the spec consists of."""
    name = spec.path.rsplit("/", 1)[-1]
    matches = [digest for path, digest in spec.files.items() if path == spec.path or path.rsplit("/", 1)[-1] == name]
    return spec.files.get(spec.path) or (matches[0] if len(matches) == 1 else None)


def _identity(item: ItemResult, spec: SpecReport) -> Iterator[tuple[str, str]]:
    _, is_official = base_practice_title(spec, item.base_practice)
    known = {
        "mle.verdict": item.verdict.value,
        "mle.item": item.item,
        "mle.title": item.title,
        "mle.process": item.process,
        "mle.official_bp" if is_official else "mle.extension_bp": item.base_practice,
        "mle.bp_fit": item.fit,
        "mle.handbook_bp": item.handbook_base_practice,
        "mle.kind": item.kind,
        "mle.origin": item.origin,
        "mle.asil": item.asil,
        "mle.check": item.check,
        "mle.check_location": item.check_location,
        "mle.recorded": recorded_line(item),
        "mle.overridden": "true" if item.is_overridden else None,
        "mle.seed": None if item.seed is None else str(item.seed),
        "mle.standards": "; ".join(item.standards),
        "mle.spec.sha256": spec_sha256(spec),
    }
    yield from ((name, value) for name, value in known.items() if value)


def _measured(item: ItemResult) -> Iterator[tuple[str, str]]:
    for quantity in item.quantities[:QUANTITY_LIMIT]:
        yield from _quantity(quantity)
    left_out = len(item.quantities) - QUANTITY_LIMIT
    if left_out > 0:
        yield "mle.measures_left_out", f"{left_out} more in results.json"


def _quantity(quantity: QuantityResult) -> Iterator[tuple[str, str]]:
    # In the base unit and in full precision: for machines.
    name = f"mle.measure.{quantity.name}"
    yield name, _number(quantity.value)
    yield f"{name}.unit", quantity.unit
    if quantity.lower is not None and quantity.upper is not None:
        yield f"{name}.ci_low", _number(quantity.lower)
        yield f"{name}.ci_high", _number(quantity.upper)
    if quantity.confidence is not None:
        yield f"{name}.confidence", _number(quantity.confidence)
    if quantity.n is not None:
        yield f"{name}.n", str(quantity.n)


def _number(value: float | None) -> str:
    if value is None:
        return "not measured"
    return str(int(value)) if math.isfinite(value) and value == int(value) and abs(value) < 1e15 else repr(float(value))


def _xray(item: ItemResult) -> Iterator[tuple[str, str]]:
    requirements = dict.fromkeys((*item.verifies, *item.partially_verifies))
    if requirements:
        yield "requirements", ",".join(requirements)
    yield "test_summary", item.title or item.name


def _score(item: ItemResult) -> Iterator[tuple[str, str]]:
    """Yield what S-CORE asks of a test: one that verifies a requirement and is not a review of a document."""
    full = [requirement for requirement in item.verifies if requirement not in item.partially_verifies]
    if item.kind == "evidence" or not (full or item.partially_verifies):
        return
    if item.partially_verifies:
        yield "PartiallyVerifies", ", ".join(item.partially_verifies)
    if full:
        yield "FullyVerifies", ", ".join(full)
    test_type = _test_type(item)
    yield "TestType", test_type
    yield "DerivationTechnique", _derivation(item, test_type)
    yield (
        "Description",
        (item.title or item.name) if item.verdict is Verdict.PASS else f"{item.title}: {headline(item)}",
    )


def _test_type(item: ItemResult) -> str:
    check = item.check or ""
    return next((name for name, words in TEST_TYPES if any(word in check for word in words)), "requirements-based")


def _derivation(item: ItemResult, test_type: str) -> str:
    if item.where:
        return "equivalence-classes"
    return "error-guessing" if test_type == "fault-injection" else "requirements-analysis"
