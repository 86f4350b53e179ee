"""Every key of a record file: its type, what it means, and how a wrong one is explained."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import InputError, Location, closest
from pytest_mle.yaml_with_lines import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Field:
    """One key: ``kind`` names the type."""

    kind: str
    description: str
    is_required: bool = False


RECORD: dict[str, Field] = {
    "mle_record": Field("version", "Version of this format: 1.", is_required=True),
    "measured_at": Field("time", "When: ISO 8601 with date, time and zone.", is_required=True),
    "measured_by": Field(
        "text", "Who is responsible for the measurement: a person, a team, a CI job.", is_required=True
    ),
    "tool": Field("text", "What measured, with its version.", is_required=True),
    "hardware": Field("mapping", "What it ran on: names and values of your choice."),
    "model_sha256": Field("digest", "Digest of the model, or one by input of the check."),
    "dataset_sha256": Field("digest", "Digest of the data set, or one by input of the check."),
    "with": Field("mapping", "Parameters of the measurement, named like those of the check."),
    "where": Field("mapping", "The slice that was measured, written as in a spec."),
    "note": Field("text", "Whatever else a reader should know."),
    "series": Field("mapping", "Raw numbers that several quantities share: name to unit and values."),
    "quantities": Field("mapping", "What was measured, by name.", is_required=True),
}
SERIES: dict[str, Field] = {
    "unit": Field("text", "Unit of the values."),
    "values": Field("numbers", "Raw numbers in the order of measurement.", is_required=True),
}
QUANTITY: dict[str, Field] = {
    "unit": Field("text", "Unit of all its numbers; none for a plain ratio or number."),
    "exact": Field("number", "A count or census: a value without sampling uncertainty."),
    "value": Field("number", "An estimate."),
    "lower": Field("number", "Lower end of its confidence interval."),
    "upper": Field("number", "Upper end of its confidence interval."),
    "confidence": Field("confidence", "Confidence of the interval: 0.95 or '95 %'."),
    "method": Field("text", "How the interval was made."),
    "n": Field("count", "How many independent units the value rests on."),
    "successes": Field("count", "Successes of a rate."),
    "trials": Field("count", "Trials of a rate."),
    "effective_trials": Field("number", "How many independent trials they are worth, where they are not independent."),
    "samples": Field("samples", "Raw numbers in the order of measurement, or the name of a series."),
    "statistic": Field("statistic", "What is taken of the samples: mean, median, p50 to p99.99, min or max."),
}
# Each form by the key that tells it, with the keys that may stand beside it.
FORMS = {
    "exact": ("unit", "n", "method"),
    "value": ("unit", "lower", "upper", "confidence", "n", "method"),
    "successes": ("unit", "trials", "effective_trials"),
    "samples": ("unit", "statistic"),
}
QUANTITY_NAME = re.compile(r"[A-Za-z_][\w.]*")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_STATISTIC = re.compile(r"mean|median|min|max|p[5-9]\d(?:\.\d{1,2})?")


def read_fields(value: Any, fields: Mapping[str, Field], called: str, place: Location) -> dict[str, Any]:
    """Return a mapping whose keys are known and whose values have their types.

    Raises
    ------
    InputError
        Naming the first wrong key, with the closest one that exists.
    """
    if not isinstance(value, dict):
        raise InputError(f"{called} must hold names and values, got {kind_of(value)}", place)
    for key, one in value.items():
        if key not in fields:
            raise InputError(f"{called}: unknown key {key!r}. {closest(str(key), list(fields))}", place)
        problem = _CHECKS[fields[key].kind](one)
        if problem is not None:
            raise InputError(f"{called}: {key} {problem}, got {kind_of(one)}", place)
    for key, field in fields.items():
        if field.is_required and key not in value:
            raise InputError(f"{called} has no {key}. {field.description}", place)
    return value


def is_number(value: Any) -> bool:
    """Say whether a value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def confidence_of(value: Any) -> float | None:
    """Return 0.95 for ``0.95`` or ``95 %``; None if it is neither, or not from 50 % to below 100 %."""
    if isinstance(value, str):
        number, _, rest = value.strip().partition("%")
        try:
            value = round(float(number) / 100, 12) if "%" in value and not rest else None
        except ValueError:
            return None
    return float(value) if is_number(value) and 0.5 <= value < 1 else None


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else "must be text"


def _version(value: Any) -> str | None:
    is_ours = value == 1 and isinstance(value, int) and not isinstance(value, bool)
    return None if is_ours else "must be 1, the only version of the format that this release reads"


def _mapping(value: Any) -> str | None:
    return None if isinstance(value, dict) else "must hold names and values"


def _number(value: Any) -> str | None:
    return None if is_number(value) else "must be a finite number"


def _numbers(value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return "must be a list of numbers that is not empty"
    return None if all(map(is_number, value)) else "must hold finite numbers only"


def _samples(value: Any) -> str | None:
    return _text(value) and _numbers(value)


def _count(value: Any) -> str | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return None if is_count else "must be a whole number that is not negative"


def _confidence(value: Any) -> str | None:
    return None if confidence_of(value) is not None else "must be from 50 % to below 100 %, as 0.95 or '95 %'"


def _digest(value: Any) -> str | None:
    digests = list(value.values()) if isinstance(value, dict) else [value]
    is_good = digests and all(isinstance(one, str) and _DIGEST.fullmatch(one) for one in digests)
    return None if is_good else "must be a SHA-256 of 64 hexadecimal digits"


def _statistic(value: Any) -> str | None:
    is_known = isinstance(value, str) and _STATISTIC.fullmatch(value)
    return None if is_known else "must be mean, median, min, max or a percentile from p50 to p99.99"


def _time(value: Any) -> str | None:
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        moment = None
    is_told = moment is not None and moment.tzinfo is not None
    return None if is_told else "must be a time with date and zone, such as 2026-01-04T12:30:00+01:00"


_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "text": _text,
    "version": _version,
    "mapping": _mapping,
    "number": _number,
    "numbers": _numbers,
    "samples": _samples,
    "count": _count,
    "confidence": _confidence,
    "digest": _digest,
    "statistic": _statistic,
    "time": _time,
}
