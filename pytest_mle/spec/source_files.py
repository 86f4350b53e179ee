"""Reading the files a spec consists of: bounded, as UTF-8, with their digest and the name that errors show."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import CollectedSpecError, Location, SpecError
from pytest_mle.yaml_with_lines import read_yaml

if TYPE_CHECKING:
    from os import stat_result

MAX_BYTES = 16 * 1024 * 1024
PACKAGE = Path(__file__).resolve().parent.parent
CHECKLISTS = Path(__file__).resolve().parent / "checklists"


def display_path(path: Path) -> str:
    """Return a path as errors show it: relative to the current folder when below it, bundled ones from the package."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  symbolic links keep the name the user gave them
    for parent in (PACKAGE, Path.cwd()):
        if absolute.is_relative_to(parent):
            return absolute.relative_to(PACKAGE.parent if parent == PACKAGE else parent).as_posix()
    return absolute.as_posix()


class SourceFiles:
    """The files read so far, with their SHA-256 by shown path."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}

    def read(self, path: Path, mentioned_at: Location | None = None) -> Any:
        """Read a YAML file.

        Parameters
        ----------
        path
            The file.
        mentioned_at
            Where another file names it; errors about the file as a whole stand there.

        Raises
        ------
        SpecError
            If it cannot be read, is too large, or is no UTF-8 or no YAML.
        """
        shown = display_path(path)
        content = _bytes_of(path, shown, mentioned_at)
        self.digests[shown] = hashlib.sha256(content).hexdigest()
        return read_yaml(_decode(content, shown), shown)


def _bytes_of(path: Path, shown: str, mentioned_at: Location | None) -> bytes:
    location = mentioned_at or Location(shown)
    name = f"{shown} " if mentioned_at else ""
    try:
        status = path.stat()
        if not path.is_file():
            raise SpecError(f"{name or 'this '}is {_what_else(path)}, not a file", location)
        _refuse_large(status, name, location)
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpecError(f"{name or 'the file '}does not exist", location) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(f"{name or 'the file '}cannot be read: {reason}", location) from error
    if len(content) > MAX_BYTES:
        raise SpecError(f"{name or 'the file '}is larger than {MAX_BYTES >> 20} MiB", location)
    return content


def _refuse_large(status: stat_result, name: str, location: Location) -> None:
    if status.st_size > MAX_BYTES:
        raise SpecError(
            f"{name or 'the file '}is {status.st_size / 1e6:.0f} MB; a spec file may have {MAX_BYTES >> 20} MiB. "
            "Move data into inputs, or split the spec with extends",
            location,
        )


def _what_else(path: Path) -> str:
    return "a folder" if path.is_dir() else "a device or pipe"


def _decode(content: bytes, shown: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CollectedSpecError(
            [
                SpecError(
                    f"not UTF-8: the byte 0x{content[error.start]:02x} cannot be decoded. Save the file as UTF-8",
                    Location(shown, line),
                )
            ]
        ) from error
