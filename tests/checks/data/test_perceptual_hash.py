"""Tests of perceptual hashes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.fft import dctn

from pytest_mle.checks.data.near_duplicates import hamming_distance
from pytest_mle.checks.data.perceptual_hash import perceptual_hashes, thumbnail


def hash_of(image):
    """Hash one RGB image."""
    return perceptual_hashes(thumbnail(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[None])


def distance(left, right):
    """Count differing bits of two images."""
    return int(hamming_distance(hash_of(left).hashes, hash_of(right).hashes)[0])


def test_bits_are_those_of_the_published_method():
    """The bits are the low frequencies of SciPy's DCT above their median, first frequency in the highest bit."""
    thumbnails = np.random.default_rng(1).uniform(0, 255, (5, 32, 32)).astype(np.float32)

    found = perceptual_hashes(thumbnails)

    for number, image in enumerate(thumbnails):
        # DCT-II without normalisation weights all frequencies alike, as imagehash and the paper do.
        low = dctn(image.astype(np.float64), type=2, norm=None)[:8, :8].ravel()
        bits = "".join("1" if above else "0" for above in low > np.median(low))
        assert int(found.hashes[number]) == int(bits, 2)


def test_mirrored_hash_is_the_hash_of_the_mirror_image(scene):
    """Negating odd frequencies equals flipping the image."""
    grey = np.stack([thumbnail(cv2.cvtColor(scene(seed), cv2.COLOR_RGB2GRAY)) for seed in range(10)])

    np.testing.assert_array_equal(
        perceptual_hashes(grey).mirrored, perceptual_hashes(np.ascontiguousarray(grey[:, :, ::-1])).hashes
    )


@pytest.mark.parametrize("seed", range(5))
def test_changed_copies_are_near_and_other_scenes_far(scene, seed):
    """A re-encoded, resized, brighter or slightly shifted copy stays within 6 bits; another scene does not."""
    image = scene(seed)
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    copies = {
        "quality": cv2.imdecode(encoded, cv2.IMREAD_COLOR),
        "size": cv2.resize(image, (80, 60), interpolation=cv2.INTER_AREA),
        "light": np.clip(image * 0.8 + 20, 0, 255).astype(np.uint8),
        "shift": np.roll(image, 1, axis=1),
    }

    assert {name: distance(image, copy) <= 6 for name, copy in copies.items()} == dict.fromkeys(copies, True)
    assert distance(image, scene(seed + 100)) > 12


@pytest.mark.parametrize(
    ("level", "noise", "is_flat"), [(0, 0, True), (255, 0, True), (128, 1, True), (128, 30, False)]
)
def test_flat_images_are_known(level, noise, is_flat):
    """White-outs and tunnels have no structure that a hash could tell apart."""
    image = np.full((1, 32, 32), level, np.float32) + np.random.default_rng(0).normal(0, 1, (1, 32, 32)) * noise

    assert perceptual_hashes(image.astype(np.float32)).is_flat.tolist() == [is_flat]
