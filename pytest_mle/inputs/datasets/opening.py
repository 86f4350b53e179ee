"""Open a declared data set by its format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mle.errors import InputError, Location, closest
from pytest_mle.inputs.datasets import imagefolder, yolo
from pytest_mle.inputs.datasets.imagefolder import open_imagefolder
from pytest_mle.inputs.datasets.yolo import open_yolo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pytest_mle.inputs.dataset import Dataset

FORMATS: dict[str, Callable[..., Dataset]] = {"yolo": open_yolo, "imagefolder": open_imagefolder}
OPTIONS = {"yolo": yolo.OPTIONS, "imagefolder": imagefolder.OPTIONS}


def open_dataset(
    name: str,
    options: Mapping[str, Any],
    root: Path,
    *,
    location: Location | None = None,
    allowed_roots: Iterable[Path] = (),
) -> Dataset:
    """Open the data set that ``inputs.datasets.<name>`` declares; images and labels are read later.

    Parameters
    ----------
    name
        Its name in the spec.
    options
        ``path`` and ``format`` (``yolo`` or ``imagefolder``), and what the format knows besides.
    root
        The spec's folder: relative paths start here, and nothing outside it is read.
    location
        Where it was declared, for errors.
    allowed_roots
        Further folders that the invoker has granted.

    Raises
    ------
    InputError
        Unknown option or format, no folder, no images, a bad table; with the file and line to blame.
    TrustError
        A path, or a symbolic link below it, leads out of ``root`` and ``allowed_roots``.
    """
    check_options(name, options, location)
    root = root.resolve()
    return FORMATS[options["format"]](name, options, root, location=location, allowed_roots=(root, *allowed_roots))


def check_options(name: str, options: Mapping[str, Any], location: Location | None) -> None:
    """Raise :class:`~pytest_mle.errors.InputError` for an unknown format or option, and for a path that is none."""
    declared = options.get("format")
    if declared not in FORMATS:
        what = "no format" if declared is None else f"unknown format {declared!r}"
        raise InputError(f"data set {name}: {what}. {closest(str(declared), list(FORMATS))}", location)
    for option in options:
        if option not in OPTIONS[declared]:
            message = f"data set {name}: unknown option {option!r}. {closest(str(option), OPTIONS[declared])}"
            raise InputError(message, location)
    if not isinstance(options.get("path"), str):
        raise InputError(f"data set {name}: 'path' must name its folder, got {options.get('path')!r}", location)
