"""Training logs made of arrays."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.inputs.training_log import Checkpoint, StepSeries, TrainingLog, TrainingRun


@pytest.fixture
def training_log():
    """Make a log from series of equal length; None is a gap. ``steps`` maps names to values by step."""

    def make(
        epochs=None, *, steps=None, status=None, best=None, name="final", digest="digest", seed=None, of=None, **series
    ):
        series = {**(of or {}), **series}
        lengths = [len(values) for values in series.values()]
        epochs = np.arange(1, max(lengths, default=0) + 1) if epochs is None else np.asarray(epochs)
        gaps = {
            name: [int(epochs[i]) for i, value in enumerate(values) if value is None] for name, values in series.items()
        }
        arrays = {
            name: np.array([np.nan if value is None else value for value in values], dtype=np.float64)
            for name, values in series.items()
        }
        by_step = {
            name: StepSeries(np.arange(len(values)), np.array(values, dtype=np.float64))
            for name, values in (steps or {}).items()
        }
        run = TrainingRun(
            run_id="r7" if status else None,
            status=status,
            seeds={} if seed is None else {"all": seed},
            checkpoints=() if best is None else (Checkpoint("best.pt", best, is_best=True),),
        )
        epochs = epochs.astype(np.int64)
        return TrainingLog(name, "log.csv", epochs, arrays, digest, {"gaps": gaps}, by_step, run)

    return make
