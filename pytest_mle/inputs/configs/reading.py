"""Read a declared configuration file: YAML, JSON, TOML, or the headings of a Markdown document."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import CollectedSpecError, InputError, Location, closest
from pytest_mle.inputs.config import Config
from pytest_mle.inputs.trusted_path import resolve_trusted, shown_path
from pytest_mle.yaml_with_lines import LocatedMapping, plain, read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

OPTIONS = ("path",)
MAX_BYTES = 16 << 20
_HEADING = re.compile(r"(#{1,6})[ \t]+(.+?)[ \t]*#*")
_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})")


def read_config(
    name: str,
    options: Mapping[str, Any],
    root: Path,
    *,
    location: Location | None = None,
    allowed_roots: Iterable[Path] = (),
) -> Config:
    """Read the file that ``inputs.configs.<name>`` declares.

    ``.yaml`` and ``.yml`` (YAML 1.2, as a spec), ``.json``, ``.toml``; ``.md``: each heading is a name in lower case
    with ``_`` for blanks and its value is the text below it, so that a document's sections can be asked for.

    Parameters
    ----------
    name
        Its name in the spec.
    options
        ``path``.
    root
        The spec's folder.
    location
        Where it was declared, for errors.
    allowed_roots
        Further folders that the invoker has granted.

    Raises
    ------
    InputError
        Absent, unreadable, larger than 16 MiB, not valid, or no mapping; with file and line.
    TrustError
        The path leads out of ``root`` and ``allowed_roots``.
    """
    check_options(name, options, location)
    declared: str = options["path"]
    path = resolve_trusted(declared, root.resolve(), allowed_roots=allowed_roots, location=location)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        kind = path.suffix or "a file without suffix"
        raise InputError(f"config {name}: cannot read {kind}. Allowed: {', '.join(_READERS)}", location)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"config {name}: cannot read {declared}: {error.strerror or error}", location) from error
    shown = shown_path(path, root.resolve())
    if len(data) > MAX_BYTES:
        raise InputError(f"config {name} is larger than {MAX_BYTES >> 20} MiB", Location(shown))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"config {name} is not UTF-8 text: byte {error.start}", Location(shown)) from error
    values, lines = reader(text, shown)
    if not isinstance(values, dict) or not values:
        raise InputError(f"config {name} must hold names and values, got {_kind(values)}", Location(shown))
    return Config(name, shown, values, hashlib.sha256(data).hexdigest(), lines)


def check_options(name: str, options: Mapping[str, Any], location: Location | None) -> None:
    """Raise :class:`~pytest_mle.errors.InputError` for an unknown option or a path that is none."""
    for option in options:
        if option not in OPTIONS:
            raise InputError(f"config {name}: unknown option {option!r}. {closest(option, OPTIONS)}", location)
    if not isinstance(options.get("path"), str):
        raise InputError(f"config {name}: 'path' must name its file, got {options.get('path')!r}", location)


def _kind(values: Any) -> str:
    return "nothing" if not values and values != 0 else f"a {type(values).__name__}"


def _read_yaml(text: str, shown: str) -> tuple[Any, dict[str, int]]:
    try:
        root = read_yaml(text, shown)
    except CollectedSpecError as error:
        first = error.errors[0]
        raise InputError(first.message, first.location) from error
    lines: dict[str, int] = {}
    _collect_lines(root, "", lines)
    return plain(root), lines


def _collect_lines(value: Any, prefix: str, lines: dict[str, int]) -> None:
    if isinstance(value, LocatedMapping):
        for key, one in value.items():
            line = value.place(key).line
            if line is not None:
                lines[f"{prefix}{key}"] = line
            _collect_lines(one, f"{prefix}{key}.", lines)


def _read_json(text: str, shown: str) -> tuple[Any, dict[str, int]]:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _without_duplicates(pairs, shown)), {}
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error.msg}", Location(shown, error.lineno)) from error
    except RecursionError as error:
        raise InputError("not readable: it nests too deeply", Location(shown)) from error


def _without_duplicates(pairs: list[tuple[str, Any]], shown: str) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"duplicate key {twice!r}", Location(shown))
    return values


def _read_toml(text: str, shown: str) -> tuple[Any, dict[str, int]]:
    try:
        return tomllib.loads(text), {}
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        raise InputError(f"not valid TOML: {error}", Location(shown, int(found[1]) if found else None)) from error


def _read_markdown(text: str, shown: str) -> tuple[Any, dict[str, int]]:
    """Return the text below each heading, up to the next one of the same or a higher level."""
    all_lines = text.splitlines()
    headings: list[tuple[int, int, str]] = []
    fence = ""
    for number, line in enumerate(all_lines):
        opened = _FENCE.match(line)
        if opened is not None:
            fence = opened[1][0] * 3 if not fence else ("" if opened[1].startswith(fence) else fence)
        found = None if fence else _HEADING.fullmatch(line)
        if found is not None:
            headings.append((number, len(found[1]), section_name(found[2])))
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for position, (number, level, key) in enumerate(headings):
        end = next((one for one, other, _ in headings[position + 1 :] if other <= level), len(all_lines))
        if key in values:
            raise InputError(
                f"two sections are called {key!r}; the first is in line {lines[key]}", Location(shown, number + 1)
            )
        values[key] = "\n".join(all_lines[number + 1 : end]).strip()
        lines[key] = number + 1
    return values, lines


def section_name(heading: str) -> str:
    """Return a heading as a name: ``3.1 Exit criteria`` is ``exit_criteria``."""
    words = re.findall(r"\w+", re.sub(r"^[\d.]+\s+", "", heading.replace("_", " ")).lower())
    return "_".join(words)


_READERS: dict[str, Callable[[str, str], tuple[Any, dict[str, int]]]] = {
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".json": _read_json,
    ".toml": _read_toml,
    ".md": _read_markdown,
}
