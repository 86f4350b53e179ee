"""Results are logged to the MLflow run that was examined, and a store that fails loses no report."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import warnings

import pytest

pytest.importorskip("mlflow.tracking")
pytest.importorskip("sqlalchemy")

SPEC = """
mle_spec: 1
inputs:
  training_logs:
    final: {tracking_uri: "sqlite:///mlflow.db", experiment: detector}
    table: {path: log.csv}
items:
  - {id: A-1, title: Tracked, base_practice: MLE.3.BP3, check: training_convergence, using: {training_log: final},
     accept: [nonfinite_losses == 0]}
  - {id: A-2, title: Table, base_practice: MLE.3.BP3, check: training_convergence, using: {training_log: table},
     accept: [nonfinite_losses == 0]}
processes: []
"""
BREAKS = """
import shutil, pytest

@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    shutil.copy("damaged.db", "mlflow.db")
"""


def client(folder):
    """Return MLflow's client of the project's store."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.tracking import MlflowClient

        return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Make a database with one run; it takes seconds, so it is made once."""
    folder = tmp_path_factory.mktemp("store")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.entities import Metric

        made = client(folder)
        experiment = made.create_experiment("detector", artifact_location=(folder / "artifacts").as_uri())
        run_id = made.create_run(experiment).info.run_id
        now = int(time.time() * 1000)
        values = [(name, epoch) for epoch in range(30) for name in ("train_loss", "val_loss")]
        made.log_batch(run_id, metrics=[Metric(name, 1 / (epoch + 1), now + epoch, epoch) for name, epoch in values])
        made.set_terminated(run_id)
    return folder, run_id


@pytest.fixture
def folder(store, tmp_path):
    """Return a project with a store of its own."""
    shutil.copy(store[0] / "mlflow.db", tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC)
    rows = "".join(f"{epoch},{1 / (epoch + 1)!r},{1 / (epoch + 1)!r}\n" for epoch in range(30))
    (tmp_path / "log.csv").write_text(f"epoch,train_loss,val_loss\n{rows}")
    return tmp_path


def run(folder, *arguments):
    """Run the checklist in a process of its own and return the process and results.json."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--mle-spec=spec.yaml", "--mle-mlflow"]
    done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    results = folder / "mle-reports" / "results.json"
    return done, json.loads(results.read_text()) if results.exists() else None


@pytest.mark.slow
def test_results_are_logged(store, folder):
    """Quantities, verdicts and files are in the run, and reading it again gives the same log."""
    done, results = run(folder)
    tracked = client(folder).get_run(store[1])
    files = {one.path for one in client(folder).list_artifacts(store[1], "pytest-mle")}
    used = results["specs"][0]["items"][0]["inputs"]["training_log"]

    assert done.returncode == 0, done.stdout
    assert f"logged to MLflow: mlflow.db, run {store[1]}" in done.stdout
    assert tracked.data.metrics["mle.A-1.nonfinite_losses"] == 0
    assert tracked.data.metrics["mle.A-2.epochs_logged"] == 30
    assert (tracked.data.tags["mle.gate"], tracked.data.tags["mle.verdict.A-1"]) == ("GREEN", "PASS")
    assert tracked.info.status == "FINISHED"
    assert files == {"pytest-mle/results.json", "pytest-mle/junit"}
    assert used["description"]["run_id"] == store[1]
    again = run(folder)[1]["specs"][0]["items"][0]["inputs"]["training_log"]
    assert again == used


@pytest.mark.slow
def test_red_results_are_logged_too(store, folder):
    """A run that is red says so in MLflow, without reports on disk as well, and from several processes."""
    text = (folder / "spec.yaml").read_text().replace("nonfinite_losses == 0", "nonfinite_losses == 1", 1)
    (folder / "spec.yaml").write_text(text)
    done, _ = run(folder, "--mle-no-report", "-n", "2")
    tags = client(folder).get_run(store[1]).data.tags

    assert done.returncode == 1
    assert (tags["mle.gate"], tags["mle.verdict.A-1"], tags["mle.verdict.A-2"]) == ("RED", "FAIL", "PASS")


def test_nothing_to_log_to(folder):
    """Whoever asks for it and examines no MLflow run is told, and the exit code is not 0."""
    done, results = run(folder, "-k", "Table or A-2")

    assert done.returncode == results["exit_code"] == 1
    assert "NOT LOGGED TO MLFLOW: no item examined an MLflow run" in done.stdout
    assert results["gate"]["is_green"]


@pytest.mark.slow
def test_store_that_fails_after_the_run(folder):
    """The reports are there, the line says what failed, and the exit code is not 0."""
    (folder / "damaged.db").write_bytes(b"SQLite format 3\0" + bytes(4096))
    (folder / "conftest.py").write_text(BREAKS)
    done, results = run(folder, "-k", "A-1")

    assert done.returncode == results["exit_code"] == 1
    assert [item["verdict"] for item in results["specs"][0]["items"]] == ["PASS", "NOT_SELECTED"]
    assert "NOT LOGGED TO MLFLOW: spec.yaml:5: training log final: the MLflow store mlflow.db cannot be" in done.stdout
    assert (folder / "mle-reports" / "junit" / "TEST-MLE.3.BP3.xml").exists()
    assert "INTERNALERROR" not in done.stdout
