"""ML data requirements and samples, both ways."""

from __future__ import annotations

import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.dataset_traceability import QUANTITIES, dataset_traceability
from pytest_mle.errors import Location, NotMeasurableError
from pytest_mle.inputs.project import Project
from pytest_mle.spec.model import Requirement


def data_requirement(name, kind="data", **attributes):
    """Make a requirement at a line of its own."""
    return Requirement(name, "text", type=kind, attributes=attributes, location=Location("spec.yaml", 7))


def by_id(*requirements):
    """Return requirements by id."""
    return {one.id: one for one in requirements}


@pytest.fixture
def project(tmp_path):
    """The folder of the data."""
    return Project(tmp_path.resolve())


def test_traced_by_ids_and_by_attributes(project, folder_dataset, values):
    """Ids in a column, several at once, and a condition on attributes: everything is traced."""
    rows = ["images/0.png,D-1,clear", "images/1.png,D-1; D-2,clear", "images/2.png,D-2,clear", "images/3.png,,rain"]
    dataset = folder_dataset(rows=rows, columns="image,requirement,weather")
    requirements = by_id(
        data_requirement("D-1"),
        data_requirement("D-2"),
        data_requirement("D-3", samples={"weather": "rain"}),
        data_requirement("MLE-REQ-1", kind="performance"),
    )
    assert values(dataset_traceability(requirements, project, dataset)) == {
        "data_requirements": 3,
        "data_requirements_without_samples": 0,
        "samples_without_data_requirement": 0,
        "unknown_data_requirements": 0,
    }
    declaration = built_in_check("dataset_traceability")
    assert declaration.quantities == QUANTITIES
    assert not declaration.is_derived


def test_each_gap_is_found(project, folder_dataset, findings):
    """A requirement without data, data without requirement, and an id that nobody knows."""
    rows = ["images/0.png,D-1", "images/1.png,D-9", "images/2.png,", "images/3.png,MLE-REQ-1"]
    dataset = folder_dataset(rows=rows, columns="image,requirement")
    requirements = by_id(data_requirement("D-1"), data_requirement("D-2"), data_requirement("MLE-REQ-1", kind=None))
    measured = dataset_traceability(requirements, project, dataset)
    assert findings(measured, "data_requirements_without_samples") == ["spec.yaml:7: D-2: no sample serves it"]
    assert [one.partition(":")[0] for one in findings(measured, "samples_without_data_requirement")] == [
        f"data/train/images/{n}.png" for n in (1, 2, 3)
    ]
    assert findings(measured, "unknown_data_requirements") == [
        "data/train/images/1.png: D-9: is no requirement of type data",
        "data/train/images/3.png: MLE-REQ-1: is no requirement of type data",
    ]


def test_training_and_validation_data_together(project, folder_dataset, values):
    """A requirement that only the validation data serve is served."""
    train = folder_dataset(rows=[f"images/{n}.png,D-1" for n in range(4)], columns="image,requirement")
    val = folder_dataset(name="val", rows=[f"images/{n}.png,D-2" for n in range(4)], columns="image,requirement")
    requirements = by_id(data_requirement("D-1"), data_requirement("D-2"))
    alone = values(dataset_traceability(requirements, project, train))
    together = values(dataset_traceability(requirements, project, train, val))
    assert (alone["data_requirements_without_samples"], together["data_requirements_without_samples"]) == (1, 0)


@pytest.mark.parametrize("samples", [{}, None, "all", [], {"weather": "snow"}, {"wether": "rain"}])
def test_conditions_that_trace_nothing(project, folder_dataset, values, samples):
    """An empty condition would match everything, so it matches nothing; so does an attribute that is not there."""
    requirements = by_id(data_requirement("D-1", samples=samples))
    measured = values(dataset_traceability(requirements, project, folder_dataset()))
    assert measured["data_requirements_without_samples"] == 1
    assert measured["samples_without_data_requirement"] == 4
    assert measured["unknown_data_requirements"] is None


def test_nothing_to_trace(project, folder_dataset):
    """No ML data requirement, or no sample, is no pass."""
    dataset = folder_dataset()
    with pytest.raises(NotMeasurableError, match="type: data"):
        dataset_traceability(by_id(data_requirement("A", kind=None)), project, dataset)
    dataset._indices = dataset._indices[:0]
    with pytest.raises(NotMeasurableError, match="no sample"):
        dataset_traceability(by_id(data_requirement("A")), project, dataset)
