"""``pytest-mle show ITEM``: the effective item, and where each of its keys was set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import SpecError, closest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mle.errors import Location
    from pytest_mle.spec.model import Criterion, PlannedItem, Spec

WIDTH = 60


def describe_item(spec: Spec, item_id: str) -> str:
    """Return the effective item as text, each line with the place that set it.

    Parameters
    ----------
    spec
        The loaded spec.
    item_id
        Id of the item for all its test cases, or ``ID[variant]`` for one of them.

    Raises
    ------
    SpecError
        If the spec has no such item.
    """
    chosen = [item for item in spec.items if item_id in (item.item, item.name)]
    if not chosen:
        known = list(dict.fromkeys(item.item for item in spec.items))
        raise SpecError(f"there is no item {item_id!r}. {closest(item_id, known)}")
    return "\n\n".join("\n".join(_lines(spec, item)) for item in chosen) + "\n"


def _lines(spec: Spec, item: PlannedItem) -> Iterator[str]:
    practice = spec.base_practices[item.base_practice]
    extension = "" if practice.is_official else " (extension, not in Automotive SPICE 4.0)"
    yield _line(f"{item.name}: {item.title}", item.location)
    for key, value in (
        ("base_practice", f"{practice.id} {practice.title}{extension}"),
        ("fit", item.fit),
        ("kind", item.kind),
        ("handbook_base_practice", item.handbook_base_practice),
        ("asil", ", ".join(item.asil_levels)),
        ("not_applicable", item.not_applicable),
        ("check", item.check),
    ):
        if value:
            yield _line(f"  {key}: {value}", item.key_origins.get(key))
    yield from _section("with", item.parameters, item)
    yield from _section("using", item.using, item)
    yield from _section("where", item.where, item)
    if item.timeout_s is not None:
        yield _line(f"  timeout: {item.timeout_s:g} s", item.key_origins.get("timeout"))
    for heading, is_advisory in (("accept", False), ("advise", True)):
        criteria = [one for one in item.criteria if one.is_advisory is is_advisory]
        if criteria:
            yield f"  {heading}:"
            yield from (_line(f"    - {_criterion(one)}", one.location) for one in criteria)
    if item.evidence:
        yield "  evidence:"
        yield from (_line(f"    - {one.kind}: {one.target}", one.location) for one in item.evidence)
    for one in item.verifies:
        partly = " (partially)" if one.is_partial else ""
        yield _line(f"  verifies: {one.requirement}{partly}", spec.requirements[one.requirement].location)
    if item.marks:
        yield _line(f"  marks: {', '.join(item.marks)}", item.key_origins.get("marks"))
    yield from (f"  pending: {reason}" for reason in (*item.pending_reasons, item.evidence_owed) if reason)


def _section(name: str, values: Any, item: PlannedItem) -> Iterator[str]:
    if values:
        yield f"  {name}:"
        for key, value in values.items():
            yield _line(f"    {key}: {_written(value)}", item.key_origins.get(f"{name}.{key}"))


def _criterion(criterion: Criterion) -> str:
    text = criterion.text
    if criterion.confidence is not None and "confidence" not in text:
        text += f" at {100 * criterion.confidence:g} % confidence (policy)"
    if criterion.requirement is not None:
        return f"{text} [{criterion.requirement}]"
    return text if criterion.origin == "project" else f"{text} [{criterion.origin.replace('_', ' ')}]"


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(text: str, location: Location | None) -> str:
    return text if location is None else f"{text:<{WIDTH}}  # {location}"
