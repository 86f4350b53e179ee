"""Configs, logs and data sets to look at."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.inputs.configs import read_config
from pytest_mle.inputs.datasets import open_dataset
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


@pytest.fixture
def folder_dataset(tmp_path):
    """Open a YOLO data set of four tiny files with a table of attributes; contents are no images, nobody decodes them."""

    def make(write=True, rows=None, columns="image,sequence,weather", name="train", more=None):
        folder = tmp_path / "data" / name
        if write:
            for number in range(4):
                for part, content in (
                    ("images/{}.png", f"image {name} {number}"),
                    ("labels/{}.txt", "0 0.5 0.5 0.2 0.2\n"),
                ):
                    path = folder / part.format(number)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(content)
            lines = rows or [f"images/{n}.png,drive-{n // 2},{'rain' if n == 3 else 'clear'}" for n in range(4)]
            (folder / "images.csv").write_text("\n".join([columns, *lines]) + "\n")
        options = {
            "path": f"data/{name}",
            "format": "yolo",
            "classes": ["pedestrian"],
            "metadata": f"data/{name}/images.csv",
            **(more or {}),
        }
        return open_dataset(name, options, tmp_path, location=None, allowed_roots=())

    return make
