"""``evidence:``: documents and records that a person reviews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pytest_mle.spec.fields import read_fields
from pytest_mle.spec.model import Evidence
from pytest_mle.spec.units import parse_duration
from pytest_mle.yaml_with_lines import LocatedMapping, plain

if TYPE_CHECKING:
    from pytest_mle.spec.interpolation import Interpolation
    from pytest_mle.spec.problems import Problems
    from pytest_mle.yaml_with_lines import LocatedList

KINDS: dict[str, Literal["file", "folder", "url", "reference", "record"]] = {
    "file": "file",
    "folder": "folder",
    "url": "url",
    "reference": "reference",
    "issue": "reference",
    "record": "record",
}
SECONDS_PER_DAY = 86400


def read_evidence(
    entries: LocatedList, key: str, interpolation: Interpolation, problems: Problems
) -> tuple[Evidence, ...]:
    """Return the pieces of evidence of an item; ``key`` is the item's dotted key."""
    read = (
        _read_one(entries, index, f"{key}.evidence.{index}", interpolation, problems) for index in range(len(entries))
    )
    return tuple(one for one in read if one is not None)


def _read_one(
    entries: LocatedList, index: int, key: str, interpolation: Interpolation, problems: Problems
) -> Evidence | None:
    entry, place = entries[index], entries.place(index)
    if isinstance(entry, str):
        problems.add(place, f"evidence must say what it is: {{file: {entry}}}, or folder, url, reference, record")
        return None
    good = read_fields(entry, "evidence", "a piece of evidence", place, problems)
    if not isinstance(entry, LocatedMapping):
        return None
    named = [one for one in entry if one in KINDS]
    if len(named) != 1:
        got = f"got {' and '.join(named)}" if named else "got none of them"
        problems.add(entry.location, f"a piece of evidence is exactly one of {', '.join(KINDS)}; {got}")
        return None
    if named[0] not in good:
        return None
    if "role" in good and "roles" in good:
        problems.add(entry.place("role"), "give either role or roles, not both")
    target = interpolation.text(good[named[0]], f"{key}.{named[0]}", entry.place(named[0]))
    details: dict[str, Any] = {
        one: plain(value) for one, value in good.items() if one not in (*KINDS, "role", "valid_for")
    }
    return Evidence(
        kind=KINDS[named[0]],
        target=target,
        role=good.get("role") or (" and ".join(good["roles"]) if "roles" in good else None),
        valid_for_days=parse_duration(good["valid_for"]) / SECONDS_PER_DAY if "valid_for" in good else None,
        details=details,
        location=entry.location,
    )


def describe_needed(needed: Any) -> str:
    """Write ``evidence_needed`` of a checklist as a phrase: ``annotation guideline (safety engineer)``."""
    if isinstance(needed, list):
        return ", ".join(describe_needed(one) for one in needed)
    if isinstance(needed, dict):
        roles = needed.get("roles") or needed.get("role") or ()
        shown = [roles] if isinstance(roles, str) else [str(role) for role in roles]
        return str(needed.get("artifact", "a document")) + (f" ({', '.join(shown)})" if shown else "")
    return str(needed)
