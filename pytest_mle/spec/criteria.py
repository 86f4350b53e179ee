"""The grammar of criteria: ``quantity op number [unit] [at N % confidence | by point value]``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from pytest_mle.spec.model import Criterion
from pytest_mle.spec.units import UNITS, UnitError, is_difference, to_base, unknown_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mle.errors import Location
    from pytest_mle.records.quantity import QuantityDeclaration
    from pytest_mle.spec.model import Operator, Origin

GRAMMAR = "quantity op number [unit] [at N % confidence | by point value], op one of < <= > >= ==; or quantity in a..b"
OPERATORS = ("<=", ">=", "==", "<", ">")
_NUMBER = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_CRITERION = re.compile(
    rf"\s*(?P<quantity>[A-Za-z_][\w.]*)\s*(?:(?P<op><=|>=|==|<|>)\s*(?P<number>{_NUMBER})"
    rf"|in\s+(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER}))(?P<rest>.*)",
    re.DOTALL,
)
_REST = re.compile(
    r"\s*(?P<unit>(?!at\b|by\b|(?!1/)[\d,._'])\S+?)?"
    rf"(?:\s*\bat\s+(?P<confidence>{_NUMBER})\s*%\s*confidence|\s*\bby\s+(?P<point>point\s+value))?\s*",
)
_WRONG_OPERATORS = {"=": "==", "=<": "<=", "=>": ">=", "≤": "<=", "≥": ">=", "===": "==", "~": "in a..b"}


class CriterionError(ValueError):
    """A criterion cannot be read or does not fit its quantity; the message is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class WrittenCriterion:
    """A criterion as it stands in the text, before anything is known of the quantity."""

    text: str
    quantity: str
    op: Operator
    number: Decimal
    upper: Decimal | None = None
    unit: str | None = None
    confidence: float | None = None
    by_point_value: bool = False


@lru_cache(maxsize=4096)
def read_criterion(text: str) -> WrittenCriterion:
    """Split a criterion into its parts.

    Raises
    ------
    CriterionError
        If it does not follow the grammar.
    """
    found = _CRITERION.fullmatch(text)
    if found is None:
        raise CriterionError(_why_unreadable(text))
    rest = _REST.fullmatch(found["rest"])
    if rest is None:
        raise CriterionError(_why_rest(text, found["rest"]))
    is_range = found["op"] is None
    low = Decimal(found["low"] if is_range else found["number"])
    high = Decimal(found["high"]) if is_range else None
    if high is not None and not low < high:
        raise CriterionError(f"{text!r}: the range is empty, {low} is not below {high}")
    return WrittenCriterion(
        text=" ".join(text.split()),
        quantity=found["quantity"],
        op=cast("Operator", found["op"] or "in"),
        number=low,
        upper=high,
        unit=rest["unit"],
        confidence=_confidence(text, rest["confidence"]),
        by_point_value=rest["point"] is not None,
    )


def unit_as_written(text: str) -> str | None:
    """Return the unit that stands in a criterion: empty for a plain number, None if the text is no criterion."""
    try:
        return read_criterion(text).unit or ""
    except CriterionError:
        return None


def _confidence(text: str, percent: str | None) -> float | None:
    if percent is None:
        return None
    value = Decimal(percent) / 100
    if not Decimal("0.5") <= value < 1:
        raise CriterionError(f"{text!r}: the confidence must be at least 50 % and below 100 %, got {percent} %")
    return float(value)


def resolve_criterion(
    written: WrittenCriterion,
    declaration: QuantityDeclaration | None = None,
    *,
    policy_confidence: float | None = None,
    origin: Origin = "project",
    requirement: str | None = None,
    is_advisory: bool = False,
    location: Location | None = None,
) -> Criterion:
    """Turn a written criterion into one in base units.

    Parameters
    ----------
    written
        From :func:`read_criterion`.
    declaration
        The quantity as the check declares it; None leaves its dimension and ``==`` to the run.
    policy_confidence
        What is asked of an estimate whose criterion says nothing.
    origin, requirement, is_advisory, location
        Kept with the criterion.

    Raises
    ------
    CriterionError
        If unit or operator do not fit the quantity.
    """
    is_exact = declaration is not None and declaration.kind == "exact"
    if written.op == "==" and declaration is not None and not is_exact:
        raise CriterionError(
            f"{written.text!r}: {written.quantity} is estimated from a sample, so == can never be shown. "
            "Use <, <=, >, >= or in a..b"
        )
    try:
        bound, unit = to_base(written.number, written.unit, written.quantity, declaration)
        upper = None if written.upper is None else to_base(written.upper, written.unit, written.quantity, declaration)
    except UnitError as error:
        raise CriterionError(f"{written.text!r}: {error}") from error
    confidence = written.confidence
    if confidence is None and not written.by_point_value:
        confidence = policy_confidence
    return Criterion(
        text=written.text,
        quantity=written.quantity,
        op=written.op,
        bound=bound,
        upper=None if upper is None else upper[0],
        unit=unit,
        confidence=None if is_exact else confidence,
        by_point_value=written.by_point_value,
        origin=origin,
        requirement=requirement,
        is_advisory=is_advisory,
        location=location,
    )


def parse_criterion(text: str, declaration: QuantityDeclaration | None = None) -> Criterion:
    """Read a criterion and convert it to base units; see :func:`read_criterion` and :func:`resolve_criterion`."""
    return resolve_criterion(read_criterion(text), declaration)


def format_criterion(criterion: Criterion) -> str:
    """Write a criterion in base units; reading it again gives the same criterion."""
    spelling = "" if criterion.unit == "1" else f" {_spelling(criterion.unit)}"
    scale: Callable[[float], Decimal] = lambda number: Decimal(repr(number))  # noqa: E731  one of two short scales
    if criterion.unit == "1" and is_difference(criterion.quantity):
        spelling, scale = " pp", lambda number: Decimal(repr(number)).scaleb(2)
    if criterion.op == "in":
        assert criterion.upper is not None
        middle = f"in {scale(criterion.bound)}..{scale(criterion.upper)}"
    else:
        middle = f"{criterion.op} {scale(criterion.bound)}"
    end = ""
    if criterion.by_point_value:
        end = " by point value"
    elif criterion.confidence is not None:
        end = f" at {Decimal(repr(criterion.confidence)).scaleb(2)} % confidence"
    return f"{criterion.quantity} {middle}{spelling}{end}"


def _spelling(base: str) -> str:
    return base if base in UNITS else next(unit.spelling for unit in UNITS.values() if unit.base == base)


def _why_unreadable(text: str) -> str:
    start = f"cannot read the criterion {text!r}: "
    words = text.split()
    if not words:
        return f"a criterion is empty. Write: {GRAMMAR}"
    found = re.match(r"\s*([A-Za-z_][\w.]*)\s*([^\w\s.+-]+|in\b|[A-Za-z_]\w*)?\s*(.*)", text, re.DOTALL)
    if found is None:
        if re.match(rf"\s*{_NUMBER}", text):
            return f"{start}the quantity comes first, for example map_50 >= 90 %, or map_50 in 0.68..0.72"
        return f"{start}it must begin with the name of a quantity. Write: {GRAMMAR}"
    quantity, op, value = found.groups()
    if op in _WRONG_OPERATORS:
        return f"{start}{op!r} is no operator. Use {_WRONG_OPERATORS[op]}"
    if op == "!=":
        return f"{start}'!=' is no operator. Write the bound that must hold with one of < <= > >= =="
    if op == "in":
        return f"{start}a range is two numbers with two dots between: {quantity} in 0.68..0.72"
    if op not in OPERATORS:
        return f"{start}{quantity} must be followed by one of < <= > >= == or in. Write: {GRAMMAR}"
    return start + _why_number(op, value)


def _why_number(op: str, value: str) -> str:
    word = value.split(maxsplit=1)[0] if value.split() else ""
    if re.match(r"[-+]?\d{1,3}(?:[,_']\d{3})+", value):
        return f"write {word!r} without separators: {re.sub('[^0-9.]', '', word)}"
    if re.match(r"[-+]?\d+,\d", value):
        return f"write {word!r} with a decimal point: {word.replace(',', '.')}"
    if not word:
        return f"a number must follow {op!r}"
    return f"a finite number must follow {op!r}, got {word!r}"


def _why_rest(text: str, rest: str) -> str:
    start = f"cannot read the criterion {text!r}: "
    after = rest.strip()
    if re.match(r"[,_']\d", rest):
        written = text[: len(text) - len(rest)].rsplit(maxsplit=1)[-1].lstrip("<>=") + rest.split(maxsplit=1)[0]
        return start + _why_number("", written)
    unit, _, tail = after.partition(" ")
    if unit not in ("at", "by") and unit not in UNITS:
        return start + unknown_unit(unit)
    tail = after if unit in ("at", "by") else tail.strip()
    if tail.startswith("at"):
        return f"{start}a confidence is written 'at 95 % confidence', got {tail!r}"
    if tail.startswith(("and", "or", "&", "|")):
        return f"{start}one criterion each: make {tail!r} a criterion of its own"
    return f"{start}only 'at N % confidence' or 'by point value' may follow, got {tail!r}"
