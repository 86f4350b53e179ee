"""One training run, written by each tracker's own library."""

from __future__ import annotations

import csv
import json
import math
import os
import socket
import subprocess
import sys
import warnings
from dataclasses import dataclass

import numpy as np
import pytest

from pytest_mle.tracking import flattened

NAMES = ("train_loss", "val_loss", "val_map_50", "learning_rate", "gradient_norm")
RECORD = {
    "seeds": {"python": 7, "torch": 8},
    "git_commit": "4f" * 20,
    "git_dirty": False,
    "dataset_version": "1.2",
    "dataset_sha256": "ab" * 32,
    "hardware": {"machine": "x86_64", "cores": 2},
    "framework_versions": {"python": "3.11.7", "torch": "2.13.0"},
}
HYPERPARAMETERS = {"learning_rate": 0.004, "optimizer": {"name": "AdamW", "weight_decay": 0.005}}


@dataclass(frozen=True)
class Run:
    """Epochs, their series, and the step at which each epoch was logged."""

    epochs: list[int]
    series: dict[str, list[float]]
    steps: list[int]
    is_by_epoch_metric: bool

    def rows(self):
        """Yield step and values of each epoch."""
        for position, epoch in enumerate(self.epochs):
            row = {name: values[position] for name, values in self.series.items()}
            yield self.steps[position], {**({"epoch": epoch} if self.is_by_epoch_metric else {}), **row}


def make_run(*, steps_per_epoch=None, single_precision=False, epochs=30):
    """Return a run that converges; without steps per epoch its steps are its epochs."""
    rng = np.random.default_rng(4)
    time = np.arange(epochs)
    series = {
        "train_loss": 2 * np.exp(-time / 8) + 0.01 * rng.random(epochs),
        "val_loss": 2.2 * np.exp(-time / 7) + 0.3 + 0.01 * rng.random(epochs),
        "val_map_50": 0.9 - 0.8 * np.exp(-time / 6) + 0.01 * rng.random(epochs),
        "learning_rate": 1e-3 * 0.97**time,
        "gradient_norm": 3 + rng.random(epochs),
    }
    if single_precision:
        series = {name: values.astype(np.float32).astype(np.float64) for name, values in series.items()}
    has_steps = steps_per_epoch is not None
    return Run(
        epochs=list(range(1, epochs + 1)),
        series={name: values.tolist() for name, values in series.items()},
        steps=[(position + 1) * steps_per_epoch - 1 if has_steps else position + 1 for position in range(epochs)],
        is_by_epoch_metric=has_steps,
    )


def write_csv(run, folder):
    """Write what a training loop writes by itself, with the record beside it."""
    with (folder / "log.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["epoch", *NAMES])
        for epoch, (_, row) in zip(run.epochs, run.rows(), strict=True):
            writer.writerow([epoch, *(repr(row[name]) for name in NAMES)])
    (folder / "run.json").write_text(json.dumps({**RECORD, "hyperparameters": HYPERPARAMETERS}))
    return {"path": "log.csv", "run": "run.json"}


def write_keras(run, folder):
    """Write what Keras' CSVLogger documents: `epoch` from 0, the metrics sorted, text of Python's numbers."""
    keras = {"train_loss": "loss", "val_loss": "val_loss", "val_map_50": "val_map_50"}
    keras |= {"learning_rate": "learning_rate", "gradient_norm": "gradient_norm"}
    with (folder / "training.log").open("w", newline="") as stream:
        names = sorted(keras, key=keras.get)
        writer = csv.writer(stream)
        writer.writerow(["epoch", *(keras[name] for name in names)])
        for position, (_, row) in enumerate(run.rows()):
            writer.writerow([position, *(row[name] for name in names)])
    (folder / "training.log").rename(folder / "training.csv")
    return {"path": "training.csv", "format": "keras"}


def write_lightning(run, folder):
    """Log with Lightning's CSVLogger."""
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    logger = loggers.CSVLogger(folder, name="lightning", version=0)
    logger.log_hyperparams({**RECORD, **HYPERPARAMETERS})
    for step, row in run.rows():
        logger.log_metrics({name: row[name] for name in row}, step=step)
    logger.save()
    return {"path": "lightning/version_0"}


def write_tensorboard(run, folder, **options):
    """Log with PyTorch's writer."""
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(folder / "events") as writer:
        writer.add_text("environment", json.dumps({**RECORD, "hyperparameters": HYPERPARAMETERS}))
        for step, row in run.rows():
            for name, value in row.items():
                writer.add_scalar(name, value, step, **options)
    return {"path": "events"}


def write_double_tensorboard(run, folder):
    """Log with PyTorch's writer in double precision."""
    return write_tensorboard(run, folder, new_style=True, double_precision=True)


def log_to_mlflow(uri, run, experiment="detector", status="FINISHED", **tags):
    """Log with MLflow's client and return the run's id."""
    pytest.importorskip("mlflow.tracking")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else client.create_experiment(experiment)
        run_id = client.create_run(experiment_id, tags=tags).info.run_id
        client.log_batch(
            run_id,
            metrics=[
                Metric(name, value, 1_700_000_000_000 + 1000 * step, step)
                for step, row in (run.rows() if run else ())
                for name, value in row.items()
            ],
            params=[Param(name, str(value)) for name, value in flattened(HYPERPARAMETERS).items()],
            tags=[RunTag(name, str(value)) for name, value in flattened(RECORD).items()],
        )
        if status != "RUNNING":
            client.set_terminated(run_id, status)
    return run_id


# MLflow takes five seconds to make the tables of a new database.
_NEW_DATABASE = []


def write_mlflow_database(run, folder):
    """Log into a SQLite database."""
    if _NEW_DATABASE:
        (folder / "mlflow.db").write_bytes(_NEW_DATABASE[0])
    else:
        log_to_mlflow(f"sqlite:///{folder / 'mlflow.db'}", None, "empty")
        _NEW_DATABASE.append((folder / "mlflow.db").read_bytes())
    run_id = log_to_mlflow(f"sqlite:///{folder / 'mlflow.db'}", run)
    return {"tracking_uri": "sqlite:///mlflow.db", "run_id": run_id}


def write_mlflow_files(run, folder):
    """Log into MLflow's file store."""
    before = os.environ.get("MLFLOW_ALLOW_FILE_STORE")
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    try:
        run_id = log_to_mlflow((folder / "mlruns").as_uri(), run)
    finally:
        if before is None:
            del os.environ["MLFLOW_ALLOW_FILE_STORE"]
    return {"format": "mlflow", "path": "mlruns", "run_id": run_id}


_WANDB = """
import json, sys, wandb
told = json.load(open(sys.argv[1]))
run = wandb.init(project="detector", mode="offline", dir=sys.argv[2], config=told["config"])
for step, row in told["rows"]:
    run.log(row, step=step)
run.finish(exit_code=told["exit_code"])
"""


def write_wandb(run, folder, exit_code=0):
    """Log with W&B offline, in a process of its own as W&B keeps a service running."""
    pytest.importorskip("wandb")
    told = {"rows": list(run.rows()), "config": {**RECORD, **HYPERPARAMETERS}, "exit_code": exit_code}
    (folder / "told.json").write_text(json.dumps(told))
    done = subprocess.run(
        [sys.executable, "-c", _WANDB, str(folder / "told.json"), str(folder)],
        env={**os.environ, "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, exit_code), done.stderr
    (found,) = (folder / "wandb").glob("offline-run-*")
    return {"path": found.relative_to(folder).as_posix()}


WRITERS = {
    "csv": write_csv,
    "keras": write_keras,
    "lightning": write_lightning,
    "tensorboard": write_tensorboard,
    "tensorboard-double": write_double_tensorboard,
    "mlflow-database": write_mlflow_database,
    "mlflow-files": write_mlflow_files,
    "wandb": write_wandb,
}


def same(first, second):
    """Say whether two mappings of numbers are equal, NaN to NaN."""
    return first.keys() == second.keys() and all(
        first[name] == second[name] or (math.isnan(first[name]) and math.isnan(second[name])) for name in first
    )


def free_port():
    """Return a port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
