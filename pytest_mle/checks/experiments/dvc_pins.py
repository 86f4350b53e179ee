"""Data versions by DVC: ``.dvc`` files and ``dvc.lock`` with MD5 of files and folders.

The formats are those of DVC 3 (https://dvc.org/doc/user-guide/project-structure) and of DVC 2, whose MD5 of text files
leaves out carriage returns. A folder's MD5 is that of the list of its files as JSON.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pytest_mle.checks.experiments.data_pins import DataPin, why_not_committed
from pytest_mle.errors import CollectedSpecError, InputError
from pytest_mle.inputs.trusted_path import is_below, shown_path
from pytest_mle.records.finding import Finding
from pytest_mle.yaml_with_lines import plain, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mle.inputs.project import Project

_OWN_NAMES = frozenset({".git", ".hg", ".dvc"})
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_CHUNK = 1 << 20


def dvc_pins(folder: Path, project: Project) -> list[DataPin]:
    """Return what DVC says of the files in a folder, or of a folder around it.

    Raises :class:`~pytest_mle.errors.InputError` for a ``.dvc`` file or ``dvc.lock`` that cannot be read.
    """
    return [
        _pin(output, project)
        for source in _sources(folder, project)
        for output in _outputs(source, project)
        if output.path.is_relative_to(folder) or _is_around(folder, output.path, project)
    ]


def _is_around(folder: Path, path: Path, project: Project) -> bool:
    """Say whether a folder lies in what DVC keeps; a DVC file must not have the whole disk read."""
    return folder.is_relative_to(path) and is_below(path, (project.root, *project.allowed_roots))


@dataclass(frozen=True, slots=True)
class _Output:
    """An entry of ``outs``: what DVC keeps, and its MD5."""

    source: Path
    path: Path
    md5: str | None
    is_legacy: bool
    listed: tuple[tuple[str, str], ...] | None = None
    why_mutable: str | None = None


def _sources(folder: Path, project: Project) -> Iterator[Path]:
    """Yield the DVC files of the folders above, as far as they may be read, and of all folders below."""
    above = [one for one in folder.parents if is_below(one, (project.root, *project.allowed_roots))]
    for one in above:
        yield from sorted(path for path in one.glob("*.dvc") if path.is_file())
        yield from (path for path in (one / "dvc.lock",) if path.is_file())
    yield from sorted(path for path in folder.rglob("*.dvc") if path.is_file())
    yield from sorted(path for path in folder.rglob("dvc.lock") if path.is_file())


def _outputs(source: Path, project: Project) -> Iterator[_Output]:
    document = _read(source, project)
    stages = document.get("stages")
    entries = list(stages.values()) if isinstance(stages, dict) else [document]
    for stage in (one for one in entries if isinstance(one, dict)):
        base = source.parent / str(stage.get("wdir") or ".")
        for entry in (one for one in stage.get("outs") or () if isinstance(one, dict) and one.get("path")):
            yield _Output(
                source=source,
                path=Path(os.path.normpath(base / str(entry["path"]))),
                md5=entry.get("md5") if isinstance(entry.get("md5"), str) else None,
                is_legacy=entry.get("hash") is None and not entry.get("files"),
                listed=_listed(entry.get("files")),
                why_mutable=_why_mutable(stage),
            )


def _read(source: Path, project: Project) -> dict[str, Any]:
    shown = shown_path(source, project.root)
    try:
        document = plain(read_yaml(source.read_text(encoding="utf-8"), shown))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the DVC file {shown}: {error}") from error
    except CollectedSpecError as error:
        first = error.errors[0]
        raise InputError(first.message, first.location) from error
    return document if isinstance(document, dict) else {}


def _listed(files: Any) -> tuple[tuple[str, str], ...] | None:
    """Return the files of an output that DVC lists in the file itself (version-aware remotes)."""
    if not isinstance(files, list):
        return None
    return tuple((str(one.get("relpath")), str(one.get("md5"))) for one in files if isinstance(one, dict))


def _why_mutable(stage: dict[str, Any]) -> str | None:
    """Return why an imported output follows something that moves."""
    for dependency in stage.get("deps") or ():
        source = dependency.get("repo") if isinstance(dependency, dict) else None
        if isinstance(source, dict) and not source.get("rev_lock"):
            return f"is imported from {source.get('url')} without rev_lock"
    return None


def _pin(output: _Output, project: Project) -> DataPin:
    place = shown_path(output.source, project.root)
    shown = shown_path(output.path, project.root)
    pin = DataPin("dvc", place)
    pin.mutable += [one for one in [why_not_committed(project, output.source)] if one is not None]
    if output.why_mutable is not None:
        pin.mutable.append(Finding(output.why_mutable, place, subject=shown))
    if output.md5 is None and output.listed is None:
        pin.mutable.append(Finding("has no MD5: run `dvc commit` or `dvc repro`", place, subject=shown))
    elif not output.path.exists():
        pin.mismatches.append(Finding("is not here: run `dvc pull`", shown))
    elif output.path.is_dir():
        _compare_folder(output, pin, project)
    else:
        pin.covered.add(output.path)
        actual = file_md5(output.path, is_legacy=output.is_legacy)
        if actual != output.md5:
            pin.mismatches.append(Finding(f"its MD5 is {actual}, {place} has {output.md5}", shown))
    return pin


def _compare_folder(output: _Output, pin: DataPin, project: Project) -> None:
    root = _dvc_root(output.path)
    names = sorted(_files(output.path, _ignored_patterns(root)))
    paths = [output.path / name for name in names]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        actual = dict(zip(names, pool.map(lambda one: file_md5(one, is_legacy=output.is_legacy), paths), strict=True))
    expected = dict(output.listed) if output.listed is not None else _cached_list(output, root)
    pin.covered |= set(paths)
    shown = shown_path(output.path, project.root)
    if expected is not None:
        pin.covered = {output.path / name for name in actual if name in expected}
        for name in sorted({*expected, *actual}):
            if expected.get(name) != actual.get(name):
                said = (
                    "is not in"
                    if name not in expected
                    else "is not here, but in"
                    if name not in actual
                    else "differs from"
                )
                pin.mismatches.append(Finding(f"{said} the version of {pin.place}", f"{shown}/{name}"))
    elif folder_md5(actual) != output.md5:
        text = f"the MD5 of its {len(actual)} files is {folder_md5(actual)}, {pin.place} has {output.md5}"
        pin.mismatches.append(Finding(f"{text}. `dvc status` or `dvc diff` names the files", shown))


def folder_md5(files: dict[str, str]) -> str:
    """Return DVC's MD5 of a folder from those of its files by name relative to it."""
    listed = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def file_md5(path: Path, *, is_legacy: bool) -> str:
    """Return DVC's MD5 of a file; DVC 2 (``is_legacy``) leaves the carriage returns of text files out."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk.replace(b"\r\n", b"\n") if is_legacy and _is_text(chunk[:512]) else chunk)
    return digest.hexdigest()


def _is_text(block: bytes) -> bool:
    return b"\0" not in block and len(block.translate(None, _TEXT)) / len(block) <= 0.30


def _files(folder: Path, patterns: list[tuple[Path, str]]) -> Iterator[str]:
    for base, folders, files in os.walk(folder):
        here = Path(base)
        folders[:] = [one for one in folders if one not in _OWN_NAMES and not _is_ignored(here / one, patterns)]
        for name in files:
            if name not in _OWN_NAMES and not _is_ignored(here / name, patterns):
                yield (here / name).relative_to(folder).as_posix()


def _dvc_root(path: Path) -> Path | None:
    return next((one for one in path.parents if (one / ".dvc").is_dir()), None)


def _ignored_patterns(root: Path | None) -> list[tuple[Path, str]]:
    """Return the patterns of the project's ``.dvcignore``; negated ones are not known here."""
    path = None if root is None else root / ".dvcignore"
    if path is None or root is None or not path.is_file():
        return []
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return [(root, line.rstrip("/")) for line in lines if line and not line.startswith(("#", "!"))]


def _is_ignored(path: Path, patterns: list[tuple[Path, str]]) -> bool:
    for root, pattern in patterns:
        if "/" not in pattern:
            if fnmatch.fnmatchcase(path.name, pattern):
                return True
        elif PurePosixPath(path.relative_to(root).as_posix()).match(pattern.lstrip("/")):
            return True
    return False


def _cached_list(output: _Output, root: Path | None) -> dict[str, str] | None:
    """Return the files of a folder's version from DVC's cache, if the list is there and is the one."""
    if root is None or output.md5 is None:
        return None
    name = output.md5
    folder = root / ".dvc" / "cache"
    for path in (folder / "files" / "md5" / name[:2] / name[2:], folder / name[:2] / name[2:]):
        try:
            data = path.read_bytes()
            if hashlib.md5(data, usedforsecurity=False).hexdigest() + ".dir" == name:
                return {str(one["relpath"]): str(one["md5"]) for one in json.loads(data)}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
