"""Training logs made of arrays."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.inputs.training_log import TrainingLog


@pytest.fixture
def training_log():
    """Make a log from series of equal length; None is a gap."""

    def make(epochs=None, **series):
        lengths = [len(values) for values in series.values()]
        epochs = np.arange(1, max(lengths, default=0) + 1) if epochs is None else np.asarray(epochs)
        gaps = {
            name: [int(epochs[i]) for i, value in enumerate(values) if value is None] for name, values in series.items()
        }
        arrays = {
            name: np.array([np.nan if value is None else value for value in values], dtype=np.float64)
            for name, values in series.items()
        }
        return TrainingLog("final", "log.csv", epochs.astype(np.int64), arrays, "digest", {"gaps": gaps})

    return make
