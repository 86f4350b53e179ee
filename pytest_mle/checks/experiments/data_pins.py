"""What pins the contents of a data set: the files that it covers, and what differs from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_mle.inputs.trusted_path import shown_path
from pytest_mle.records.finding import Finding

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_mle.inputs.project import Project


@dataclass(slots=True)
class DataPin:
    """One way in which a data set's version is recorded.

    ``covered`` are the files whose content it states, ``mismatches`` those whose content is another; ``mutable`` says
    why it could point elsewhere tomorrow; ``not_checked_out`` are files that are here only as a pointer.
    """

    backend: str
    place: str
    covered: set[Path] = field(default_factory=set)
    mismatches: list[Finding] = field(default_factory=list)
    mutable: list[Finding] = field(default_factory=list)
    not_checked_out: list[Finding] = field(default_factory=list)


def why_not_committed(project: Project, path: Path) -> Finding | None:
    """Return why a file that pins data is pinned by no commit itself; None if it is."""
    shown = shown_path(path, project.root)
    repository = project.repository_of(path.parent)
    if repository is None:
        return Finding("is in no git repository, so it can be changed without a trace", shown)
    committed = list(repository.committed_files(path).values())
    if not committed:
        return Finding("is not committed, so it can be changed without a trace", shown)
    if not is_git_content(path, committed[0]):
        return Finding("differs from what is committed", shown)
    return None


def is_git_content(path: Path, name: str) -> bool:
    """Say whether a file's content has this name in git (line ends as git converts them count as equal)."""
    data = path.read_bytes()
    return name == git_name(data, len(name)) or name == git_name(data.replace(b"\r\n", b"\n"), len(name))


def git_name(data: bytes, length: int) -> str:
    """Return git's name of a content: SHA-1, or SHA-256 where names have 64 digits."""
    algorithm = hashlib.sha256 if length == 64 else hashlib.sha1
    return algorithm(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
