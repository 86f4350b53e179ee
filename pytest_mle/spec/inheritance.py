"""What an item takes over from the requirements that it verifies: check, conditions, and nothing that contradicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_mle.spec.conditions import merge_where

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_mle.errors import Location
    from pytest_mle.spec.problems import Problems
    from pytest_mle.spec.requirements import RequirementSource


@dataclass(slots=True)
class Conditions:
    """Under which conditions something is measured, and where each of them was set."""

    check: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    using: dict[str, str] = field(default_factory=dict)
    where: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Location] = field(default_factory=dict)

    def place(self, key: str, default: Location) -> Location:
        """Return where a dotted key was set."""
        return self.origins.get(key, default)


@dataclass(frozen=True, slots=True)
class Verified:
    """One requirement that an item verifies, and where the item says so."""

    source: RequirementSource
    is_partial: bool
    location: Location


def with_requirements(own: Conditions, verified: Sequence[Verified], called: str, problems: Problems) -> Conditions:
    """Join an item's own conditions with those of its requirements; contradictions are problems."""
    if not verified:
        return own
    demanded = _demanded(verified, called, problems)
    for one in verified:
        _refuse_narrowing(own, one, called, problems)
    joined = Conditions(origins={**own.origins, **demanded.origins})
    if own.check is not None and demanded.check is not None and own.check != demanded.check:
        problems.add(
            own.origins.get("check"),
            f"{called} uses the check {own.check}, but its requirement is measured by {demanded.check} "
            f"({demanded.origins['check']}). Leave out `check`",
        )
    joined.check = demanded.check or own.check
    joined.parameters = _joined("with", own.parameters, demanded.parameters, own, demanded, called, problems)
    joined.using = _joined("using", own.using, demanded.using, own, demanded, called, problems)
    joined.where, clashes = merge_where(demanded.where, own.where)
    for attribute in clashes:
        problems.add(
            own.origins.get(f"where.{attribute}"),
            f"{called}: where {attribute} contradicts its requirement ({demanded.origins[f'where.{attribute}']}). "
            "Leave it out, or change the requirement",
        )
    return joined


def _joined(
    section: str,
    own: Mapping[str, Any],
    demanded: Mapping[str, Any],
    owner: Conditions,
    demander: Conditions,
    called: str,
    problems: Problems,
) -> dict[str, Any]:
    for name, value in own.items():
        if name in demanded and demanded[name] != value:
            problems.add(
                owner.origins.get(f"{section}.{name}"),
                f"{called}: {name} is {value!r}, but its requirement says {demanded[name]!r} "
                f"({demander.origins[f'{section}.{name}']}). Leave it out, or change the requirement",
            )
    return {**own, **demanded}


def _demanded(verified: Sequence[Verified], called: str, problems: Problems) -> Conditions:
    joined = Conditions()
    for one in verified:
        requirement, under = one.source.requirement, one.source.under
        if under is None:
            continue
        name = requirement.id
        if requirement.check is not None:
            if joined.check not in (None, requirement.check):
                problems.add(
                    one.location,
                    f"{called}: {name} is measured by {requirement.check}, its other requirement by {joined.check} "
                    f"({joined.origins['check']}). Verify them with one item each",
                )
            joined.check = requirement.check
            joined.origins["check"] = under.place("check")
        sections = (
            ("with", joined.parameters, requirement.parameters),
            ("using", joined.using, requirement.using),
            ("where", joined.where, requirement.where),
        )
        for section, into, demanded in sections:
            for key, value in demanded.items():
                if key in into and into[key] != value:
                    problems.add(
                        one.location,
                        f"{called}: {name} demands {key} = {value!r}, its other requirement {into[key]!r} "
                        f"({joined.origins[f'{section}.{key}']}). Verify them with one item each",
                    )
                into[key] = value
                below = under.get(section)
                place = under.place(section) if below is None else below.place(key)
                joined.origins[f"{section}.{key}"] = place
    return joined


def _refuse_narrowing(own: Conditions, one: Verified, called: str, problems: Problems) -> None:
    """Refuse extra conditions: what must hold for everything is not shown on the part where it is easy."""
    requirement = one.source.requirement
    if one.is_partial or not requirement.criteria:
        return
    for attribute, expected in own.where.items():
        demanded = requirement.where.get(attribute)
        narrows = demanded is None or (
            isinstance(expected, dict) and isinstance(demanded, dict) and not set(expected) <= set(demanded)
        )
        if narrows:
            problems.add(
                own.origins.get(f"where.{attribute}"),
                f"{called} looks only at {attribute} {_phrase(expected)}, "
                f"but {requirement.id} ({requirement.location}) holds without that condition. "
                f"Say verifies: [{{id: {requirement.id}, partially: true}}], "
                "or put the condition into the requirement's under",
            )


def _phrase(expected: Any) -> str:
    if isinstance(expected, dict):
        return ", ".join(f"{name} {bound}" for name, bound in expected.items())
    return str(expected)
