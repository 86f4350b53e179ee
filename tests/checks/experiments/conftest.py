"""Configs, logs and data sets to look at."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.inputs.configs import read_config
from pytest_mle.inputs.training_log import TrainingLog, TrainingRun


@pytest.fixture
def config(tmp_path):
    """Read a text as a config file."""

    def make(text, file="train.yaml"):
        (tmp_path / file).write_text(text, encoding="utf-8")
        return read_config("training", {"path": file}, tmp_path)

    return make


@pytest.fixture
def log():
    """Make a log from what is known of its run, and series of equal length."""

    def make(series=None, epochs=None, name="final", path="log.csv", digest="digest", **run):
        series = {key: np.asarray(values, dtype=np.float64) for key, values in (series or {}).items()}
        count = len(next(iter(series.values()), ()))
        epochs = np.arange(1, count + 1) if epochs is None else np.asarray(epochs)
        return TrainingLog(name, path, epochs.astype(np.int64), series, digest, run=TrainingRun(**run))

    return make


@pytest.fixture
def findings():
    """Return the findings of a measurement as text by kind."""

    def read(measurement, kind):
        return [str(one) for group in measurement.findings if group.kind == kind for one in group.shown]

    return read


@pytest.fixture
def values():
    """Return the numbers of a measurement, None for what was not measured."""

    def read(measurement):
        found = {name: getattr(one, "value", one) for name, one in measurement.quantities.items()}
        return {name: None if one != one else one for name, one in found.items()}

    return read
