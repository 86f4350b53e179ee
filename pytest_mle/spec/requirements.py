"""Requirements: numbers together with the conditions without which they mean nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_mle.spec.conditions import read_where
from pytest_mle.spec.criteria import CriterionError, format_criterion, read_criterion, resolve_criterion
from pytest_mle.spec.fields import read_fields
from pytest_mle.spec.model import Requirement
from pytest_mle.spec.validate import quantity_of
from pytest_mle.yaml_with_lines import LocatedList, LocatedMapping, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mle.errors import Location
    from pytest_mle.spec.criteria import WrittenCriterion
    from pytest_mle.spec.model import Criterion
    from pytest_mle.spec.problems import Problems
    from pytest_mle.spec.validate import Checks

ATTRIBUTES = ("title", "priority", "release", "status", "group", "version", "source")


@dataclass(frozen=True, slots=True)
class RequirementSource:
    """A requirement with its criteria as written, to be resolved again by the check of the item that verifies it."""

    requirement: Requirement
    written: tuple[tuple[WrittenCriterion, Location, bool], ...]
    under: LocatedMapping | None


def read_requirements(
    entries: Mapping[str, LocatedMapping], checks: Checks, problems: Problems
) -> dict[str, RequirementSource]:
    """Return the requirements by id."""
    return {name: _read_requirement(name, mapping, checks, problems) for name, mapping in entries.items()}


def _read_requirement(name: str, mapping: LocatedMapping, checks: Checks, problems: Problems) -> RequirementSource:
    called = f"requirement {name}"
    good = read_fields(mapping, "requirement", called, mapping.location, problems)
    under_mapping = good.get("under")
    under: dict[str, Any] = {}
    where: dict[str, Any] = {}
    if under_mapping is not None:
        under = read_fields(under_mapping, "under", f"{called}: under", mapping.place("under"), problems)
        if "where" in under:
            where = read_where(under["where"], problems)
    check = under.get("check")
    written = read_written(good.get("criteria"), called, problems)
    requirement = Requirement(
        id=name,
        text=good.get("text", ""),
        parents=_parents(mapping, good, problems),
        rationale=good.get("rationale"),
        asil=good.get("asil"),
        type=good.get("type"),
        criteria=_resolve(written, check, name, checks, problems),
        check=check,
        parameters=plain(under.get("with", {})),
        where=where,
        using=plain(under.get("using", {})),
        attributes={key: good[key] for key in ATTRIBUTES if key in good} | plain(good.get("attributes", {})),
        location=mapping.place("id"),
    )
    return RequirementSource(replace(requirement, content_hash=content_hash(requirement)), written, under_mapping)


def _parents(mapping: LocatedMapping, good: Mapping[str, Any], problems: Problems) -> tuple[str, ...]:
    if "parent" in good and "parents" in good:
        problems.add(mapping.place("parent"), "give either parent or parents, not both")
    parents = [good["parent"]] if "parent" in good else list(good.get("parents", ()))
    if mapping.get("id") in parents:
        problems.add(
            mapping.place("parents" if "parents" in good else "parent"), "a requirement cannot be its own parent"
        )
    return tuple(dict.fromkeys(parents))


def read_written(
    entries: LocatedList | None, called: str, problems: Problems
) -> tuple[tuple[WrittenCriterion, Location, bool], ...]:
    """Return criteria as written, where they stand, and whether they are advisory; broken ones are noted."""
    written: list[tuple[WrittenCriterion, Location, bool]] = []
    for index, entry in enumerate(entries if entries is not None else ()):
        assert entries is not None
        place = entries.place(index)
        text, is_advisory = entry, False
        if isinstance(entry, LocatedMapping):
            good = read_fields(entry, "criterion", f"a criterion of {called}", place, problems)
            text, is_advisory = good.get("criterion"), good.get("severity") == "advisory"
            if text is None:
                continue
        if not isinstance(text, str):
            problems.add(place, f"a criterion must be text such as map_50 >= 90 %, got {plain(text)!r}")
            continue
        try:
            written.append((read_criterion(text), place, is_advisory))
        except CriterionError as error:
            problems.add(place, str(error))
    return tuple(written)


def _resolve(
    written: tuple[tuple[WrittenCriterion, Location, bool], ...],
    check: str | None,
    name: str,
    checks: Checks,
    problems: Problems,
) -> tuple[Criterion, ...]:
    declaration = checks.find(check) if check is not None else None
    resolved: list[Criterion] = []
    for one, place, is_advisory in written:
        quantity, message = quantity_of(declaration, one.quantity)
        if message is not None:
            problems.add(place, message)
            continue
        try:
            resolved.append(
                resolve_criterion(
                    one, quantity, origin="requirement", requirement=name, is_advisory=is_advisory, location=place
                )
            )
        except CriterionError as error:
            problems.add(place, str(error))
    return tuple(resolved)


def content_hash(requirement: Requirement) -> str:
    """Return the SHA-256 of what a requirement says; layout, order of keys and place in the file do not matter."""
    content = {
        "id": requirement.id,
        "text": " ".join(requirement.text.split()),
        "parents": sorted(requirement.parents),
        "rationale": requirement.rationale and " ".join(requirement.rationale.split()),
        "asil": requirement.asil,
        "type": requirement.type,
        "criteria": sorted(format_criterion(criterion) for criterion in requirement.criteria),
        "check": requirement.check,
        "with": requirement.parameters,
        "where": requirement.where,
        "using": requirement.using,
        "attributes": requirement.attributes,
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
