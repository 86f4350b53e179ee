"""Concrete offenders and conditions behind a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CAP = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """One offender: a file, a line, a frame, a requirement.

    Parameters
    ----------
    message
        What is wrong with it, in a few words.
    path
        The file, relative to the spec's folder where it lies below it.
    line
        Line in that file, from 1.
    subject
        The sample, requirement or class where no file says it.
    """

    message: str
    path: str | None = None
    line: int | None = None
    subject: str | None = None

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return ": ".join(part for part in (place, self.subject, self.message) if part)


@dataclass(frozen=True, slots=True)
class Findings:
    """The first offenders of one kind and how many there are in truth.

    ``kind`` is the quantity that counts them, or a word of its own.
    """

    kind: str
    total: int
    shown: tuple[Finding, ...] = ()

    @classmethod
    def collect(cls, kind: str, findings: Iterable[Finding], cap: int = CAP) -> Findings:
        """Keep the first ``cap`` and count them all."""
        iterator = iter(findings)
        shown = tuple(islice(iterator, cap))
        return cls(kind, len(shown) + sum(1 for _ in iterator), shown)


@dataclass(frozen=True, slots=True)
class ValidityCondition:
    """Something that must hold for the measurement to mean anything."""

    name: str
    holds: bool
    detail: str = ""
