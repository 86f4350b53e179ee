"""Quantities from a record in place of a check's measurement, and whether they can be believed here.

What a record says is judged like what a check measures: counts get Clopper-Pearson bounds, samples get those of
``latency_profile``, an interval counts up to its own confidence. What was measured must be what the item asks for: the
same model and data set (by digest), the same parameters and slice, not too old, on the expected hardware.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pytest_mle.checks.metric_identities import contradictions
from pytest_mle.checks.resources.latency import block_length, mean_over_blocks, percentile_over_sections
from pytest_mle.engine.recorded_identity import condition, identity_conditions
from pytest_mle.engine.recorded_units import refuse_misfit
from pytest_mle.errors import CheckError, InputError, Location, closest
from pytest_mle.records.check import CheckDeclaration
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import Exact, Percentile, PointEstimate, Proportion, QuantityDeclaration
from pytest_mle.records.result import plain_json
from pytest_mle.spec.criteria import CriterionError, read_criterion, resolve_criterion
from pytest_mle.spec.units import UnitError, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from pytest_mle.engine.bind import Binding
    from pytest_mle.inputs.record import Record, RecordedQuantity
    from pytest_mle.records.finding import ValidityCondition
    from pytest_mle.records.quantity import Quantity
    from pytest_mle.spec.model import Criterion, PlannedItem

# What differs by less is the clock of another machine.
CLOCK_SKEW = timedelta(minutes=5)
# Below this confidence an order statistic that needs more samples is no bound; latency_profile asks for the same.
LEAST_CONFIDENCE = 0.95
# Quantities in these units belong to the machine as much as to the model.
HARDWARE_UNITS = frozenset({"s", "Hz", "W", "J", "Cel", "By/s", "FLOP/s"})
_STATISTICS_OF_ONE = ("min", "max")


@dataclass(frozen=True, slots=True)
class RecordedInterval:
    """An estimate with an interval as the record gives it.

    Either end of a two-sided interval that holds with 95 % also holds alone with at least 95 %. So the interval serves
    one-sided bounds up to its own confidence; it is never converted to a higher one.
    """

    value: float
    lower: float | None
    upper: float | None
    confidence: float
    n: int | None = None
    how: str = ""

    @property
    def method(self) -> str:
        """Say that the interval was recorded, and at which confidence."""
        return f"recorded interval at {100 * self.confidence:g} %" + (f", {self.how}" if self.how else "")

    def bounds(self, confidence: float) -> tuple[float, float] | None:
        """Return the recorded ends, infinite where only one was recorded; None above the recorded confidence."""
        if confidence > self.confidence:
            return None
        lower, upper = self.lower, self.upper
        return -math.inf if lower is None else lower, math.inf if upper is None else upper


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the judge needs of an item that takes its quantities from a record."""

    measurement: Measurement
    declared: Mapping[str, QuantityDeclaration]
    criteria: tuple[Criterion, ...]


def no_check() -> CheckDeclaration:
    """Return the declaration that stands for an item with a record and without a check."""
    return CheckDeclaration("record", dict, (), ())


def take_from_record(check: CheckDeclaration, binding: Binding) -> Recorded:
    """Return the quantities of the item's record as if its check had measured them here.

    A check with declared quantities gets those of them that the record has, in their units. Without a check, or with
    one that declares nothing, the record itself tells what is exact and what is an estimate.

    Raises
    ------
    InputError
        If the record cannot be read, has none of the quantities, or gives one in a way that its declaration excludes.
    CheckError
        If a criterion does not fit a quantity that only the record knows.
    """
    item, policy = binding.item, binding.around.spec.policy
    record = binding.record()
    declared = _declared(record, check, item)
    quantities = {name: _as_measured(name, declaration, record) for name, declaration in declared.items()}
    conditions = (
        *_time_conditions(record, binding.around.clock.now()),
        *identity_conditions(record, check, binding),
        *_same_conditions(record, check, item),
        *_hardware_conditions(record, declared),
        *_consistent(record, declared),
    )
    return Recorded(
        Measurement(quantities=quantities, validity=conditions, settings={"recorded": _settings(record)}),
        declared,
        tuple(_refitted(one, declared.get(one.quantity), policy.confidence) for one in item.criteria),
    )


def _settings(record: Record) -> dict[str, Any]:
    return {"record": record.name, "sha256": record.digest, **record.description}


def _declared(record: Record, check: CheckDeclaration, item: PlannedItem) -> dict[str, QuantityDeclaration]:
    named = list(dict.fromkeys(one.quantity for one in item.criteria))
    if check.quantities is not None:
        found = {name: one for name, one in check.quantities.items() if name in record}
        if not found:
            raise InputError(
                f"record {record.name} has none of the quantities of {check.name}: it has "
                f"{', '.join(record.quantities)}. {closest(named[0] if named else '', list(record.quantities))}",
                Location(record.path),
            )
        return found
    for name in named:
        record.require(name)
    return {name: _as_recorded(record.require(name)) for name in named or record.quantities}


def _as_recorded(recorded: RecordedQuantity) -> QuantityDeclaration:
    return QuantityDeclaration(recorded.unit, "exact" if recorded.form == "exact" else "estimate")


def _as_measured(name: str, declared: QuantityDeclaration, record: Record) -> Quantity:
    recorded = record.require(name)
    refuse_misfit(name, recorded, declared, record)
    problem = _contradiction(recorded, declared)
    if problem is not None:
        raise InputError(f"record {record.name}: {name} {problem}", Location(record.path))
    if recorded.form == "counts":
        assert recorded.successes is not None
        assert recorded.trials is not None
        return Proportion(recorded.successes, recorded.trials, recorded.effective_trials)
    if recorded.samples is not None:
        return of_samples(recorded.samples, str(recorded.statistic), is_exact=declared.kind == "exact")
    assert recorded.value is not None
    if declared.kind == "exact":
        return Exact(recorded.value, recorded.n, recorded.method or "recorded")
    if recorded.confidence is None:
        return PointEstimate(recorded.value, recorded.n, "recorded without interval")
    return RecordedInterval(
        recorded.value, recorded.lower, recorded.upper, recorded.confidence, recorded.n, recorded.method
    )


def _contradiction(recorded: RecordedQuantity, declared: QuantityDeclaration) -> str | None:
    """Say why a quantity cannot have been recorded in this form: a sample's value is not certain, a count not vague."""
    if declared.kind == "estimate" and recorded.form == "exact":
        return "is estimated from a sample: record value with its interval, counts, or samples, not exact"
    if declared.kind == "estimate":
        return None
    is_vague = recorded.form == "counts" or recorded.confidence is not None
    if is_vague or (recorded.samples is not None and recorded.statistic not in _STATISTICS_OF_ONE):
        return "is exact: record it as exact, without interval, counts, or a statistic other than min and max"
    return None


def of_samples(samples: NDArray[np.float64], statistic: str, *, is_exact: bool = False) -> Quantity:
    """Return a statistic of raw samples, with the bounds that ``latency_profile`` would give it.

    Samples that resemble their neighbours count by blocks: means by Student's t over blocks as long as the measured
    autocorrelation, percentiles by order statistics, or by Student's t over 20 sections where neighbours are alike.

    Parameters
    ----------
    samples
        In the order of measurement, shape ``(sample,)``.
    statistic
        ``mean``, ``median``, ``p50`` to ``p99.99``, ``min`` or ``max``. With too few samples for a bound at 95 % the
        value is NaN; ``min`` and ``max`` are observations and never have a bound.
    is_exact
        Whether the quantity is declared as an observation (``latency_max``).
    """
    n = len(samples)
    if statistic in _STATISTICS_OF_ONE:
        value = float(samples.max() if statistic == "max" else samples.min())
        which = "largest" if statistic == "max" else "smallest"
        return Exact(value, n) if is_exact else PointEstimate(value, n, f"{which} of {n} samples: no bound")
    if statistic == "mean":
        return mean_over_blocks(samples, block_length(samples)) if n > 1 else _too_few(n, 2)
    probability = 0.5 if statistic == "median" else float(statistic[1:]) / 100
    needed = math.ceil(math.log(1 - LEAST_CONFIDENCE) / math.log(probability))
    if n < needed:
        return _too_few(n, needed)
    if block_length(samples, probability) == 1:
        return Percentile(samples, probability)
    return percentile_over_sections(samples, probability)


def _too_few(n: int, needed: int) -> PointEstimate:
    return PointEstimate(math.nan, n, f"needs {needed} samples, the record has {n}")


def _refitted(criterion: Criterion, declared: QuantityDeclaration | None, confidence: float | None) -> Criterion:
    """Return a criterion in the unit of its quantity, which only the record may tell."""
    if declared is None:
        return criterion
    try:
        return resolve_criterion(
            read_criterion(criterion.text),
            declared,
            policy_confidence=confidence,
            origin=criterion.origin,
            requirement=criterion.requirement,
            is_advisory=criterion.is_advisory,
            location=criterion.location,
        )
    except CriterionError as error:
        raise CheckError(str(error), criterion.location) from error


# What must hold for the record to tell anything of this item


def _time_conditions(record: Record, now: datetime) -> Iterator[ValidityCondition]:
    at = record.measured_at
    future = (
        f"record {record.name} was measured at {at.isoformat()}, and here it is {now.isoformat(timespec='seconds')}"
    )
    yield condition("measured_in_the_past", future if at > now + CLOCK_SKEW else "")
    valid_for = record.declared.get("valid_for")
    if valid_for is None:
        return
    try:
        limit = timedelta(seconds=parse_duration(valid_for))
    except UnitError as error:
        raise InputError(f"record {record.name}: valid_for {error}") from error
    days = (now - at).total_seconds() / 86400
    stale = f"record {record.name} is {days:.1f} days old, valid_for is {valid_for}"
    yield condition("still_valid", stale if now - at > limit else "")


def _same_conditions(record: Record, check: CheckDeclaration, item: PlannedItem) -> Iterator[ValidityCondition]:
    """Yield whether parameters are those of the item; one that the record does not tell can be anything."""
    defaults = {one.name: one.default for one in check.parameters if not one.is_required}
    asked, said = plain_json({**defaults, **item.parameters}), plain_json(dict(record.parameters))
    differing = [
        f"{name} is {asked[name]!r} in the spec, "
        + (f"{said[name]!r} in the record" if name in said else "and the record does not tell it")
        for name in asked
        if (name in said or name in item.parameters) and asked[name] != said.get(name, _Untold)
    ]
    problem = f"recorded under other conditions: {'; '.join(differing)}"
    yield condition("same_parameters", problem if differing else "")


class _Untold:
    """Equal to no value that a record can hold."""


def _hardware_conditions(record: Record, declared: Mapping[str, QuantityDeclaration]) -> Iterator[ValidityCondition]:
    expected = record.declared.get("hardware", {})
    differing = [
        f"{key} is {record.hardware.get(key, 'not recorded')!r}, expected {value!r}"
        for key, value in plain_json(expected).items()
        if record.hardware.get(key, _Untold) != value
    ]
    if expected:
        problem = f"recorded on other hardware: {'; '.join(differing)}"
        yield condition("expected_hardware", problem if differing else "")
    bound = [name for name, one in declared.items() if one.unit in HARDWARE_UNITS]
    if bound and not expected:
        problem = f"{', '.join(bound)} depend on the machine, and record {record.name} names no hardware"
        yield condition("hardware_recorded", "" if record.hardware else problem)


def _consistent(record: Record, used: Mapping[str, Any]) -> Iterator[ValidityCondition]:
    values = {
        name: one.value
        for name, one in record.quantities.items()
        if one.value is not None and (one.unit == "1" or one.form == "exact")
    }
    found = [one.reason for one in contradictions(values) if set(one.metrics) & set(used)]
    problem = f"record {record.name} contradicts itself: {'; '.join(found)}"
    yield condition("consistent", problem if found else "")
