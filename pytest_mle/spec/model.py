"""The effective spec: what is left after reading, overlaying and validating the YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_mle.errors import Location

Operator = Literal["<", "<=", ">", ">=", "==", "in"]
Origin = Literal["project", "requirement", "handbook", "handbook_example", "proposed", "gap"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """``quantity op bound [unit] [at N % confidence | by point value]``, bounds already in the base unit.

    ``confidence`` is the one this criterion asks for, or else ``policy.confidence``; None means the point value decides
    (also where the spec says ``by point value``).
    """

    text: str
    quantity: str
    op: Operator
    bound: float
    upper: float | None = None
    unit: str = "1"
    confidence: float | None = None
    by_point_value: bool = False
    is_advisory: bool = False
    origin: Origin = "project"
    requirement: str | None = None
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One document or record that a person reviews; exactly one of file, folder, url, reference, record."""

    kind: Literal["file", "folder", "url", "reference", "record"]
    target: str
    role: str | None = None
    valid_for_days: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """A requirement that an item verifies."""

    requirement: str
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """One test case of the plan: an item, or one slice or parameter value of it.

    ``name`` is ``id`` or ``id[variant]`` and unique in the spec. ``pending_reasons`` are known before anything runs
    (no criterion adopted, nobody addressed it) and keep it from running; ``evidence_owed`` does not: what can be
    measured is measured. ``key_origins`` says for each key where it was set.
    """

    name: str
    item: str
    title: str
    process: str
    base_practice: str
    variant: str | None = None
    fit: Literal["exact", "close", "weak"] = "exact"
    kind: Literal["automated", "hybrid", "evidence"] = "automated"
    origin: str = "project"
    check: str | None = None
    is_derived: bool = False
    using: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)
    criteria: tuple[Criterion, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    verifies: tuple[Verification, ...] = ()
    not_applicable: str | None = None
    pending_reasons: tuple[str, ...] = ()
    evidence_owed: str | None = None
    timeout_s: float | None = None
    marks: tuple[str, ...] = ()
    asil_levels: tuple[str, ...] = ()
    standards: tuple[str, ...] = ()
    handbook_base_practice: str | None = None
    is_waivable: bool = True
    description: str = ""
    location: Location | None = None
    key_origins: Mapping[str, Location] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BasePractice:
    """A base practice; ``is_official`` is False for extensions such as MLE.5.BP1."""

    id: str
    title: str
    process: str
    is_official: bool = True


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement with the conditions that belong to its numbers.

    ``attributes`` are title, priority, release, status, group, version, source and whatever stands under
    ``attributes:``; ``content_hash`` is the SHA-256 of everything that it says.
    """

    id: str
    text: str
    parents: tuple[str, ...] = ()
    rationale: str | None = None
    asil: str | None = None
    type: str | None = None
    criteria: tuple[Criterion, ...] = ()
    check: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)
    using: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    content_hash: str = ""
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class InputEntry:
    """One declared input: its kind (``datasets``, ``models``, ...), name and options, ``like:`` already resolved.

    ``options`` holds plain YAML values with ``${...}`` replaced; ``path`` stays as written (relative to the spec).
    """

    kind: str
    name: str
    options: Mapping[str, Any]
    location: Location


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules for the whole run."""

    seed: int = 0
    confidence: float | None = None
    images: Literal["shown", "blurred", "off"] = "blurred"


@dataclass(frozen=True, slots=True)
class Project:
    """What is examined."""

    name: str
    version: str | None = None
    asil: str | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """The plan: everything a run needs to know, fixed before it starts.

    ``files`` are all files the spec consists of, with their SHA-256; ``processes`` those the project claims;
    ``overrides`` what ``--mle-set`` and the environment put in, by dotted key.
    """

    path: Path
    root: Path
    project: Project
    policy: Policy
    processes: tuple[str, ...]
    base_practices: Mapping[str, BasePractice]
    process_titles: Mapping[str, str]
    inputs: Mapping[str, Mapping[str, InputEntry]]
    defaults: Mapping[str, str]
    requirements: Mapping[str, Requirement]
    items: tuple[PlannedItem, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
