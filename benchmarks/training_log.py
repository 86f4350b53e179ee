"""How long a long training log takes to read and to judge, and how much memory.

``python benchmarks/training_log.py`` writes logs of 20 series into a temporary folder and reads each in a process of
its own: CSV with 1,000,000 steps as a training loop writes it (six digits, and all digits of a double), the same
with a gap in each row (Lightning), TensorBoard and MLflow (SQLite) with what people log there.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SERIES = ("train_loss", "val_loss", "val_map_50", "learning_rate", "gradient_norm", *(f"metric_{n}" for n in range(15)))
EPOCHS = 200
START = 1_700_000_000_000


def table(steps):
    rng = np.random.default_rng(1)
    time_ = np.linspace(0, 8, steps)[:, None]
    return np.exp(-time_) + 0.5 + 0.01 * rng.random((steps, len(SERIES)))


def write_csv(folder, steps, spelled, gap=False):
    with (folder / "log.csv").open("w") as stream:
        stream.write(f"epoch,step,{','.join(SERIES)}\n")
        for step, row in enumerate(table(steps).tolist()):
            cells = [spelled(value) for value in row]
            if gap:
                cells[5 + step % 15] = ""
            stream.write(f"{step * EPOCHS // steps + 1},{step},{','.join(cells)}\n")
    return {"path": "log.csv"}


def write_tensorboard(folder, steps):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder / "events") as writer:
        for step, row in enumerate(table(steps).tolist()):
            writer.add_scalar("epoch", step * EPOCHS // steps + 1, step)
            for name, value in zip(SERIES, row, strict=True):
                writer.add_scalar(name, value, step)
    return {"path": "events"}


def write_mlflow(folder, steps):
    import sqlite3

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    run_id = client.create_run("0").info.run_id
    client.log_metric(run_id, "epoch", 1, step=0, timestamp=START)
    for name in SERIES:
        client.log_metric(run_id, name, 1.5, step=0, timestamp=START)
    values = table(steps).tolist()
    rows = (
        (name, value, START + step, run_id, step, False)
        for step in range(1, steps)
        for name, value in (("epoch", step * EPOCHS // steps + 1), *zip(SERIES, values[step], strict=True))
    )
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.executemany(
            'INSERT INTO metrics ("key", value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)', rows
        )
    return {"tracking_uri": "sqlite:///mlflow.db", "run_id": run_id}


def read(folder, options):
    from pytest_mle.checks.training.training_convergence import training_convergence
    from pytest_mle.inputs.training_logs import read_training_log

    started = time.perf_counter()
    log = read_training_log("final", options, folder)
    read_s = time.perf_counter() - started
    measured = training_convergence(log)
    total_s = time.perf_counter() - started
    cpu_s = time.process_time()
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert measured.quantities["epochs_logged"] == EPOCHS
    steps = max((len(one.values) for one in log.step_series.values()), default=0)
    print(
        f"{steps:>9,} steps x {len(SERIES)}: read {read_s:5.2f} s, read and judged {total_s:5.2f} s "
        f"(CPU with imports {cpu_s:.2f} s), peak {int(peak) >> 10} MiB"
    )


CASES = {
    "csv, 6 digits": (write_csv, 1_000_000, lambda value: f"{value:.6g}"),
    "csv, 17 digits": (write_csv, 1_000_000, repr),
    "csv, a gap in each row": (write_csv, 1_000_000, lambda value: f"{value:.6g}", True),
    "tensorboard": (write_tensorboard, 20_000),
    "mlflow, SQLite": (write_mlflow, 20_000),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("cases", nargs="*", help=f"some of: {', '.join(CASES)}")
    chosen = parser.parse_args()
    if chosen.read:
        read(Path(chosen.read[0]), json.loads(chosen.read[1]))
        return
    for name, (write, *arguments) in CASES.items():
        if chosen.cases and name not in chosen.cases:
            continue
        with tempfile.TemporaryDirectory() as folder:
            options = write(Path(folder), *arguments)
            size = sum(one.stat().st_size for one in Path(folder).rglob("*") if one.is_file()) / 1e6
            print(f"{name:24} {size:4.0f} MB ", end="", flush=True)
            subprocess.run([sys.executable, __file__, "--read", folder, json.dumps(options)], check=True)


if __name__ == "__main__":
    main()
