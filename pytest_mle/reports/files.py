"""Write the reports: whole files or none, and no file of an earlier run beside them."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import MleError
from pytest_mle.reports.junit import PRODUCER, junit_files
from pytest_mle.reports.run_report import report_text, strict_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_mle.reports.run_report import RunReport

RESULTS = "results.json"
PARTIAL = "partial.jsonl"
JUNIT = "junit"


def prepare_folder(folder: Path) -> None:
    """Make the report folder and take the reports of an earlier run out of it.

    To be called before anything is measured: a folder that cannot be written is told at once, and a run that crashes
    leaves no green report of yesterday behind.

    Raises
    ------
    MleError
        If the folder cannot be made or written.
    """
    with _told(folder):
        (folder / JUNIT).mkdir(parents=True, exist_ok=True)
    clear_reports(folder)
    write_atomically(folder / PARTIAL, b"")


def clear_reports(folder: Path) -> None:
    """Take the reports of an earlier run out of a folder, if there is one.

    Raises
    ------
    MleError
        If one of them cannot be removed.
    """
    for name in (RESULTS, PARTIAL):
        with _told(folder / name), suppress(NotADirectoryError):
            (folder / name).unlink(missing_ok=True)
    _remove_junit_files(folder / JUNIT, keep=frozenset())


def append_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Append a finished item to `partial.jsonl`, where it survives a crash of the run.

    Parameters
    ----------
    folder
        The report folder.
    result
        The item's result as plain JSON data.

    Raises
    ------
    MleError
        If it cannot be written.
    """
    line = strict_text(result).encode("utf-8") + b"\n"
    path = folder / PARTIAL
    with _told(path), path.open("ab") as file:
        file.write(line)


def write_reports(report: RunReport, folder: Path) -> tuple[Path, ...]:
    """Write `results.json` and the JUnit files, remove older JUnit files of ours, and return what was written.

    Raises
    ------
    MleError
        If a file cannot be written; it names the file and the reason.
    """
    with _told(folder):
        (folder / JUNIT).mkdir(parents=True, exist_ok=True)
    results = folder / RESULTS
    write_atomically(results, report_text(report).encode("utf-8") + b"\n")
    written = [results]
    for name, content in junit_files(report).items():
        path = folder / JUNIT / name
        write_atomically(path, content)
        written.append(path)
    _remove_junit_files(folder / JUNIT, keep=frozenset(path.name for path in written))
    with _told(folder / PARTIAL):
        (folder / PARTIAL).unlink(missing_ok=True)
    return tuple(written)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there, so that a reader sees the old or the new one, never a half.

    Raises
    ------
    MleError
        If it cannot be written; what was there before stays.
    """
    # Not `tempfile`: its files are readable by their owner alone, and a CI runner that collects them is someone else.
    beside = path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")
    with _told(path):
        try:
            beside.write_bytes(content)
            beside.replace(path)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)


def _remove_junit_files(folder: Path, keep: frozenset[str]) -> None:
    for path in folder.glob("TEST-*.xml"):
        if path.name not in keep and _is_ours(path):
            with _told(path):
                path.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    """Say whether a JUnit file is one that an earlier run wrote: Maven's carry the same kind of name."""
    try:
        with path.open("rb") as file:
            return f'<testsuites name="{PRODUCER}"'.encode() in file.read(200)
    except OSError:
        return False


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise MleError(f"cannot write {path}: {reason}. Choose another folder with --mle-report-dir.") from error
