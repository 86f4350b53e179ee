"""Quantities against criteria: three-valued where a confidence is asked for, never green without a number."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_mle.errors import CheckError, closest
from pytest_mle.records.quantity import Exact, PointEstimate, Proportion, QuantityDeclaration, as_quantity
from pytest_mle.records.result import CriterionResult, QuantityResult
from pytest_mle.records.verdict import Verdict, worst
from pytest_mle.spec.criteria import unit_as_written
from pytest_mle.spec.units import format_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_mle.records.measurement import Measurement
    from pytest_mle.records.quantity import Quantity
    from pytest_mle.spec.model import Criterion

COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
UNDECLARED = QuantityDeclaration("1", "estimate")
DISPLAY_CONFIDENCE = 0.95
# What a plain number is given as its method.
_SAYS_NOTHING = (Exact(0).method, PointEstimate(0).method)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the criteria say of a measurement."""

    verdict: Verdict
    reasons: tuple[str, ...]
    criteria: tuple[CriterionResult, ...]
    quantities: tuple[QuantityResult, ...]


def judge(
    measurement: Measurement,
    declared: Mapping[str, QuantityDeclaration] | None,
    criteria: Sequence[Criterion],
    confidence: float | None = None,
) -> Judgement:
    """Compare a measurement with its criteria.

    Parameters
    ----------
    measurement
        What the check returned.
    declared
        The quantities it promised; None where a project's own check declares nothing.
    criteria
        ``accept`` and ``advise`` criteria of the item.
    confidence
        ``policy.confidence``, at which intervals are shown.

    Raises
    ------
    CheckError
        If the check returned a quantity it did not declare, or kept one back without a failed validity condition.
    """
    quantities = _quantities(measurement, declared)
    broken = [condition for condition in measurement.validity if not condition.holds]
    decided = tuple(_decide(criterion, quantities) for criterion in criteria)
    reasons = [f"validity condition {c.name} does not hold: {c.detail}".rstrip(": ") for c in broken]
    reasons += [c.reason for c in decided if c.verdict is not Verdict.PASS]
    verdicts = [c.verdict for c in decided]
    if broken:
        # What is measured outside its conditions can condemn nothing and excuse nothing.
        verdicts = [Verdict.INCONCLUSIVE]
    elif not any(not criterion.is_advisory for criterion in criteria):
        verdicts.append(Verdict.PENDING)
        reasons.append("no criterion adopted")
    shown = tuple(
        _quantity_result(name, quantity, declaration, confidence or DISPLAY_CONFIDENCE)
        for name, (quantity, declaration) in quantities.items()
    )
    return Judgement(worst(verdicts), tuple(reasons), decided, shown)


def _quantities(
    measurement: Measurement, declared: Mapping[str, QuantityDeclaration] | None
) -> dict[str, tuple[Quantity, QuantityDeclaration]]:
    quantities: dict[str, tuple[Quantity, QuantityDeclaration]] = {}
    for name, value in measurement.quantities.items():
        declaration = UNDECLARED if declared is None else declared.get(name)
        if declaration is None:
            raise CheckError(
                f"the check returned the quantity {name!r}, which it does not declare. "
                f"{closest(name, list(declared or ()))}"
            )
        try:
            quantities[name] = as_quantity(value, declaration), declaration
        except TypeError as error:
            raise CheckError(f"the check returned {name} = {value!r}: {error}") from error
    missing = [name for name in declared or () if name not in quantities]
    if missing and all(condition.holds for condition in measurement.validity):
        raise CheckError(f"the check declares {', '.join(missing)} but returned no value for it")
    return quantities


def _decide(criterion: Criterion, quantities: Mapping[str, tuple[Quantity, QuantityDeclaration]]) -> CriterionResult:
    if criterion.quantity not in quantities:
        return _result(criterion, Verdict.INCONCLUSIVE, f"{criterion.quantity} was not measured", None, "1", "", None)
    quantity, declaration = quantities[criterion.quantity]
    unit, value = declaration.unit, quantity.value
    shown = _shown(value, criterion, declaration)
    if isinstance(quantity, Proportion) and max(abs(criterion.bound), abs(criterion.upper or 0)) > 1:
        # A check of the project may declare nothing, so reading the spec could not see it; `<= 5` would always hold.
        raise CheckError(f"{criterion.text}: {criterion.quantity} is a rate and cannot exceed 100 %. Was % forgotten?")
    if not math.isfinite(value):
        reason = f"{criterion.quantity} is {value}, not a finite number"
        if isinstance(quantity, (Exact, PointEstimate)) and quantity.method not in _SAYS_NOTHING:
            reason = f"{criterion.quantity} was not measured: {quantity.method}"
        return _result(criterion, Verdict.INCONCLUSIVE, reason, value, unit, "", quantity.n)
    if criterion.confidence is None or criterion.by_point_value or declaration.kind == "exact":
        holds = _meets(criterion, value, value)
        by = "exact value" if declaration.kind == "exact" else "point value"
        verdict = Verdict.PASS if holds else Verdict.FAIL
        return _result(criterion, verdict, f"{criterion.quantity} is {shown}", value, unit, by, quantity.n)
    bounds = quantity.bounds(criterion.confidence)
    percent = f"{100 * criterion.confidence:g} %"
    if bounds is None:
        reason = f"{criterion.quantity} is {shown} without an interval; at {percent} confidence that shows nothing"
        if quantity.method not in _SAYS_NOTHING:
            reason += f" ({quantity.method})"
        if declaration is UNDECLARED:
            reason += ". If it is a count, declare it with mle.exact"
        return _result(criterion, Verdict.INCONCLUSIVE, reason, value, unit, "no interval", quantity.n)
    return _decide_by_bounds(criterion, quantity, declaration, bounds, percent)


def _decide_by_bounds(
    criterion: Criterion,
    quantity: Quantity,
    declaration: QuantityDeclaration,
    bounds: tuple[float, float],
    percent: str,
) -> CriterionResult:
    lower, upper = bounds
    unit = declaration.unit
    shown, low, high = (_shown(value, criterion, declaration) for value in (quantity.value, lower, upper))
    if criterion.op in (">", ">="):
        good, bad = lower, upper
        good_text, bad_text = f"lower bound {low}", f"upper bound {high}"
    else:
        good, bad = upper, lower
        good_text, bad_text = f"upper bound {high}", f"lower bound {low}"
    if criterion.op == "in":
        verdict = _in_range(criterion, lower, upper)
        by = f"{percent} bounds {low} to {high}"
    elif _meets(criterion, good, good):
        verdict, by = Verdict.PASS, f"{percent} {good_text}"
    elif not _meets(criterion, bad, bad):
        verdict, by = Verdict.FAIL, f"{percent} {bad_text}"
    else:
        verdict, by = Verdict.INCONCLUSIVE, f"{percent} {good_text}"
    reason = f"{criterion.quantity} is {shown}, {by}"
    if verdict is Verdict.INCONCLUSIVE:
        reason += "; the data cannot show it either way"
    return _result(criterion, verdict, reason, quantity.value, unit, f"{by} ({quantity.method})", quantity.n)


def _shown(value: float, criterion: Criterion, declaration: QuantityDeclaration) -> str:
    # Digits enough to tell it from the bound: "80.0 %" would not explain why 80 % is not shown.
    return format_value(
        value,
        declaration.unit,
        kind=declaration.kind,
        name=criterion.quantity,
        against=criterion.bound,
        written_in=unit_as_written(criterion.text),
    )


def _in_range(criterion: Criterion, lower: float, upper: float) -> Verdict:
    if _meets(criterion, lower, upper):
        return Verdict.PASS
    assert criterion.upper is not None
    if upper < criterion.bound or lower > criterion.upper:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE


def _meets(criterion: Criterion, lower: float, upper: float) -> bool:
    if criterion.op == "in":
        assert criterion.upper is not None
        return criterion.bound <= lower and upper <= criterion.upper
    return bool(COMPARE[criterion.op](lower, criterion.bound))


def _result(
    criterion: Criterion,
    verdict: Verdict,
    reason: str,
    measured: float | None,
    unit: str,
    by: str,
    n: int | None,
) -> CriterionResult:
    if verdict is not Verdict.PASS:
        reason = f"{criterion.text}: {reason}"
        if criterion.is_advisory:
            verdict = Verdict.WARNING
    location = criterion.location
    return CriterionResult(
        text=criterion.text,
        verdict=verdict,
        reason=reason,
        quantity=criterion.quantity,
        measured=measured,
        unit=unit,
        decided_by=by,
        n=n,
        is_advisory=criterion.is_advisory,
        origin=criterion.origin,
        path="" if location is None else location.path,
        line=None if location is None else location.line,
    )


def _quantity_result(
    name: str, quantity: Quantity, declaration: QuantityDeclaration, confidence: float
) -> QuantityResult:
    bounds = quantity.bounds(confidence) if declaration.kind == "estimate" and math.isfinite(quantity.value) else None
    return QuantityResult(
        name=name,
        value=float(quantity.value),
        unit=declaration.unit,
        kind=declaration.kind,
        lower=None if bounds is None else bounds[0],
        upper=None if bounds is None else bounds[1],
        confidence=None if bounds is None else confidence,
        n=quantity.n,
        method="exact" if declaration.kind == "exact" and math.isfinite(quantity.value) else quantity.method,
    )
