"""From the result book to files and the summary on the terminal."""

from __future__ import annotations

import os
import platform
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import MleError
from pytest_mle.plugin.result_book import Node
from pytest_mle.reports.escaping import terminal_line
from pytest_mle.reports.files import append_result, write_reports
from pytest_mle.reports.run_report import RunReport, SpecReport, spec_report
from pytest_mle.reports.terminal import summary_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_mle.plugin.result_book import ResultBook
    from pytest_mle.plugin.settings import Settings
    from pytest_mle.spec.model import Spec

# pytest's terminal writer has names of its own.
COLOURS = {"green": "green", "red": "red", "yellow": "yellow", "bold": "bold", "dim": "light"}
LIBRARIES = (
    "pytest",
    "pytest-mle",
    "numpy",
    "scipy",
    "torch",
    "onnxruntime",
    "opencv-python-headless",
    "opencv-python",
)


class RunReports:
    """Builds the run report and writes what is made from it."""

    def __init__(self, settings: Settings, book: ResultBook, rootpath: Path, started: datetime) -> None:
        self._folder = settings.report_folder
        self._book = book
        self._rootpath = rootpath
        self._started = started
        self._report: RunReport | None = None
        self.failure: str | None = None
        self._settings = settings
        self._logged: tuple[str, ...] = ()
        self.not_logged: str | None = None

    def note(self, result: dict[str, Any]) -> None:
        """Save the JSON data of a finished item at once, so that it survives a crash of the run.

        Where that fails the run goes on: writing the reports at its end decides.
        """
        if self._folder is not None:
            with suppress(MleError):
                append_result(self._folder, result)

    def build(self, exit_code: int, problems: Sequence[str] = ()) -> RunReport:
        """Put the results beside the plan."""
        specs = tuple(self._spec_report(spec) for spec in self._book.specs)
        self._report = RunReport(
            specs=specs,
            started=self._started.isoformat(timespec="seconds"),
            duration_s=(datetime.now(UTC) - self._started).total_seconds(),
            exit_code=exit_code,
            hostname=socket.gethostname(),
            versions=_versions(),
            hardware={"machine": platform.machine(), "system": platform.platform(), "cores": os.cpu_count()},
            problems=tuple(problems),
        )
        return self._report

    def _spec_report(self, spec: Spec) -> SpecReport:
        return spec_report(
            spec,
            self._shown_path(spec),
            self._book.results(spec),
            self._book.not_selected(spec),
            folder=_in_repository(Path.cwd()),
            file=_in_repository(spec.path),
        )

    def write(self, report: RunReport) -> None:
        """Write all reports.

        Raises :class:`~pytest_mle.errors.MleError` if a file cannot be written.
        """
        self._report = report
        if self._folder is not None:
            write_reports(report, self._folder)

    def log_to_mlflow(self, report: RunReport) -> None:
        """Log the results to the MLflow runs that were examined; the reports on disk stay whatever happens.

        Raises :class:`~pytest_mle.errors.MleError` if that was asked for and could not be done.
        """
        if not self._settings.logs_to_mlflow:
            return
        from pytest_mle.reports.mlflow_run import log_to_examined_runs

        folder = None if self.failure else self._folder
        self._logged = log_to_examined_runs(report, self._book.specs, self._settings.trust.data_roots, folder)

    def summary(self, width: int) -> Iterator[tuple[str, str | None]]:
        """Yield the lines of the terminal summary, each with its colour."""
        if self._report is None:
            return
        written = [] if self._folder is None or self.failure else [_relative(self._folder)]
        for line in summary_lines(self._report, width=width, written=written):
            yield line.text, COLOURS.get(line.style)
        for run in self._logged:
            yield terminal_line(f"logged to MLflow: {run}"), None
        if self.not_logged is not None:
            yield terminal_line(f"NOT LOGGED TO MLFLOW: {self.not_logged}"), "red"
        if self.failure is not None:
            yield f"NO REPORTS: {self.failure}", "red"

    def nodes_of(self, node_ids: Sequence[str]) -> Iterator[Node]:
        """Yield what is known of node ids that came from workers; other tests' are left out."""
        planned = {
            f"{self._node_id(spec)}::{item.process}::{item.base_practice}::{item.name}": (str(spec.path), item.name)
            for spec in self._book.specs
            for item in spec.items
        }
        for node_id in node_ids:
            # Slices have names in brackets too, and the id of a fixture's parameter may hold anything.
            ends = [place for place, letter in enumerate(node_id) if letter in "[@"]
            parts = (node_id[:end] for end in (len(node_id), *reversed(ends)))
            known = next((part for part in parts if part in planned), None)
            if known is not None:
                path, name = planned[known]
                yield Node(path, name, node_id, name + node_id[len(known) :])

    def _node_id(self, spec: Spec) -> str:
        inside = self._rootpath in spec.path.parents
        return (spec.path.relative_to(self._rootpath) if inside else spec.path).as_posix()

    def _shown_path(self, spec: Spec) -> str:
        return self._node_id(spec)


def _in_repository(path: Path) -> str:
    """Return a path as seen from its repository's top, where GitLab's links begin; empty without a repository."""
    of_job = os.environ.get("CI_PROJECT_DIR", "")
    tops = [Path(of_job).resolve()] if of_job else []
    tops += [one for one in (path, *path.parents) if (one / ".git").exists()]
    top = next((one for one in tops if path.is_relative_to(one)), path)
    inside = path.relative_to(top).as_posix()
    return "" if inside == "." else inside


def _relative(folder: Path) -> str:
    shown = os.path.relpath(folder)
    return str(folder) if shown.startswith("..") else shown


def _versions() -> dict[str, str]:
    versions = {"python": sys.version.split()[0]}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return versions
