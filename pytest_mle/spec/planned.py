"""The result of an item that did not run: what the plan alone knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.records.result import ItemResult

if TYPE_CHECKING:
    from pytest_mle.records.verdict import Verdict
    from pytest_mle.spec.model import PlannedItem, Spec


def planned_result(item: PlannedItem, spec: Spec, verdict: Verdict, *reasons: str) -> ItemResult:
    """Return what is known of an item without running it."""
    location = item.location
    return ItemResult(
        name=item.name,
        item=item.item,
        title=item.title,
        process=item.process,
        base_practice=item.base_practice,
        verdict=verdict,
        reasons=reasons,
        spec=spec.path.name,
        path="" if location is None else location.path,
        line=None if location is None else location.line,
        fit=item.fit,
        kind=item.kind,
        handbook_base_practice=item.handbook_base_practice,
        origin=item.origin,
        asil=spec.project.asil,
        verifies=tuple(v.requirement for v in item.verifies if not v.is_partial),
        partially_verifies=tuple(v.requirement for v in item.verifies if v.is_partial),
        check=item.check,
        parameters=dict(item.parameters),
        where=dict(item.where),
        standards=item.standards,
        requirement_hashes={
            v.requirement: spec.requirements[v.requirement].content_hash
            for v in item.verifies
            if v.requirement in spec.requirements
        },
    )


def is_check_of_checklist(item: PlannedItem) -> bool:
    """Say whether an item's check was named by the bundled checklist, not by the project's own lines."""
    named_at = item.key_origins.get("check")
    return item.origin != "project" and named_at is not None and named_at.path != getattr(item.location, "path", None)
