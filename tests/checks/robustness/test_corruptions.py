"""Tests of the corruptions of an image."""

from __future__ import annotations

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from pytest_mle.checks.robustness.corruptions import (  # noqa: E402
    CORRUPTIONS,
    FIXED_IN_THE_CAMERA,
    corrupted,
    disc_kernel,
    line_kernel,
    parameters_of,
)
from pytest_mle.errors import InputError  # noqa: E402

# Each corruption's parameter from mild to strong.
STRONGER = {
    "gaussian_noise": ("sigma", [0.02, 0.1, 0.3]),
    "salt_pepper": ("share", [0.01, 0.1, 0.5]),
    "jpeg": ("quality", [95, 40, 5]),
    "motion_blur": ("length_px", [3, 9, 31]),
    "defocus": ("radius_px", [1, 3, 8]),
    "brightness": ("factor", [0.9, 0.6, 0.2]),
    "contrast": ("factor", [0.9, 0.6, 0.2]),
    "fog": ("visibility_m", [500, 100, 20]),
    "rain": ("streaks_per_mpx", [300, 3000, 30_000]),
    "snow": ("flakes_per_mpx", [300, 3000, 30_000]),
    "occlusion": ("share", [0.02, 0.2, 0.6]),
    "resolution": ("factor", [0.8, 0.4, 0.1]),
    "dead_pixels": ("share", [0.001, 0.01, 0.1]),
    "lens_dirt": ("share", [0.05, 0.2, 0.5]),
}


@pytest.fixture(scope="module")
def photograph():
    """A photograph with sky, edges and texture."""
    from sklearn.datasets import load_sample_image

    return np.ascontiguousarray(load_sample_image("china.jpg")[::2, ::2])


def _change(image, changed):
    return np.abs(changed.astype(int) - image).mean() / 255


def _shape(name, image, seed=0, index=0, **parameters):
    return corrupted(image, name, seed, index, parameters)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_stay_images_and_the_original_untouched(name, photograph):
    """Same shape and type, other pixels, for whole and for tiny images."""
    for image in (photograph, photograph[:8, :11].copy(), photograph[:1, :1].copy()):
        before = image.copy()
        changed = _shape(name, image)
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
        assert changed.flags.c_contiguous
        assert (image == before).all()
    assert not (_shape(name, photograph) == photograph).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_stronger_parameters_change_more(name, photograph):
    """Each physical parameter does what its name says."""
    parameter, values = STRONGER[name]
    changes = [_change(photograph, _shape(name, photograph, **{parameter: value})) for value in values]
    assert 0 < changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_depends_on_seed_and_index_alone(name, photograph):
    """The same again for the same two; other noise in each image, but the camera's own defects stay in place."""
    first = _shape(name, photograph, seed=1, index=3)
    assert (first == _shape(name, photograph, seed=1, index=3)).all()
    is_random = name in {"gaussian_noise", "salt_pepper", "rain", "snow", "occlusion"}
    assert (first == _shape(name, photograph, seed=1, index=4)).all() == (not is_random)
    assert (first == _shape(name, photograph, seed=2, index=3)).all() == (
        not is_random and name not in FIXED_IN_THE_CAMERA
    )


def test_gaussian_noise_has_its_sigma():
    """Mean and standard deviation on mid-grey, where nothing is clipped, and clipping at both ends of the range."""
    grey = np.full((400, 400, 3), 128, np.uint8)
    noise = (_shape("gaussian_noise", grey, sigma=0.05).astype(float) - 128) / 255
    assert noise.mean() == pytest.approx(0, abs=5e-4)
    assert noise.std() == pytest.approx(0.05, rel=0.01)
    assert _shape("gaussian_noise", np.zeros((50, 50, 3), np.uint8), sigma=0.5).min() == 0
    assert _shape("gaussian_noise", np.full((50, 50, 3), 255, np.uint8), sigma=0.5).max() == 255


@pytest.mark.parametrize("name", ["salt_pepper", "dead_pixels"])
def test_a_share_of_the_pixels_is_black_or_white(name):
    """Exactly that share, half of it each, whole pixels."""
    changed = _shape(name, np.full((100, 200, 3), 128, np.uint8), share=0.1).reshape(-1, 3)
    hit = (changed != 128).any(axis=1)
    assert hit.sum() == 2000
    assert set(np.unique(changed[hit])) == {0, 255}
    assert (changed[hit] == changed[hit][:, :1]).all()
    assert 0.45 < (changed[hit][:, 0] == 255).mean() < 0.55


def test_jpeg_is_that_of_the_library(photograph):
    """Quality 50 is what Pillow's encoder of the same quality makes, up to the decoders' rounding."""
    from io import BytesIO

    from PIL import Image

    room = BytesIO()
    Image.fromarray(photograph).save(room, "JPEG", quality=50)
    expected = np.asarray(Image.open(room)).astype(int)
    assert np.abs(_shape("jpeg", photograph, quality=50) - expected).mean() < 1


def test_motion_blur_spreads_a_point_along_its_path():
    """A white point becomes a line of that length and direction, with its light kept."""
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    along = _shape("motion_blur", point, length_px=9, angle_deg=0)[:, :, 0]
    assert set(np.nonzero(along)[0]) == {20}
    assert 9 <= len(np.nonzero(along)[1]) <= 11
    upward = _shape("motion_blur", point, length_px=9, angle_deg=90)[:, :, 0]
    assert (upward == along.T).all()
    rising = _shape("motion_blur", point, length_px=9, angle_deg=45)[:, :, 0]
    assert rising[17, 23] > 0
    assert rising[23, 23] == 0


@pytest.mark.parametrize("kernel", [line_kernel(9, 0), line_kernel(7.5, 33), disc_kernel(0.5), disc_kernel(3.2)])
def test_kernels_keep_the_light_and_the_place(kernel):
    """They sum to 1 and their centre of mass is their middle, so that nothing moves."""
    rows, columns = np.indices(kernel.shape)
    assert kernel.sum() == pytest.approx(1)
    assert (kernel * rows).sum() == pytest.approx((kernel.shape[0] - 1) / 2, abs=1e-5)
    assert (kernel * columns).sum() == pytest.approx((kernel.shape[1] - 1) / 2, abs=1e-5)


def test_disc_has_its_radius():
    """The second moment of a disc is half the squared radius along both axes together."""
    kernel = disc_kernel(10)
    rows, columns = np.indices(kernel.shape) - 10
    assert (kernel * (rows**2 + columns**2)).sum() == pytest.approx(10**2 / 2, rel=0.02)


def test_brightness_and_contrast_by_hand():
    """Half of 200 is 100, twice saturates; half the distance from the mean of 150."""
    image = np.zeros((2, 2, 3), np.uint8)
    image[0], image[1] = 100, 200
    assert np.unique(_shape("brightness", image, factor=0.5)).tolist() == [50, 100]
    assert np.unique(_shape("brightness", image, factor=2)).tolist() == [200, 255]
    assert np.unique(_shape("contrast", image, factor=0.5)).tolist() == [125, 175]


def test_fog_leaves_five_percent_of_contrast_at_the_visibility():
    """Koschmieder's law: where the road is as far as the optical range, 5 % of the difference to the fog is left."""
    black = np.zeros((1000, 1, 3), np.uint8)
    veiled = 220 - _shape("fog", black, visibility_m=40, horizon=0.5, nearest_m=5, farthest_m=40)[:, 0, 0].astype(float)
    assert veiled[0] / 220 == pytest.approx(0.05, abs=0.005)
    assert veiled[-1] / 220 == pytest.approx(0.05 ** (5 / 40), abs=0.005)
    # At three quarters of the height the road is twice as far as at the bottom.
    assert veiled[750] / 220 == pytest.approx(0.05 ** (10 / 40), abs=0.005)


def test_occlusion_covers_its_share_anywhere():
    """About a tenth of the image, in one rectangle, at another place in each image."""
    image = np.zeros((120, 160, 3), np.uint8)
    places = set()
    for index in range(20):
        rows, columns = np.nonzero(_shape("occlusion", image, index=index, share=0.1)[:, :, 0])
        assert len(rows) / (120 * 160) == pytest.approx(0.1, abs=0.01)
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        places.add((rows.min(), columns.min()))
    assert len(places) == 20


def test_resolution_leaves_no_detail_beyond_its_factor():
    """A chessboard of single pixels becomes its mean grey at half the resolution; a flat image stays as it is."""
    chess = np.repeat(((np.indices((64, 64)).sum(axis=0) % 2) * 200).astype(np.uint8)[:, :, None], 3, axis=2)
    assert np.unique(_shape("resolution", chess, factor=0.5)).tolist() == [100]
    flat = np.full((64, 64, 3), 77, np.uint8)
    assert (_shape("resolution", flat, factor=0.3) == 77).all()


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_dirt_covers_its_share(share):
    """The area that is more than half as dark as dirt is about the share asked for."""
    white = np.full((480, 640, 3), 255, np.uint8)
    covered = (_shape("lens_dirt", white, share=share)[:, :, 0] < 255 - 0.5 * 0.85 * 225).mean()
    assert covered == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gaussian_noise", {"sigma": 0}),
        ("gaussian_noise", {"sigma": 12.75}),
        ("salt_pepper", {"share": 1.5}),
        ("dead_pixels", {"share": -0.1}),
        ("jpeg", {"quality": 0}),
        ("motion_blur", {"length_px": 1}),
        ("defocus", {"radius_px": float("nan")}),
        ("brightness", {"factor": -1}),
        ("contrast", {"factor": float("nan")}),
        ("fog", {"visibility_m": 0}),
        ("fog", {"horizon": 1}),
        ("fog", {"nearest_m": 200}),
        ("rain", {"streaks_per_mpx": 0}),
        ("rain", {"length_px": 1000}),
        ("snow", {"flakes_per_mpx": -1}),
        ("snow", {"radius_px": 0}),
        ("occlusion", {"share": 1}),
        ("resolution", {"factor": 1}),
        ("lens_dirt", {"share": 0}),
        ("lens_dirt", {"spot_share": 0.5}),
    ],
)
def test_parameters_without_sense_are_refused(name, parameters, photograph):
    """The message names the parameter and its value."""
    ((parameter, value),) = parameters.items()
    with pytest.raises(InputError, match=f"{parameter} must .*{value}"):
        _shape(name, photograph, **parameters)


def test_what_is_no_image_is_refused():
    """Grey, fractions and nothing are no RGB image of bytes."""
    for bad in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(InputError, match="RGB image"):
            _shape("brightness", bad)


def test_every_corruption_knows_its_parameters():
    """Each has at least one, with a default that it accepts."""
    assert set(STRONGER) == set(CORRUPTIONS)
    for name, (parameter, _) in STRONGER.items():
        assert parameter in parameters_of(name)
