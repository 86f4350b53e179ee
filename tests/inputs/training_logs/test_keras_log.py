"""Logs that Keras itself wrote: CSVLogger, and the history that fit() returns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from pytest_mle.inputs.training_logs import read_training_log

np = pytest.importorskip("numpy")


# In a process of its own: Keras takes its backend from the environment when it is imported.
TRAIN = """
import json
import keras, numpy
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
model.compile(optimizer=keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
x = numpy.random.default_rng(0).normal(size=(60, 4)).astype("float32")
y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
history = model.fit(
    x, y, validation_split=0.2, epochs=5, verbose=0, callbacks=[keras.callbacks.CSVLogger("keras.csv")]
)
json.dump({"epoch": history.epoch, **history.history}, open("history.json", "w"))
json.dump(history.history, open("bare.json", "w"))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the logs of five epochs."""
    pytest.importorskip("torch")
    if find_spec("keras") is None:
        pytest.skip("Keras is not installed")
    folder = tmp_path_factory.mktemp("keras")
    environment = {**os.environ, "KERAS_BACKEND": "torch", "KERAS_HOME": str(folder)}
    subprocess.run([sys.executable, "-c", TRAIN], cwd=folder, env=environment, check=True, timeout=300)
    return folder


@pytest.mark.slow
def test_the_csv_logger_and_the_history_tell_the_same(trained):
    """Both give the losses that Keras reported, under their standard names, and the accuracies under their own."""
    history = json.loads((trained / "bare.json").read_text())
    for options in ({"path": "keras.csv"}, {"path": "history.json"}, {"path": "keras.csv", "format": "keras"}):
        log = read_training_log("final", options, trained)
        assert log.epochs.tolist() == [0, 1, 2, 3, 4]
        for ours, theirs in (("train_loss", "loss"), ("val_loss", "val_loss"), ("val_accuracy", "val_accuracy")):
            np.testing.assert_allclose(log.series[ours], history[theirs], rtol=1e-12)
    bare = read_training_log("final", {"path": "bare.json"}, trained)
    np.testing.assert_allclose(bare.series["val_loss"], history["val_loss"], rtol=1e-12)
