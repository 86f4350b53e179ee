"""Recorded numbers in the base units that the judge computes with, and what such a number can never be."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from pytest_mle.errors import InputError, Location
from pytest_mle.spec.units import UNITS, UnitError, is_difference, is_relative, is_share, to_base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mle.inputs.record import Record, RecordedQuantity
    from pytest_mle.records.quantity import QuantityDeclaration

# Changes can have either sign, whatever they are changes of.
_CHANGES = frozenset({"change", "increase", "growth", "drift", "offset", "delta", "saving"})
_SIGNED_UNITS = frozenset({"1", "m", "m/s", "px", "Cel", "deg", "By/h"})


def in_base_units(record: Record) -> Record:
    """Return the record with all numbers in base units.

    Raises
    ------
    InputError
        If a unit is unknown or cannot be that of the quantity, or a number cannot be (a negative time, a recall above
        100 %).
    """
    return replace(record, quantities={name: _converted(name, one, record) for name, one in record.quantities.items()})


def refuse_misfit(name: str, recorded: RecordedQuantity, declared: QuantityDeclaration, record: Record) -> None:
    """Raise :class:`~pytest_mle.errors.InputError` unless unit and numbers can be those of a declared quantity."""
    factor = Decimal(1) if recorded.spelling is None else UNITS[recorded.spelling].factor
    for number in _numbers(recorded):
        try:
            to_base(Decimal(repr(number)) / factor, recorded.spelling, name, declared)
        except UnitError as error:
            raise InputError(f"record {record.name}: {error}", Location(record.path)) from error


def _converted(name: str, recorded: RecordedQuantity, record: Record) -> RecordedQuantity:
    def base(number: float | None) -> float | None:
        return None if number is None else to_base(Decimal(repr(number)), recorded.spelling, name, None)[0]

    try:
        unit = to_base(Decimal(0), recorded.spelling, name, None)[1]
        samples = recorded.samples
        if samples is not None and recorded.spelling is not None:
            samples = samples * float(UNITS[recorded.spelling].factor)
        converted = replace(
            recorded,
            unit=unit,
            value=base(recorded.value),
            lower=base(recorded.lower),
            upper=base(recorded.upper),
            samples=samples,
        )
    except UnitError as error:
        raise InputError(f"record {record.name}: {error}", Location(record.path)) from error
    problem = _impossible(name, converted)
    if problem is not None:
        raise InputError(f"record {record.name}: {name} {problem}", Location(record.path))
    return converted


def _numbers(recorded: RecordedQuantity) -> Iterator[float]:
    """Yield the numbers that decide whether all of them are possible."""
    yield from (one for one in (recorded.value, recorded.lower, recorded.upper) if one is not None)
    if recorded.samples is not None:
        yield float(recorded.samples.min())
        yield float(recorded.samples.max())


def _impossible(name: str, recorded: RecordedQuantity) -> str | None:
    samples = recorded.samples
    lowest = recorded.value if samples is None else float(samples.min())
    assert lowest is not None
    is_counted = recorded.unit.startswith("{")
    if is_counted and recorded.form == "exact" and not lowest.is_integer():
        return f"is a count, which cannot be {lowest:g}"
    if samples is not None and recorded.unit == "s" and lowest <= 0 and not _is_change(name):
        return f"has a sample of {lowest:g} s: the clock was too coarse, or not one clock"
    highest = lowest if samples is None else float(samples.max())
    if highest > 1 and is_share(name) and recorded.unit == "1":
        return f"cannot exceed 100 %, got {highest:g} = {100 * highest:g} %"
    if lowest < 0 and (is_share(name) or (recorded.unit not in _SIGNED_UNITS and not _is_change(name))):
        return f"cannot be negative, got {lowest:g}"
    return None


def _is_change(name: str) -> bool:
    return is_difference(name) or is_relative(name) or bool(set(name.split("_")) & _CHANGES)
