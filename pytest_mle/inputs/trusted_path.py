"""Where inputs may lie: below the spec's folder, or below a folder that the invoker has granted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.errors import Location, TrustError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def resolve_trusted(path: str | Path, root: Path, *, allowed_roots: Iterable[Path], location: Location | None) -> Path:
    """Resolve a path (relative ones against ``root``), symbolic links included.

    Raises :class:`~pytest_mle.errors.TrustError` if it leaves ``root`` and every allowed root; the file need not exist.
    """
    resolved = (root / path).resolve()
    if not is_below(resolved, (root, *allowed_roots)):
        raise TrustError(
            f"{path} leads to {resolved}, outside the spec's folder {root}. "
            f"Allow it with --mle-data-root={resolved if resolved.is_dir() else resolved.parent}",
            location,
        )
    return resolved


def is_below(resolved: Path, roots: Iterable[Path]) -> bool:
    """Say whether a resolved path is one of the roots or lies below one."""
    return any(resolved.is_relative_to(root.resolve()) for root in roots)


def shown_path(path: Path, root: Path) -> str:
    """Return the path as users see it: relative to the spec's folder where it lies below it, POSIX style."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
