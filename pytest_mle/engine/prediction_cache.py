"""Predictions on disk: computed once by whoever comes first, read by all others, refused by `--mle-no-cache`."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from typing import TYPE_CHECKING

from pytest_mle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import Model
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.records.progress import Progress

FORMAT = 1


class PredictionCache:
    """A folder of prediction files, keyed by the digests of model, data and declared processing.

    Parameters
    ----------
    folder
        Where the files lie; None computes every time.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def predictions(self, model: Model, dataset: Dataset, progress: Progress | None = None) -> Predictions:
        """Return predictions, computing them under a file lock if no process has done so yet."""
        from pytest_mle.inputs.prediction_pass import load_predictions, predict_dataset, save_predictions

        folder = self._prepared_folder()
        if folder is None:
            return predict_dataset(model, dataset, progress)
        path = folder / f"{prediction_key(model, dataset)}.npz"
        with _lock(path.with_suffix(".lock")):
            # A file cut off by a kill or of an older format is computed anew; an unreadable one too.
            with contextlib.suppress(InputError, OSError):
                if path.exists():
                    return load_predictions(path, model, dataset)
            predictions = predict_dataset(model, dataset, progress)
            partial = path.with_suffix(f".{os.getpid()}.npz")
            with contextlib.suppress(OSError):  # a full disk costs time, not the result
                try:
                    save_predictions(partial, predictions)
                    partial.replace(path)
                finally:
                    partial.unlink(missing_ok=True)
            return predictions

    def _prepared_folder(self) -> Path | None:
        if self._folder is None:
            return None
        folder = self._folder / "predictions"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            ignore = self._folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        except OSError:
            return None
        return folder


def prediction_key(model: Model, dataset: Dataset) -> str:
    """Return the SHA-256 of everything the predictions depend on."""
    facts = {"format": FORMAT, "model": model.digest, "about": model.description, "dataset": dataset.digest}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a file lock; where none can be had (a read-only folder, a file system without locks) go on without.

    Files are moved into place whole, so that without a lock work is done twice, but never wrong.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            handle = held.enter_context(path.open("w", encoding="utf-8"))
            fcntl.flock(handle, fcntl.LOCK_EX)  # the kernel lets go of it when its holder dies
        yield
