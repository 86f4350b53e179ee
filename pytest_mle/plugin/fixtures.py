"""Fixtures for projects' own checks: the inputs of the item that is running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_mle.engine.bind import random_generator
from pytest_mle.plugin.execution import binding_of

if TYPE_CHECKING:
    import numpy as np

    from pytest_mle.inputs.config import Config
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import Model
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.inputs.project import Project
    from pytest_mle.inputs.record import Record
    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.clock import Clock
    from pytest_mle.records.progress import Progress
    from pytest_mle.spec.model import PlannedItem, Spec


@pytest.fixture
def mle_item(request: pytest.FixtureRequest) -> PlannedItem:
    """The checklist item that is running, as planned."""
    return binding_of(request.node).item


@pytest.fixture
def mle_spec(request: pytest.FixtureRequest) -> Spec:
    """The spec that the running item belongs to."""
    return binding_of(request.node).around.spec


@pytest.fixture
def mle_dataset(request: pytest.FixtureRequest) -> Dataset:
    """The item's data set (`using:` or `defaults:`), cut down to its `where:`."""
    return binding_of(request.node).dataset()


@pytest.fixture
def mle_model(request: pytest.FixtureRequest) -> Model:
    """The item's model (`using:` or `defaults:`)."""
    return binding_of(request.node).model()


@pytest.fixture
def mle_training_log(request: pytest.FixtureRequest) -> TrainingLog:
    """The item's training log (`using:` or `defaults:`)."""
    return binding_of(request.node).training_log("training_log")


@pytest.fixture
def mle_predictions(request: pytest.FixtureRequest) -> Predictions:
    """The predictions of the item's model on its data set; computed once a run and cached on disk."""
    return binding_of(request.node).predictions()


@pytest.fixture
def mle_config(request: pytest.FixtureRequest) -> Config:
    """The item's configuration file (`using:` or `defaults:`)."""
    return binding_of(request.node).config()


@pytest.fixture
def mle_record(request: pytest.FixtureRequest) -> Record:
    """What was measured elsewhere, in base units (`using:` or `defaults:`)."""
    return binding_of(request.node).record()


@pytest.fixture
def mle_project(request: pytest.FixtureRequest) -> Project:
    """The folder that the spec stands in, with its git history."""
    return binding_of(request.node).around.store.project()


@pytest.fixture
def mle_rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A random generator seeded by `policy.seed` and the item's name."""
    binding = binding_of(request.node)
    generator: np.random.Generator = random_generator(binding.around.spec.policy.seed, binding.item.name)
    return generator


@pytest.fixture
def mle_clock(request: pytest.FixtureRequest) -> Clock:
    """The clock; override it to set the time."""
    return binding_of(request.node).around.clock


@pytest.fixture
def mle_progress(request: pytest.FixtureRequest) -> Progress:
    """Call it with (done, total) to show progress on long work."""
    return binding_of(request.node).around.progress
