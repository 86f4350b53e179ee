"""List the files below a folder in a fixed order, without leaving the folders that may be read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_mle.errors import InputError, Location
from pytest_mle.inputs.trusted_path import resolve_trusted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path


def list_files(folder: Path, extensions: Collection[str], allowed_roots: tuple[Path, ...]) -> list[str]:
    """Return the files with one of the extensions (lower case), relative to ``folder``, POSIX style, sorted.

    Recursive; extensions are compared without case; names that begin with a dot are left out, as file managers put
    their own files there. Raises :class:`~pytest_mle.errors.TrustError` for a symbolic link that leads outside.
    """
    prefix = len(str(folder)) + 1
    paths = (path for path in _walk(str(folder), allowed_roots, frozenset({folder})) if _suffix(path) in extensions)
    return sorted(path[prefix:].replace(os.sep, "/") for path in paths)


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()  # noqa: PTH122  a path object a file costs more than the walk


def _walk(folder: str, allowed_roots: tuple[Path, ...], above: frozenset[Path]) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise InputError(f"cannot list the folder: {error.strerror or error}", Location(folder)) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        inside = above
        if entry.is_symlink():
            target = resolve_trusted(entry.path, allowed_roots[0], allowed_roots=allowed_roots, location=None)
            if target in above:
                continue  # a link to a folder above it would be walked for ever
            inside = above | {target}
        if entry.is_dir():
            yield from _walk(entry.path, allowed_roots, inside)
        else:
            yield entry.path
