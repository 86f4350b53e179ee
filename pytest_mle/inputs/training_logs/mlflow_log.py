"""Training logs of MLflow: runs in a file store, in a database, or on a server."""

from __future__ import annotations

import math
import os
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pytest_mle.errors import InputError, Location, MissingExtraError, TrustError
from pytest_mle.inputs.training_log import Checkpoint
from pytest_mle.inputs.training_logs.metrics import metric_of
from pytest_mle.inputs.training_logs.run_record import training_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mle.inputs.training_log import RunStatus, TrainingLog
    from pytest_mle.inputs.training_logs.declared import DeclaredLog
    from pytest_mle.inputs.training_logs.metrics import Metric

INSTALL = 'pip install "pytest-mle[mlflow]"'
URI_VARIABLE = "MLFLOW_TRACKING_URI"
# What MLflow would send to whatever server a spec names.
_CREDENTIALS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_AUTH")
_STATUS: dict[str, RunStatus] = {
    "FINISHED": "finished",
    "RUNNING": "running",
    "SCHEDULED": "running",
    "FAILED": "failed",
    "KILLED": "killed",
}
_COMMIT_TAG = "mlflow.source.git.commit"
_OWN_TAGS = "mlflow."
# What pytest-mle writes back to a run is no part of the training.
OWN_PREFIX = "mle."
_LISTED = 10
# MLflow's own limits are two minutes and seven retries: a server that is down must not hold a run up.
_FIRST_ANSWER = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "7", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
_LATER_ANSWERS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
_LOCAL = {"MLFLOW_ALLOW_FILE_STORE": "true"}


def read_mlflow(log: DeclaredLog) -> TrainingLog:
    """Read the run ``run_id``, or the one of ``experiment`` that matches ``filter`` and was started last.

    The store is ``tracking_uri`` (``sqlite:///mlflow.db`` and paths are relative to the spec's folder), a folder or a
    SQLite file given as ``path``, or what ``MLFLOW_TRACKING_URI`` names. The run that was started last counts whatever
    its status is: an older one that finished is not the one that somebody is about to ship. ``filter:
    "attributes.status = 'FINISHED'"`` asks for finished ones.

    Databases of MLflow hold the largest number in place of an infinite one; it is read as infinite.

    Raises :class:`~pytest_mle.errors.InputError` if the store does not answer within ten seconds, or has no such
    experiment or run (it lists what there is); :class:`~pytest_mle.errors.TrustError` if credentials of the environment
    would go to a server that the environment does not name.
    """
    uri, shown = store_uri(log)
    client = open_store(log, uri, shown)
    with store_answers(log, uri, shown):
        run = _run(log, client, shown)
        metrics = _metrics(client, run, f"{shown}, run {run.info.run_id}")
    tags = {name: value for name, value in run.data.tags.items() if not name.startswith((_OWN_TAGS, OWN_PREFIX))}
    found = training_run(
        {**_known(tags), **run.data.params},
        run_id=run.info.run_id,
        uri=shown,
        status=_STATUS.get(run.info.status),
        git_commit=run.data.tags.get(_COMMIT_TAG),
        checkpoints=_models(run),
    )
    metadata = {"run_name": run.info.run_name, "experiment_id": run.info.experiment_id, "tags": tags}
    return log.from_metrics(metrics, found, f"{shown}, run {run.info.run_id}", metadata)


def _known(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags that belong to a recorded environment; the others are remarks, not hyperparameters."""
    from pytest_mle.tracking import CHECKPOINTS, ENVIRONMENT, GROUPS, VALUES

    return {
        name: value
        for name, value in tags.items()
        if name in (*VALUES, CHECKPOINTS) or name.replace("/", ".").partition(".")[0] in (*GROUPS, ENVIRONMENT)
    }


def store_uri(log: DeclaredLog) -> tuple[str, str]:
    """Return where the runs are, and the same without credentials, for messages."""
    declared = log.text("tracking_uri")
    if declared is not None and "path" in log.options:
        raise log.refusal("`tracking_uri` and `path` name two stores; leave one out")
    if "path" in log.options:
        return _local(log, log.text("path") or "")
    if declared is None:
        declared = os.environ.get(URI_VARIABLE)
        if not declared:
            raise log.refusal(f"name the store by `tracking_uri:`, or set {URI_VARIABLE}")
    parts = urlsplit(declared)
    if parts.scheme == "sqlite":
        # Three slashes lead to a relative path, four to an absolute one.
        return _local(log, unquote(parts.path.removeprefix("/")))
    if parts.scheme in ("", "file"):
        return _local(log, unquote(parts.path))
    if parts.scheme in ("http", "https"):
        _refuse_credentials(log, declared)
    return declared, without_credentials(declared)


def without_credentials(uri: str) -> str:
    """Return a URI without user, password and query."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _local(log: DeclaredLog, path: str) -> tuple[str, str]:
    found = log.trusted(path)
    if not found.exists():
        raise log.refusal(f"there is no MLflow store at {found}")
    if found.is_file():
        with found.open("rb") as stream:
            if not stream.read(16).startswith(b"SQLite format 3"):
                raise InputError("this is no SQLite database of MLflow", Location(log.shown(found)))
        return f"sqlite:///{found}", log.shown(found)
    # MLflow would make a store of any folder.
    if not any(found.glob("*/meta.yaml")):
        raise log.refusal(f"the folder {log.shown(found)} holds no experiment of MLflow")
    return found.as_uri(), log.shown(found)


def _refuse_credentials(log: DeclaredLog, uri: str) -> None:
    held = [name for name in _CREDENTIALS if os.environ.get(name)]
    granted = without_credentials(os.environ.get(URI_VARIABLE, ""))
    if held and granted.rstrip("/") != without_credentials(uri).rstrip("/"):
        raise TrustError(
            f"training log {log.name}: MLflow would send {held[0]} to {without_credentials(uri)}, which the spec names."
            f" If that is your server, set {URI_VARIABLE} to it",
            log.location,
        )


def open_store(log: DeclaredLog, uri: str, shown: str) -> Any:
    """Return a client of a store that has answered once."""
    try:
        with _quiet():
            from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise MissingExtraError("MLflow", INSTALL) from error
    with _limits(_FIRST_ANSWER), _told(log, uri, shown):
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
        return client


@contextmanager
def store_answers(log: DeclaredLog, uri: str, shown: str, purpose: str = "read") -> Iterator[None]:
    """Give a store that has answered once more time, and turn what MLflow raises into one line that names it."""
    with _limits(_LATER_ANSWERS), _told(log, uri, shown, purpose):
        yield


@contextmanager
def _limits(limits: dict[str, str]) -> Iterator[None]:
    """Set how long MLflow waits; it reads its environment with each request."""
    wanted = {**limits, **_LOCAL}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the deprecation warnings of MLflow and SQLAlchemy out of a run in which warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _told(log: DeclaredLog, uri: str, shown: str, purpose: str = "read") -> Iterator[None]:
    """Turn what MLflow raises into one line that names the store."""
    from mlflow.exceptions import MlflowException

    failures: list[type[Exception]] = [MlflowException, OSError]
    if "sqlalchemy" in sys.modules:
        from sqlalchemy.exc import SQLAlchemyError

        failures.append(SQLAlchemyError)
    try:
        with _quiet():
            yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{error.name} (for the MLflow store {shown})", INSTALL) from error
    except tuple(failures) as error:
        raise log.refusal(f"the MLflow store {shown} cannot be {purpose}: {_first_line(error, uri, shown)}") from error


def _first_line(error: Exception, uri: str, shown: str) -> str:
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    password = urlsplit(uri).password
    text = text.replace(uri, shown)
    return (text.replace(password, "***") if password else text)[:300]


def _run(log: DeclaredLog, client: Any, shown: str) -> Any:
    run_id, experiment = log.text("run_id"), log.text("experiment")
    if (run_id is None) == (experiment is None):
        raise log.refusal("name a run by `run_id:`, or the last one that matches by `experiment:` and `filter:`")
    if run_id is not None:
        if "filter" in log.options:
            raise log.refusal("`filter` chooses among the runs of an `experiment`; `run_id` names the run already")
        return _run_by_id(log, client, run_id, shown)
    return _last_run(log, client, str(experiment), shown)


def _run_by_id(log: DeclaredLog, client: Any, run_id: str, shown: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        experiments = [one.experiment_id for one in client.search_experiments()]
        known = client.search_runs(experiments, max_results=_LISTED) if experiments else []
        raise log.refusal(f"{shown} has no run {run_id!r}. {_listed(known)}") from error


def _last_run(log: DeclaredLog, client: Any, name: str, shown: str) -> Any:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        names = [one.name for one in client.search_experiments(max_results=_LISTED)]
        raise log.refusal(f"{shown} has no experiment {name!r}. It has: {', '.join(names) or 'none'}")
    wanted = log.text("filter") or ""
    found = client.search_runs(
        [experiment.experiment_id], filter_string=wanted, max_results=1, order_by=["attributes.start_time DESC"]
    )
    if found:
        return found[0]
    known = client.search_runs([experiment.experiment_id], max_results=_LISTED, order_by=["attributes.start_time DESC"])
    which = f" that matches {wanted!r}" if wanted else ""
    others = f". {_listed(known)}" if known else ""
    raise log.refusal(f"experiment {name!r} of {shown} has no run{which}{others}")


def _listed(runs: list[Any]) -> str:
    shown = ", ".join(f"{run.info.run_id} ({run.info.run_name}, {run.info.status})" for run in runs)
    return f"The last ones: {shown}" if shown else "It has no run"


def _metrics(client: Any, run: Any, shown: str) -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}
    for name in sorted(name for name in run.data.metrics if not name.startswith(OWN_PREFIX)):
        logged = sorted(client.get_metric_history(run.info.run_id, name), key=lambda one: (one.timestamp, one.step))
        values = [_restored(float(one.value)) for one in logged]
        metrics[name] = metric_of([int(one.step) for one in logged], values, name, shown)
    return metrics


def _restored(value: float) -> float:
    """Return an infinite value as such; MLflow's databases hold the largest double in its place."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


def _models(run: Any) -> list[Checkpoint]:
    outputs = getattr(run, "outputs", None)
    return [Checkpoint(f"models:/{one.model_id}") for one in (outputs.model_outputs if outputs else ())]
