"""Write what a run found back to the MLflow runs that it examined."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import MleError
from pytest_mle.inputs.training_logs.declared import DeclaredLog
from pytest_mle.inputs.training_logs.mlflow_log import OWN_PREFIX, open_store, store_answers, store_uri
from pytest_mle.reports.files import JUNIT, RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_mle.reports.run_report import RunReport, SpecReport
    from pytest_mle.spec.model import Spec

ARTIFACTS = "pytest-mle"
_SECTION = "training_logs"
_NOT_IN_A_KEY = re.compile(r"[^\w\-. :/]")
_MAX_KEY, _MAX_TAG = 250, 4000
# MLflow takes a thousand metrics and a hundred tags at once.
_METRICS_AT_ONCE, _TAGS_AT_ONCE = 1000, 100


@dataclass(frozen=True, slots=True)
class ExaminedRun:
    """A run of MLflow that an item examined, and the entry that declares where it is."""

    log: DeclaredLog
    run_id: str


def log_to_examined_runs(
    report: RunReport, specs: Sequence[Spec], roots: Sequence[Path], folder: Path | None
) -> tuple[str, ...]:
    """Log verdicts, quantities and report files to each examined MLflow run, and return the runs by name.

    Quantities become metrics ``mle.<item>.<quantity>`` at step 0, verdicts tags ``mle.verdict.<item>``; ``mle.gate``
    and ``mle.started`` say of which run they are. Reading the run as a training log leaves all of these out.

    Parameters
    ----------
    report
        What was found.
    specs
        The specs of the report, in its order.
    roots
        Folders outside the specs' own that the invoker has granted.
    folder
        Where the reports are; None if none were written.

    Raises
    ------
    MleError
        No MLflow run was examined, or a store does not take what was found.
    """
    runs = examined_runs(report, specs, roots)
    if not runs:
        raise MleError(
            "no item examined an MLflow run: declare one under inputs.training_logs, "
            "with `tracking_uri` and `run_id` or `experiment`"
        )
    written = []
    for run in runs:
        uri, shown = store_uri(run.log)
        client = open_store(run.log, uri, shown)
        with store_answers(run.log, uri, shown, "written"):
            _log(client, run.run_id, report, folder)
        written.append(f"{shown}, run {run.run_id}")
    return tuple(written)


def examined_runs(report: RunReport, specs: Sequence[Spec], roots: Sequence[Path]) -> tuple[ExaminedRun, ...]:
    """Return the MLflow runs that items of a report used, each once."""
    found: dict[tuple[str, str], ExaminedRun] = {}
    for spec_report, spec in zip(report.specs, specs, strict=True):
        for name, run_id in _used_runs(spec_report):
            entry = spec.inputs.get(_SECTION, {}).get(name)
            if entry is None or not _is_mlflow(entry.options):
                continue
            log = DeclaredLog(name, entry.options, spec.root.resolve(), entry.location, (spec.root, *roots))
            found.setdefault((store_uri(log)[0], run_id), ExaminedRun(log, run_id))
    return tuple(found.values())


def _used_runs(report: SpecReport) -> Iterator[tuple[str, str]]:
    for item in report.items:
        for used in item.inputs.values():
            if isinstance(used, dict) and used.get("section") == _SECTION:
                run_id = (used.get("description") or {}).get("run_id")
                if run_id is not None:
                    yield str(used["name"]), str(run_id)


def _is_mlflow(options: Any) -> bool:
    declared = options.get("format")
    return declared == "mlflow" or (declared is None and ("tracking_uri" in options or "experiment" in options))


def metrics_of(report: RunReport) -> dict[str, float]:
    """Return the measured quantities of a report under the names that they have in MLflow."""
    return {
        _key(f"{_front(report, spec)}{item.name}.{quantity.name}"): quantity.value
        for spec in report.specs
        for item in spec.items
        for quantity in item.quantities
        if quantity.value is not None
    }


def tags_of(report: RunReport) -> dict[str, str]:
    """Return the verdicts of a report, and which run they are from, under the names that they have in MLflow."""
    verdicts = {
        _key(f"{_front(report, spec)}verdict.{item.name}"): item.verdict.value
        for spec in report.specs
        for item in spec.items
    }
    run = {
        "gate": "GREEN" if report.gate.is_green else "RED",
        "exit_code": str(report.exit_code),
        "started": report.started,
        "spec": ", ".join(spec.path for spec in report.specs),
        "version": report.versions.get("pytest-mle", ""),
    }
    return {**{f"{OWN_PREFIX}{name}": value[:_MAX_TAG] for name, value in run.items()}, **verdicts}


def _front(report: RunReport, spec: SpecReport) -> str:
    """Return what stands before the items of a spec; the spec itself only where there are several."""
    return OWN_PREFIX if len(report.specs) == 1 else f"{OWN_PREFIX}{spec.path}/"


def _key(name: str) -> str:
    return _NOT_IN_A_KEY.sub("_", name)[:_MAX_KEY]


def _log(client: Any, run_id: str, report: RunReport, folder: Path | None) -> None:
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in metrics_of(report).items()]
    tags = [RunTag(name, value) for name, value in tags_of(report).items()]
    for first in range(0, len(metrics), _METRICS_AT_ONCE - _TAGS_AT_ONCE):
        client.log_batch(run_id, metrics=metrics[first : first + _METRICS_AT_ONCE - _TAGS_AT_ONCE])
    for first in range(0, len(tags), _TAGS_AT_ONCE):
        client.log_batch(run_id, tags=tags[first : first + _TAGS_AT_ONCE])
    if folder is not None:
        client.log_artifact(run_id, str(folder / RESULTS), ARTIFACTS)
        client.log_artifacts(run_id, str(folder / JUNIT), f"{ARTIFACTS}/{JUNIT}")
