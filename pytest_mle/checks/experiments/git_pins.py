"""Data versions by git: contents in the commit, and Git LFS pointers to contents outside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_mle.checks.experiments.data_pins import DataPin, is_git_content
from pytest_mle.checks.experiments.sha256 import file_sha256
from pytest_mle.inputs.trusted_path import shown_path
from pytest_mle.records.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_mle.inputs.project import Project

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: at most 1024 bytes, `version` first, keys sorted.
LARGEST_POINTER = 1024
_VERSION = b"version https://git-lfs.github.com/spec/v1\n"
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-\d-\S+ \S+\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)


@dataclass(frozen=True, slots=True)
class LfsPointer:
    """What Git LFS commits in place of a file."""

    sha256: str
    size: int


def read_pointer(data: bytes) -> LfsPointer | None:
    """Return the pointer that a content is; None if it is none."""
    found = _POINTER.fullmatch(data) if len(data) < LARGEST_POINTER else None
    return None if found is None else LfsPointer(found[1].decode(), int(found[2]))


def git_pins(folder: Path, project: Project, backends: Sequence[str]) -> list[DataPin]:
    """Return what the commit that is checked out says of the files in a folder, directly and by Git LFS."""
    repository = project.repository_of(folder)
    if repository is None:
        return []
    head = (repository.head or "")[:12]
    files = repository.committed_files(folder)
    contents = repository.small_contents(files.values(), LARGEST_POINTER)
    plain, lfs = DataPin("git", f"commit {head}"), DataPin("git_lfs", f"commit {head}")
    for name, content in files.items():
        path = repository.root / name
        pointer = read_pointer(contents.get(content, b""))
        pin = plain if pointer is None else lfs
        if pin.backend not in backends:
            continue
        pin.covered.add(path)
        shown = shown_path(path, project.root)
        if not path.is_file():
            pin.mismatches.append(Finding(f"is not here, but in {pin.place}", shown))
        elif pointer is None:
            if not is_git_content(path, content):
                pin.mismatches.append(Finding(f"differs from {pin.place}", shown))
        elif is_pointer_file(path):
            pin.not_checked_out.append(Finding("is only the pointer of Git LFS: run `git lfs pull`", shown))
        elif path.stat().st_size != pointer.size or file_sha256(path) != pointer.sha256:
            pin.mismatches.append(Finding(f"differs from what the Git LFS pointer of {pin.place} names", shown))
    return [pin for pin in (plain, lfs) if pin.covered]


def is_pointer_file(path: Path) -> bool:
    """Say whether a file in the working tree is a pointer that nobody has replaced by its content."""
    with path.open("rb") as stream:
        return stream.read(len(_VERSION)) == _VERSION
