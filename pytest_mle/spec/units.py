"""The closed table of units: what people write in a spec, what is computed with, and how values are shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import TYPE_CHECKING

from pytest_mle.errors import closest

if TYPE_CHECKING:
    from pytest_mle.records.quantity import QuantityDeclaration


class UnitError(ValueError):
    """A unit is unknown or does not fit the quantity; the message is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One spelling: ``factor`` of them make one ``base`` unit (UCUM name)."""

    spelling: str
    base: str
    factor: Decimal
    dimension: str


_SCALED = {
    ("ratio", "1"): {"%": "0.01"},
    ("difference of ratios", "1"): {"pp": "0.01"},
    ("time", "s"): {"µs": "1e-6", "us": "1e-6", "ms": "1e-3", "s": "1", "min": "60", "h": "3600", "d": "86400"},
    ("data size", "By"): {
        "B": "1",
        "By": "1",
        "kB": "1e3",
        "MB": "1e6",
        "GB": "1e9",
        "TB": "1e12",
        "KiB": "1024",
        "MiB": "1048576",
        "GiB": "1073741824",
        "TiB": "1099511627776",
    },
    ("data rate", "By/s"): {
        "B/s": "1",
        "By/s": "1",
        "kB/s": "1e3",
        "MB/s": "1e6",
        "GB/s": "1e9",
        "KiB/s": "1024",
        "MiB/s": "1048576",
        "GiB/s": "1073741824",
    },
    ("growth of data", "By/h"): {"By/h": "1", "B/h": "1", "kB/h": "1e3", "MB/h": "1e6", "MiB/h": "1048576"},
    ("frequency", "Hz"): {"Hz": "1", "fps": "1", "kHz": "1e3", "MHz": "1e6", "GHz": "1e9"},
    ("length", "m"): {"mm": "1e-3", "cm": "1e-2", "m": "1", "km": "1e3"},
    ("speed", "m/s"): {"m/s": "1"},
    ("events by distance", "1/m"): {"1/m": "1", "1/km": "1e-3"},
    ("events by time", "1/s"): {"1/s": "1"},
    ("image length", "px"): {"px": "1"},
    ("power", "W"): {"mW": "1e-3", "W": "1", "kW": "1e3"},
    ("energy", "J"): {"mJ": "1e-3", "J": "1", "kJ": "1e3", "kWh": "3600000"},
    ("temperature", "Cel"): {"Cel": "1", "°C": "1"},
    ("angle", "deg"): {"deg": "1"},
    ("operations", "FLOP"): {"FLOP": "1", "MFLOP": "1e6", "GFLOP": "1e9", "TFLOP": "1e12"},
    ("operations by time", "FLOP/s"): {"FLOP/s": "1", "GFLOP/s": "1e9", "TFLOP/s": "1e12"},
    ("information", "bit"): {"bit": "1", "bits": "1"},
}
COUNTED = (
    *("anomaly", "box", "class", "detection", "epoch", "event", "file", "finding", "frame", "image", "item", "label"),
    *("layer", "line", "object", "parameter", "pixel", "record", "requirement", "run", "sample", "sequence", "step"),
    *("group", "person", "reviewer", "role", "seed", "slice", "ticket", "warning"),
)


def _plural(noun: str) -> str:
    if noun.endswith("y"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x")) else f"{noun}s"


def _table() -> dict[str, Unit]:
    table = {
        spelling: Unit(spelling, base, Decimal(factor), dimension)
        for (dimension, base), spellings in _SCALED.items()
        for spelling, factor in spellings.items()
    }
    for noun in COUNTED:
        base = f"{{{noun}}}"
        for spelling in (noun, _plural(noun), base):
            table[spelling] = Unit(spelling, base, Decimal(1), f"number of {_plural(noun)}")
    return table


UNITS = _table()
BASE_UNITS = frozenset(unit.base for unit in UNITS.values())

# A `rate` above 100 % does not exist: such a bound has lost its `%`, and `false_negative_rate <= 5` would always hold.
_SHARES = frozenset(
    {"accuracy", "agreement", "auroc", "coverage", "f1", "fraction", "iou", "map", "precision", "rate", "recall"}
    | {"share", "specificity", "sensitivity", "drop", "gap"}
)
_DIFFERENCES = frozenset({"drop", "gap", "difference"})
_LONG_FORMS = {
    **dict.fromkeys(("percent", "pct", "prozent"), "%"),
    **dict.fromkeys(("points", "ppt", "percentage"), "pp"),
    **dict.fromkeys(("msec", "msecs", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("byte", "bytes"), "B"),
    **dict.fromkeys(("pixel/s", "frames/s", "frame/s"), "fps"),
    **dict.fromkeys(("hz", "hertz"), "Hz"),
    **dict.fromkeys(("gflops",), "GFLOP"),
    **dict.fromkeys(("meter", "meters", "metre", "metres"), "m"),
    **dict.fromkeys(("watt", "watts"), "W"),
    **{name.lower(): name for name in ("MB", "GB", "KiB", "MiB", "GiB", "kB", "fps", "px", "GFLOP", "ms")},
}
_EXACT = Context(prec=60, traps=[])


def find_unit(spelling: str) -> Unit:
    """Return a unit by what people write.

    Raises
    ------
    UnitError
        If the table does not have it.
    """
    unit = UNITS.get(spelling)
    if unit is None:
        raise UnitError(unknown_unit(spelling))
    return unit


def unknown_unit(spelling: str) -> str:
    """Explain that the table has no such unit, with the one that was probably meant."""
    meant = _LONG_FORMS.get(spelling.rstrip(".").lower())
    hint = f"Did you mean {meant!r}?" if meant else closest(spelling, [name for name in UNITS if name[0] != "{"])
    return f"unknown unit {spelling!r}. {hint}"


def is_relative(quantity: str) -> bool:
    """Say whether a quantity is a relative change, to be written in ``%``."""
    return "relative" in quantity.split("_")


def is_difference(quantity: str) -> bool:
    """Say whether a quantity is a difference of two ratios, to be written in ``pp``."""
    words = quantity.partition("_at_")[0].split("_")
    if "relative" in words:
        return False
    return "absolute" in words or words[-1] in _DIFFERENCES


def is_share(quantity: str) -> bool:
    """Say whether a quantity is a part of a whole, which lies from 0 to 1."""
    return bool(set(quantity.split("_")) & _SHARES) and not is_relative(quantity) and not is_difference(quantity)


def to_base(
    number: Decimal, spelling: str | None, quantity: str, declaration: QuantityDeclaration | None
) -> tuple[float, str]:
    """Convert a number with its unit to the base unit of the quantity.

    Parameters
    ----------
    number
        As written; decimal, so that 57 % is 0.57 and not a neighbour of it.
    spelling
        Unit as written, or None.
    quantity
        Its name tells relative changes and differences of ratios apart.
    declaration
        What the check promises; None where nothing is known of it.

    Raises
    ------
    UnitError
        If the unit is unknown, missing or of another dimension.
    """
    unit = None if spelling is None else find_unit(spelling)
    if declaration is not None and declaration.unit not in BASE_UNITS and not _is_counted(declaration.unit):
        raise UnitError(
            f"the check declares {quantity} in {declaration.unit!r}, which is no base unit. "
            f"{closest(declaration.unit, sorted(BASE_UNITS))}"
        )
    base = (unit.base if unit else "1") if declaration is None else declaration.unit
    if unit is not None and unit.base != base:
        raise UnitError(_wrong_dimension(quantity, base, unit))
    if unit is None and base != "1" and not _is_counted(base):
        raise UnitError(f"{quantity} needs a unit: {_spellings(base)}")
    value = float(number if unit is None else _EXACT.multiply(number, unit.factor))
    if not math.isfinite(value):
        raise UnitError(f"{number} is too large for a number")
    if base == "1":
        _check_ratio(value, spelling, quantity, declaration)
    return value, base


def _check_ratio(value: float, spelling: str | None, quantity: str, declaration: QuantityDeclaration | None) -> None:
    if spelling == "%" and is_difference(quantity):
        raise UnitError(
            f"{quantity} is a difference of two ratios: write it in percentage points (pp), not in %, "
            "which is for ratios and relative_ quantities"
        )
    if spelling == "pp" and not is_difference(quantity):
        what = "a relative change" if is_relative(quantity) else "a ratio"
        raise UnitError(f"{quantity} is {what}: write it in %, not in percentage points (pp)")
    is_estimate = declaration is not None and declaration.kind == "estimate"
    words = set(quantity.split("_"))
    if spelling is None and value != 0 and is_estimate and words & {"relative", "absolute"}:
        raise UnitError(f"{quantity} needs its unit: {'%' if is_relative(quantity) else 'pp'}")
    if abs(value) > 1 and not is_relative(quantity) and (spelling or is_estimate) and words & _SHARES:
        unit = "pp" if is_difference(quantity) else "%"
        raise UnitError(f"{quantity} cannot exceed 100 {unit}, got {value:g} = {100 * value:g} {unit}")


def _wrong_dimension(quantity: str, base: str, unit: Unit) -> str:
    if base == "1":
        return f"{quantity} is a plain number or ratio and has no {unit.dimension}: drop the unit {unit.spelling!r}"
    return f"{quantity} is measured in {_spellings(base)}; {unit.spelling!r} is a {unit.dimension}"


def _spellings(base: str) -> str:
    return ", ".join(unit.spelling for unit in UNITS.values() if unit.base == base and unit.spelling[0] != "{")


def _is_counted(base: str) -> bool:
    return base.startswith("{") and base.endswith("}")


def parse_duration(text: str) -> float:
    """Return the seconds of ``10 min`` or ``365 d``.

    Raises
    ------
    UnitError
        If it is not a positive number with a unit of time.
    """
    number, _, spelling = text.strip().partition(" ")
    if not spelling:
        digits = number.rstrip("abcdefghijklmnopqrstuvwxyzµ")
        number, spelling = digits, number[len(digits) :]
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UnitError(f"must be a positive number with a unit of time, such as '10 min', got {text!r}")
    unit = UNITS.get(spelling.strip())
    if unit is None or unit.dimension != "time":
        meant = _LONG_FORMS.get(spelling.strip().lower())
        hint = f". Did you mean {meant!r}?" if meant and UNITS[meant].dimension == "time" else ""
        raise UnitError(f"needs a unit of time ({_spellings('s')}), got {text!r}{hint}")
    return value * float(unit.factor)


_SHOWN = {
    "s": (("µs", 1e-6, 1e-3), ("ms", 1e-3, 1.0), ("s", 1.0, 120.0), ("min", 60.0, 7200.0), ("h", 3600.0, 172800.0)),
    "By": (("B", 1.0, 1e3), ("kB", 1e3, 1e6), ("MB", 1e6, 1e9), ("GB", 1e9, math.inf)),
    "By/s": (("B/s", 1.0, 1e3), ("kB/s", 1e3, 1e6), ("MB/s", 1e6, 1e9), ("GB/s", 1e9, math.inf)),
    "By/h": (("B/h", 1.0, 1e3), ("kB/h", 1e3, 1e6), ("MB/h", 1e6, math.inf)),
    "FLOP": (("FLOP", 1.0, 1e6), ("MFLOP", 1e6, 1e9), ("GFLOP", 1e9, 1e12), ("TFLOP", 1e12, math.inf)),
    "FLOP/s": (("FLOP/s", 1.0, 1e9), ("GFLOP/s", 1e9, 1e12), ("TFLOP/s", 1e12, math.inf)),
    "m": (("mm", 1e-3, 1e-2), ("cm", 1e-2, 1.0), ("m", 1.0, 2e3), ("km", 1e3, math.inf)),
    "W": (("mW", 1e-3, 1.0), ("W", 1.0, 1e4), ("kW", 1e3, math.inf)),
    "J": (("mJ", 1e-3, 1.0), ("J", 1.0, 1e4), ("kJ", 1e3, math.inf)),
    "1/m": (("1/km", 1e-3, math.inf),),
    "Cel": (("°C", 1.0, math.inf),),
}


def format_value(
    value: float | None,
    unit: str,
    *,
    kind: str | None = None,
    name: str = "",
    against: float | None = None,
    written_in: str | None = None,
) -> str:
    """Write a value in base units as a person reads it: 95.3 %, 1.8 pp, 12.3 ms, 3 files, 4.2 MB.

    Parameters
    ----------
    value
        In the base unit; None was not measured.
    unit
        Base unit.
    kind
        ``exact`` or ``estimate`` where known: an exact 1 is a count, an estimate of 1 is 100 %.
    name
        Quantity, where known: a difference of ratios is shown in pp.
    against
        A bound in the base unit: enough digits are written to tell the value from it (94.996 %, not 95.0 %).
    written_in
        Unit of the criterion that it is compared with, empty for a plain number: ratios and frequencies are shown as
        the spec writes them, so that a reader compares like with like.
    """
    if value is None:
        return "not measured"
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("infinite" if value > 0 else "minus infinite")
    if unit == "1":
        scale, spelling = _WRITTEN_RATIOS.get(written_in) or _ratio_scale(value, kind, name)
    elif unit == "Hz" and written_in:
        scale, spelling = float(UNITS[written_in].factor), written_in
    else:
        scale, spelling = _display_scale(value, unit)
    number = _digits(value, scale, spelling in ("%", "pp"), against)
    if _is_counted(unit):
        noun = unit[1:-1]
        spelling = noun if number == "1" else _plural(noun)
    return f"{number} {spelling}".rstrip()


_WRITTEN_RATIOS: dict[str | None, tuple[float, str]] = {"%": (0.01, "%"), "pp": (0.01, "pp"), "": (1.0, "")}


def _ratio_scale(value: float, kind: str | None, name: str) -> tuple[float, str]:
    is_whole = float(value).is_integer()
    is_share = not name or bool(set(name.split("_")) & _SHARES)
    if is_whole and (kind == "exact" or abs(value) > 1 or (kind is None and not (name and is_share))):
        return 1.0, ""
    if is_difference(name):
        return 0.01, "pp"
    # A distance, a p-value or false positives per image are no percentages, although they lie below 1 as well.
    return (0.01, "%") if is_relative(name) or (is_share and abs(value) <= 1) else (1.0, "")


def _display_scale(value: float, unit: str) -> tuple[float, str]:
    if unit not in _SHOWN:
        return 1.0, "" if _is_counted(unit) else unit
    steps = _SHOWN[unit]
    if value == 0:
        return 1.0, UNITS[unit].spelling if unit in UNITS else unit
    for spelling, scale, below in steps:
        if abs(value) < below:
            return scale, spelling
    return (86400.0, "d") if unit == "s" else (steps[-1][1], steps[-1][0])


def _digits(value: float, scale: float, is_ratio: bool, against: float | None) -> str:
    shown = value / scale
    bound = None if against is None or against == value else against / scale
    for digits in range(1, 17):
        text = _fixed(shown, digits, is_ratio)
        if bound is None or text != _fixed(bound, digits, is_ratio):
            return text
    return repr(shown)


def _fixed(number: float, digits: int, is_ratio: bool) -> str:
    if is_ratio:
        text = f"{number:.{digits}f}"
        return text if float(text) or not number else f"{number:.2g}"
    if float(number).is_integer() and abs(number) < 1e15:
        return str(int(number))
    return f"{number:.{digits + 2}g}" if abs(number) < 1000 else f"{number:.{digits - 1}f}"
