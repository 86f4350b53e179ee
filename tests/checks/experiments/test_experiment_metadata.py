"""What a run's record says of it."""

from __future__ import annotations

import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.experiment_metadata import QUANTITIES, experiment_metadata
from pytest_mle.checks.experiments.sha256 import file_sha256
from pytest_mle.tracking import record_environment

RECORD = {
    "model_version": "2.1.0",
    "dataset_version": "1.0.0",
    "dataset_sha256": "0123456789abcdef" * 4,
    "hyperparameters": {"epochs": 36, "clip": None},
    "hardware": {"device": "cpu", "threads": 2},
    "framework_versions": {"torch": "2.13.0"},
    "seeds": {"torch": 0},
    "git_commit": "c" * 40,
}


def test_complete_record(log, values):
    """All seven fields stand there; a seed of 0 is a seed, and one open hyperparameter is a choice."""
    assert values(experiment_metadata(log(**RECORD))) == {
        "recorded_metadata_fields": 7,
        "missing_metadata_fields": 0,
        "dataset_hash_mismatches": None,
    }
    assert built_in_check("experiment_metadata").quantities == QUANTITIES


def test_d3_a_run_without_record(log, values, findings):
    """D3: the script logs neither seed, hardware nor data set hash: everything is missing."""
    measured = experiment_metadata(log())
    assert values(measured)["missing_metadata_fields"] == 7
    assert "log.csv: seed: is not recorded with the run" in findings(measured, "missing_metadata_fields")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("model_version", "TBD", "is a placeholder"),
        ("model_version", "  ", "is empty"),
        ("dataset_version", "unknown", "is a placeholder"),
        ("dataset_sha256", "v1.0", "no SHA-256"),
        ("dataset_sha256", "abc123", "no SHA-256"),
        ("hardware", {"device": None, "threads": None}, "hardware.device is empty"),
        ("hardware", {"device": "cpu", "driver": "TODO"}, "hardware.driver is a placeholder"),
        ("hyperparameters", {"epochs": None}, "hyperparameters.epochs is empty"),
        ("framework_versions", {"torch": ""}, "framework_versions.torch is empty"),
        ("seeds", {"torch": None}, "seed.torch is empty"),
    ],
)
def test_fields_that_say_nothing(log, findings, field, value, reason):
    """Placeholders, groups of nulls and a version in place of a hash are no record."""
    (found,) = findings(experiment_metadata(log(**{**RECORD, field: value})), "missing_metadata_fields")
    assert reason in found


def test_fields_of_a_project(log, values):
    """A project asks for more, and for names inside groups; an unknown field is a mistake in the spec."""
    run = log(**RECORD)
    required = ["git_commit", "hardware.device", "hardware.driver", "hyperparameters.epochs", "run_id"]
    assert values(experiment_metadata(run, required=required))["missing_metadata_fields"] == 2
    with pytest.raises(ValueError, match=r"unknown field 'modelversion'. Did you mean 'model_version'"):
        experiment_metadata(run, required=["modelversion"])
    with pytest.raises(ValueError, match="at least one"):
        experiment_metadata(run, required=[])


def test_hash_of_the_data_that_is_there(log, values, folder_dataset, tmp_path):
    """The manifest, the report's digest and the tracking function's digest all name the data; a changed file does not."""
    dataset = folder_dataset()
    digests = {
        "images.csv": file_sha256(dataset.root / "images.csv"),
        "data set": dataset.digest,
        "all files of the folder": record_environment(dataset=dataset.root, repository=tmp_path)["dataset_sha256"],
    }
    for name, digest in digests.items():
        measured = experiment_metadata(log(**{**RECORD, "dataset_sha256": digest.upper()}), dataset)
        assert values(measured)["dataset_hash_mismatches"] == 0
        assert measured.settings["dataset_sha256_is_of"] == name
    (dataset.root / "labels" / "0.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    digest = digests["all files of the folder"]
    measured = experiment_metadata(log(**{**RECORD, "dataset_sha256": digest}), folder_dataset(write=False))
    assert values(measured)["dataset_hash_mismatches"] == 1


def test_no_hash_to_compare(log, folder_dataset):
    """A version string compares with nothing."""
    measured = experiment_metadata(log(**{**RECORD, "dataset_sha256": "v1"}), folder_dataset())
    assert "records no SHA-256" in measured.quantities["dataset_hash_mismatches"].method
