"""Where a model's files may lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.errors import InputError
from pytest_mle.inputs.trusted_path import resolve_trusted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_mle.errors import Location


def model_file(
    path: str, root: Path, *, location: Location | None, allowed_roots: Sequence[Path], what: str = "model file"
) -> Path:
    """Return an existing file below ``root`` or an allowed folder, with links followed.

    Raises
    ------
    TrustError
        If it lies outside: whoever wrote the spec may not choose files of the whole machine.
    InputError
        If there is no such file.
    """
    found = resolve_trusted(path, root, allowed_roots=allowed_roots, location=location)
    if found.is_dir():
        raise InputError(f"{what} {path!r} is a folder", location)
    if not found.is_file():
        raise InputError(f"{what} {path!r} does not exist. Create it, or correct the path", location)
    return found
