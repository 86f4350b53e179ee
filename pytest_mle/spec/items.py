"""From the merged items to the plan: one test case per item, slice and parameter value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from pytest_mle.errors import closest
from pytest_mle.spec.base_practices import official_spelling
from pytest_mle.spec.conditions import merge_where, read_where
from pytest_mle.spec.criteria import CriterionError, read_criterion, resolve_criterion
from pytest_mle.spec.evidence import describe_needed, read_evidence
from pytest_mle.spec.fields import asil_levels, is_misspelt, read_fields
from pytest_mle.spec.inheritance import Conditions, Verified, with_requirements
from pytest_mle.spec.model import PlannedItem, Verification
from pytest_mle.spec.problems import Problems
from pytest_mle.spec.units import parse_duration
from pytest_mle.spec.validate import (
    RECORD,
    missing_inputs,
    missing_named,
    parameter_problems,
    quantity_of,
    recorded_problems,
    using_problems,
)
from pytest_mle.spec.variants import read_variants
from pytest_mle.yaml_with_lines import LocatedList, LocatedMapping, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_mle.errors import Location
    from pytest_mle.records.check import CheckDeclaration
    from pytest_mle.spec.adoption import Adopted
    from pytest_mle.spec.criteria import WrittenCriterion
    from pytest_mle.spec.interpolation import Interpolation
    from pytest_mle.spec.model import BasePractice, Criterion, Evidence, Origin, Policy, Project
    from pytest_mle.spec.overlay import ItemSource
    from pytest_mle.spec.requirements import RequirementSource
    from pytest_mle.spec.validate import Checks, Declared
    from pytest_mle.spec.variants import Variant

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MARK = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Kind = Literal["automated", "hybrid", "evidence"]
NO_CRITERION = "no criterion adopted"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rest of the spec says, for all items."""

    project: Project
    policy: Policy
    practices: Mapping[str, BasePractice]
    requirements: Mapping[str, RequirementSource]
    checks: Checks
    declared: Declared
    adopted: Adopted
    checklist_files: frozenset[str]
    checklist_items: tuple[str, ...]
    left_out: frozenset[str]
    interpolation: Interpolation
    problems: Problems


def plan_item(source: ItemSource, around: Surroundings) -> list[PlannedItem]:
    """Return the test cases of one item; what is wrong with it is noted in ``around.problems``."""
    return _ItemPlan(source, around).cases()


def practice_of(source: ItemSource, practices: Mapping[str, BasePractice]) -> BasePractice | None:
    """Return the base practice an item stands under, None if it names none that is known."""
    name = source.mapping.get("base_practice")
    return practices.get(official_spelling(name)) if isinstance(name, str) else None


class _ItemPlan:
    """One item on its way into the plan."""

    def __init__(self, source: ItemSource, around: Surroundings) -> None:
        self.source = source
        self.around = around
        self.mapping = source.mapping
        self.id = str(source.mapping["id"])
        self.called = f"item {self.id}"
        self.problems = around.problems
        self.misfits = Problems()
        self.good = read_fields(self.mapping, "item", self.called, self.mapping.location, self.problems)

    def cases(self) -> list[PlannedItem]:
        if not _ID.fullmatch(self.id):
            self.problems.add(
                self.mapping.place("id"),
                f"the item id {self.id!r} must be at most 100 letters, digits, dots, hyphens and underscores",
            )
        practice = self._practice()
        if practice is None:
            return []
        common = self._common(practice)
        variants = read_variants(self.good, self.mapping, self.called, self.problems)
        return [self._case(common, variant) for variant in variants]

    def _misfit(self, location: Location, message: str) -> None:
        """Note what does not fit the check; where a checklist says so, the project cannot mend it: it is PENDING."""
        is_ours = self.source.is_addressed and location.path not in self.around.checklist_files
        (self.problems if is_ours else self.misfits).add(location, message)

    def _practice(self) -> BasePractice | None:
        practices = self.around.practices
        if "base_practice" not in self.good:
            # A misspelt key has been told already.
            if "base_practice" not in self.mapping and not is_misspelt("base_practice", self.mapping, "item"):
                self.problems.add(self.mapping.place("id"), f"{self.called} has no base_practice{self._hint()}")
            return None
        practice = practice_of(self.source, practices)
        if practice is None:
            name = self.good["base_practice"]
            self.problems.add(
                self.mapping.place("base_practice"),
                f"unknown base practice {name!r}. {closest(official_spelling(name), list(practices))} "
                "Others can be added under base_practices",
            )
        elif self.good.get("process", practice.process) != practice.process:
            self.problems.add(
                self.mapping.place("process"),
                f"{self.called} has process {self.good['process']}, but {practice.id} belongs to {practice.process}",
            )
        return practice

    def _hint(self) -> str:
        of_checklists = self.around.checklist_items
        if self.id in self.around.left_out:
            return ", because `only` leaves it out where its checklist is extended"
        if not of_checklists:
            return ", such as base_practice: MLE.4.BP3"
        return f", and no checklist that this spec extends has an item of that id. {closest(self.id, of_checklists)}"

    def _common(self, practice: BasePractice) -> dict[str, Any]:
        """Return what all test cases of the item share."""
        good = self.good
        handbook = good.get("handbook_base_practice")
        return {
            "item": self.id,
            "title": good.get("title", self.id),
            "process": practice.process,
            "base_practice": practice.id,
            "fit": good.get("fit", "exact"),
            "origin": self.source.checklist or "project",
            "timeout_s": parse_duration(good["timeout"]) if "timeout" in good else None,
            "marks": self._marks(),
            "asil_levels": self._asil_levels(),
            "standards": tuple(good.get("standards", ())),
            "handbook_base_practice": handbook,
            "is_waivable": good.get("waivable", True),
            "description": good.get("description", ""),
            "location": self.mapping.place("id"),
            "evidence": self._evidence(),
        }

    def _marks(self) -> tuple[str, ...]:
        marks = self.good.get("marks", ())
        for index, mark in enumerate(marks):
            if not _MARK.fullmatch(mark):
                self.problems.add(marks.place(index), f"{mark!r} is no pytest mark; use letters, digits and _")
        return tuple(dict.fromkeys(marks))

    def _asil_levels(self) -> tuple[str, ...]:
        levels = self.good.get("asil", ())
        if isinstance(levels, dict):
            levels = levels["levels"]
        return (levels,) if isinstance(levels, str) else tuple(dict.fromkeys(levels))

    def _evidence(self) -> tuple[Evidence, ...]:
        if "evidence" not in self.good:
            return ()
        if "evidence" in self.good and not self.good["evidence"]:
            self.problems.add(self.mapping.place("evidence"), f"{self.called}: evidence is empty. Leave it out")
        return read_evidence(self.good["evidence"], f"items.{self.id}", self.around.interpolation, self.problems)

    # One test case

    def _case(self, common: Mapping[str, Any], variant: Variant) -> PlannedItem:
        name = self.id if variant.name is None else f"{self.id}[{variant.name}]"
        not_applicable = self._not_applicable(common, variant)
        verified = self._verified(variant)
        before = len(self.problems)
        conditions = with_requirements(self._own(variant), verified, self.called, self.problems)
        # Whatever does not fit a check that is in dispute would only be noise.
        check = self._known_check(conditions) if len(self.problems) == before else None
        criteria = (*self._inherited(verified, check), *self._criteria(variant, check))
        reasons: tuple[str, ...] = ()
        needed = self.good.get("evidence_needed") if not_applicable is None and not common["evidence"] else None
        owed = None if needed is None else f"evidence owed: {describe_needed(plain(needed))}"
        if not_applicable is None:
            self._refuse_unmeasurable(conditions, criteria)
            self._fit(conditions, check)
            reasons = tuple(self._pending(common, conditions, check, criteria, needed))
        kind: Kind = self.good.get("kind") or _kind_of(conditions.check, common["evidence"])
        shared = dict(common)
        if variant.entry is not None:
            shared["location"] = variant.entry.location
        return PlannedItem(
            **shared,
            name=name,
            variant=variant.name,
            kind=kind,
            check=conditions.check,
            is_derived=check is not None and check.is_derived,
            using=conditions.using,
            parameters=conditions.parameters,
            where=conditions.where,
            criteria=criteria,
            verifies=tuple(Verification(one.source.requirement.id, one.is_partial) for one in verified),
            not_applicable=not_applicable,
            pending_reasons=reasons,
            # What nobody addressed says so in its one reason.
            evidence_owed=owed if self.source.is_addressed or not reasons else None,
            key_origins=self._key_origins(variant, conditions),
        )

    def _not_applicable(self, common: Mapping[str, Any], variant: Variant) -> str | None:
        reason: str | None = variant.fields.get("not_applicable") or self.good.get("not_applicable")
        if reason is not None:
            return " ".join(reason.split())
        asil = self.around.project.asil
        levels = common["asil_levels"]
        if asil is None or not levels or set(levels) & set(asil_levels(asil)):
            return None
        return f"it applies to ASIL {', '.join(levels)}; the project is ASIL {asil}"

    def _key_origins(self, variant: Variant, conditions: Conditions) -> dict[str, Location]:
        origins = dict(self.mapping.places)
        if variant.entry is not None:
            origins.update(variant.entry.places)
        origins.update(conditions.origins)
        return origins

    # Requirements

    def _verified(self, variant: Variant) -> list[Verified]:
        verified: dict[str, Verified] = {}
        for entries in (self.good.get("verifies"), variant.fields.get("verifies")):
            if entries is None:
                continue
            for index, entry in enumerate(entries):
                one = self._verified_one(entry, entries.place(index))
                if one is not None and one.source.requirement.id in verified:
                    self.problems.add(one.location, f"{self.called} verifies {one.source.requirement.id} twice")
                elif one is not None:
                    verified[one.source.requirement.id] = one
        return list(verified.values())

    def _verified_one(self, entry: Any, place: Location) -> Verified | None:
        name, is_partial = entry, False
        if isinstance(entry, LocatedMapping):
            good = read_fields(entry, "verifies", f"{self.called}: an entry of verifies", place, self.problems)
            if "id" not in good:
                return None
            name, is_partial = good["id"], good.get("partially", False)
        if not isinstance(name, str):
            self.problems.add(place, f"verifies takes ids of requirements, got {plain(name)!r}")
            return None
        source = self.around.requirements.get(name)
        if source is None:
            known = list(self.around.requirements)
            hint = closest(name, known) if known else "The spec declares no requirements."
            self.problems.add(place, f"{self.called} verifies an unknown requirement {name!r}. {hint}")
            return None
        return Verified(source, is_partial, place)

    def _inherited(self, verified: Sequence[Verified], check: CheckDeclaration | None) -> Iterator[Criterion]:
        for one in verified:
            name = one.source.requirement.id
            for written, place, is_advisory in one.source.written:
                criterion = self._resolve(
                    written, check, origin="requirement", requirement=name, is_advisory=is_advisory, location=place
                )
                if criterion is not None:
                    yield criterion

    # Conditions

    def _own(self, variant: Variant) -> Conditions:
        own = Conditions(check=self.good.get("check"))
        if own.check is not None:
            own.origins["check"] = self.mapping.place("check")
            if not own.check.isidentifier():
                self.problems.add(
                    own.origins["check"], f"{own.check!r} is no name of a check; write it like a Python function"
                )
        for mapping, good in ((self.mapping, self.good), (variant.entry, variant.fields)):
            if mapping is None:
                continue
            self._take(own.parameters, "with", good, own)
            self._take(own.using, "using", good, own)
            if "where" in good:
                self._take_where(own, good["where"])
        for key, value in variant.values.items():
            place = self.good["parametrize"].place(key)
            if key in own.parameters and own.origins[f"with.{key}"].path == place.path:
                self.problems.add(place, f"{self.called}: {key} stands under both with and parametrize")
            own.parameters[key] = value
            own.origins[f"with.{key}"] = place
        return own

    def _take(self, into: dict[str, Any], section: str, good: Mapping[str, Any], own: Conditions) -> None:
        below = good.get(section)
        if below is None:
            return
        for key, value in below.items():
            if not isinstance(key, str) or (section == "using" and not isinstance(value, str)):
                self.problems.add(
                    below.place(key), f"{section}: {key} must be the name of an input, got {plain(value)!r}"
                )
                continue
            into[key] = plain(value)
            own.origins[f"{section}.{key}"] = below.place(key)

    def _take_where(self, own: Conditions, value: LocatedMapping) -> None:
        where = read_where(value, self.problems)
        own.where, clashes = merge_where(own.where, where)
        for attribute in clashes:
            self.problems.add(
                value.place(attribute),
                f"{self.called}: where {attribute} of the slice contradicts the item's "
                f"({own.origins[f'where.{attribute}']})",
            )
        own.origins.update({f"where.{attribute}": value.place(attribute) for attribute in where})

    # Criteria

    def _criteria(self, variant: Variant, check: CheckDeclaration | None) -> Iterator[Criterion]:
        fields = variant.fields
        accept = [fields["accept"]] if "accept" in fields else [self.good.get("accept"), self.good.get("accept_more")]
        accept.append(fields.get("accept_more"))
        advise = fields["advise"] if "advise" in fields else self.good.get("advise")
        for key, entries in (*(("accept", one) for one in accept), ("advise", advise)):
            if entries is not None:
                yield from self._criteria_in(entries, key, check)

    def _criteria_in(self, entries: LocatedList, key: str, check: CheckDeclaration | None) -> Iterator[Criterion]:
        for index, entry in enumerate(entries):
            place = entries.place(index)
            text, is_advisory = entry, key == "advise"
            origin: Origin = "project"
            if isinstance(entry, LocatedMapping):
                good = read_fields(entry, "criterion", f"{self.called}: a criterion", place, self.problems)
                text = good.get("criterion")
                origin = self._origin(good, entry)
                is_advisory |= good.get("severity") == "advisory"
                if text is None:
                    continue
            if not isinstance(text, str):
                self.problems.add(place, f"{key}: a criterion must be text such as map_50 >= 90 %, got {plain(text)!r}")
                continue
            try:
                written = read_criterion(text)
            except CriterionError as error:
                self.problems.add(place, str(error))
                continue
            is_advisory = self._advises(written.quantity, origin, is_advisory=is_advisory)
            criterion = self._resolve(written, check, origin=origin, is_advisory=is_advisory, location=place)
            if criterion is not None:
                yield criterion

    def _origin(self, good: Mapping[str, Any], entry: LocatedMapping) -> Origin:
        if "origin" not in good:
            return "project"
        if entry.location.path in self.around.checklist_files:
            return cast("Origin", good["origin"])
        self.problems.add(entry.place("origin"), "origin is for checklists; the criteria of a project are its own")
        return "project"

    def _advises(self, quantity: str, origin: str, *, is_advisory: bool) -> bool:
        """Proposed criteria advise until adopted; one adopted by its quantity gates even if it was meant to advise."""
        if origin != "proposed":
            return is_advisory
        if (self.id, quantity) in self.around.adopted.quantities:
            return False
        return is_advisory or self.id not in self.around.adopted.items

    def _resolve(
        self,
        written: WrittenCriterion,
        check: CheckDeclaration | None,
        *,
        origin: Origin,
        is_advisory: bool,
        location: Location,
        requirement: str | None = None,
    ) -> Criterion | None:
        quantity, message = quantity_of(check, written.quantity)
        if message is not None:
            self._misfit(location, message)
            return None
        try:
            return resolve_criterion(
                written,
                quantity,
                policy_confidence=self.around.policy.confidence,
                origin=origin,
                requirement=requirement,
                is_advisory=is_advisory,
                location=location,
            )
        except CriterionError as error:
            self._misfit(location, str(error))
            return None

    # The check

    def _known_check(self, conditions: Conditions) -> CheckDeclaration | None:
        """Return the declaration of the item's check; an item that nobody addressed asks known checks only."""
        if conditions.check is None:
            return None
        checks = self.around.checks
        if not self.source.is_addressed and conditions.check not in checks.known:
            return None
        found = checks.find(conditions.check)
        broken = checks.broken(conditions.check)
        if broken is not None:
            self._misfit(conditions.place("check", self.mapping.location), broken)
        return found

    def _refuse_unmeasurable(self, conditions: Conditions, criteria: Sequence[Criterion]) -> None:
        if conditions.check is not None:
            return
        if RECORD in conditions.using:
            for name, message in recorded_problems(conditions.using, self.around.declared).items():
                self._misfit(conditions.place(f"using.{name}", self.mapping.location), message)
            return
        for key, what in (("with", "parameters"), ("using", "inputs"), ("where", "conditions")):
            if key in self.good:
                self._misfit(self.mapping.place(key), f"{self.called} has {what} under {key}, but no check")
        if criteria:
            place = criteria[0].location or self.mapping.location
            self._misfit(place, f"{self.called} has criteria, but no check that measures {criteria[0].quantity}")

    def _fit(self, conditions: Conditions, check: CheckDeclaration | None) -> None:
        if check is None:
            return
        wrong, missing = parameter_problems(check, conditions.parameters)
        for name, message in wrong.items():
            self._misfit(conditions.place(f"with.{name}", self.mapping.location), message)
        for name in missing:
            self._misfit(
                conditions.place("check", self.mapping.location),
                f"{self.called}: {check.name} needs with: {{{name}: ...}}",
            )
        for name, message in using_problems(check, conditions.using, self.around.declared).items():
            self._misfit(conditions.place(f"using.{name}", self.mapping.location), message)

    # What is still owed

    def _pending(
        self,
        common: Mapping[str, Any],
        conditions: Conditions,
        check: CheckDeclaration | None,
        criteria: Sequence[Criterion],
        needed: Any,
    ) -> Iterator[str]:
        """Say what keeps the item from running; evidence that is owed does not keep its check from measuring."""
        missing = [] if check is None else missing_inputs(check, conditions.using, self.around.declared)
        if check is None and RECORD in conditions.using:
            missing = missing_named({}, conditions.using, self.around.declared)
        if not self.source.is_addressed:
            reason = self._not_addressed(conditions.check, check, missing, needed)
            if reason is not None:
                yield reason
                return
        misfits = self.misfits.messages()
        if misfits:
            yield f"the checklist does not fit the check: {'; '.join(misfits)}"
        yield from missing
        if needed is not None and conditions.check is None and RECORD not in conditions.using:
            return
        is_shown_by = common["evidence"] or any(not criterion.is_advisory for criterion in criteria)
        if not is_shown_by and not misfits:
            yield self._no_criterion(criteria)

    def _not_addressed(
        self, name: str | None, check: CheckDeclaration | None, missing: Sequence[str], needed: Any
    ) -> str | None:
        """Say what an item of a checklist needs that the project never mentions; None if it can run as it is."""
        wants: list[str] = []
        if name is not None:
            wants.append(f"the check {name} ({'exists' if check is not None else 'does not exist yet'})")
        if missing:
            wants.append(f"inputs ({'; '.join(missing)})")
        elif check is None and "needs" in self.good:
            wants.append(f"inputs ({', '.join(map(str, plain(self.good['needs'])))})")
        if needed is not None:
            wants.append(f"evidence ({describe_needed(plain(needed))})")
        misfits = self.misfits.messages()
        if check is not None and not missing and not misfits:
            return None
        reason = f"not addressed by the project yet: needs {', '.join(wants) or 'a check or evidence'}"
        if misfits:
            reason += f"; the checklist does not fit the check: {'; '.join(misfits)}"
        if self.good.get("optional"):
            reason += ". The checklist calls it optional: close it with not_applicable and the reason"
        return reason

    def _no_criterion(self, criteria: Sequence[Criterion]) -> str:
        proposed = [criterion for criterion in criteria if criterion.origin == "proposed"]
        if not proposed:
            return NO_CRITERION
        shown = ", ".join(f"{one.text} (adopt: {self.id}.{one.quantity})" for one in proposed)
        return f"{NO_CRITERION}; proposed: {shown}"


def _kind_of(check: str | None, evidence: Sequence[Evidence]) -> Kind:
    if check is None:
        return "evidence" if evidence else "automated"
    return "hybrid" if evidence else "automated"
