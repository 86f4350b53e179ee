"""What a training run depended on, as plain data for any tracker; and the names under which readers find it again.

Callable in a training script: it needs neither pytest nor any library but Python's own. What is logged can be read
from each tracker:

=============  =====================================================================================
tracker        log it with
=============  =====================================================================================
MLflow         ``mlflow.set_tags(flattened(record))``
W&B            ``wandb.init(config=record)`` or ``run.config.update(record)``
TensorBoard    ``writer.add_text("environment", json.dumps(record))``
Lightning      ``logger.log_hyperparams(record)`` (``hparams.yaml``; each logger of Lightning has it)
CSV, JSON      ``json.dumps({**record, "hyperparameters": ...})`` in a file that ``run:`` names
=============  =====================================================================================
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Groups have names inside (`seeds.torch`), the others one value.
GROUPS = ("seeds", "hardware", "framework_versions", "dataset_sha256")
VALUES = ("git_commit", "git_dirty", "dataset_version", "model_version", "python", "started")
CHECKPOINTS = "checkpoints"
HYPERPARAMETERS = "hyperparameters"
# The tag of TensorBoard text, and a name below which the record may stand in a tracker's configuration.
ENVIRONMENT = "environment"
# One seed for everything.
ALL_SEEDS = "all"

_LIBRARIES = (
    *("torch", "torchvision", "lightning", "pytorch-lightning", "tensorflow", "keras", "jax", "ultralytics"),
    *("numpy", "scipy", "onnx", "onnxruntime", "opencv-python", "opencv-python-headless", "albumentations"),
)
_GIT_TIMEOUT_S = 20
# Nothing that a repository configures may run while it is read.
_GIT_SAFE = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "--no-optional-locks")
_BLOCK = 1 << 20


def record_environment(
    *,
    seeds: int | Mapping[str, int] | None = None,
    dataset: str | Path | Mapping[str, Any] | None = None,
    repository: str | Path | None = None,
) -> dict[str, Any]:
    """Record what this training run depends on, as JSON types.

    Parameters
    ----------
    seeds
        By library (``{"python": 1, "numpy": 1, "torch": 1}``), or one for all.
    dataset
        ``{"version": ..., "sha256": ...}``, or the path of a manifest or a folder: then its SHA-256 is computed; of a
        folder over the relative path and the SHA-256 of each file in it, sorted by path.
    repository
        A folder inside the repository of the training code (default: the current folder). Outside a repository, or
        without git, ``git_commit`` and ``git_dirty`` are None.

    Returns
    -------
    dict
        ``seeds``, ``git_commit``, ``git_dirty`` (also true for files that git does not know), ``dataset_version``,
        ``dataset_sha256``, ``hardware``, ``framework_versions``, ``python``, ``started`` (UTC, ISO 8601).

    Raises
    ------
    OSError
        The data set cannot be read.
    TypeError
        A seed is no whole number.
    """
    version, digest = _dataset(dataset)
    commit, dirty = git_state(Path.cwd() if repository is None else Path(repository))
    return {
        "seeds": _seeds(seeds),
        "git_commit": commit,
        "git_dirty": dirty,
        "dataset_version": version,
        "dataset_sha256": digest,
        "hardware": _hardware(),
        "framework_versions": {"python": platform.python_version(), **_versions()},
        "python": sys.version.split()[0],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def flattened(record: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return a nested record under dotted names (``seeds.torch``), without what is None, for trackers that keep pairs.

    Lists become JSON text. In MLflow, log it as tags or parameters.
    """
    return dict(_pairs(record, ""))


def _pairs(record: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str | int | float | bool]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _pairs(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            import json

            yield f"{prefix}{name}", json.dumps(value)
        elif value is not None:
            yield f"{prefix}{name}", value if isinstance(value, (str, int, float, bool)) else str(value)


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Return the commit of a folder's repository and whether it has changes; None for what git cannot say."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    status = _git(folder, "status", "--porcelain", "--ignore-submodules=none")
    return commit or None, None if status is None else bool(status)


def _git(folder: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603
            [git, *_GIT_SAFE, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _seeds(seeds: int | Mapping[str, int] | None) -> dict[str, int]:
    named = {} if seeds is None else {ALL_SEEDS: seeds} if isinstance(seeds, int) else dict(seeds)
    for name, seed in named.items():
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"the seed {name!r} must be a whole number, got {seed!r}")
    return named


def _dataset(dataset: str | Path | Mapping[str, Any] | None) -> tuple[str | None, str | dict[str, str] | None]:
    if dataset is None:
        return None, None
    if isinstance(dataset, (str, Path)):
        return None, digest_of(Path(dataset))
    version = dataset.get("version")
    return None if version is None else str(version), dataset.get("sha256")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files: relative path and SHA-256 of each, sorted by path."""
    if not path.is_dir():
        return _file_digest(path).hexdigest()
    digest = hashlib.sha256()
    for one in sorted(path.rglob("*")):
        if one.is_file():
            digest.update(f"{one.relative_to(path).as_posix()}\0".encode())
            digest.update(_file_digest(one).digest())
    return digest.hexdigest()


def _file_digest(path: Path) -> hashlib._Hash:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest


def _hardware() -> dict[str, Any]:
    return {"machine": platform.machine(), "system": platform.platform(), "cores": os.cpu_count(), **_accelerators()}


def _accelerators() -> dict[str, Any]:
    """Return what torch knows of accelerators, if the training script has imported it."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    try:
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        cuda = torch.version.cuda
    except (AttributeError, RuntimeError):
        return {}
    if not names:
        return {"device": "cpu", "threads": torch.get_num_threads()}
    return {"device": names[0], "devices": len(names), "cuda": cuda}


def _versions() -> dict[str, str]:
    versions = {}
    for library in _LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return versions
