"""Tests of scanning image files."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest

from pytest_mle.checks.data.image_scan import scan_images
from pytest_mle.errors import MissingExtraError


def test_sound_file(tmp_path, scene, encoded):
    """A sound file has its size, digest and hash, and no defect."""
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(scene(1)))

    (scan,) = scan_images([path])

    assert (scan.width, scan.height, scan.defect, scan.wrong_suffix) == (160, 120, None, None)
    assert scan.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert scan.byte_count == path.stat().st_size
    assert scan.perceptual_hash is not None
    assert not scan.is_empty


@pytest.mark.parametrize(
    ("name", "damage", "defect"),
    [
        ("a.jpg", lambda data: b"", "has no bytes"),
        ("a.jpg", lambda data: b"<html>404</html>", "is no JPEG"),
        ("a.jpg", lambda data: data[: len(data) // 3], "truncated"),
        ("a.jpg", lambda data: data[:-2], "truncated"),
        ("a.jpg", lambda data: data[: len(data) // 2] + b"\xff\x00" * 20 + data[len(data) // 2 + 40 :], "damaged"),
    ],
)
def test_broken_files_are_results(tmp_path, scene, encoded, name, damage, defect):
    """Whatever is wrong with a file is said, and nothing raises."""
    path = tmp_path / name
    path.write_bytes(damage(encoded(scene(1))))

    (scan,) = scan_images([path])

    assert defect in scan.defect
    assert scan.perceptual_hash is None
    assert scan.sha256 is not None


def test_absent_file_and_folder(tmp_path):
    """What cannot be read is a result too."""
    (tmp_path / "folder.jpg").mkdir()

    absent, folder = scan_images([tmp_path / "gone.jpg", tmp_path / "folder.jpg"])

    assert "cannot be read: No such file" in absent.defect
    assert "cannot be read: Is a directory" in folder.defect
    assert not absent.is_empty


def test_content_that_does_not_fit_the_name(tmp_path, scene, encoded):
    """A PNG file called .jpg decodes, but its name is wrong."""
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(scene(1), ".png"))

    (scan,) = scan_images([path])

    assert scan.defect is None
    assert scan.wrong_suffix == "is a PNG file, but is called .jpg"


def test_flat_image_has_no_hash(tmp_path, encoded):
    """A white-out is sound, but looks like every other one."""
    path = tmp_path / "a.png"
    path.write_bytes(encoded(np.full((64, 64, 3), 255, np.uint8), ".png"))

    (scan,) = scan_images([path])

    assert (scan.defect, scan.is_flat, scan.perceptual_hash) == (None, True, None)


@pytest.mark.parametrize("size", [(8, 8), (31, 200), (1, 1)])
def test_tiny_images_are_scanned(tmp_path, scene, encoded, size):
    """An image below the size of a thumbnail is no defect by itself."""
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(scene(1, *size)))

    (scan,) = scan_images([path])

    assert scan.defect is None
    assert (scan.width, scan.height) == size


def test_order_and_progress_with_threads(tmp_path, encoded):
    """Results come in the order of the paths, and progress grows to the end, also when threads work."""
    noise = np.random.default_rng(0)
    paths = []
    for number in range(130):
        path = tmp_path / f"{number}.bmp"
        path.write_bytes(encoded(noise.integers(0, 256, (110, 100 + number, 3), dtype=np.uint8), ".bmp"))
        paths.append(path)
    told = []

    scans = scan_images(paths, lambda done, total: told.append((done, total)))

    assert [scan.width for scan in scans] == [100 + number for number in range(130)]
    assert told == [(64, 130), (128, 130), (130, 130)]


def test_missing_decoder_is_no_defect_of_the_data(tmp_path, scene, encoded, monkeypatch):
    """Without OpenCV the check cannot run: images must not be called corrupt for it."""
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(scene(1)))
    monkeypatch.setitem(sys.modules, "cv2", None)

    with pytest.raises(MissingExtraError):
        scan_images([path])
