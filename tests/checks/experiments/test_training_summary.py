"""Summaries of trainings against the run and the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.sha256 import file_sha256
from pytest_mle.checks.experiments.training_summary import QUANTITIES, training_summary

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = """\
model_version: 2.1.0
model_sha256: {sha256}
dataset_version: 1.0.0
selected_epoch: 29
hyperparameters:
  epochs: 36
  learning_rate: {{initial: 0.004}}
  betas: [0.9, 0.999]
"""
LOGGED = {"epochs": "36", "learning_rate.initial": "0.004", "betas": "[0.9, 0.999]", "more": 1}


@dataclass
class StoredModel:
    """A model as far as a summary tells of it: name, files, digest."""

    files: tuple[Path, ...]
    name: str = "detector"
    digest: str = "d" * 64


@pytest.fixture
def model(tmp_path):
    """Two files of weights."""
    for name in ("a.onnx", "a.onnx.data"):
        (tmp_path / name).write_text(name)
    return StoredModel((tmp_path / "a.onnx", tmp_path / "a.onnx.data"))


def test_true_summary(config, log, model, values):
    """All fields, the hyperparameters of the run, and the hash of the model's file or of the whole model."""
    for digest in (file_sha256(model.files[0]), model.digest.upper()):
        summary = config(SUMMARY.format(sha256=digest), "summary.yaml")
        assert values(training_summary(summary, log(hyperparameters=LOGGED), model)) == {
            "summary_fields": 5,
            "summary_fields_missing": 0,
            "hyperparameter_mismatches": 0,
            "model_hash_mismatches": 0,
        }
    assert built_in_check("training_summary").quantities == QUANTITIES


def test_wrong_summary(config, log, model, findings):
    """Another model, another value, a value that nobody logged: each at its line."""
    summary = config(SUMMARY.format(sha256="a" * 64), "summary.yaml")
    run = log(hyperparameters={**LOGGED, "epochs": "300", "betas": "[0.8, 0.999]"} | {"learning_rate.initial": None})
    del run.run.hyperparameters["learning_rate.initial"]
    measured = training_summary(summary, run, model)
    assert findings(measured, "hyperparameter_mismatches") == [
        "summary.yaml:6: hyperparameters.epochs: is 36, but the run used '300'",
        "summary.yaml:7: hyperparameters.learning_rate.initial: is 0.004, and the run did not log it",
        "summary.yaml:8: hyperparameters.betas: is [0.9, 0.999], but the run used '[0.8, 0.999]'",
    ]
    (found,) = findings(measured, "model_hash_mismatches")
    assert found.startswith("summary.yaml:2: model_sha256: is the SHA-256 neither of model detector nor of its files")


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("model_version: TBD\n", 5),
        ("model_version: 1\nmodel_sha256: x\nhyperparameters: {}\ndataset_version: ''\nselected_epoch: .nan\n", 3),
        ("model_version: 1\nmodel_sha256: x\nhyperparameters: {a: null}\ndataset_version: 1\nselected_epoch: 0\n", 1),
    ],
)
def test_open_fields(config, log, model, values, text, missing):
    """Placeholders and empty groups say nothing; a hash that is none is no match."""
    measured = values(training_summary(config(text), log(hyperparameters=LOGGED), model))
    assert measured["summary_fields_missing"] == missing
    assert measured["model_hash_mismatches"] == 1


def test_nothing_to_compare_with(config, log, values):
    """Without run or model nothing is compared, and the reason stands there."""
    summary = config(SUMMARY.format(sha256="a" * 64))
    alone = training_summary(summary)
    assert "no training log" in alone.quantities["hyperparameter_mismatches"].method
    assert "no model" in alone.quantities["model_hash_mismatches"].method
    assert "says nothing" in training_summary(summary, log()).quantities["hyperparameter_mismatches"].method
    bare = training_summary(config("model_version: 1\n"), log(hyperparameters=LOGGED))
    assert "no hyperparameters under" in bare.quantities["hyperparameter_mismatches"].method


def test_fields_of_a_project(config, values):
    """A project asks for other fields; none at all is a mistake in the spec."""
    summary = config("release: {date: 2026-01-04, recipients: [QA]}\n")
    assert values(training_summary(summary, required=["release.date", "release.recipients"]))["summary_fields"] == 2
    with pytest.raises(ValueError, match="at least one"):
        training_summary(summary, required=[])
