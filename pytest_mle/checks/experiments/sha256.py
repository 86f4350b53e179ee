"""SHA-256 of files, and lists of them as ``sha256sum`` writes them."""

from __future__ import annotations

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pytest_mle.errors import InputError, Location

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_HEX = re.compile(r"[0-9a-fA-F]{64}")
# GNU, `*` for binary, a backslash in front of escaped names; and BSD.
_GNU = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)")
_BSD = re.compile(r"SHA256 \((.+)\) = ([0-9a-fA-F]{64})")


def is_sha256(value: object) -> bool:
    """Say whether a value is a SHA-256 as 64 hexadecimal digits."""
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256; raises :class:`OSError` if it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_sha256(paths: Sequence[Path]) -> list[str | None]:
    """Return the SHA-256 of each file, None for one that cannot be read."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(_sha256_or_none, paths))


def _sha256_or_none(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def read_sha256_list(path: Path, shown: str) -> dict[str, tuple[str, int]]:
    """Return a list's SHA-256 and line by file name as it stands there.

    Raises :class:`~pytest_mle.errors.InputError` with the line for one that is neither empty, a comment (``#``) nor in
    the format of ``sha256sum`` (GNU or BSD), and for a name that stands there with two values.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the list of SHA-256: {error}", Location(shown)) from error
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        gnu, bsd = _GNU.fullmatch(line.rstrip()), _BSD.fullmatch(line.rstrip())
        if gnu is not None:
            name, digest = _unescaped(gnu[3]) if gnu[1] else gnu[3], gnu[2]
        elif bsd is not None:
            name, digest = bsd[1], bsd[2]
        else:
            message = "this is no line of sha256sum: 64 hexadecimal digits, two blanks and a file name"
            raise InputError(message, Location(shown, number))
        name = name.removeprefix("./")
        if name in found and found[name][0] != digest.lower():
            raise InputError(f"{name} has another SHA-256 in line {found[name][1]}", Location(shown, number))
        found[name] = digest.lower(), number
    return found


def _unescaped(name: str) -> str:
    return re.sub(r"\\([\\nr])", lambda match: {"n": "\n", "r": "\r"}.get(match[1], match[1]), name)
