"""What every folder format shares when it is opened: options, folder, class names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from pytest_mle.errors import InputError, Location
from pytest_mle.inputs.trusted_path import is_below, resolve_trusted, shown_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_MAX_CLASS_FILE_BYTES = 1 << 20
# Every scalar as text: a class may be called `no`, `on` or `1e3`.
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


@dataclass(frozen=True, slots=True)
class Declaration:
    """An entry of ``inputs.datasets`` with the folders it may read."""

    name: str
    options: Mapping[str, Any]
    root: Path
    location: Location | None
    allowed_roots: tuple[Path, ...]

    def error(self, message: str) -> InputError:
        """Make an error that blames the entry in the spec."""
        return InputError(f"data set {self.name}: {message}", self.location)

    def resolve(self, path: str | Path) -> Path:
        """Resolve a path against the spec's folder; errors as in :func:`resolve_trusted`."""
        return resolve_trusted(path, self.root, allowed_roots=self.allowed_roots, location=self.location)

    def shown(self, path: Path) -> str:
        """Return a path as users see it."""
        return shown_path(path, self.root)

    def folder(self) -> Path:
        """Return the data set's folder, which must exist."""
        path = self.resolve(self.options["path"])
        if not path.is_dir():
            what = "is not a folder" if path.exists() else "does not exist"
            raise self.error(f"{self.shown(path)} {what}")
        return path

    def file(self, option: str, folder: Path) -> Path | None:
        """Return the file that an option names; None if the option is absent."""
        declared = self.options.get(option)
        if declared is None:
            return None
        if not isinstance(declared, str):
            raise self.error(f"{option!r} must name a file, got {declared!r}")
        path = self.resolve(declared)
        if not path.is_file():
            nearby = folder / declared
            hint = f" Paths start at the spec's folder: write {self.shown(nearby)}" if nearby.is_file() else ""
            raise self.error(f"{option} {self.shown(path)} does not exist.{hint}")
        return path

    def texts(self, option: str) -> tuple[str, ...] | None:
        """Return a list of texts; None if the option is absent."""
        declared = self.options.get(option)
        if declared is None:
            return None
        if not isinstance(declared, (list, tuple)) or not declared or not all(isinstance(x, str) for x in declared):
            raise self.error(f"{option!r} must be a list of names, got {declared!r}")
        return tuple(declared)

    def extensions(self) -> frozenset[str]:
        """Return the extensions of images, lower case with their dot."""
        declared = self.texts("extensions") or IMAGE_EXTENSIONS
        return frozenset("." + extension.lower().lstrip(".") for extension in declared)

    def class_names(self, folder: Path) -> tuple[str, ...] | None:
        """Return the classes from the option ``classes``, or from ``data.yaml`` in the folder or one above it.

        None if neither is there. Only folders that may be read are looked at.
        """
        names = self.texts("classes")
        if names is None:
            for parent in (folder, *folder.parents[:2]):
                file = parent / "data.yaml"
                if is_below(file.resolve(), self.allowed_roots) and file.is_file():
                    names = _read_class_names(file, Location(self.shown(file)))
                    break
        if names is not None and len(set(names)) != len(names):
            raise self.error(f"two classes have the same name: {', '.join(names)}")
        return names


def _read_class_names(file: Path, location: Location) -> tuple[str, ...] | None:
    """Return ``names`` of a data.yaml: a list, or a mapping from 0, 1, ... to names; None if it has none."""
    try:
        if file.stat().st_size > _MAX_CLASS_FILE_BYTES:
            raise InputError(f"the file is larger than {_MAX_CLASS_FILE_BYTES} bytes", location)
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506  it makes only text
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the class names: {error}", location) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        raise InputError("this is not valid YAML", Location(location.path, line)) from error
    names = content.get("names") if isinstance(content, dict) else None
    if names is None:
        return None
    listed = [names.get(str(number)) for number in range(len(names))] if isinstance(names, dict) else names
    if not isinstance(listed, list) or not listed or not all(isinstance(name, str) and name for name in listed):
        raise InputError("'names' must be a list, or a mapping from 0, 1, 2, ... to class names", location)
    count = content.get("nc")
    if count is not None and count != str(len(listed)):
        raise InputError(f"'nc' says {count} classes, but 'names' has {len(listed)}", location)
    return tuple(listed)
