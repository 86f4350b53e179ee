"""Tests of reading MLflow runs."""

from __future__ import annotations

import os
import socket
import sys
import time

import pytest
import tracker_writers as writers

from pytest_mle.checks.training.training_convergence import training_convergence
from pytest_mle.errors import InputError, MissingExtraError, TrustError
from pytest_mle.inputs.training_logs.mlflow_log import without_credentials

pytest.importorskip("mlflow.tracking")
pytest.importorskip("sqlalchemy")


DATABASE = "sqlite:///mlflow.db"


@pytest.fixture
def store(tmp_path):
    """Make a database with a finished run and return its URI and the run's id."""
    options = writers.write_mlflow_database(writers.make_run(), tmp_path)
    return f"sqlite:///{tmp_path / 'mlflow.db'}", options["run_id"]


def test_run_by_id(store, read):
    """The run's id, status and name are known."""
    log = read(tracking_uri=DATABASE, run_id=store[1])

    assert (log.run.run_id, log.run.status, log.run.uri) == (store[1], "finished", "mlflow.db")
    assert log.path == f"mlflow.db, run {store[1]}"
    assert log.metadata["run_name"]


def test_store_as_path(store, read):
    """A SQLite file can be named like any other log."""
    by_path = read(format="mlflow", path="mlflow.db", experiment="detector")
    assert by_path.digest == read(tracking_uri=DATABASE, run_id=store[1]).digest


def test_store_of_the_environment(store, read, monkeypatch):
    """Without a store in the spec that of MLFLOW_TRACKING_URI counts; without that either the error says so."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DATABASE)
    assert read(format="mlflow", experiment="detector").run.run_id == store[1]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(InputError, match=r"name the store by `tracking_uri:`, or set MLFLOW_TRACKING_URI"):
        read(format="mlflow", experiment="detector")


@pytest.mark.parametrize(("status", "known"), [("RUNNING", "running"), ("FAILED", "failed"), ("KILLED", "killed")])
def test_the_last_run_counts_whatever_its_status(store, read, status, known):
    """A run that failed after one that finished is the one that is examined, unless the filter says otherwise."""
    time.sleep(0.01)
    run_id = writers.log_to_mlflow(store[0], writers.make_run(epochs=5), status=status)
    log = read(tracking_uri=DATABASE, experiment="detector")

    assert (log.run.run_id, log.run.status, len(log)) == (run_id, known, 5)
    finished = read(tracking_uri=DATABASE, experiment="detector", filter="attributes.status = 'FINISHED'")
    assert finished.run.run_id == store[1]


def test_filter_by_tag(store, read):
    """The filter is MLflow's own."""
    wanted = writers.log_to_mlflow(store[0], writers.make_run(epochs=3), model="2.1")
    writers.log_to_mlflow(store[0], writers.make_run(epochs=4), model="2.2")

    assert read(tracking_uri=DATABASE, experiment="detector", filter="tags.model = '2.1'").run.run_id == wanted
    with pytest.raises(InputError, match=r"the MLflow store mlflow.db cannot be read: .*[Ii]nvalid"):
        read(tracking_uri=DATABASE, experiment="detector", filter="tags model")


def test_no_such_run(store, read):
    """What does not exist is answered with what does."""
    with pytest.raises(InputError, match=rf"mlflow.db has no run 'abc'. The last ones: {store[1]} \(.*, FINISHED\)"):
        read(tracking_uri=DATABASE, run_id="abc")
    with pytest.raises(InputError, match=r"mlflow.db has no experiment 'detektor'. It has: .*detector"):
        read(tracking_uri=DATABASE, experiment="detektor")
    with pytest.raises(InputError, match=r"no run that matches .*FAILED.*The last ones: .*FINISHED"):
        read(tracking_uri=DATABASE, experiment="detector", filter="attributes.status = 'FAILED'")
    with pytest.raises(InputError, match=r"experiment 'Default' of mlflow.db has no run$"):
        read(tracking_uri=DATABASE, experiment="Default")


def test_run_without_metrics(store, read):
    """A run that logged nothing is an error, not an empty series."""
    run_id = writers.log_to_mlflow(store[0], None)
    with pytest.raises(InputError, match=rf"mlflow.db, run {run_id}: the log has no value"):
        read(tracking_uri=DATABASE, run_id=run_id)


def test_missing_series(store, read):
    """A check that needs a series that the run does not have says which there are."""
    run = writers.make_run()
    del run.series["val_loss"]
    run_id = writers.log_to_mlflow(store[0], run)
    with pytest.raises(InputError, match=r"has no series 'val_loss'. Did you mean"):
        training_convergence(read(tracking_uri=DATABASE, run_id=run_id))


def test_several_runs_in_one(store, read):
    """Steps that run backwards in time are no course of one training."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(store[0])
    run_id = writers.log_to_mlflow(store[0], writers.make_run(epochs=5))
    client.log_metric(run_id, "val_loss", 0.5, step=2)
    with pytest.raises(InputError, match=r"val_loss goes back from step 5 to 2"):
        read(tracking_uri=DATABASE, run_id=run_id)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tracking_uri": DATABASE}, "name a run by `run_id:`"),
        ({"tracking_uri": DATABASE, "run_id": "a", "experiment": "b"}, "name a run by `run_id:`"),
        ({"tracking_uri": DATABASE, "run_id": "a", "filter": "b"}, "`run_id` names the run already"),
        ({"tracking_uri": DATABASE, "path": "mlflow.db", "run_id": "a"}, "name two stores"),
        ({"tracking_uri": DATABASE, "run_id": 7}, "'run_id' must be text, got 7"),
        ({"tracking_uri": "sqlite:///gone.db", "run_id": "a"}, "there is no MLflow store at .*gone.db"),
        ({"tracking_uri": "mlruns", "run_id": "a"}, "there is no MLflow store at .*mlruns"),
    ],
)
def test_bad_options(store, read, options, message):
    """Each wrong option is blamed on the line of the spec; no store is made where there is none."""
    with pytest.raises(InputError, match=message) as raised:
        read(**options)
    assert str(raised.value).startswith("spec.yaml:20: training log final: ")


def test_what_is_no_store(tmp_path, read):
    """An empty file is not turned into a database, an empty folder holds no experiment."""
    (tmp_path / "empty.db").touch()
    with pytest.raises(InputError, match=r"empty.db: this is no SQLite database of MLflow"):
        read(tracking_uri="sqlite:///empty.db", run_id="a")
    assert (tmp_path / "empty.db").stat().st_size == 0
    (tmp_path / "mlruns").mkdir()
    with pytest.raises(InputError, match=r"the folder mlruns holds no experiment of MLflow"):
        read(tracking_uri="mlruns", experiment="a")
    assert list((tmp_path / "mlruns").iterdir()) == []


def test_store_outside_needs_a_grant(read):
    """A store elsewhere is not read without the invoker's word."""
    with pytest.raises(TrustError, match=r"--mle-data-root"):
        read(tracking_uri="sqlite:////etc/mlflow.db", run_id="a")
    with pytest.raises(TrustError, match=r"--mle-data-root"):
        read(tracking_uri="file:///etc/mlruns", run_id="a")


def unreachable(read, port):
    """Ask for a run of a server that does not answer and return the message."""
    uri = f"http://user:secret@127.0.0.1:{port}"
    started = time.monotonic()
    with pytest.raises(InputError, match=rf"MLflow store http://127.0.0.1:{port} cannot be read") as raised:
        read(tracking_uri=uri, run_id="a")
    assert time.monotonic() - started < 10
    assert "secret" not in str(raised.value)
    assert "user" not in str(raised.value)


def test_server_that_is_down(read):
    """The error names the server, without the password."""
    unreachable(read, writers.free_port())


@pytest.mark.slow
def test_server_that_never_answers(read):
    """The error comes within ten seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        unreachable(read, silent.getsockname()[1])


def test_credentials_go_to_the_named_server_only(read, monkeypatch):
    """A spec cannot have the environment's token sent to a server of its choice."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    with pytest.raises(TrustError, match=r"would send MLFLOW_TRACKING_TOKEN to http://127.0.0.1:1/x, which the spec"):
        read(tracking_uri="http://127.0.0.1:1/x", run_id="a")


def test_environment_is_left_as_it_was(store, read):
    """The limits that are set for MLflow do not outlive the reading."""
    before = dict(os.environ)
    read(tracking_uri=DATABASE, run_id=store[1])
    assert dict(os.environ) == before


def test_missing_library_names_its_command(store, read, monkeypatch):
    """Without the extra the error says what to install."""
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(MissingExtraError, match=r'pip install "pytest-mle\[mlflow\]"'):
        read(tracking_uri=DATABASE, run_id=store[1])


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://user:pw@host:5000/base", "https://host:5000/base"),
        ("postgresql://u:p@db/mlflow?password=x", "postgresql://db/mlflow"),
        ("databricks", "databricks"),
    ],
)
def test_uris_without_credentials(uri, shown):
    """User, password and query never reach a message."""
    assert without_credentials(uri) == shown


@pytest.mark.slow
def test_server(mlflow_server, tmp_path, read):
    """A run on a real server is the run of the CSV log, and what does not exist there is told."""
    run = writers.make_run(steps_per_epoch=50)
    run_id = writers.log_to_mlflow(mlflow_server, run)
    expected = training_convergence(read(**writers.write_csv(run, tmp_path)))
    log = read(tracking_uri=mlflow_server, experiment="detector")

    assert log.run.run_id == run_id
    assert writers.same(training_convergence(log).quantities, expected.quantities)
    with pytest.raises(InputError, match=rf"has no run 'abc'. The last ones: {run_id}"):
        read(tracking_uri=mlflow_server, run_id="abc")
    with pytest.raises(InputError, match=r"has no experiment 'x'. It has: .*detector"):
        read(tracking_uri=mlflow_server, experiment="x")


@pytest.mark.slow
def test_values_on_a_server_that_are_not_finite(mlflow_server, read):
    """NaN and infinity survive the way through the server."""
    run = writers.make_run(epochs=4)
    run.series["val_loss"][1:] = [float("nan"), float("inf"), float("-inf")]
    run_id = writers.log_to_mlflow(mlflow_server, run)

    assert str(read(tracking_uri=mlflow_server, run_id=run_id).series["val_loss"][1:].tolist()) == "[nan, inf, -inf]"


@pytest.mark.slow
def test_long_history_on_a_server(mlflow_server, read):
    """A history longer than a page of MLflow's interface comes whole."""
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    client = MlflowClient(mlflow_server)
    run_id = client.create_run("0").info.run_id
    for first in range(0, 30_000, 1000):
        batch = [Metric("val_loss", 1.0 / (step + 1), step, step) for step in range(first, first + 1000)]
        client.log_batch(run_id, metrics=batch)

    assert len(read(tracking_uri=mlflow_server, run_id=run_id)) == 30_000
