"""Where a model's files may lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.errors import InputError, TrustError

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
    found = (root / path).resolve()
    folders = [folder.resolve() for folder in (root, *allowed_roots)]
    if not any(found.is_relative_to(folder) for folder in folders):
        raise TrustError(
            f"{what} {path!r} lies outside the spec's folder. Allow its folder with --mle-data-root={found.parent}",
            location,
        )
    if found.is_dir():
        raise InputError(f"{what} {path!r} is a folder", location)
    if not found.is_file():
        raise InputError(f"{what} {path!r} does not exist. Create it, or correct the path", location)
    return found
