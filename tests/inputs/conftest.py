"""Small image files made in memory."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def scene():
    """Make a smooth random RGB image."""

    def make(seed=0, width=90, height=60):
        noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)

    return make


@pytest.fixture(scope="session")
def encode():
    """Encode an RGB image by the suffix of a file name."""

    def make(image, suffix=".jpg", *options):
        bgr = image[:, :, ::-1] if image.ndim == 3 else image
        return cv2.imencode(suffix, bgr, list(options))[1].tobytes()

    return make


@pytest.fixture(scope="session")
def with_exif():
    """Put an EXIF segment with an orientation, and a thumbnail with its own end marker, into a JPEG file."""

    def make(jpeg, orientation, thumbnail=b""):
        tags = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
        segment = b"Exif\x00\x00II*\x00" + struct.pack("<I", 8) + tags + thumbnail
        return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]

    return make
