"""YAML 1.2 (core schema) read safely and fast, each key and entry with the line it stands in.

Values are plain Python ones inside :class:`LocatedMapping` and :class:`LocatedList`. Events are read from libyaml
where PyYAML has it; no nesting, alias or number in a file can exhaust stack or memory.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml

from pytest_mle.errors import CollectedSpecError, Location, SpecError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 40
MAX_NODES = 2_000_000
MAX_ALIASES = 10_000
MAX_SHOWN = 80

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER_START = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASED = re.compile(r"0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


class LocatedMapping(dict[Any, Any]):
    """A mapping that knows where it and each of its keys stand; ``spelled`` keeps numbers as they were written."""

    __slots__ = ("location", "places", "spelled")

    def __init__(self, location: Location) -> None:
        super().__init__()
        self.location = location
        self.places: dict[Any, Location] = {}
        self.spelled: dict[Any, str] = {}

    def place(self, key: object) -> Location:
        """Return where a key stands, or where the mapping begins."""
        return self.places.get(key, self.location)

    def copy(self) -> LocatedMapping:
        """Return a shallow copy with the same places."""
        twin = LocatedMapping(self.location)
        twin.update(self)
        twin.places.update(self.places)
        twin.spelled.update(self.spelled)
        return twin


class LocatedList(list[Any]):
    """A list that knows where it and each of its entries stand."""

    __slots__ = ("location", "places")

    def __init__(self, location: Location) -> None:
        super().__init__()
        self.location = location
        self.places: list[Location] = []

    def place(self, index: int) -> Location:
        """Return where an entry stands, or where the list begins."""
        return self.places[index] if index < len(self.places) else self.location


def plain(value: Any) -> Any:
    """Return plain dicts and lists without locations."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def kind_of(value: Any) -> str:
    """Name a value in a sentence: a mapping, a list, true, nothing, or the scalar itself."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


@lru_cache(maxsize=4096)
def resolve_scalar(text: str) -> Any:
    """Give a plain scalar its YAML 1.2 core type: ``1e-7`` is a number; ``no``, ``on`` and ``12:30`` are text."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        number = float(text)
        # What no float can hold stays text, so that it is refused with its own spelling and not as infinity.
        return text if math.isinf(number) else number
    return text


def read_yaml(text: str, path: str) -> Any:
    """Read one YAML document.

    Parameters
    ----------
    text
        The document.
    path
        How errors and locations call the file.

    Raises
    ------
    CollectedSpecError
        If it is not YAML, has duplicate keys or tags, nests too deeply or expands too far.
    """
    reader = _Reader(path)
    try:
        loader = _LOADER(text)
        try:
            reader.read(loader.get_event)
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else None
        character = error.character if isinstance(error.character, int) else 0
        reader.fail(line, f"the character U+{character:04X} is not allowed in YAML")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.fail(None if mark is None else mark.line + 1, _syntax_message(error, text))
    except _Stop:
        pass
    if reader.errors:
        raise CollectedSpecError(reader.errors)
    return reader.root


def _syntax_message(error: yaml.MarkedYAMLError, text: str) -> str:
    problem = error.problem or error.context or "it cannot be read"
    mark = error.problem_mark or error.context_mark
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if re.match(r"\s*\t", line):
        return "not valid YAML: a tab indents this line. Use spaces"
    if "mapping values are not allowed" in problem:
        return f"not valid YAML: {problem}. Put text that contains ': ' into quotes, and check the indentation"
    if "cannot start any token" in problem and line.strip():
        return f"not valid YAML: {problem}. Put text that begins with @, ` or % into quotes"
    return f"not valid YAML: {problem}"


class _Stop(Exception):  # noqa: N818  a signal inside this file, not an error of its own
    """Nothing more can be read."""


class _Frame:
    """A container that is still open."""

    __slots__ = ("anchor", "container", "is_mapping", "key", "key_line", "size", "waits_for_key")

    def __init__(self, container: Any, anchor: str | None, *, is_mapping: bool) -> None:
        self.container = container
        self.anchor = anchor
        self.is_mapping = is_mapping
        self.waits_for_key = is_mapping
        self.key: Any = None
        self.key_line = 0
        self.size = 1


class _Reader:
    """Builds values from events, with a stack of its own instead of recursion."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.errors: list[SpecError] = []
        self.root: Any = None
        self.documents = 0
        self.aliases = 0
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Any, int] | None] = {}
        self.locations: dict[int, Location] = {}

    def at(self, line: int) -> Location:
        location = self.locations.get(line)
        if location is None:
            location = self.locations[line] = Location(self.path, line)
        return location

    def fail(self, line: int | None, message: str) -> None:
        self.errors.append(SpecError(message, Location(self.path, line)))

    def stop(self, line: int, message: str) -> None:
        self.fail(line, message)
        raise _Stop

    def read(self, get_event: Callable[[], Any]) -> None:  # noqa: C901  a call for each event would cost a third
        scalar, key_or_value = yaml.ScalarEvent, self.add
        ends = (yaml.SequenceEndEvent, yaml.MappingEndEvent)
        while True:
            event = get_event()
            kind = type(event)
            if kind is scalar:
                value = text = event.value
                line = event.start_mark.line + 1
                spelled = None
                if event.tag is not None:
                    self.refuse_tag(event, line)
                elif not event.style:
                    value = resolve_scalar(text)
                    if value is not text and type(value) is not bool:
                        spelled = text
                if event.anchor is not None:
                    self.anchors[event.anchor] = (value, 1)
                key_or_value(value, line, 1, spelled)
            elif kind is yaml.SequenceStartEvent or kind is yaml.MappingStartEvent:
                self.open(event, is_mapping=kind is yaml.MappingStartEvent)
            elif kind in ends:
                self.close(event.start_mark.line + 1)
            elif kind is yaml.AliasEvent:
                self.alias(event)
            elif kind is yaml.DocumentStartEvent:
                self.documents += 1
                if self.documents > 1:
                    self.stop(event.start_mark.line + 1, "a second document begins here (---); one file, one document")
            elif kind is yaml.StreamEndEvent:
                return

    def open(self, event: Any, *, is_mapping: bool) -> None:
        line = event.start_mark.line + 1
        if event.tag is not None:
            self.refuse_tag(event, line)
        if len(self.stack) >= MAX_DEPTH:
            self.stop(line, f"nested deeper than {MAX_DEPTH} levels")
        container = LocatedMapping(self.at(line)) if is_mapping else LocatedList(self.at(line))
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.stack.append(_Frame(container, event.anchor, is_mapping=is_mapping))

    def close(self, line: int) -> None:
        frame = self.stack.pop()
        if frame.anchor is not None:
            self.anchors[frame.anchor] = (frame.container, frame.size)
        self.add(frame.container, frame.container.location.line or line, frame.size, None)

    def alias(self, event: Any) -> None:
        line = event.start_mark.line + 1
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self.stop(line, f"more than {MAX_ALIASES} aliases")
        if event.anchor not in self.anchors:
            self.stop(line, f"the alias *{event.anchor} has no anchor &{event.anchor} before it")
        known = self.anchors[event.anchor]
        if known is None:
            self.stop(line, f"the alias *{event.anchor} stands inside what it refers to")
            return
        value, size = known
        self.add(value, line, size, None)

    def refuse_tag(self, event: Any, line: int) -> None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        self.fail(line, f"the tag {tag} is not allowed. Put text into quotes; other types need no tag")

    def add(self, value: Any, line: int, size: int, spelled: str | None) -> None:
        if not self.stack:
            self.root = value
            return
        frame = self.stack[-1]
        frame.size += size
        if frame.size > MAX_NODES:
            self.stop(line, f"more than {MAX_NODES:,} values once aliases are expanded; use fewer aliases")
        if frame.waits_for_key:
            self.take_key(frame, value, line)
        elif frame.is_mapping:
            frame.waits_for_key = True
            if frame.key is not None:
                container = frame.container
                container[frame.key] = value
                container.places[frame.key] = self.locations.get(frame.key_line) or self.at(frame.key_line)
                if spelled is not None:
                    container.spelled[frame.key] = spelled
        else:
            frame.container.append(value)
            frame.container.places.append(self.locations.get(line) or self.at(line))

    def take_key(self, frame: _Frame, key: Any, line: int) -> None:
        frame.waits_for_key = False
        frame.key, frame.key_line = None, line
        if type(key) is not str and type(key) is not int:
            self.fail(line, f"a key must be text or a whole number, got {_shown(key)}")
        elif key == "<<":
            self.fail(line, "merge keys (<<) do not exist in YAML 1.2; write the keys out, or alias the whole mapping")
        elif key in frame.container:
            self.fail(line, f"duplicate key {key!r}; it stands at {frame.container.places[key]} already")
        else:
            frame.key = key


def _shown(key: Any) -> str:
    if isinstance(key, (dict, list)):
        return "a mapping or list in its place; put text with { or [ into quotes"
    return {None: "nothing", True: "true", False: "false"}.get(key, repr(key))
