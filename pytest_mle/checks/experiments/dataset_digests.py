"""The digests by which a run can name the data set that it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.checks.experiments.sha256 import file_sha256
from pytest_mle.tracking import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mle.inputs.dataset import Dataset

MANIFESTS = (
    "*.csv",
    "*.json",
    "*.jsonl",
    "*.parquet",
    "*.sha256",
    "SHA256SUMS",
    "sha256sums.txt",
    "manifest*",
    "*.dvc",
)


def matching_digest(dataset: Dataset, sha256: str) -> str | None:
    """Return what of a data set has this SHA-256; None if nothing has.

    A manifest in its folder, all its files (:func:`pytest_mle.tracking.record_environment`), or the digest that reports
    show for it.
    """
    wanted = sha256.strip().lower()
    return next((name for name, digest in _digests(dataset) if digest == wanted), None)


def _digests(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield digests, the cheap ones first."""
    root = dataset.root
    if root.is_dir():
        for path in sorted({path for pattern in MANIFESTS for path in root.glob(pattern) if path.is_file()}):
            yield path.name, file_sha256(path)
    beside = root.with_name(f"{root.name}.dvc")
    if beside.is_file():
        yield beside.name, file_sha256(beside)
    yield "data set", dataset.digest
    if root.is_dir():
        yield "all files of the folder", digest_of(root)
