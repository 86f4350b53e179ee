"""Data versions by lists of SHA-256: a column of the samples' table, or a file as ``sha256sum`` writes it."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from pytest_mle.checks.experiments.data_pins import DataPin, why_not_committed
from pytest_mle.checks.experiments.sha256 import files_sha256, is_sha256, read_sha256_list
from pytest_mle.errors import InputError, Location
from pytest_mle.inputs.trusted_path import shown_path
from pytest_mle.records.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.project import Project

LIST_NAMES = ("SHA256SUMS", "SHA256SUMS.txt", "sha256sums.txt", "sha256sum.txt", "checksums.sha256", "manifest.sha256")


def manifest_pins(dataset: Dataset, project: Project, manifest: str | None, attribute: str) -> list[DataPin]:
    """Return what lists of SHA-256 say of a data set's files.

    Raises :class:`~pytest_mle.errors.InputError` if the named manifest is absent, a list cannot be read, or names
    a file outside the folders that may be read.
    """
    pins = [_list_pin(path, project) for path in _lists(dataset.root, project, manifest)]
    column = _column_pin(dataset, project, attribute)
    return pins if column is None else [*pins, column]


def _lists(root: Path, project: Project, manifest: str | None) -> Iterator[Path]:
    if manifest is not None:
        path = project.file(manifest)
        if not path.is_file():
            raise InputError(f"there is no manifest {manifest}")
        yield path
        return
    candidates = [*(root / name for name in LIST_NAMES), root.with_name(f"{root.name}.sha256")]
    yield from (path for path in candidates if path.is_file())


def _list_pin(path: Path, project: Project) -> DataPin:
    place = shown_path(path, project.root)
    pin = DataPin("sha256_manifest", place)
    listed = read_sha256_list(path, place)
    for name, (_, line) in listed.items():
        project.file(str(path.parent / name), Location(place, line))  # a list must not have other files read
    targets = {name: path.parent / name for name in listed}
    for (name, (digest, line)), actual in zip(listed.items(), files_sha256(list(targets.values())), strict=True):
        pin.covered.add(targets[name])
        if actual is None:
            pin.mismatches.append(Finding("is listed, but cannot be read here", place, line, name))
        elif actual != digest:
            pin.mismatches.append(Finding("has another SHA-256 than listed", place, line, name))
    pin.mutable += [one for one in [why_not_committed(project, path)] if one is not None]
    return pin


def _column_pin(dataset: Dataset, project: Project, attribute: str) -> DataPin | None:
    if attribute not in dataset.attribute_names:
        return None
    samples = [dataset.sample(index) for index in range(len(dataset))]
    stated = [(one, str(one.attributes.get(attribute) or "")) for one in samples]
    usable = [(one, digest.lower()) for one, digest in stated if is_sha256(digest)]
    pin = DataPin("sha256_manifest", f"column {attribute}", {one.path for one, _ in usable})
    for (one, digest), actual in zip(usable, files_sha256([one.path for one, _ in usable]), strict=True):
        if actual != digest:
            text = "cannot be read" if actual is None else f"has another SHA-256 than its column {attribute} states"
            pin.mismatches.append(Finding(text, shown_path(one.path, project.root)))
    tables = [path for path in sorted(dataset.root.glob("*.csv")) if attribute in _columns(path)]
    if not tables:
        pin.mutable.append(Finding(f"no table in the data set's folder has the column {attribute}", str(dataset.root)))
    pin.mutable += [why for path in tables if (why := why_not_committed(project, path)) is not None]
    return pin


def _columns(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return [column.strip() for column in next(csv.reader(stream), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
