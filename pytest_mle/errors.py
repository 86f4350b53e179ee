"""Errors that users see: what, where, how to fix, in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file; ``line`` counts from 1."""

    path: str
    line: int | None = None

    def __str__(self) -> str:
        return self.path if self.line is None else f"{self.path}:{self.line}"


class MleError(Exception):
    """Base of every error that pytest-mle raises on purpose.

    Parameters
    ----------
    message
        One sentence: what is wrong and what to do instead.
    location
        Where, if a file is to blame; it is put in front of the message.
    """

    def __init__(self, message: str, location: Location | None = None) -> None:
        super().__init__(message if location is None else f"{location}: {message}")
        self.message = message
        self.location = location


class SpecError(MleError):
    """The spec itself is wrong; nothing runs (exit code 4)."""


class CollectedSpecError(SpecError):
    """Several spec errors found in one pass, so that they can be mended in one go."""

    def __init__(self, errors: Sequence[SpecError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)


class InputError(MleError):
    """A declared input is absent, unreadable or does not fit its declaration (verdict ERROR)."""


class InputNotDeclaredError(MleError):
    """An item needs an input that no one declared (verdict PENDING)."""


class TrustError(InputError):
    """An input needs trust that the invoker has not granted (verdict ERROR)."""


class MissingExtraError(InputError):
    """A library is not installed; the message names the command that installs it (verdict ERROR)."""

    def __init__(self, library: str, command: str) -> None:
        super().__init__(f"{library} is not installed. Install it with: {command}")
        self.library = library
        self.command = command


class CheckError(MleError):
    """A check broke its contract: undeclared quantity, nothing returned, not a callable (verdict ERROR)."""


class NotMeasurableError(MleError):
    """The data cannot show anything either way, e.g. too few samples (verdict INCONCLUSIVE)."""


def closest(word: str, allowed: Sequence[str]) -> str:
    """Return a hint that names the closest match, or the allowed words if nothing is close."""
    from difflib import get_close_matches

    matches = get_close_matches(word, allowed, n=1, cutoff=0.6)
    if matches:
        return f"Did you mean {matches[0]!r}?"
    if not allowed:
        return "None are known here."
    shown = ", ".join(sorted(allowed)[:20])
    more = len(allowed) - 20
    return f"Allowed: {shown}" + (f" and {more} more." if more > 0 else ".")
