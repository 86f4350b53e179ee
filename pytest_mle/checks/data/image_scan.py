"""Look at every image file once: read, digest, structure, decode, perceptual hash. Damage is a result, not an error."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.data.perceptual_hash import perceptual_hashes, thumbnail
from pytest_mle.errors import InputError, Location, MissingExtraError
from pytest_mle.inputs.image_header import SUFFIXES, image_format
from pytest_mle.inputs.images import checked_header, decode_small_grey
from pytest_mle.records.progress import Progress, no_progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_CHUNK = 64
# Threads help where decoding, which frees the interpreter lock, outweighs the Python around it.
_BYTES_WORTH_A_THREAD = 32_768
_MAX_THREADS = 8


@dataclasses.dataclass(frozen=True, slots=True)
class ImageScan:
    """What one image file is.

    ``defect`` says why it is unusable, or is None; ``is_empty`` that it has no bytes; ``wrong_suffix`` what it
    really is where its name says otherwise. ``perceptual_hash`` and ``mirrored_hash`` are None for unusable and for
    flat images.
    """

    byte_count: int = 0
    sha256: str | None = None
    width: int = 0
    height: int = 0
    defect: str | None = None
    wrong_suffix: str | None = None
    is_flat: bool = False
    perceptual_hash: int | None = None
    mirrored_hash: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the file was read and has no bytes."""
        return self.sha256 is not None and self.byte_count == 0


def scan_images(paths: Sequence[Path], progress: Progress = no_progress) -> list[ImageScan]:
    """Scan image files in the order given.

    Raises :class:`~pytest_mle.errors.MissingExtraError` if there is no decoder; nothing else.
    """
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    scans: list[ImageScan] = []
    with ThreadPoolExecutor(_thread_count(paths)) as pool:
        for chunk in pool.map(_scan_chunk, chunks):
            scans += chunk
            progress(len(scans), len(paths))
    return scans


def _thread_count(paths: Sequence[Path]) -> int:
    sizes = [path.stat().st_size for path in paths[:: max(1, len(paths) // 20)] if path.is_file()]
    is_worth_it = bool(sizes) and float(np.median(sizes)) >= _BYTES_WORTH_A_THREAD
    return min(_MAX_THREADS, os.cpu_count() or 1) if is_worth_it else 1


def _scan_chunk(paths: Sequence[Path]) -> list[ImageScan]:
    scanned = [_scan(path) for path in paths]
    usable = [number for number, (_, small) in enumerate(scanned) if small is not None]
    scans = [scan for scan, _ in scanned]
    if usable:
        hashed = perceptual_hashes(np.stack([small for _, small in scanned if small is not None]))
        for row, number in enumerate(usable):
            if hashed.is_flat[row]:
                scans[number] = dataclasses.replace(scans[number], is_flat=True)
            else:
                plain, mirrored = int(hashed.hashes[row]), int(hashed.mirrored[row])
                scans[number] = dataclasses.replace(scans[number], perceptual_hash=plain, mirrored_hash=mirrored)
    return scans


def _scan(path: Path) -> tuple[ImageScan, NDArray[np.float32] | None]:
    try:
        data = path.read_bytes()
    except OSError as error:
        return ImageScan(defect=f"cannot be read: {error.strerror or error}"), None
    sha256 = hashlib.sha256(data).hexdigest()
    if not data:
        return ImageScan(0, sha256, defect="the file has no bytes"), None
    place = Location(path.name)
    try:
        header = checked_header(data, place)
        small = thumbnail(decode_small_grey(data, path.name))
    except MissingExtraError:
        raise
    except InputError as error:
        return ImageScan(len(data), sha256, defect=error.message, wrong_suffix=_wrong_suffix(data, path)), None
    return ImageScan(len(data), sha256, header.width, header.height, wrong_suffix=_wrong_suffix(data, path)), small


def _wrong_suffix(data: bytes, path: Path) -> str | None:
    found = image_format(data)
    suffix = path.suffix.lower()
    if found is None or suffix in SUFFIXES[found]:
        return None
    return f"is a {found} file, but is called {path.suffix or 'without suffix'}"
