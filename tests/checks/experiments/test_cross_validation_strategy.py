"""Strategies of validation, and groups on both sides of a split."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.cross_validation_strategy import QUANTITIES, cross_validation_strategy
from pytest_mle.errors import InputError
from pytest_mle.inputs.configs import read_config
from pytest_mle.inputs.project import Project

EXAMPLE = Path(__file__).resolve().parents[3] / "example_project"
FOLDED = ["images/0.png,a,1", "images/1.png,a,1", "images/2.png,b,2", "images/3.png,c,2"]


@pytest.fixture
def project(tmp_path):
    """The folder of the config and the data."""
    return Project(tmp_path.resolve())


def test_k_fold_by_group(config, project, folder_dataset, values):
    """Two folds, three drives, none in both; the data set is small and cross-validated."""
    dataset = folder_dataset(rows=FOLDED, columns="image,sequence,fold")
    text = config("cross_validation: {strategy: GroupKFold, folds: 2}\n")
    assert values(cross_validation_strategy(text, project, dataset)) == {
        "strategy_declared": 1,
        "folds": 2,
        "fold_count_mismatches": 0,
        "samples_without_fold": 0,
        "fold_group_overlap": 0,
        "small_dataset_without_k_fold": 0,
    }
    declaration = built_in_check("cross_validation_strategy")
    assert declaration.quantities == QUANTITIES
    assert [one.is_optional for one in declaration.inputs] == [False, False, True, True]


def test_drive_in_two_folds(config, project, folder_dataset, values, findings):
    """Frames of one drive on both sides, a sample in no fold, three folds where two were declared."""
    rows = ["images/0.png,a,1", "images/1.png,a,2", "images/2.png,b,3", "images/3.png,c,"]
    dataset = folder_dataset(rows=rows, columns="image,sequence,fold")
    measured = cross_validation_strategy(config("cross_validation: {strategy: k_fold, folds: 2}\n"), project, dataset)
    assert values(measured)["fold_group_overlap"] == 1
    assert findings(measured, "fold_group_overlap") == ["train: a: is in 1 and 2"]
    assert findings(measured, "samples_without_fold") == ["images/3.png: is in no fold"]
    assert values(measured)["fold_count_mismatches"] == 1


def test_folds_in_a_file(config, project, folder_dataset, values, findings):
    """A file of folds takes the groups from the data set's table, or has its own; samples that it lacks are counted."""
    text = "cross_validation: {strategy: k_fold, folds: 2, folds_file: folds.csv}\n"
    path = project.root / "folds.csv"
    path.write_text("image,fold\nimages/0.png,1\nimages/1.png,2\nimages/2.png,1\n")
    measured = cross_validation_strategy(config(text), project, folder_dataset())
    assert findings(measured, "fold_group_overlap") == ["folds.csv: drive-0: is in 1 and 2"]
    assert findings(measured, "samples_without_fold") == ["images/3.png: is in no fold"]
    path.write_text("image,fold,sequence\nimages/0.png,1,x\nimages/0.png,2,y\nimages/1.png,2,x\n")
    assert values(cross_validation_strategy(config(text), project))["fold_group_overlap"] == 1
    path.write_text("image,fold\nimages/0.png,1\nimages/0.png,2\n")
    measured = cross_validation_strategy(config(text), project)
    assert "no" not in findings(measured, "fold_group_overlap")
    assert "have a column 'sequence'" in measured.quantities["fold_group_overlap"].method
    path.write_text("image,part\n")
    with pytest.raises(InputError, match="no column 'fold'"):
        cross_validation_strategy(config(text), project)
    path.unlink()
    with pytest.raises(InputError, match=r"train\.yaml:1: there is no folds_file"):
        cross_validation_strategy(config(text), project)


def test_the_same_sample_in_two_folds(config, project, folder_dataset, findings):
    """A sample without a drive is a group of its own, and must not be in two folds either."""
    (project.root / "folds.csv").write_text("image,fold\nimages/0.png,1\nimages/0.png,2\nimages/1.png,1\n")
    dataset = folder_dataset(rows=["images/0.png,", "images/1.png,a"], columns="image,sequence")
    text = "cross_validation: {strategy: k_fold, folds: 2, folds_file: folds.csv}\n"
    measured = cross_validation_strategy(config(text), project, dataset)
    assert findings(measured, "fold_group_overlap") == ["folds.csv: sample images/0.png: is in 1 and 2"]


def test_hold_out(config, project, folder_dataset, values, findings):
    """A small data set with a hold-out is said to be one; drives that are also in the validation data are found."""
    text = config("cross_validation: hold-out\n")
    train = folder_dataset()
    val = folder_dataset(name="val", rows=[f"images/{n}.png,drive-{n + 1},clear" for n in range(4)])
    measured = cross_validation_strategy(text, project, train, val)
    assert values(measured)["strategy_declared"] == 1
    assert values(measured)["small_dataset_without_k_fold"] == 1
    assert findings(measured, "fold_group_overlap") == [
        "train and val: drive-1: is in training data and validation data"
    ]
    large = cross_validation_strategy(text, project, train, small_dataset_limit=4)
    assert values(large)["small_dataset_without_k_fold"] == 0
    assert "using: {validation: ...}" in large.quantities["fold_group_overlap"].method
    assert large.quantities["folds"].method


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("epochs: 3", "is not declared"),
        ("cross_validation:", "is empty"),
        ("cross_validation: TBD", "is a placeholder"),
        ("cross_validation: none", "no known strategy"),
        ("cross_validation: {folds: 5}", "is empty"),
        ("cross_validation: 5", "no known strategy"),
        ("cross_validation: {strategy: k_fold}", "needs a number of folds"),
        ("cross_validation: {strategy: k_fold, folds: '5'}", "needs a number of folds"),
        ("cross_validation: {strategy: k_fold, folds: 1}", "needs a number of folds"),
        ("cross_validation: {strategy: k_fold, folds: true}", "needs a number of folds"),
    ],
)
def test_strategies_that_are_none(config, project, values, findings, text, reason):
    """Absent, empty, placeholder, an unknown word, folds that are no number: not declared, with the reason."""
    measured = cross_validation_strategy(config(text + "\n"), project)
    assert values(measured)["strategy_declared"] == 0
    assert reason in findings(measured, "strategy_declared")[0]
    assert values(measured)["fold_group_overlap"] is None
    assert values(measured)["small_dataset_without_k_fold"] is None


def test_folds_that_nobody_assigned(config, project, folder_dataset):
    """k folds without a list of what is in them cannot be checked for leaks."""
    text = config("cross_validation: {strategy: k_fold, folds: 5}\n")
    measured = cross_validation_strategy(text, project, folder_dataset())
    assert "no column 'fold'" in measured.quantities["fold_group_overlap"].method
    assert "no column 'fold'" in measured.quantities["fold_count_mismatches"].method


def test_example_project(values):
    """The example declares a hold-out."""
    config = read_config("training", {"path": "train.yaml"}, EXAMPLE)
    assert values(cross_validation_strategy(config, Project(EXAMPLE)))["strategy_declared"] == 1
