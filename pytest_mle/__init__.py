"""Machine-learning-engineering checklists as pytest items.

The public names are imported when they are first used, so that pytest starts as fast as without the plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_mle.checks.declaration import check
    from pytest_mle.records.figure import Figure, Series
    from pytest_mle.records.finding import Finding, Findings, ValidityCondition
    from pytest_mle.records.measurement import Measurement
    from pytest_mle.records.quantity import Exact, Percentile, PointEstimate, Proportion, Resampled, estimate, exact

_HOMES = {
    "check": "pytest_mle.checks.declaration",
    "Exact": "pytest_mle.records.quantity",
    "Figure": "pytest_mle.records.figure",
    "Finding": "pytest_mle.records.finding",
    "Findings": "pytest_mle.records.finding",
    "Measurement": "pytest_mle.records.measurement",
    "Percentile": "pytest_mle.records.quantity",
    "PointEstimate": "pytest_mle.records.quantity",
    "Proportion": "pytest_mle.records.quantity",
    "Resampled": "pytest_mle.records.quantity",
    "Series": "pytest_mle.records.figure",
    "ValidityCondition": "pytest_mle.records.finding",
    "estimate": "pytest_mle.records.quantity",
    "exact": "pytest_mle.records.quantity",
}

__all__ = [
    "Exact",
    "Figure",
    "Finding",
    "Findings",
    "Measurement",
    "Percentile",
    "PointEstimate",
    "Proportion",
    "Resampled",
    "Series",
    "ValidityCondition",
    "check",
    "estimate",
    "exact",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
