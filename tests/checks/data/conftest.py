"""Small data sets with planted defects."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pytest_mle.inputs.datasets import open_dataset


def make_scene(seed, width=160, height=120):
    """Make a smooth random RGB scene; different seeds look different."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 9), None, 0, 255, cv2.NORM_MINMAX)


def encode(image, suffix=".jpg", quality=92):
    """Encode an RGB image."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    return cv2.imencode(suffix, image[:, :, ::-1], options)[1].tobytes()


@pytest.fixture(scope="session")
def scene():
    """Return the maker of scenes."""
    return make_scene


@pytest.fixture(scope="session")
def encoded():
    """Return the encoder."""
    return encode


@pytest.fixture
def corpus(tmp_path):
    """Write a clean YOLO folder of six images with one box each."""
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for number in range(6):
        (folder / "images" / f"{number}.jpg").write_bytes(encode(make_scene(number)))
        (folder / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (folder / "data.yaml").write_text("names: [pedestrian, cyclist]\n")
    return folder


@pytest.fixture
def opened(tmp_path):
    """Open a data set below ``tmp_path``."""

    def make(**options):
        return open_dataset("test", {"path": "data", "format": "yolo", **options}, tmp_path)

    return make
