"""Tests of equal and similar images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pytest_mle.checks.data.duplicates import exact_duplicates, near_duplicates, shared_images
from pytest_mle.checks.data.image_scan import scan_images


@pytest.fixture
def scans(tmp_path, encoded):
    """Write images and scan them."""

    def make(**images):
        paths = []
        for name, content in images.items():
            path = tmp_path / f"{name}.jpg"
            path.write_bytes(content if isinstance(content, bytes) else encoded(content))
            paths.append(path)
        return scan_images(paths)

    return make


def test_equal_bytes_form_groups(scans, scene):
    """Three copies are one group; two empty files are none."""
    found = exact_duplicates(scans(a=scene(1), b=scene(2), c=scene(1), d=scene(1), e=b"", f=b""))

    assert found == [[0, 2, 3]]


def test_similar_images_are_near_but_not_exact(scans, scene, encoded):
    """A re-encoded copy is near; an equal copy is not counted again as near; another scene is neither."""
    found = scans(a=scene(1), b=encoded(scene(1), quality=40), c=scene(1), d=scene(2))

    near = near_duplicates(found, distance=6)

    assert near.total == 1
    assert near.closest[0][:2] == (0, 1)
    assert exact_duplicates(found) == [[0, 2]]


def test_mirror_images_only_on_demand(scans, scene):
    """A flipped copy is a near duplicate if one asks for it."""
    found = scans(a=scene(1), b=np.ascontiguousarray(scene(1)[:, ::-1]), c=scene(2))

    assert near_duplicates(found, distance=6).total == 0
    assert near_duplicates(found, distance=6, mirrored=True).closest[0][:2] == (0, 1)


def test_flat_images_never_collide(scans):
    """White-out and tunnel have equal hashes and nothing in common."""
    white, black = np.full((64, 64, 3), 250, np.uint8), np.full((64, 64, 3), 5, np.uint8)

    assert near_duplicates(scans(a=white, b=black, c=white + 1), distance=6).total == 0


def test_images_shared_by_two_splits(scans, scene, encoded):
    """What leaked from training into test is found: an equal file and a re-encoded one."""
    training = scans(t0=scene(1), t1=scene(2), t2=scene(3), t3=b"")
    test = scans(e0=scene(9), e1=encoded(scene(3), quality=40), e2=scene(1), e3=b"")

    shared = shared_images(training, test, distance=6)

    assert shared.exact == ((0, 2),)
    assert shared.near.total == 1
    assert shared.near.closest[0][:2] == (2, 1)


def test_nothing_shared(scans, scene):
    """Different scenes are not shared, and an empty side shares nothing."""
    left, right = scans(a=scene(1)), scans(b=scene(2))

    assert shared_images(left, right, distance=6).exact == ()
    assert shared_images(left, right, distance=6).near.total == 0
    assert shared_images([], right, distance=6).near.total == 0


def test_shrunk_copy_across_splits(scans, scene):
    """A copy of another size leaks as well."""
    small = cv2.resize(scene(4), (96, 72), interpolation=cv2.INTER_AREA)

    assert shared_images(scans(a=scene(4)), scans(b=small), distance=6).near.total == 1
