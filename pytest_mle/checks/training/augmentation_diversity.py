"""What a project's augmentation does to its images, in numbers and on a contact sheet for a person."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.data.perceptual_hash import FLAT_BELOW, perceptual_hashes, thumbnail
from pytest_mle.checks.declaration import check
from pytest_mle.errors import InputError, InputNotDeclaredError
from pytest_mle.inputs.images import import_cv2
from pytest_mle.inputs.models.factory import project_function, project_sources
from pytest_mle.records.figure import Figure
from pytest_mle.records.finding import Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import Proportion, Resampled, estimate, exact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.project import Project
    from pytest_mle.records.quantity import Quantity

FEWEST_SAMPLES = 20
_DRAWS = 2
_REPEATED_CALLS = 3
_RESAMPLES = 1000
_TILE = 64
_SAMPLES_PER_ROW = 4
_JPEG_QUALITY = 90

QUANTITIES = {
    "samples": exact("{sample}", "higher", "Images that were augmented, twice each."),
    "identical_augmentations": estimate("1", "lower", "Share of augmented images that equal their original."),
    "repeated_augmentations": estimate("1", "lower", "Share of images whose two augmentations are equal."),
    "flat_augmentations": estimate("1", "lower", "Share of augmentations of nearly one colour, whose original is not."),
    "mean_phash_distance": estimate("bit", "higher", "Mean distance of perceptual hashes, augmented against original."),
    "mean_draw_distance": estimate("bit", "higher", "Mean distance of perceptual hashes of two augmentations."),
    "mean_pixel_difference": estimate(
        "1", "higher", "Mean difference of pixels, augmented against original, at 32 x 32 and as a share of 255."
    ),
    "contact_sheets": exact("{image}", "higher", "Contact sheets that were drawn."),
}


@check(quantities=QUANTITIES)
def augmentation_diversity(
    dataset: Dataset,
    project: Project,
    rng: np.random.Generator,
    *,
    augmentation: str | None = None,
    n_samples: int = 64,
) -> Measurement:
    """Call the project's augmentation on random images, measure how much it changes, and draw a contact sheet.

    The numbers find an augmentation that is switched off, that has no chance in it or that destroys images. Whether
    what it makes can happen on the road is for a person to say, who looks at the sheet and states its SHA-256
    (``contact_sheet_sha256`` of ``settings``). The sheet shows each image with two augmentations beside it. Another
    version of OpenCV may write other bytes for the same pixels, and then wants another signature.

    Parameters
    ----------
    dataset
        The training set; bind it with ``using``.
    project
        Where the augmentation is imported from.
    rng
        Chooses the images and gives each call a generator of its own.
    augmentation
        ``module:function``, importable from the spec's folder or installed, like the ``factory`` of a model. It is
        called as ``function(image, rng)`` with an RGB image ``(height, width, 3)`` uint8 and a
        ``numpy.random.Generator``, and returns an image of that kind, of any size. It must take its chance from
        ``rng``: the validity condition ``reproducible``.
    n_samples
        Images to augment; all of a smaller data set. Fewer than 20 show nothing: the condition ``enough_samples``.

    Raises
    ------
    InputNotDeclaredError
        No ``augmentation`` is named.
    InputError
        There is no such function, or what it returns is no image; its own exceptions pass through.
    ValueError
        ``n_samples`` is below 1.
    """
    if augmentation is None:
        raise InputNotDeclaredError("no augmentation is named: give it as `with: {augmentation: module:function}`")
    if n_samples < 1:
        raise ValueError(f"n_samples must be at least 1, got {n_samples}")
    indices = np.sort(rng.choice(len(dataset), min(n_samples, len(dataset)), replace=False)).tolist()
    originals = [dataset.image(index) for index in indices]
    with project_function(augmentation, project.root, "augmentation") as (module, function):
        seeds = rng.integers(0, 2**63, (len(originals), _DRAWS)).tolist()
        draws = [
            [_augmented(function, augmentation, image, seed) for seed in both]
            for image, both in zip(originals, seeds, strict=True)
        ]
        again = [
            _augmented(function, augmentation, image, both[0])
            for image, both in zip(originals[:_REPEATED_CALLS], seeds, strict=False)
        ]
    is_reproducible = all(_is_equal(one, first[0]) for one, first in zip(again, draws, strict=False))
    names = [dataset.sample(index).id for index in indices]
    identical = [_is_equal(image, both[0]) for image, both in zip(originals, draws, strict=True)]
    sheet = contact_sheet([[image, *both] for image, both in zip(originals, draws, strict=True)])
    unchanged = [
        Finding("the augmented image equals its original", subject=name)
        for name, is_same in zip(names, identical, strict=True)
        if is_same
    ]
    return Measurement(
        quantities=_quantities(originals, draws, identical, rng) if originals else {},
        findings=(Findings.collect("identical_augmentations", unchanged),) if unchanged else (),
        validity=(
            ValidityCondition(
                "enough_samples",
                len(originals) >= FEWEST_SAMPLES,
                f"{len(originals)} images, needed are {FEWEST_SAMPLES}",
            ),
            ValidityCondition(
                "reproducible",
                is_reproducible,
                "" if is_reproducible else f"{augmentation} gives two images for one seed: its chance is not from rng",
            ),
        ),
        figures=(_figure(sheet, len(originals)),) if sheet else (),
        settings={
            "augmentation": augmentation,
            "augmentation_sha256": _digest([path.read_bytes() for path in project_sources(module, project.root)]),
            "contact_sheet_sha256": _digest([sheet]) if sheet else None,
            "samples": names,
        },
    )


def contact_sheet(rows: Sequence[Sequence[NDArray[np.uint8]]]) -> bytes:
    """Return a JPEG file with the images of each sample side by side, four samples a row; empty without samples."""
    if not rows:
        return b""
    cv2 = import_cv2()
    strips = [np.concatenate([_tile(image) for image in row], axis=1) for row in rows]
    blank = np.full_like(strips[0], 255)
    strips += [blank] * (-len(strips) % _SAMPLES_PER_ROW)
    lines = [
        np.concatenate(strips[start : start + _SAMPLES_PER_ROW], axis=1)
        for start in range(0, len(strips), _SAMPLES_PER_ROW)
    ]
    bgr = cv2.cvtColor(np.concatenate(lines), cv2.COLOR_RGB2BGR)
    encoded: bytes = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
    return encoded


def _tile(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fit an image into a white square with a margin of one pixel."""
    cv2 = import_cv2()
    inner = _TILE - 2
    height, width = image.shape[:2]
    scale = inner / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    tile = np.full((_TILE, _TILE, 3), 255, np.uint8)
    top, left = (_TILE - size[1]) // 2, (_TILE - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    return tile


def _augmented(function: Callable[..., Any], name: str, image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    # A copy, because many augmentations write into what they are given.
    made = function(image.copy(), np.random.default_rng(seed))
    if not isinstance(made, np.ndarray):
        raise InputError(f"augmentation {name!r} returned {type(made).__name__}, expected an array (height, width, 3)")
    if made.dtype != np.uint8 or made.ndim != 3 or made.shape[2] != 3 or not made.size:
        raise InputError(
            f"augmentation {name!r} returned {made.dtype} of shape {made.shape}, expected uint8 (height, width, 3)"
        )
    # One that returns its own buffer would change under our hands.
    return made.copy()


def _quantities(
    originals: Sequence[NDArray[np.uint8]],
    draws: Sequence[Sequence[NDArray[np.uint8]]],
    identical: Sequence[bool],
    rng: np.random.Generator,
) -> dict[str, Quantity | float]:
    count = len(originals)
    first, second = [both[0] for both in draws], [both[1] for both in draws]
    colours = [_colour_thumbnails(images) for images in (originals, first)]
    greys = [np.stack([_grey_thumbnail(image) for image in images]) for images in (originals, first, second)]
    hashes = [perceptual_hashes(one).hashes for one in greys]
    is_flat = [one.std(axis=(1, 2)) < FLAT_BELOW for one in greys[:2]]
    repeated = sum(_is_equal(one, other) for one, other in zip(first, second, strict=True))
    return {
        "samples": count,
        "identical_augmentations": Proportion(sum(identical), count),
        "repeated_augmentations": Proportion(repeated, count),
        "flat_augmentations": Proportion(int((is_flat[1] & ~is_flat[0]).sum()), count),
        "mean_phash_distance": _mean(_bits(hashes[0], hashes[1]), rng),
        "mean_draw_distance": _mean(_bits(hashes[1], hashes[2]), rng),
        "mean_pixel_difference": _mean(np.abs(colours[1] - colours[0]).mean(axis=(1, 2, 3)) / 255, rng),
        "contact_sheets": 1,
    }


def _mean(values: NDArray[np.float64], rng: np.random.Generator) -> Quantity:
    resamples = values[rng.integers(0, len(values), (_RESAMPLES, len(values)))].mean(axis=1)
    return Resampled(float(values.mean()), resamples, len(values), "images")


def _bits(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.float64]:
    differing = np.unpackbits((first ^ second).view(np.uint8).reshape(len(first), 8), axis=1)
    return np.asarray(differing.sum(axis=1), dtype=np.float64)


def _grey_thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    cv2 = import_cv2()
    return thumbnail(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _colour_thumbnails(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    cv2 = import_cv2()
    small = [np.asarray(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA), np.float64) for image in images]
    return np.stack(small)


def _is_equal(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> bool:
    return first.shape == second.shape and bool((first == second).all())


def _digest(parts: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _figure(sheet: bytes, count: int) -> Figure:
    embedded = f"data:image/jpeg;base64,{base64.b64encode(sheet).decode()}"
    return Figure(
        "image_grid",
        "Contact sheet: each image with two augmentations",
        labels=(f"{count} images, sha256 {_digest([sheet])}",),
        images=(embedded,),
    )
