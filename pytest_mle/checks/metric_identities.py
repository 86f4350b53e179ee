"""What must hold between metrics of one evaluation, so that a report that contradicts itself is seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Reports write tenths of a percent: each number is off by up to half of that.
ROUNDING = 0.001


class Contradiction(NamedTuple):
    """Metrics that cannot all be right, and why."""

    metrics: tuple[str, ...]
    reason: str


class _Identity(NamedTuple):
    """A metric, what it is computed from, and how much it moves with the rounding of these."""

    metrics: tuple[str, ...]
    formula: str
    expected: float
    slope: float


def contradictions(values: Mapping[str, float], rounding: float = ROUNDING) -> Iterator[Contradiction]:
    """Yield the identities that do not hold.

    Those are ``false_negative_rate = 1 - recall``, ``f1 = 2 precision recall / (precision + recall)``, and recall and
    precision by the counts ``true_positives``, ``false_negatives`` and ``false_positives``.

    Parameters
    ----------
    values
        Metrics of one evaluation by name, as ratios and counts; an identity is looked at where all its metrics are
        there.
    rounding
        Unit of the last digit to which the ratios were rounded; each may be off by half of it.
    """
    for metrics, formula, expected, slope in _identities(values):
        found = values[metrics[0]]
        # A hair more than the rounding: 0.971 + 0.03 is not exactly 1.001. Not a number contradicts everything.
        if not abs(found - expected) <= rounding / 2 * (1 + slope) + 1e-9:
            by = _shown(metrics[0], expected)
            others = ", ".join(f"{name} {_shown(name, values[name])}" for name in metrics[1:])
            yield Contradiction(
                metrics, f"{metrics[0]} is {_shown(metrics[0], found)}, but {formula} = {by} ({others})"
            )


def _identities(values: Mapping[str, float]) -> Iterator[_Identity]:
    if _has(values, "false_negative_rate", "recall"):
        yield _Identity(("false_negative_rate", "recall"), "1 - recall", 1 - values["recall"], 1.0)
    if _has(values, "f1", "precision", "recall"):
        precision, recall = values["precision"], values["recall"]
        both = precision + recall
        expected = 2 * precision * recall / both if both > 0 else 0.0
        slope = 2 * (precision**2 + recall**2) / both**2 if both > 0 else 2.0
        yield _Identity(("f1", "precision", "recall"), "2 precision recall / (precision + recall)", expected, slope)
    for metric, missed in (("recall", "false_negatives"), ("precision", "false_positives")):
        if _has(values, metric, "true_positives", missed):
            hits, of_all = values["true_positives"], values["true_positives"] + values[missed]
            formula = f"true_positives / (true_positives + {missed})"
            yield _Identity((metric, "true_positives", missed), formula, hits / of_all if of_all > 0 else math.nan, 0.0)


def _has(values: Mapping[str, float], *names: str) -> bool:
    return all(name in values for name in names)


def _shown(name: str, value: float) -> str:
    return f"{value:g}" if name.endswith("s") else f"{100 * value:.4g} %"
