"""Tiny data sets on disk."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pytest_mle.errors import Location
from pytest_mle.inputs.datasets import open_dataset

SPEC = Location("spec.yaml", 9)


@pytest.fixture
def write_image():
    """Write an image of random noise; each seed another one."""

    def write(path, seed=0, width=80, height=40):
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        path.write_bytes(cv2.imencode(path.suffix, noise)[1].tobytes())
        return path

    return write


@pytest.fixture
def yolo(tmp_path, write_image):
    """Write a YOLO folder ``data`` with three images of 80 x 40 pixels: two boxes, one box, background."""
    folder = tmp_path / "data"
    for number, lines in enumerate(["0 0.5 0.5 0.5 0.5\n1 0.25 0.5 0.1 1\n", "1 0.5 0.5 0.2 0.2\n", ""]):
        write_image(folder / "images" / f"{number}.png", seed=number)
        label = folder / "labels" / f"{number}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text(lines)
    (folder / "data.yaml").write_text("names: {0: pedestrian, 1: cyclist}\n")
    return folder


@pytest.fixture
def opened(tmp_path):
    """Open a data set as a spec in ``tmp_path`` declares it."""

    def make(*, allowed_roots=(), **options):
        declared = {"path": "data", "format": "yolo", **options}
        return open_dataset("test", declared, tmp_path, location=SPEC, allowed_roots=allowed_roots)

    return make
