"""Seeds, environment and a second run."""

from __future__ import annotations

import math

import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.training_reproducibility import QUANTITIES, training_reproducibility
from pytest_mle.errors import InputError

LIBRARIES = ["python", "numpy", "torch", "dataloader_workers"]
SEEDS = {"python": 7, "numpy": 7, "torch": 7, "dataloader_workers": 0}
HARDWARE = {"machine": "x86_64", "device": "NVIDIA H100"}
VERSIONS = {"python": "3.11.7", "torch": "2.13.0"}
RECORDED = {"seeds": SEEDS, "hardware": HARDWARE, "framework_versions": VERSIONS}


def test_complete_record(config, log, values):
    """Seeds of each library, hardware and versions, the config's seeds, and a rerun that differs by 0.3 points."""
    hyperparameters = {"epochs": "3"}
    first = log({"val_map_50": [0.5, 0.953, 0.9]}, **RECORDED, hyperparameters=hyperparameters, run_id="a")
    second = log(
        {"val_map_50": [0.4, 0.95, 0.2]}, digest="other", **RECORDED, hyperparameters={"epochs": 3}, run_id="b"
    )
    measured = training_reproducibility(
        first, config("seeds: {all: 7, dataloader_workers: 0}\n"), second, seeds=LIBRARIES
    )
    numbers = values(measured)
    assert numbers.pop("absolute_rerun_difference") == pytest.approx(0.003)
    assert set(numbers.values()) == {0}
    assert all(one.holds for one in measured.validity)
    assert built_in_check("training_reproducibility").quantities == QUANTITIES


def test_d3_a_run_without_record(log, values, findings):
    """D3: no seed, no hardware, no version: everything is missing, and nothing was compared."""
    measured = training_reproducibility(log(), seeds=LIBRARIES)
    assert values(measured) == {
        "unset_seeds": 4,
        "seed_mismatches": None,
        "missing_environment_keys": 4,
        "absolute_rerun_difference": None,
        "rerun_setting_differences": None,
    }
    assert "log.csv: torch: the seed is not recorded" in findings(measured, "unset_seeds")[2]


@pytest.mark.parametrize(
    ("seeds", "unset"),
    [
        ({"all": 3}, 0),
        ({"all": 3, "torch": None}, 1),
        ({"python": 1, "numpy": 0, "torch": 2, "dataloader_workers": "none: 0 workers"}, 0),
        ({"python": "none: not used", "numpy": True, "torch": -1, "dataloader_workers": "random"}, 4),
        ({"python": 1.5}, 4),
    ],
)
def test_what_sets_a_seed(log, values, seeds, unset):
    """Whole numbers from 0; only the workers of a loader can do without, if the run says that there are none."""
    measured = training_reproducibility(log(**{**RECORDED, "seeds": seeds}), seeds=LIBRARIES)
    assert values(measured)["unset_seeds"] == unset


def test_text_of_a_seed_that_the_reader_keeps_beside_the_seeds(log, values):
    """Readers keep what is no whole number among the hyperparameters: it still speaks for the workers."""
    run = log(seeds={"torch": 1}, hyperparameters={"seeds.dataloader_workers": "none: 0 workers"})
    assert values(training_reproducibility(run, seeds=["torch", "dataloader_workers"]))["unset_seeds"] == 0


def test_seed_of_another_config(config, log, findings):
    """A config whose seed was changed after the run is found at its line."""
    measured = training_reproducibility(log(**RECORDED), config("epochs: 3\nseed: 8\n"), seeds=["torch"])
    assert findings(measured, "seed_mismatches")[0] == "train.yaml:2: seed of python: the run used 7, the config says 8"


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        (["hardware.device"], 0),
        (["hardware.driver"], 1),
        (["hardware.cuda|hardware.device"], 0),
        (["framework_versions.torch", "framework_versions.jax"], 1),
        ([], 0),
    ],
)
def test_environment_keys_of_a_project(log, values, environment, missing):
    """A project names what it needs, with alternatives."""
    measured = training_reproducibility(log(**RECORDED), seeds=["torch"], environment=environment)
    assert values(measured)["missing_environment_keys"] == missing


def test_placeholders_are_no_environment(log, values):
    """`unknown` hardware and empty versions are missing, as is a framework beside Python."""
    run = log(hardware={"machine": "unknown", "device": ""}, framework_versions={"python": "3.11", "torch": "TBD"})
    assert values(training_reproducibility(run, seeds=["torch"]))["missing_environment_keys"] == 3


def test_rerun_with_other_settings(log, findings):
    """A rerun with another seed, hyperparameter or version repeats something else."""
    first = log({"val_map_50": [0.9]}, **RECORDED, hyperparameters={"epochs": 3})
    second = log(
        {"val_map_50": [0.9]},
        digest="other",
        path="b.csv",
        seeds={**SEEDS, "torch": 8},
        hyperparameters={"epochs": 4},
        framework_versions={"python": "3.11.7"},
    )
    measured = training_reproducibility(first, None, second, seeds=["torch"])
    assert [one.split(": ")[1] for one in findings(measured, "rerun_setting_differences")] == [
        "seed torch",
        "hyperparameter epochs",
        "version torch",
    ]


@pytest.mark.parametrize(
    ("second", "is_another"),
    [
        ({"path": "b.csv", "digest": "digest"}, False),
        ({"path": "b.csv", "digest": "other", "run_id": "a"}, False),
        ({"path": "log.csv", "digest": "other"}, False),
        ({"path": "log.csv", "digest": "digest", "run_id": "b"}, True),
        ({"path": "b.csv", "digest": "other"}, True),
    ],
)
def test_a_copy_is_no_rerun(log, second, is_another):
    """The same file or run given twice has a difference of zero and shows nothing; a rerun with its own id does."""
    first = log({"val_map_50": [0.9]}, run_id="a")
    measured = training_reproducibility(first, None, log({"val_map_50": [0.9]}, **second), seeds=["torch"])
    assert [one.holds for one in measured.validity] == [is_another]


def test_reruns_that_cannot_be_compared(log, values):
    """A metric that is absent is an error, one that is NaN throughout has no difference; lower can be better."""
    first = log({"val_loss": [3.0, 1.0, 2.0]})
    with pytest.raises(InputError, match="no series 'val_map_50'"):
        training_reproducibility(first, None, log({"val_loss": [1.0]}, digest="b"), seeds=["torch"])

    def difference(series):
        second = log({"val_loss": series}, digest="b", path="b.csv")
        measured = training_reproducibility(first, None, second, seeds=["torch"], metric="val_loss", better="lower")
        return values(measured)["absolute_rerun_difference"]

    assert difference([9.0, 1.25]) == 0.25
    assert difference([math.nan]) is None


def test_seeds_must_be_asked_for(log):
    """Without a library to look for, nothing is fixed."""
    with pytest.raises(ValueError, match="at least one"):
        training_reproducibility(log(), seeds=[])
