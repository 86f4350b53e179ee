"""Image features are what their names say, and let a drift test see what means do not."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.fft import dctn

from pytest_mle.checks.drift.features import SCALAR_FEATURES, feature_names, features_of, image_features
from pytest_mle.checks.drift.two_sample import ks_two_sample, mmd_two_sample, standardise
from pytest_mle.errors import MissingExtraError

pytest.importorskip("cv2")


def named(image: np.ndarray) -> dict[str, float]:
    """Return the features of an image by name."""
    return dict(zip(feature_names(), image_features(image).tolist(), strict=True))


def road_scene(rng: np.random.Generator, height: int = 48, width: int = 64) -> np.ndarray:
    """Return a bright sky over a dark road, with noise."""
    rows = np.linspace(rng.uniform(150, 200), rng.uniform(40, 90), height)[:, None, None]
    noise = rng.normal(0, 12, (height, width, 3))
    return np.clip(rows + noise + rng.uniform(-10, 10, 3), 0, 255).astype(np.uint8)


def test_flat_grey_image_by_hand() -> None:
    """A flat image has its brightness and nothing else."""
    features = named(np.full((20, 30, 3), 51, np.uint8))
    assert features.pop("brightness") == pytest.approx(0.2)
    assert [features.pop(f"{colour}_mean") for colour in ("red", "green", "blue")] == pytest.approx([0.2] * 3)
    assert list(features.values()) == pytest.approx([0] * len(features), abs=1e-12)


def test_pure_red_by_hand() -> None:
    """Red comes first: full saturation, and the grey value of BT.601."""
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 255
    features = named(image)
    assert (features["red_mean"], features["green_mean"], features["blue_mean"]) == (1, 0, 0)
    assert features["saturation"] == 1
    assert features["brightness"] == pytest.approx(0.299, abs=0.002)


def test_black_and_white_halves_by_hand() -> None:
    """Contrast is 1/2, entropy 1 bit; one vertical edge lies across, and none upwards."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    features = named(image)
    assert features["contrast"] == pytest.approx(0.5)
    assert features["grey_entropy"] == pytest.approx(1)
    assert features["vertical_edge_share"] == 1
    assert features["edge_orientation_entropy"] == 0
    assert features["edge_strength"] == pytest.approx(2 * 0.5 / 64)
    # Two halves of -1/2 and 1/2: -(sqrt(2) / 32) * sum of |cos((2 i + 1) pi / 64)| / 2 = -sqrt(2) / pi, nearly.
    assert features["layout_0_1"] == pytest.approx(-np.sqrt(2) / np.pi, rel=1e-3)
    turned = named(np.ascontiguousarray(image.transpose(1, 0, 2)))
    assert turned["vertical_edge_share"] == 0
    assert turned["layout_1_0"] == pytest.approx(features["layout_0_1"])


def test_nearly_vertical_edges_have_one_direction() -> None:
    """Edges that lean a little to either side are one orientation, not two."""
    rows, columns = np.mgrid[:64, :64]
    wave = 120 + 60 * np.sin(columns / 3 + 0.03 * np.abs(rows - 32))
    features = named(np.repeat(wave.astype(np.uint8)[..., None], 3, axis=2))
    assert features["edge_orientation_entropy"] < 0.05
    assert features["vertical_edge_share"] > 0.95


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    """One white pixel: the kernel's five values, and a blurred image is less sharp."""
    image = np.zeros((20, 20, 3), np.uint8)
    image[10, 10] = 200
    assert named(image)["sharpness"] == pytest.approx((16 + 4) * 200**2 / 400)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    smooth = (noise.astype(int) + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) // 3
    assert named(smooth.astype(np.uint8))["sharpness"] < named(noise)["sharpness"] / 2


def test_layout_is_the_cosine_transform() -> None:
    """At 32 by 32 the layout is scipy's orthonormal DCT of the grey values, without the mean."""
    grey = np.random.default_rng(0).integers(0, 256, (32, 32, 1), dtype=np.uint8)
    features = named(np.repeat(grey, 3, axis=2))
    spectrum = dctn(grey[..., 0] / 255, norm="ortho") / 32
    for name, value in features.items():
        if name.startswith("layout"):
            row, column = map(int, name.split("_")[1:])
            assert value == pytest.approx(spectrum[row, column], abs=1e-9)


def test_upside_down_changes_the_layout_only() -> None:
    """Odd rows change their sign; no feature of light or colour moves (trap G1)."""
    image = road_scene(np.random.default_rng(0))
    upright, turned = named(image), named(np.ascontiguousarray(image[::-1]))
    for name in ("brightness", "contrast", "saturation", "grey_entropy", "sharpness"):
        assert turned[name] == pytest.approx(upright[name], rel=1e-6)
    assert turned["layout_1_0"] == pytest.approx(-upright["layout_1_0"], rel=1e-3)
    assert abs(upright["layout_1_0"]) > 0.1


def test_upside_down_images_are_drift() -> None:
    """MMD over the features sees images that are upside down, which every KS test of a mean misses (trap G1)."""
    rng = np.random.default_rng(0)
    reference = [road_scene(rng) for _ in range(60)]
    upright = [road_scene(rng) for _ in range(60)]
    turned = [np.ascontiguousarray(road_scene(rng)[::-1]) for _ in range(60)]
    first, second, third = features_of(reference), features_of(upright), features_of(turned)
    brightness = SCALAR_FEATURES.index("brightness")
    assert ks_two_sample(first[:, brightness], third[:, brightness]).p_value > 0.05
    drifted = mmd_two_sample(*standardise(first, third)[:2], rng=rng, permutations=199)
    assert drifted.p_value <= 0.01
    assert drifted.bounds(0.95)[0] > 0
    same = mmd_two_sample(*standardise(first, second)[:2], rng=rng, permutations=199)
    assert same.p_value > 0.05
    assert same.bounds(0.95)[1] < drifted.bounds(0.95)[0]


@settings(max_examples=40, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 40), st.just(3))))
def test_features_are_finite_named_and_repeatable(image: np.ndarray) -> None:
    """Every image of bytes gives the same finite numbers each time, shares within 0..1."""
    features = image_features(image)
    assert np.array_equal(features, image_features(image.copy()))
    assert np.isfinite(features).all()
    assert len(features) == len(feature_names())
    shares = named(image)
    for name in ("brightness", "saturation", "vertical_edge_share", "edge_orientation_entropy", "edge_strength"):
        assert 0 <= shares[name] <= 1 + 1e-6


def test_large_and_thin_images_work() -> None:
    """A thin image is reduced without vanishing, and the layout has the size that was asked for."""
    image = np.random.default_rng(0).integers(0, 256, (8, 3000, 3), dtype=np.uint8)
    assert image_features(image, layout_dimension=5).shape == (len(SCALAR_FEATURES) + 5,)
    assert feature_names(layout_dimension=3)[-3:] == ("layout_0_1", "layout_1_0", "layout_1_1")


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3), np.float32),
        np.zeros((20, 7, 3), np.uint8),
        np.zeros((0, 20, 3), np.uint8),
    ],
)
def test_bad_images_are_refused(image: np.ndarray) -> None:
    """Grey, transparent, float, tiny and empty images are errors."""
    with pytest.raises(ValueError, match="image"):
        image_features(image)


def test_bad_arguments_are_refused() -> None:
    """No images and no layout are errors."""
    with pytest.raises(ValueError, match="no images"):
        features_of([])
    for dimension in (0, 1024):
        with pytest.raises(ValueError, match=r"layout_dimension must lie in 1\.\.1023"):
            feature_names(layout_dimension=dimension)


def test_missing_opencv_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenCV the error says what to install."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"pytest-mle\[vision\]"):
        image_features(np.zeros((20, 20, 3), np.uint8))
