"""The result of an item, as plain data that survives JSON and process boundaries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pytest_mle.records.figure import Figure
from pytest_mle.records.finding import Findings, ValidityCondition
from pytest_mle.records.verdict import Verdict


@dataclass(frozen=True, slots=True)
class QuantityResult:
    """A measured value with its interval at the confidence that was asked for."""

    name: str
    value: float | None
    unit: str
    kind: str
    lower: float | None = None
    upper: float | None = None
    confidence: float | None = None
    n: int | None = None
    method: str = ""


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """How one criterion was decided."""

    text: str
    verdict: Verdict
    reason: str
    quantity: str
    measured: float | None = None
    unit: str = "1"
    decided_by: str = ""
    n: int | None = None
    is_advisory: bool = False
    origin: str = ""
    path: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class EvidenceResult:
    """How one piece of evidence was judged."""

    text: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class ItemResult:
    """Everything that is known of one item (one slice, one parameter value) after the run.

    ``item`` is the id in the spec; ``name`` the id with its slice, unique in the spec. ``process`` and
    ``base_practice`` are those it is reported under.
    """

    name: str
    item: str
    title: str
    process: str
    base_practice: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    spec: str = ""
    path: str = ""
    line: int | None = None
    node_id: str = ""
    fit: str = "exact"
    kind: str = ""
    handbook_base_practice: str | None = None
    origin: str = "project"
    asil: str | None = None
    verifies: tuple[str, ...] = ()
    partially_verifies: tuple[str, ...] = ()
    check: str | None = None
    check_location: str | None = None
    is_overridden: bool = False
    inputs: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    where: dict[str, Any] = field(default_factory=dict)
    criteria: tuple[CriterionResult, ...] = ()
    quantities: tuple[QuantityResult, ...] = ()
    findings: tuple[Findings, ...] = ()
    validity: tuple[ValidityCondition, ...] = ()
    figures: tuple[Figure, ...] = ()
    evidence: tuple[EvidenceResult, ...] = ()
    seed: int | None = None
    started: str | None = None
    duration_s: float = 0.0
    standards: tuple[str, ...] = ()
    requirement_hashes: dict[str, str] = field(default_factory=dict)


def result_to_json(result: ItemResult) -> dict[str, Any]:
    """Turn a result into plain JSON types, ready for xdist and for `results.json`."""
    return plain_json(result_data(result))  # type: ignore[no-any-return]


def result_data(result: ItemResult) -> dict[str, Any]:
    """Return a result as nested mappings and lists, without what has its default value."""
    return _adapter().dump_python(result, exclude_defaults=True, warnings=False)  # type: ignore[no-any-return]


def plain_json(value: Any) -> Any:
    """Reduce a value to JSON types: a Path or a numpy scalar would kill an xdist worker while it reports.

    Lone surrogates (file names that are no UTF-8) become Python escapes, because no process boundary lets them through.
    """
    try:
        return json.loads(_text(value).encode("utf-8"))
    except (TypeError, ValueError):
        # Rare, and several times slower than the encoder in C.
        return _plain(value)


_text = json.JSONEncoder(ensure_ascii=False).encode


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return _plain(item())
    return _plain(str(value))


def result_from_json(data: dict[str, Any]) -> ItemResult:
    """Rebuild a result from :func:`result_to_json`.

    Raises
    ------
    ValueError
        If a field has another type than it must have.
    """
    return _adapter().validate_python(data)  # type: ignore[no-any-return]


_ADAPTERS: list[Any] = []


def _adapter() -> Any:
    # Built on first use: pydantic is not imported by a pytest run without a spec.
    if not _ADAPTERS:
        from pydantic import TypeAdapter

        _ADAPTERS.append(TypeAdapter(ItemResult))
    return _ADAPTERS[0]
