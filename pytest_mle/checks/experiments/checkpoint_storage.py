"""Are the checkpoints of a run there, complete and unchanged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.checkpoint_files import SUFFIXES, why_unloadable
from pytest_mle.checks.experiments.sha256 import files_sha256, is_sha256, read_sha256_list
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.errors import InputError, TrustError
from pytest_mle.inputs.trusted_path import shown_path
from pytest_mle.records.finding import Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from pytest_mle.inputs.project import Project
    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.quantity import Quantity

_EPOCH = re.compile(r"(?:epoch|ep|checkpoint|ckpt|e)[-_=]?(\d+)", re.IGNORECASE)
_BEST = re.compile(r"(?:^|[-_.])best(?:[-_.]|$)", re.IGNORECASE)

QUANTITIES = {
    "checkpoints": exact("{file}", "higher", "Checkpoints that are there."),
    "absent_checkpoints": exact("{file}", "lower", "Checkpoints that the run lists and that are not there."),
    "missing_periodic_checkpoints": exact(
        "{finding}", "lower", "Epochs after which there should be a checkpoint and is none."
    ),
    "best_checkpoint_present": exact("1", "higher", "1 if the best checkpoint is there and not empty."),
    "checkpoint_hash_mismatches": exact("{file}", "lower", "Checkpoints whose SHA-256 is not the recorded one."),
    "checkpoints_without_hash": exact("{file}", "lower", "Checkpoints of which no SHA-256 is recorded."),
    "unloadable_checkpoints": exact(
        "{file}", "lower", "Checkpoints that are empty, truncated, damaged, need pickle, or hold no finite weights."
    ),
}


@check(quantities=QUANTITIES)
def checkpoint_storage(
    log: TrainingLog,
    project: Project,
    *,
    every_n_epochs: int = 10,
    folder: str | None = None,
    hashes: str | None = None,
    epochs: int | None = None,
) -> Measurement:
    """Count checkpoints that are missing, changed or unloadable.

    Which checkpoints there are comes from the run's record and from ``folder``; a name with ``epoch`` or ``ckpt`` and a
    number says the epoch, one with ``best`` the best one. After every ``every_n_epochs``-th epoch there must be one;
    epochs count from where the log begins (0 or 1), and the framework may count the other way. No pickle is opened. All
    quantities are exact.

    Parameters
    ----------
    log
        Of the run: its checkpoints with their SHA-256, and how many epochs it had.
    project
        Where the files are looked for: paths of the run's record relative to the log's folder, then to ``folder``.
    every_n_epochs
        Distance of periodic checkpoints.
    folder
        Where the checkpoints are stored now, relative to the spec's folder.
    hashes
        A list as ``sha256sum`` writes it, relative to the spec's folder; its names relative to itself.
    epochs
        How many epochs the run had; by default those of the log. If it has none, ``missing_periodic_checkpoints`` is
        not measured (NaN).

    Raises
    ------
    ValueError
        ``every_n_epochs`` is below 1.
    InputError
        ``folder`` does not exist, or the list of hashes cannot be read.
    MissingExtraError
        The library that loads a checkpoint is not installed.
    """
    if every_n_epochs < 1:
        raise ValueError(f"every_n_epochs must be at least 1, got {every_n_epochs}")
    base = None if folder is None else project.file(folder)
    if base is not None and not base.is_dir():
        raise InputError(f"there is no folder {folder} with checkpoints")
    found, absent = _stored(project, log, base)
    recorded = _recorded_hashes(project, found, hashes)
    wrong, unhashed = _hash_findings(project, found, recorded)
    last = epochs if epochs is not None else len(log) or None
    first = int(log.epochs[0]) if len(log) else 1
    missing = None if last is None else _missing_periodic(found, first, last, every_n_epochs)
    unloadable = [
        Finding(reason, shown_path(one.path, project.root)) for one in found if (reason := why_unloadable(one.path))
    ]
    has_best = any(one.is_best and one.path.stat().st_size > 0 for one in found)
    kinds = {
        "absent_checkpoints": absent,
        "missing_periodic_checkpoints": missing or [],
        "checkpoint_hash_mismatches": wrong,
        "checkpoints_without_hash": unhashed,
        "unloadable_checkpoints": unloadable,
    }
    quantities: dict[str, Quantity | float] = {name: len(one) for name, one in kinds.items()}
    if missing is None:
        quantities["missing_periodic_checkpoints"] = unmeasured(
            f"{log.path} has no epoch, so nobody knows when checkpoints were due: set `epochs`"
        )
    if not recorded:
        quantities["checkpoint_hash_mismatches"] = unmeasured(
            "no SHA-256 of a checkpoint is recorded: record it with the run, or name a list in `hashes`"
        )
    if not found:
        quantities["unloadable_checkpoints"] = unmeasured("there is no checkpoint to load")
    return Measurement(
        quantities={"checkpoints": len(found), "best_checkpoint_present": int(has_best), **quantities},
        findings=tuple(Findings.collect(name, one) for name, one in kinds.items() if one),
        validity=_validity(log, found, absent, base),
        settings={"every_n_epochs": every_n_epochs, "epochs": last},
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """A checkpoint that is there."""

    path: Path
    epoch: int | None
    is_best: bool
    sha256: str | None = None


def _stored(project: Project, log: TrainingLog, base: Path | None) -> tuple[list[_Stored], list[Finding]]:
    found: dict[Path, _Stored] = {}
    absent = []
    for one in log.run.checkpoints:
        path = _place(project, log, one.path, base)
        name = Path(one.path.replace("\\", "/")).name
        if path is None:
            absent.append(Finding("the run lists it, but it is not there", one.path))
            continue
        epoch = one.epoch if one.epoch is not None else epoch_of(name)
        old = found.get(path)
        found[path] = _Stored(
            path,
            epoch if old is None or epoch is not None else old.epoch,
            one.is_best or is_best_name(name) or (old is not None and old.is_best),
            one.sha256 or (old.sha256 if old is not None else None),
        )
    for path in () if base is None else sorted(one for one in base.rglob("*") if one.suffix.lower() in SUFFIXES):
        resolved = project.file(str(path))
        if resolved.is_file() and resolved not in found:
            found[resolved] = _Stored(resolved, epoch_of(path.name), is_best_name(path.name))
    return list(found.values()), absent


def _place(project: Project, log: TrainingLog, declared: str, base: Path | None) -> Path | None:
    """Return where a checkpoint is now; a path of the machine that trained may lead nowhere here."""
    path = declared.removeprefix("file://").replace("\\", "/")
    candidates = [Path(log.path).parent / path, Path(path)]
    if base is not None:
        candidates += [base / path, base / Path(path).name]
    for candidate in candidates:
        try:
            resolved = project.file(str(candidate))
        except TrustError:
            continue
        if resolved.is_file():
            return resolved
    return None


def epoch_of(name: str) -> int | None:
    """Return the epoch that a file's name says: ``epoch=09-step=900.ckpt``, ``ckpt_10.pt``."""
    found = _EPOCH.search(Path(name).stem)
    return None if found is None else int(found[1])


def is_best_name(name: str) -> bool:
    """Say whether a file's name says that it is the best checkpoint."""
    return _BEST.search(Path(name).stem) is not None


def _missing_periodic(found: list[_Stored], first: int, count: int, every: int) -> list[Finding]:
    epochs = {one.epoch for one in found if one.epoch is not None and not _is_empty(one.path)}
    # The log counts from one, the file names from zero (Lightning), or the other way round: one of both fits.
    starts = (min(first, 1), 1 - min(first, 1))
    missing = [
        [start + n - 1 for n in range(every, count + 1, every) if start + n - 1 not in epochs] for start in starts
    ]
    fewest = min(missing, key=len)
    if count < every:
        return [] if epochs else [Finding(f"the run had {count} epochs, fewer than {every}, and kept no checkpoint")]
    return [Finding("there is no checkpoint of this epoch", subject=f"epoch {epoch}") for epoch in fewest]


def _is_empty(path: Path) -> bool:
    return path.stat().st_size == 0


def _recorded_hashes(project: Project, found: list[_Stored], hashes: str | None) -> dict[Path, str]:
    recorded = {one.path: one.sha256.lower() for one in found if one.sha256 is not None and is_sha256(one.sha256)}
    if hashes is not None:
        path = project.file(hashes)
        for name, (digest, _) in read_sha256_list(path, hashes).items():
            recorded.setdefault((path.parent / name).resolve(), digest)
    return {one.path: recorded[one.path] for one in found if one.path in recorded}


def _hash_findings(
    project: Project, found: list[_Stored], recorded: dict[Path, str]
) -> tuple[list[Finding], list[Finding]]:
    computed = files_sha256(list(recorded))
    wrong = [
        Finding(f"its SHA-256 is {(actual or 'unreadable')[:12]}..., recorded was {digest[:12]}...", shown)
        for (path, digest), actual in zip(recorded.items(), computed, strict=True)
        if actual != digest and (shown := shown_path(path, project.root))
    ]
    without = [
        Finding("no SHA-256 is recorded for it", shown_path(one.path, project.root))
        for one in found
        if one.path not in recorded
    ]
    return wrong, without


def _validity(
    log: TrainingLog, found: list[_Stored], absent: list[Finding], base: Path | None
) -> tuple[ValidityCondition, ...]:
    is_known = bool(found or absent or base is not None)
    where = (
        "" if is_known else "set `folder`" if log is None else f"{log.path} lists no checkpoint, and no `folder` is set"
    )
    return (ValidityCondition("checkpoints_are_known", is_known, where),)
