"""Numbers that describe an image, for drift: light, colour, sharpness, edges, and where in the image what is.

Means alone do not see another scene of equal brightness, nor an image that is upside down; the layout does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

SCALAR_FEATURES = (
    "brightness",
    "contrast",
    "saturation",
    "red_mean",
    "green_mean",
    "blue_mean",
    "sharpness",
    "grey_entropy",
    "edge_strength",
    "edge_orientation_entropy",
    "vertical_edge_share",
)

LAYOUT_SIDE = 32
"""The layout is that of the image reduced to a square of this side, in pixels."""

EDGE_SIDE = 256
"""Edges are those of the image reduced to at most this side: structure, not noise, and a tenth of the time."""

ORIENTATIONS = 8


def feature_names(*, layout_dimension: int = 48) -> tuple[str, ...]:
    """Return the names of what :func:`image_features` measures, in its order."""
    return (*SCALAR_FEATURES, *(f"layout_{row}_{column}" for row, column in _frequencies(layout_dimension)))


def image_features(image: NDArray[np.uint8], *, layout_dimension: int = 48) -> NDArray[np.float64]:
    """Describe one image.

    ======================== ============== ==========================================================================
    feature                  unit           meaning
    ======================== ============== ==========================================================================
    brightness               1              mean grey value, 0..1
    contrast                 1              standard deviation of the grey values
    saturation               1              mean saturation (HSV)
    red, green, blue_mean    1              mean of the channel
    sharpness                grey levels^2  variance of the Laplacian at full size (Pech-Pacheco et al. 2000); 0..255
    grey_entropy             bit            entropy of the grey values' histogram
    edge_strength            1              mean gradient of the image at most 256 pixels wide and high
    edge_orientation_entropy 1              0: all edges have one direction, 1: every direction alike
    vertical_edge_share      1              share of the squared gradient that is horizontal, as vertical edges make it
    layout_row_column        1              cosine coefficients of the image at 32 by 32, low frequencies first
    ======================== ============== ==========================================================================

    The layout is a fixed orthonormal projection of the reduced image (type II cosine transform) without the mean.
    Upside down, its odd rows change their sign; mirrored, its odd columns. Equal images have equal features.

    Parameters
    ----------
    image
        RGB, ``(height, width, 3)``, uint8.
    layout_dimension
        How many layout coefficients, 1..1023.

    Returns
    -------
    numpy.ndarray
        ``(feature,)``, finite, named by :func:`feature_names`.

    Raises
    ------
    ValueError
        If the image is no RGB image of bytes, or less than 8 pixels wide or high.
    MissingExtraError
        If OpenCV is not installed.
    """
    _require_image(image)
    frequencies = _frequencies(layout_dimension)
    cv2 = _opencv()
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mean, deviation = cv2.meanStdDev(grey)
    saturation = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))[1]
    red, green, blue, _ = cv2.mean(image)
    laplacian_deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1]
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    scalars = [
        mean.item() / 255,
        deviation.item() / 255,
        saturation / 255,
        red / 255,
        green / 255,
        blue / 255,
        laplacian_deviation.item() ** 2,
        _entropy(shares),
        *_edges(cv2, grey),
    ]
    small = cv2.resize(grey, (LAYOUT_SIDE, LAYOUT_SIDE), interpolation=cv2.INTER_AREA).astype(np.float64) / 255
    spectrum = cv2.dct(small) / LAYOUT_SIDE  # so that the mean's coefficient would be the mean
    layout = [spectrum[row, column] for row, column in frequencies]
    return np.array([*scalars, *layout], dtype=np.float64)


def features_of(images: Iterable[NDArray[np.uint8]], *, layout_dimension: int = 48) -> NDArray[np.float64]:
    """Describe images one after the other: ``(image, feature)``.

    Raises
    ------
    ValueError
        If there is no image, and as in :func:`image_features`.
    """
    rows = [image_features(image, layout_dimension=layout_dimension) for image in images]
    if not rows:
        raise ValueError("there are no images: nothing can be said about drift")
    return np.stack(rows)


def _edges(cv2: Any, grey: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Return mean strength, entropy of the orientation, and the share of vertical edges."""
    largest = max(grey.shape)
    if largest > EDGE_SIDE:
        height, width = (max(1, round(side * EDGE_SIDE / largest)) for side in grey.shape)
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    # 8 grey levels of a Sobel step are one level of difference between neighbours.
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0) / (8 * 255)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1) / (8 * 255)
    strength, angle = cv2.cartToPolar(across, down)
    total = float(strength.sum(dtype=np.float64))
    if total == 0:
        return 0.0, 0.0, 0.0
    # An edge has no front: opposite gradients are one orientation. Bins are centred on the axes.
    orientation = np.floor(angle * (ORIENTATIONS / np.pi) + 0.5).astype(np.int64) % ORIENTATIONS
    shares = np.bincount(orientation.ravel(), strength.ravel().astype(np.float64), ORIENTATIONS) / total
    horizontal = float((across.astype(np.float64) ** 2).sum())
    vertical = float((down.astype(np.float64) ** 2).sum())
    return total / strength.size, _entropy(shares) / np.log2(ORIENTATIONS), horizontal / (horizontal + vertical)


def _entropy(shares: NDArray[np.float64]) -> float:
    """Return the entropy of shares that sum to 1, in bit."""
    present = shares[shares > 0]
    return max(0.0, float(-(present * np.log2(present)).sum()))


@lru_cache
def _frequencies(dimension: int) -> tuple[tuple[int, int], ...]:
    """Return the first rows and columns of the cosine transform by frequency, without the mean."""
    if not 1 <= dimension < LAYOUT_SIDE**2:
        raise ValueError(f"layout_dimension must lie in 1..{LAYOUT_SIDE**2 - 1}, got {dimension}")
    pairs = [(row, column) for row in range(LAYOUT_SIDE) for column in range(LAYOUT_SIDE)]
    pairs.sort(key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair))
    return tuple(pairs[1 : dimension + 1])


def _require_image(image: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"an RGB image of shape (height, width, 3) and uint8 is needed, got {image.shape} {image.dtype}"
        )
    if min(image.shape[:2]) < 8:
        raise ValueError(f"the image must be at least 8 pixels wide and high, got {image.shape[1]} x {image.shape[0]}")


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("OpenCV", 'pip install "pytest-mle[vision]"') from error
    return cv2
