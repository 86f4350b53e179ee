"""What derived checks examine: the requirements of the spec and the results of its items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_mle.records.result import ItemResult
from pytest_mle.spec.model import Requirement

Requirements = Mapping[str, Requirement]
Results = Sequence[ItemResult]

PARENT_TYPES = frozenset({"system", "software", "software_architecture", "stakeholder"})


def ml_requirements(requirements: Requirements) -> list[Requirement]:
    """Return the requirements on the ML model and its data, without the levels above them."""
    return [one for one in requirements.values() if one.type not in PARENT_TYPES]


def verifying(requirement: Requirement, results: Results) -> list[ItemResult]:
    """Return the results of the items that verify a requirement, fully or partially."""
    return [one for one in results if requirement.id in one.verifies or requirement.id in one.partially_verifies]
