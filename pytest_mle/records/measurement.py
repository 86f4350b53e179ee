"""What a check returns: quantities, findings, validity conditions and figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_mle.records.figure import Figure
from pytest_mle.records.finding import Findings, ValidityCondition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mle.records.quantity import Quantity


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of one run of a check.

    Parameters
    ----------
    quantities
        Every quantity that the check declares; one may be left out only if a validity condition says why.
    findings
        Concrete offenders, in capped lists with their true count.
    validity
        Conditions without which the numbers mean nothing; one that does not hold makes the item INCONCLUSIVE.
    figures
        Pictures as data.
    settings
        The protocol as it was used (thresholds of a metric, steps of an attack, versions); recorded with the result.
    """

    quantities: Mapping[str, Quantity | float | int]
    findings: tuple[Findings, ...] = ()
    validity: tuple[ValidityCondition, ...] = ()
    figures: tuple[Figure, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
