"""What weather, optics, sensor and transmission do to an image: one pure function each.

Every function takes an RGB image ``(height, width, 3)`` of uint8, a random generator and its physical parameters, and
returns an image of the same shape and type; the image that it was given stays as it was. Nothing moves, so that labels
and boxes stay true. Noise is on pixels in 0..1, before the model's mean and std, and clipped afterwards.

The set follows Hendrycks and Dietterich 2019 (Benchmarking neural network robustness to common corruptions), with a
physical parameter in place of five severities, and adds what happens to a camera: dead pixels, a dirty lens.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    Corruption = Callable[..., Image]

CONTRAST_THRESHOLD = 0.05
"""Contrast at which an object is just visible: meteorological optical range (WMO-No. 8, part I, chapter 9)."""

FOG_GREY = 220.0
RAIN_GREY, SNOW_GREY = 200.0, 245.0
OCCLUDER_GREY = 127
DIRT_OPACITY = 0.85


def gaussian_noise(image: Image, rng: np.random.Generator, *, sigma: float = 0.05) -> Image:
    """Add independent normal noise to every value; ``sigma`` on the scale 0..1."""
    _require(0 < sigma <= 1, "sigma", "must be above 0 and at most 1, for pixels in 0..1", sigma)
    noisy = rng.standard_normal(image.shape, dtype=np.float32)
    noisy *= np.float32(255 * sigma)
    noisy += image
    return _rounded(noisy)


def salt_pepper(image: Image, rng: np.random.Generator, *, share: float = 0.01) -> Image:
    """Turn a share of the pixels black or white, others in each image."""
    _require(0 < share <= 1, "share", "must be above 0 and at most 1", share)
    return _with_extreme_pixels(image, rng, share)


def dead_pixels(image: Image, rng: np.random.Generator, *, share: float = 0.001) -> Image:
    """Turn a share of the pixels black or white, the same ones in each image of a size (a defect of the sensor)."""
    _require(0 < share <= 1, "share", "must be above 0 and at most 1", share)
    return _with_extreme_pixels(image, rng, share)


def jpeg(image: Image, rng: np.random.Generator, *, quality: int = 50) -> Image:  # noqa: ARG001  nothing is random
    """Compress and decompress; ``quality`` 1..100 as of the IJG's library, colours at half resolution."""
    _require(1 <= quality <= 100, "quality", "must lie in 1..100", quality)
    cv2 = _cv2()
    written, coded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not written:
        raise InputError(f"an image of {image.shape[1]} x {image.shape[0]} pixels cannot be written as JPEG")
    decoded: Image = cv2.imdecode(coded, cv2.IMREAD_COLOR)[:, :, ::-1]
    return np.ascontiguousarray(decoded)


def motion_blur(
    image: Image,
    rng: np.random.Generator,  # noqa: ARG001  nothing is random
    *,
    length_px: float = 9.0,
    angle_deg: float = 0.0,
) -> Image:
    """Smear along a line: how far the picture moves while the shutter is open, and in which direction.

    ``length_px`` is the speed in the image (px/s) times the exposure; an angle of 0 is along the rows, 90 upward.
    """
    _require(1 < length_px <= 255, "length_px", "must be above 1 and at most 255", length_px)
    return _filtered(image, line_kernel(length_px, angle_deg))


def defocus(image: Image, rng: np.random.Generator, *, radius_px: float = 2.0) -> Image:  # noqa: ARG001  not random
    """Spread every point over a disc: the circle of confusion of a lens that is out of focus."""
    _require(0.5 <= radius_px <= 100, "radius_px", "must lie in 0.5..100", radius_px)
    return _filtered(image, disc_kernel(radius_px))


def brightness(image: Image, rng: np.random.Generator, *, factor: float = 0.5) -> Image:  # noqa: ARG001  not random
    """Multiply every value: below 1 darker, above 1 brighter until it saturates."""
    _require(factor >= 0, "factor", "must be at least 0", factor)
    levels = np.clip(np.rint(np.arange(256) * factor), 0, 255).astype(np.uint8)
    return _looked_up(image, levels)


def contrast(image: Image, rng: np.random.Generator, *, factor: float = 0.5) -> Image:  # noqa: ARG001  not random
    """Multiply the distance of every value from the mean of the image."""
    _require(factor >= 0, "factor", "must be at least 0", factor)
    mean = float(image.mean())
    levels = np.clip(np.rint(mean + factor * (np.arange(256) - mean)), 0, 255).astype(np.uint8)
    return _looked_up(image, levels)


def fog(
    image: Image,
    rng: np.random.Generator,  # noqa: ARG001  nothing is random
    *,
    visibility_m: float = 50.0,
    horizon: float = 0.45,
    nearest_m: float = 5.0,
    farthest_m: float = 150.0,
) -> Image:
    """Veil what is far away: Koschmieder's law on a flat road.

    ``visibility_m`` is the meteorological optical range V, at which 5 % of the contrast is left: light fades as
    ``exp(-3 d / V)`` with the distance d. There is no depth map: d is that of a flat road seen from above,
    ``nearest_m`` at the bottom row and ``farthest_m`` from the row of the ``horizon`` (a share of the height) upward.
    Objects that stand up from the road are veiled as what is behind them.
    """
    _require(visibility_m > 0, "visibility_m", "must be above 0", visibility_m)
    _require(0 <= horizon < 1, "horizon", "must be at least 0 and below 1", horizon)
    _require(0 < nearest_m <= farthest_m, "nearest_m", f"must be above 0 and at most {farthest_m}", nearest_m)
    rows = (np.arange(len(image)) + 0.5) / len(image)
    below = np.maximum(rows - horizon, 1e-9)
    distance = np.minimum(nearest_m * (1 - horizon) / below, farthest_m)
    seen = np.exp(np.log(CONTRAST_THRESHOLD) * distance / visibility_m).astype(np.float32)[:, None, None]
    return _rounded(image * seen + np.float32(FOG_GREY) * (1 - seen))


def rain(
    image: Image,
    rng: np.random.Generator,
    *,
    streaks_per_mpx: float = 1000.0,
    length_px: float = 20.0,
    angle_deg: float = 80.0,
) -> Image:
    """Draw bright streaks: so many in a million pixels, so long (fall in px/s times the exposure), in one direction."""
    _require(streaks_per_mpx > 0, "streaks_per_mpx", "must be above 0", streaks_per_mpx)
    _require(1 < length_px <= 255, "length_px", "must be above 1 and at most 255", length_px)
    drops = _scattered(image, rng, streaks_per_mpx)
    kernel = line_kernel(length_px, angle_deg)
    streaks = _cv2().filter2D(drops, -1, kernel / kernel.max(), borderType=_cv2().BORDER_CONSTANT)
    return _veiled(image, np.minimum(streaks, 1) * np.float32(0.6), RAIN_GREY)


def snow(image: Image, rng: np.random.Generator, *, flakes_per_mpx: float = 1000.0, radius_px: float = 2.0) -> Image:
    """Draw white flakes: so many in a million pixels, of this radius (near ones are larger: up to twice)."""
    _require(flakes_per_mpx > 0, "flakes_per_mpx", "must be above 0", flakes_per_mpx)
    _require(0.5 <= radius_px <= 100, "radius_px", "must lie in 0.5..100", radius_px)
    cv2 = _cv2()
    veil = np.zeros(image.shape[:2], dtype=np.float32)
    for radius, flakes in ((radius_px, 0.75 * flakes_per_mpx), (2 * radius_px, 0.25 * flakes_per_mpx)):
        kernel = disc_kernel(radius)
        drawn = _scattered(image, rng, flakes)
        np.maximum(veil, cv2.filter2D(drawn, -1, kernel / kernel.max(), borderType=cv2.BORDER_CONSTANT), out=veil)
    return _veiled(image, np.minimum(veil, 1) * np.float32(0.9), SNOW_GREY)


def occlusion(image: Image, rng: np.random.Generator, *, share: float = 0.1) -> Image:
    """Cover a share of the image with a grey rectangle, anywhere, up to twice as wide as high or the reverse."""
    _require(0 < share < 1, "share", "must lie between 0 and 1", share)
    height, width = image.shape[:2]
    aspect = 2.0 ** rng.uniform(-1, 1)
    covered_width = min(width, max(1, round(width * np.sqrt(share * aspect))))
    covered_height = min(height, max(1, round(share * width * height / covered_width)))
    left = int(rng.integers(0, width - covered_width + 1))
    top = int(rng.integers(0, height - covered_height + 1))
    covered = image.copy()
    covered[top : top + covered_height, left : left + covered_width] = OCCLUDER_GREY
    return covered


def resolution(image: Image, rng: np.random.Generator, *, factor: float = 0.5) -> Image:  # noqa: ARG001  not random
    """Lose detail: shrink both sides by the factor, averaging, and enlarge again to the old size."""
    _require(0 < factor < 1, "factor", "must lie between 0 and 1", factor)
    cv2 = _cv2()
    height, width = image.shape[:2]
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    enlarged: Image = cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)
    return enlarged


def lens_dirt(image: Image, rng: np.random.Generator, *, share: float = 0.1, spot_share: float = 0.01) -> Image:
    """Darken soft spots that cover a share of the image, each ``spot_share`` of it; the same in images of a size.

    Dirt on the lens is out of focus, so its edge fades over a third of its radius.
    """
    _require(0 < share < 1, "share", "must lie between 0 and 1", share)
    _require(0 < spot_share <= share, "spot_share", f"must be above 0 and at most share = {share}", spot_share)
    cv2 = _cv2()
    height, width = image.shape[:2]
    # Spots are smooth, so that an eighth of the resolution shows them; small images keep theirs.
    scale = max(1, min(8, min(height, width) // 64))
    mask = np.zeros((-(-height // scale), -(-width // scale)), dtype=np.float32)
    radius = max(1.0, np.sqrt(spot_share * mask.size / np.pi))
    for _ in range(10 * round(share / spot_share) + 10):
        if mask.mean() >= share:
            break
        centre = int(rng.integers(0, mask.shape[1])), int(rng.integers(0, mask.shape[0]))
        cv2.circle(mask, centre, round(radius * rng.uniform(0.7, 1.3)), 1.0, thickness=-1)
    soft = cv2.GaussianBlur(mask, (0, 0), radius / 3)
    return _veiled(image, cv2.resize(soft, (width, height)) * np.float32(DIRT_OPACITY), 30.0)


CORRUPTIONS: dict[str, Corruption] = {
    function.__name__: function
    for function in (
        *(gaussian_noise, salt_pepper, jpeg, motion_blur, defocus, brightness, contrast, fog, rain, snow, occlusion),
        *(resolution, dead_pixels, lens_dirt),
    )
}
# What belongs to the camera is where it was in every image.
FIXED_IN_THE_CAMERA = frozenset({"dead_pixels", "lens_dirt"})


def parameters_of(name: str) -> dict[str, Any]:
    """Return the parameters of a corruption with their defaults."""
    return {
        one.name: one.default
        for one in inspect.signature(CORRUPTIONS[name]).parameters.values()
        if one.kind is one.KEYWORD_ONLY
    }


def corrupted(image: Image, name: str, seed: int, index: int, parameters: dict[str, Any]) -> Image:
    """Corrupt one image; the same seed and index give the same result, whatever else was corrupted before.

    Raises
    ------
    InputError
        For a parameter outside its range, or anything but an RGB image of uint8.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(f"expected an RGB image (height, width, 3) of uint8, got {image.shape} of {image.dtype}")
    key = [seed] if name in FIXED_IN_THE_CAMERA else [seed, index]
    return CORRUPTIONS[name](image, np.random.default_rng(key), **parameters)


def line_kernel(length_px: float, angle_deg: float) -> NDArray[np.float32]:
    """Return the share of a moving point's light that falls on each pixel, which sums to 1."""
    reach = length_px / 2
    half = int(np.ceil(reach))
    steps = np.linspace(-reach, reach, 32 * half + 1)
    angle = np.deg2rad(angle_deg)
    # Each point of the line is shared by its four pixels; image rows count downward.
    x, y = half + 1 + steps * np.cos(angle), half + 1 - steps * np.sin(angle)
    kernel = np.zeros((2 * half + 3, 2 * half + 3))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for right, down in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.abs(1 - right - (x - left)) * np.abs(1 - down - (y - top))
        np.add.at(kernel, (top + down, left + right), weight)
    shares: NDArray[np.float32] = (kernel / kernel.sum()).astype(np.float32)
    return shares


def disc_kernel(radius_px: float) -> NDArray[np.float32]:
    """Return a disc of that radius, its edge by the share of each pixel inside, which sums to 1."""
    half, fine = int(np.ceil(radius_px)), 8
    # Every pixel is looked at in 8 x 8 places.
    places = (np.arange((2 * half + 1) * fine) + 0.5) / fine - half - 0.5
    inside = places[:, None] ** 2 + places**2 <= radius_px**2
    kernel = inside.reshape(2 * half + 1, fine, 2 * half + 1, fine).mean(axis=(1, 3))
    shares: NDArray[np.float32] = (kernel / kernel.sum()).astype(np.float32)
    return shares


def _with_extreme_pixels(image: Image, rng: np.random.Generator, share: float) -> Image:
    changed = image.copy()
    pixels = image.shape[0] * image.shape[1]
    count = max(1, round(share * pixels))
    chosen = rng.choice(pixels, count, replace=False, shuffle=False)
    changed.reshape(-1, 3)[chosen] = (rng.integers(0, 2, count, dtype=np.uint8) * np.uint8(255))[:, None]
    return changed


def _scattered(image: Image, rng: np.random.Generator, per_mpx: float) -> NDArray[np.float32]:
    """Return single points ``(height, width)``, so many in a million pixels in the mean, at least one."""
    height, width = image.shape[:2]
    points = np.zeros(height * width, dtype=np.float32)
    points[rng.integers(0, len(points), max(1, int(rng.poisson(per_mpx * len(points) / 1e6))))] = 1
    return points.reshape(height, width)


def _filtered(image: Image, kernel: NDArray[np.float32]) -> Image:
    cv2 = _cv2()
    blurred: Image = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return blurred


def _veiled(image: Image, veil: NDArray[np.float32], grey: float) -> Image:
    """Mix the image with a grey, by a share of the grey for each pixel."""
    share = veil[:, :, None]
    return _rounded(image * (1 - share) + np.float32(grey) * share)


def _looked_up(image: Image, levels: NDArray[np.uint8]) -> Image:
    changed: Image = levels[image]
    return changed


def _rounded(values: NDArray[np.float32]) -> Image:
    np.rint(values, out=values)
    np.clip(values, 0, 255, out=values)
    return values.astype(np.uint8)


def _require(holds: bool, name: str, rule: str, value: float) -> None:
    if not holds:
        raise InputError(f"{name} {rule}, got {value}")


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("OpenCV", 'pip install "pytest-mle[vision]"') from error
    return cv2
