"""Read a declared record: JSON, JSON Lines or CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, Location, closest
from pytest_mle.inputs.record import Record, RecordedQuantity
from pytest_mle.inputs.records.fields import (
    FORMS,
    QUANTITY,
    QUANTITY_NAME,
    RECORD,
    SERIES,
    confidence_of,
    read_fields,
)
from pytest_mle.inputs.trusted_path import resolve_trusted, shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

OPTIONS = ("path", "hardware", "valid_for", "unidentified")
SUBJECTS = ("model", "dataset")
MAX_BYTES = 64 << 20


def read_record(
    name: str,
    options: Mapping[str, Any],
    root: Path,
    *,
    location: Location | None = None,
    allowed_roots: Iterable[Path] = (),
) -> Record:
    """Read the file that ``inputs.records.<name>`` declares; numbers stay in the units in which they stand there.

    ``.json`` is one object; ``.jsonl`` has the head in its first line and a quantity or series in each further one;
    ``.csv`` has the head in lines ``# key: value`` and a quantity in each row.

    Parameters
    ----------
    name
        Its name in the spec.
    options
        ``path``, ``hardware``, ``valid_for``, ``unidentified``.
    root
        The spec's folder.
    location
        Where it was declared, for errors.
    allowed_roots
        Further folders that the invoker has granted.

    Raises
    ------
    InputError
        Absent, cut off, larger than 64 MiB, not valid, with an unknown key, or with a number that cannot be; with the
        file, and the line where there is one.
    TrustError
        The path leads out of ``root`` and ``allowed_roots``.
    """
    check_options(name, options, location)
    declared: str = options["path"]
    path = resolve_trusted(declared, root.resolve(), allowed_roots=allowed_roots, location=location)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        kind = path.suffix or "a file without suffix"
        raise InputError(f"record {name}: cannot read {kind}. Allowed: {', '.join(_READERS)}", location)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"record {name}: cannot read {declared}: {error.strerror or error}", location) from error
    shown = shown_path(path, root.resolve())
    if len(data) > MAX_BYTES:
        raise InputError(f"record {name} is larger than {MAX_BYTES >> 20} MiB", Location(shown))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"record {name} is not UTF-8 text: byte {error.start}", Location(shown)) from error
    if not text.strip():
        raise InputError(f"record {name} is empty", Location(shown))
    head, places = reader(text, shown)
    return _record(name, head, places, shown, hashlib.sha256(data).hexdigest(), options)


def check_options(name: str, options: Mapping[str, Any], location: Location | None) -> None:
    """Raise :class:`~pytest_mle.errors.InputError` for an unknown option or one of a wrong type."""
    for option in options:
        if option not in OPTIONS:
            raise InputError(f"record {name}: unknown option {option!r}. {closest(option, OPTIONS)}", location)
    if not isinstance(options.get("path"), str):
        raise InputError(f"record {name}: 'path' must name its file, got {options.get('path')!r}", location)
    hardware = options.get("hardware", {})
    if not isinstance(hardware, dict):
        raise InputError(f"record {name}: 'hardware' must hold names and values, got {hardware!r}", location)
    if not isinstance(options.get("valid_for", ""), str):
        raise InputError(
            f"record {name}: 'valid_for' needs a unit of time, such as '90 d', got {options['valid_for']!r}", location
        )
    _check_unidentified(name, options.get("unidentified", {}), location)


def _check_unidentified(name: str, reasons: Any, location: Location | None) -> None:
    if not isinstance(reasons, dict):
        raise InputError(
            f"record {name}: 'unidentified' says why a digest is missing, such as {{dataset: images of the live "
            f"camera}}, got {reasons!r}",
            location,
        )
    for subject, reason in reasons.items():
        if subject not in SUBJECTS:
            hint = closest(str(subject), SUBJECTS)
            raise InputError(f"record {name}: 'unidentified' has no {subject!r}. {hint}", location)
        if not isinstance(reason, str) or not reason.strip():
            raise InputError(f"record {name}: 'unidentified' needs a reason for {subject}, got {reason!r}", location)


# From the content to a record

Places = dict[tuple[str, str], Location]


def _record(name: str, head: Any, places: Places, shown: str, digest: str, options: Mapping[str, Any]) -> Record:
    place = Location(shown)
    good = read_fields(head, RECORD, f"record {name}", place)
    series = {
        str(key): read_fields(one, SERIES, f"series {key}", places.get(("series", key), place))
        for key, one in good.get("series", {}).items()
    }
    if not good["quantities"]:
        raise InputError(f"record {name} has no quantity", place)
    quantities = {
        str(key): _quantity(str(key), one, series, places.get(("quantity", key), place))
        for key, one in good["quantities"].items()
    }
    return Record(
        name=name,
        path=shown,
        digest=digest,
        measured_at=datetime.fromisoformat(good["measured_at"]),
        measured_by=good["measured_by"],
        tool=good["tool"],
        quantities=quantities,
        hardware=good.get("hardware", {}),
        model_sha256=_lower(good.get("model_sha256")),
        dataset_sha256=_lower(good.get("dataset_sha256")),
        parameters=good.get("with", {}),
        where=good.get("where", {}),
        note=good.get("note", ""),
        declared={key: value for key, value in options.items() if key != "path"},
    )


def _lower(digest: Any) -> Any:
    if isinstance(digest, dict):
        return {key: one.lower() for key, one in digest.items()}
    return None if digest is None else digest.lower()


def _quantity(name: str, value: Any, series: Mapping[str, Any], place: Location) -> RecordedQuantity:
    if not QUANTITY_NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name of a quantity; use letters, digits, _ and dots", place)
    good = read_fields(value, QUANTITY, name, place)
    told = [form for form in FORMS if form in good]
    if len(told) != 1:
        forms = "exact, value, successes with trials, or samples with statistic"
        found = f"got {' and '.join(told)}" if told else "got none of them"
        raise InputError(f"{name} must be told in one of these ways: {forms}; {found}", place)
    form = told[0]
    for key in good:
        if key != form and key not in FORMS[form]:
            raise InputError(f"{name}: {key} cannot stand beside {form}. {closest(key, FORMS[form])}", place)
    unit = None if good.get("unit") == "1" else good.get("unit")
    if good.get("n") == 0:
        raise InputError(f"{name} rests on n = 0", place)
    if form == "successes":
        return _counts(name, good, unit, place)
    if form == "samples":
        return _samples(name, good, unit, series, place)
    if form == "exact":
        return RecordedQuantity(
            "exact", spelling=unit, value=float(good["exact"]), n=good.get("n"), method=good.get("method", "")
        )
    return _estimate(name, good, unit, place)


def _estimate(name: str, good: Mapping[str, Any], unit: str | None, place: Location) -> RecordedQuantity:
    value, lower, upper = (None if key not in good else float(good[key]) for key in ("value", "lower", "upper"))
    has_interval = lower is not None or upper is not None
    if has_interval and "confidence" not in good:
        raise InputError(f"{name} has an interval without confidence", place)
    if not has_interval and "confidence" in good:
        raise InputError(f"{name} has a confidence, but neither lower nor upper", place)
    assert value is not None
    if (lower is not None and lower > value) or (upper is not None and upper < value):
        shown = " to ".join("..." if end is None else f"{end:g}" for end in (lower, upper))
        raise InputError(f"{name} is {value:g}, outside its own interval {shown}", place)
    return RecordedQuantity(
        "estimate",
        spelling=unit,
        value=value,
        lower=lower,
        upper=upper,
        confidence=confidence_of(good.get("confidence")),
        n=good.get("n"),
        method=good.get("method", ""),
    )


def _counts(name: str, good: Mapping[str, Any], unit: str | None, place: Location) -> RecordedQuantity:
    if unit is not None:
        raise InputError(f"{name} is a rate of counts and has no unit: drop {unit!r}", place)
    if "trials" not in good:
        raise InputError(f"{name} has successes without trials", place)
    successes, trials = good["successes"], good["trials"]
    effective = good.get("effective_trials")
    if trials == 0:
        raise InputError(f"{name} rests on no trial", place)
    if successes > trials:
        raise InputError(f"{name} has {successes} successes in {trials} trials", place)
    if effective is not None and not 0 < effective <= trials:
        raise InputError(f"{name}: effective_trials must lie above 0 and at most at {trials}, got {effective}", place)
    return RecordedQuantity(
        "counts", value=successes / trials, successes=successes, trials=trials, effective_trials=effective
    )


def _samples(
    name: str, good: Mapping[str, Any], unit: str | None, series: Mapping[str, Any], place: Location
) -> RecordedQuantity:
    if "statistic" not in good:
        raise InputError(f"{name} has samples without statistic. {QUANTITY['statistic'].description}", place)
    values = good["samples"]
    if isinstance(values, str):
        if values not in series:
            raise InputError(f"{name}: there is no series {values!r}. {closest(values, list(series))}", place)
        if unit is not None:
            raise InputError(f"{name} has the unit of its series {values}: drop {unit!r}", place)
        unit = series[values].get("unit")
        values = series[values]["values"]
    return RecordedQuantity(
        "samples",
        spelling=None if unit == "1" else unit,
        samples=np.asarray(values, dtype=np.float64),
        statistic=good["statistic"],
    )


# Formats


def _read_json(text: str, shown: str) -> tuple[Any, Places]:
    return _json(text, shown, 0), {}


def _json(text: str, shown: str, lines_before: int) -> Any:
    def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            names = [key for key, _ in pairs]
            twice = next(key for key in names if names.count(key) > 1)
            raise InputError(f"{twice!r} stands there twice", Location(shown, lines_before or None))
        return values

    def refuse(constant: str) -> Any:
        raise InputError(f"{constant} is no number that JSON or a record knows", Location(shown, lines_before or None))

    try:
        return json.loads(text, object_pairs_hook=without_duplicates, parse_constant=refuse)
    except json.JSONDecodeError as error:
        line = lines_before or error.lineno
        raise InputError(f"not valid JSON, or cut off: {error.msg}", Location(shown, line)) from error
    except RecursionError as error:
        raise InputError("not readable: it nests too deeply", Location(shown, lines_before or None)) from error
    except ValueError as error:  # an integer of thousands of digits
        raise InputError(f"not readable: {error}", Location(shown, lines_before or None)) from error


def _read_json_lines(text: str, shown: str) -> tuple[Any, Places]:
    head: Any = None
    places: Places = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        value = _json(line, shown, number)
        if not isinstance(value, dict):
            raise InputError("each line must be an object", Location(shown, number))
        if head is None:
            head = {"quantities": {}, "series": {}, **value}
            continue
        kind = next((one for one in ("quantity", "series") if one in value), None)
        if kind is None:
            raise InputError("each line after the first must name its quantity or series", Location(shown, number))
        _put(head, places, kind, value.pop(kind), value, Location(shown, number))
    return head, places


def _put(head: Any, places: Places, kind: str, name: Any, value: Any, place: Location) -> None:
    section = "quantities" if kind == "quantity" else "series"
    if not isinstance(name, str):
        raise InputError(f"{kind} must be a name, got {name!r}", place)
    if not isinstance(head[section], dict):
        raise InputError(f"{section} of the head must hold names and values", place)
    if name in head[section]:
        raise InputError(f"{name!r} stands there twice", place)
    head[section][name] = value
    places[kind, name] = place


def _read_csv(text: str, shown: str) -> tuple[Any, Places]:
    if not text.endswith("\n"):
        # A number that is cut off would be another number.
        raise InputError("the last line has no end: the file is cut off", Location(shown, text.count("\n") + 1))
    lines = text.split("\n")
    count = next((number for number, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    head: dict[str, Any] = {"quantities": {}}
    for number, line in enumerate(lines[:count], 1):
        if line.strip():
            _put_head(head, line.lstrip("#"), Location(shown, number))
    places: Places = {}
    rows = csv.reader(io.StringIO("\n".join(lines[count:])), strict=True)
    try:
        columns = _columns(next(rows, []), Location(shown, count + 1))
        for cells in rows:
            place = Location(shown, count + rows.line_num)
            if len(cells) not in (0, len(columns)):
                raise InputError(f"{len(cells)} cells, but {len(columns)} columns", place)
            row = {column: cell.strip() for column, cell in zip(columns, cells, strict=False) if cell.strip()}
            quantity = row.pop("quantity", None)
            if cells:
                _put(head, places, "quantity", quantity, {key: _cell(key, cell) for key, cell in row.items()}, place)
    except csv.Error as error:
        raise InputError(f"not valid CSV: {error}", Location(shown, count + rows.line_num)) from error
    return head, places


def _columns(cells: list[str], place: Location) -> list[str]:
    columns = [cell.strip() for cell in cells]
    for column in columns:
        if column not in ("quantity", *QUANTITY) or columns.count(column) > 1:
            hint = closest(column, ["quantity", *QUANTITY])
            raise InputError(f"unknown or repeated column {column!r}. {hint}", place)
    if "quantity" not in columns:
        raise InputError("the first row must name the columns, one of them 'quantity'", place)
    return columns


def _put_head(head: dict[str, Any], line: str, place: Location) -> None:
    key, colon, written = line.partition(":")
    section, dot, name = key.strip().partition(".")
    if not colon or not written.strip():
        raise InputError("lines above the table are written '# key: value'", place)
    into = head.setdefault(section, {}) if dot else head
    if not isinstance(into, dict) or (name or section) in into:
        raise InputError(f"{key.strip()!r} stands there twice", place)
    is_text = dot == "" and RECORD.get(section, RECORD["note"]).kind != "version"
    into[name or section] = written.strip() if is_text else _plain(written.strip())


def _cell(key: str, text: str) -> Any:
    if key == "samples":
        return [_plain(one) for one in text.split()]
    return text if QUANTITY[key].kind in ("text", "statistic") else _plain(text)


def _plain(text: str) -> Any:
    """Return the number, word or list that a text is in JSON; else the text."""
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text


_READERS: dict[str, Callable[[str, str], tuple[Any, Places]]] = {
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".csv": _read_csv,
}
