"""64-bit perceptual hashes: equal or close for images that look alike.

DCT hash as in pHash (Zauner 2010, section 3.2.1) and imagehash: 32 x 32 grey thumbnail, DCT-II, the 8 x 8 lowest
frequencies, one bit each for lying above their median. Deviation: the thumbnail is an area average of a decode that may
be reduced, so hashes are not comparable with those of other programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.inputs.images import import_cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

THUMBNAIL_SIDE = 32
_FREQUENCIES = 8
# Below this standard deviation in grey levels (of 255) the bits are noise: white-outs and tunnels would all collide.
FLAT_BELOW = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class PerceptualHashes:
    """Hashes of several images.

    ``hashes`` and ``mirrored`` (those of the images flipped left to right) ``(image,)`` uint64; ``is_flat``
    ``(image,)`` bool: too little structure for the hash to mean anything.
    """

    hashes: NDArray[np.uint64]
    mirrored: NDArray[np.uint64]
    is_flat: NDArray[np.bool_]


def thumbnail(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average a grey image ``(height, width)`` down to 32 x 32."""
    cv2 = import_cv2()
    small: NDArray[np.uint8] = cv2.resize(grey, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def perceptual_hashes(thumbnails: NDArray[np.float32]) -> PerceptualHashes:
    """Hash thumbnails of shape ``(image, 32, 32)``."""
    basis = _dct_basis()
    coefficients = basis @ thumbnails.astype(np.float64) @ basis.T
    # Flipping an image negates its odd horizontal frequencies, so the second hash costs no second transform.
    signs = np.where(np.arange(_FREQUENCIES) % 2, -1.0, 1.0)
    is_flat = thumbnails.std(axis=(1, 2)) < FLAT_BELOW
    return PerceptualHashes(_bits_above_median(coefficients), _bits_above_median(coefficients * signs), is_flat)


def _dct_basis() -> NDArray[np.float64]:
    """Return the first 8 rows of the 32-point DCT-II matrix (unnormalised: the median does not care for scale)."""
    position = (np.arange(THUMBNAIL_SIDE) + 0.5) * np.pi / THUMBNAIL_SIDE
    return np.cos(np.arange(_FREQUENCIES)[:, None] * position)


def _bits_above_median(coefficients: NDArray[np.float64]) -> NDArray[np.uint64]:
    flat = coefficients.reshape(len(coefficients), -1)
    bits = flat > np.median(flat, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64).ravel()
