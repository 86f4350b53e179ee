"""Are the data traced to the ML data requirements, and these to the data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.errors import NotMeasurableError
from pytest_mle.inputs.trusted_path import shown_path
from pytest_mle.records.condition import conditions
from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mle.checks.traceability.sources import Requirements
    from pytest_mle.inputs.dataset import Dataset, Sample
    from pytest_mle.inputs.project import Project
    from pytest_mle.spec.model import Requirement

QUANTITIES = {
    "data_requirements": exact("{requirement}", "higher", "ML data requirements in the spec."),
    "data_requirements_without_samples": exact("{requirement}", "lower", "ML data requirements that no sample serves."),
    "samples_without_data_requirement": exact("{sample}", "lower", "Samples that serve no ML data requirement."),
    "unknown_data_requirements": exact(
        "{finding}", "lower", "Ids in the data that are no ML data requirement of the spec."
    ),
}


@check(quantities=QUANTITIES)
def dataset_traceability(
    requirements: Requirements,
    project: Project,
    dataset: Dataset,
    validation: Dataset | None = None,
    *,
    attribute: str = "requirement",
    requirement_type: str = "data",
) -> Measurement:
    """Count ML data requirements without samples, and samples without ML data requirement.

    A sample serves the requirements whose ids stand in its column ``requirement`` (several with ``;``), and those whose
    attribute ``samples`` it matches: ``attributes: {samples: {weather: rain}}`` of a requirement, as a ``where:``. All
    quantities are exact. Automotive SPICE 4.0 asks for it in MLE.3.BP4.

    Parameters
    ----------
    requirements
        Of the spec; ML data requirements are those of ``type: data``.
    project
        Whose folder findings are named from.
    dataset
        Training data (``using: {dataset: train}``).
    validation
        Validation data, named in ``using: {validation: val}``; both together serve the requirements.
    attribute
        Column of the samples' table with ids of requirements.
    requirement_type
        What ``type`` ML data requirements have.

    Raises
    ------
    NotMeasurableError
        The spec has no ML data requirement, or there is no sample.
    """
    wanted = {name: one for name, one in requirements.items() if one.type == requirement_type}
    if not wanted:
        raise NotMeasurableError(f"the spec has no requirement of `type: {requirement_type}`, so nothing can be traced")
    parts = [dataset] if validation is None else [dataset, validation]
    samples = [part.sample(index) for part in parts for index in range(len(part))]
    if not samples:
        raise NotMeasurableError(f"data set {dataset.name} has no sample")
    served: set[str] = set()
    untraced: list[Finding] = []
    unknown: dict[str, Sample] = {}
    for sample in samples:
        ids = _ids(sample, attribute)
        unknown |= {name: sample for name in ids if name not in wanted and name not in unknown}
        serving = {name for name in ids if name in wanted} | _matching(sample, wanted)
        served |= serving
        if not serving:
            untraced.append(Finding("serves no ML data requirement", shown_path(sample.path, project.root)))
    kinds = {
        "data_requirements_without_samples": [_without(one) for name, one in wanted.items() if name not in served],
        "samples_without_data_requirement": untraced,
        "unknown_data_requirements": [
            Finding(
                f"is no requirement of type {requirement_type}", shown_path(sample.path, project.root), subject=name
            )
            for name, sample in unknown.items()
        ],
    }
    has_column = any(attribute in part.attribute_names for part in parts)
    return Measurement(
        quantities={
            "data_requirements": len(wanted),
            **{name: len(found) for name, found in kinds.items()},
            **(
                {}
                if has_column
                else {"unknown_data_requirements": unmeasured(f"no data set has a column {attribute!r}")}
            ),
        },
        findings=tuple(Findings.collect(name, found) for name, found in kinds.items() if found),
        settings={"samples": len(samples), "data_sets": [part.name for part in parts], "attribute": attribute},
    )


def _ids(sample: Sample, attribute: str) -> list[str]:
    return [name for name in re.split(r"[;,|\s]+", str(sample.attributes.get(attribute) or "")) if name]


def _matching(sample: Sample, wanted: Mapping[str, Requirement]) -> set[str]:
    found = set()
    for name, requirement in wanted.items():
        where = requirement.attributes.get("samples")
        # Without a condition every sample would match, so nothing would be traced.
        if isinstance(where, dict) and where:
            found |= (
                {name} if all(one.matches(sample.attributes.get(one.attribute)) for one in conditions(where)) else set()
            )
    return found


def _without(requirement: Requirement) -> Finding:
    place = requirement.location
    return Finding(
        "no sample serves it",
        None if place is None else place.path,
        None if place is None else place.line,
        requirement.id,
    )
