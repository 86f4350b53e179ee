"""The eight verdicts, their precedence inside an item and what they mean for the gate."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """Outcome of a checklist item."""

    PASS = "PASS"
    WARNING = "WARNING"
    PENDING = "PENDING"
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"
    ERROR = "ERROR"
    WAIVED = "WAIVED"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    NOT_SELECTED = "NOT_SELECTED"

    @property
    def is_red(self) -> bool:
        """Whether the gate closes on it."""
        return self in _RED

    @property
    def is_shown(self) -> bool:
        """Whether it counts as evidence that the base practice is performed."""
        return self in (Verdict.PASS, Verdict.WARNING, Verdict.WAIVED)


_RED = frozenset({Verdict.PENDING, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.ERROR})

PRECEDENCE = (
    Verdict.ERROR,
    Verdict.FAIL,
    Verdict.INCONCLUSIVE,
    Verdict.PENDING,
    Verdict.WARNING,
    Verdict.PASS,
)


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict that takes precedence; an empty list is PENDING, because nothing was shown."""
    for verdict in PRECEDENCE:
        if verdict in verdicts:
            return verdict
    return Verdict.PENDING
