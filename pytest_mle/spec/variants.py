"""``for_each`` and ``parametrize``: one test case per slice or parameter value, each with a safe name."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_mle.spec.fields import read_fields
from pytest_mle.yaml_with_lines import LocatedList, LocatedMapping, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_mle.errors import Location
    from pytest_mle.spec.problems import Problems

MAX_VARIANTS = 10_000
MAX_NAME = 80


@dataclass(frozen=True, slots=True)
class Variant:
    """One test case of an item: its name in brackets, the slice it comes from and its parameter values."""

    name: str | None = None
    entry: LocatedMapping | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


def read_variants(good: Mapping[str, Any], mapping: LocatedMapping, called: str, problems: Problems) -> list[Variant]:
    """Return the test cases of an item; one without name if it has neither slices nor parameters."""
    slices = (
        _slices(good["for_each"], mapping.place("for_each"), called, problems) if "for_each" in good else [Variant()]
    )
    rows = _rows(good["parametrize"], mapping.place("parametrize"), problems) if "parametrize" in good else [{}]
    if len(slices) * len(rows) > MAX_VARIANTS:
        problems.add(
            mapping.place("parametrize"),
            f"{called} becomes {len(slices) * len(rows)} test cases; at most {MAX_VARIANTS}",
        )
        return []
    row_names = _row_names(rows, with_keys="for_each" in good)
    variants = [
        Variant("-".join(filter(None, (one.name, name))) or None, one.entry, one.fields, row)
        for one in slices
        for row, name in zip(rows, row_names, strict=True)
    ]
    _refuse_equal(variants, mapping, called, problems)
    return variants


def _slices(entries: LocatedList, location: Location, called: str, problems: Problems) -> list[Variant]:
    if not entries:
        problems.add(location, f"{called}: for_each is empty, so nothing would be tested. Leave it out or list slices")
        return []
    read = []
    for index, entry in enumerate(entries):
        good = read_fields(entry, "variant", f"{called}: an entry of for_each", entries.place(index), problems)
        if isinstance(entry, LocatedMapping):
            read.append((entry, good))
    names = _slice_names([good for _, good in read])
    return [Variant(name, entry, good) for name, (entry, good) in zip(names, read, strict=True)]


def _slice_names(slices: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name slices by value (``clear``); by attribute and value too (``weather-clear``) where values alone are alike."""
    short = [_slice_name(one, with_keys=False) for one in slices]
    if len(set(short)) == len(short):
        return short
    return [(one.get("name") and safe(one["name"])) or _slice_name(one, with_keys=True) for one in slices]


def _slice_name(one: Mapping[str, Any], *, with_keys: bool) -> str:
    if "name" in one:
        return safe(one["name"])
    parts = [
        _condition_name(str(key), value, with_keys=with_keys)
        for section in ("where", "using", "with")
        for key, value in (one[section].items() if section in one else ())
    ]
    return "-".join(parts) or "all"


def _condition_name(key: str, value: Any, *, with_keys: bool) -> str:
    if isinstance(value, dict):
        return safe("-".join([key, *(f"{op}-{_value_name(bound)}" for op, bound in value.items())]))
    return safe(f"{key}-{_value_name(value)}" if with_keys else _value_name(value))


def _rows(parameters: LocatedMapping, location: Location, problems: Problems) -> list[dict[str, Any]]:
    lists: dict[str, list[Any]] = {}
    for key, values in parameters.items():
        if not isinstance(values, LocatedList) or not values:
            problems.add(
                parameters.place(key),
                f"parametrize: {key} takes a list of values such as [0.02, 0.05], got {plain(values)!r}",
            )
            return []
        lists[str(key)] = [plain(value) for value in values]
    if not lists:
        problems.add(
            location, "parametrize is empty, so nothing would be tested. Leave it out or give {parameter: [values]}"
        )
        return []
    total = 1
    for values in lists.values():
        total *= len(values)
    if total > MAX_VARIANTS:
        problems.add(location, f"parametrize makes {total} test cases; at most {MAX_VARIANTS}")
        return []
    return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]


def _row_names(rows: Sequence[Mapping[str, Any]], *, with_keys: bool) -> list[str]:
    """Name rows by their values; different values that look alike when made safe are numbered."""
    names: dict[str, list[Mapping[str, Any]]] = {}
    return [_numbered(_row_name(row, with_keys=with_keys), row, names) for row in rows]


def _row_name(row: Mapping[str, Any], *, with_keys: bool) -> str:
    named = with_keys or len(row) > 1
    return "-".join(safe(f"{key}-{_value_name(value)}" if named else _value_name(value)) for key, value in row.items())


def _numbered(name: str, row: Mapping[str, Any], names: dict[str, list[Mapping[str, Any]]]) -> str:
    alike = names.setdefault(name, [])
    if row not in alike:
        alike.append(row)
    position = alike.index(row)
    return name if position == 0 else f"{name}-{position + 1}"


def _value_name(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "-".join(f"{key}-{_value_name(one)}" for key, one in value.items())
    if isinstance(value, list):
        return "-".join(_value_name(one) for one in value)
    return str(value)


def safe(text: str) -> str:
    """Return a name that survives node ids, shells, file names and XML: letters, digits, ``. _ -``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text.strip())[:MAX_NAME] or "_"


def _refuse_equal(variants: Sequence[Variant], mapping: LocatedMapping, called: str, problems: Problems) -> None:
    seen: dict[str | None, Variant] = {}
    for one in variants:
        if one.name in seen:
            place = one.entry.location if one.entry is not None else mapping.place("parametrize")
            fix = "Give each slice a name" if one.entry is not None else "Leave the repeated value out"
            problems.add(place, f"{called} has two test cases called [{one.name}]. {fix}")
        seen[one.name] = one
