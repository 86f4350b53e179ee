"""The config protocol: what a project declares in a structured file, by dotted names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import InputError, Location, closest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True, eq=False)
class Config:
    """A configuration file, or another document that has named parts.

    ``values`` is a nested mapping of plain types; ``path`` is the file as users see it; ``lines`` maps dotted names to
    lines where the format tells them (YAML, Markdown).
    """

    name: str
    path: str
    values: Mapping[str, Any]
    digest: str
    lines: Mapping[str, int] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return self._find(key) is not _ABSENT

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value by its dotted name (``learning_rate.initial``), or the default if there is none."""
        found = self._find(key)
        return default if found is _ABSENT else found

    def require(self, key: str) -> Any:
        """Return a value by its dotted name.

        Raises :class:`~pytest_mle.errors.InputError` that names the file and the closest key.
        """
        found = self._find(key)
        if found is _ABSENT:
            raise InputError(f"config {self.name} has no {key!r}. {closest(key, list(self.keys()))}", self.location())
        return found

    def keys(self) -> Iterator[str]:
        """Return the dotted names of all values, mappings themselves left out unless they are empty."""
        return (key for key, _ in _leaves(self.values, ""))

    def flat(self) -> dict[str, Any]:
        """Return all values by dotted name."""
        return dict(_leaves(self.values, ""))

    def location(self, key: str | None = None) -> Location:
        """Return where a key stands, or the file; for a key that is absent, the nearest one above it."""
        parts = [] if key is None else key.split(".")
        while parts:
            line = self.lines.get(".".join(parts))
            if line is not None:
                return Location(self.path, line)
            parts.pop()
        return Location(self.path)

    def _find(self, key: str) -> Any:
        # A name with a dot in it (`ranges: {learning_rate.initial: ...}`) is found before the path it looks like.
        return _find(self.values, key)


_ABSENT = object()


def _find(values: Any, key: str) -> Any:
    if not isinstance(values, dict):
        return _ABSENT
    if key in values:
        return values[key]
    for end in (position for position, letter in enumerate(key) if letter == "."):
        found = _find(values.get(key[:end]), key[end + 1 :])
        if found is not _ABSENT:
            return found
    return _ABSENT


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value
