"""Is the data set's version pinned by content, and are its files that version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.data_pins import DataPin
from pytest_mle.checks.experiments.dataset_digests import matching_digest
from pytest_mle.checks.experiments.dvc_pins import dvc_pins
from pytest_mle.checks.experiments.git_pins import git_pins
from pytest_mle.checks.experiments.manifest_pins import LIST_NAMES, manifest_pins
from pytest_mle.checks.experiments.sha256 import is_sha256
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.errors import NotMeasurableError, closest
from pytest_mle.inputs.trusted_path import shown_path
from pytest_mle.records.finding import Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.project import Project
    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.quantity import Quantity

BACKENDS = ("dvc", "git_lfs", "git", "mlflow", "sha256_manifest")
# Names that move with time.
_MOVING = frozenset(
    {"latest", "main", "master", "head", "current", "newest", "dev", "develop", "production", "staging"}
)

QUANTITIES = {
    "unversioned_datasets": exact("{finding}", "lower", "1 if a sample of the data set is pinned by no backend."),
    "pinned_samples": exact("{sample}", "higher", "Samples whose content a backend states."),
    "unpinned_files": exact("{file}", "lower", "Files of the folder, labels for instance, that no backend states."),
    "hash_mismatches": exact("{file}", "lower", "Files that are absent, added or changed against the pinned version."),
    "mutable_refs": exact(
        "{finding}", "lower", "Pins that can point elsewhere tomorrow: not committed, not locked, a name."
    ),
    "files_not_checked_out": exact("{file}", "lower", "Files that are here only as a Git LFS pointer."),
}


@check(quantities=QUANTITIES)
def dataset_version_pinned(
    dataset: Dataset,
    project: Project,
    log: TrainingLog | None = None,
    *,
    backends: list[str] | None = None,
    manifest: str | None = None,
    checksum_attribute: str = "sha256",
) -> Measurement:
    """Compute the hashes of a data set's files and compare them with the versions that are recorded for it.

    A version string pins nothing: only a content hash does, and only where the file that holds it is committed itself.
    Understood are DVC (``.dvc`` files and ``dvc.lock``, files and folders, of DVC 3 and 2), Git LFS pointers, files
    committed to git, the data set's SHA-256 in the run's record (MLflow and others), and lists of SHA-256. All
    quantities are exact. Automotive SPICE 4.0 asks for it in SUP.11.BP1 and SUP.8.

    Parameters
    ----------
    dataset
        Whose files are hashed.
    project
        Where DVC files, lists and the git history are looked for.
    log
        Of the training run, whose ``dataset_sha256`` pins the data set if it is that of its files (backend ``mlflow``).
        A hash of other data pins nothing here; ``experiment_metadata`` tells whether it should.
    backends
        Which ways count: ``dvc``, ``git_lfs``, ``git``, ``mlflow``, ``sha256_manifest``; by default all.
    manifest
        List of SHA-256, relative to the spec's folder. By default ``SHA256SUMS`` and its like in the data set's folder,
        and ``NAME.sha256`` beside it.
    checksum_attribute
        Column of the samples' table that states the image's SHA-256.

    Raises
    ------
    NotMeasurableError
        The data set has no sample.
    InputError
        A DVC file or a list of SHA-256 cannot be read, or the named manifest is absent.
    ValueError
        ``backends`` names an unknown one.
    """
    wanted = BACKENDS if backends is None else tuple(backends)
    for name in wanted:
        if name not in BACKENDS:
            raise ValueError(f"backends names an unknown one: {name!r}. {closest(name, BACKENDS)}")
    if len(dataset) == 0:
        raise NotMeasurableError(f"data set {dataset.name} has no sample")
    pins = _pins(dataset, project, log, wanted, manifest, checksum_attribute)
    covered = set().union(*(pin.covered for pin in pins)) if pins else set()
    samples = [dataset.sample(index) for index in range(len(dataset))]
    unpinned = [one for one in samples if one.path not in covered]
    kinds = {
        "unversioned_datasets": [
            Finding(f"no backend of {', '.join(wanted)} states its content", shown_path(one.path, project.root))
            for one in unpinned
        ],
        "unpinned_files": [
            Finding("no backend states its content", shown_path(path, project.root))
            for path in _data_files(dataset.root)
            if path not in covered
        ],
        "hash_mismatches": list(dict.fromkeys(one for pin in pins for one in pin.mismatches)),
        "mutable_refs": list(
            dict.fromkeys((*(one for pin in pins for one in pin.mutable), *_moving_name(log, wanted)))
        ),
        "files_not_checked_out": [one for pin in pins for one in pin.not_checked_out],
    }
    quantities: dict[str, Quantity | float] = {name: len(found) for name, found in kinds.items()}
    quantities["unversioned_datasets"] = int(bool(unpinned))
    if not pins:
        nothing = unmeasured(f"nothing pins data set {dataset.name}, so there is no version to compare with")
        quantities |= {"hash_mismatches": nothing, "mutable_refs": nothing}
    away = len(kinds["files_not_checked_out"])
    return Measurement(
        quantities={**quantities, "pinned_samples": len(samples) - len(unpinned)},
        findings=tuple(Findings.collect(name, found) for name, found in kinds.items() if found),
        validity=(
            ValidityCondition(
                "data_is_checked_out",
                not away,
                f"{away} files are pointers of Git LFS: run `git lfs pull` (in GitLab CI without GIT_LFS_SKIP_SMUDGE)"
                if away
                else "",
            ),
        ),
        settings={"pins": [f"{pin.backend}: {pin.place} ({len(pin.covered)} files)" for pin in pins]},
    )


def _pins(
    dataset: Dataset,
    project: Project,
    log: TrainingLog | None,
    backends: Sequence[str],
    manifest: str | None,
    attribute: str,
) -> list[DataPin]:
    pins: list[DataPin] = []
    if "dvc" in backends:
        pins += dvc_pins(dataset.root, project)
    if "git" in backends or "git_lfs" in backends:
        pins += git_pins(dataset.root, project, backends)
    if "sha256_manifest" in backends:
        pins += manifest_pins(dataset, project, manifest, attribute)
    if "mlflow" in backends and log is not None:
        pins += _run_pin(dataset, log)
    return pins


def _run_pin(dataset: Dataset, log: TrainingLog) -> list[DataPin]:
    recorded = log.run.dataset_sha256
    place = log.run.uri or log.path
    if recorded is None or not is_sha256(recorded):
        return []
    # Another hash is no mismatch: the run was trained on one data set, and this may be the test data.
    if matching_digest(dataset, recorded) not in ("data set", "all files of the folder"):
        return []
    return [DataPin("mlflow", place, set(_data_files(dataset.root)))]


def _moving_name(log: TrainingLog | None, backends: Sequence[str]) -> list[Finding]:
    if log is None or "mlflow" not in backends or log.run.dataset_version is None:
        return []
    name = log.run.dataset_version.rpartition("@")[2].strip().casefold()
    if name not in _MOVING:
        return []
    text = f"is {log.run.dataset_version!r}, which names other data tomorrow"
    return [Finding(text, log.run.uri or log.path, subject="dataset_version")]


def _data_files(root: Path) -> Iterator[Path]:
    """Yield a data set's files, without what holds the pins and what begins with a dot."""
    for base, folders, files in os.walk(root):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name not in LIST_NAMES and not name.endswith((".dvc", ".sha256")):
                yield Path(base) / name
