"""Tests of decoding images."""

from __future__ import annotations

import struct
import sys

import cv2
import numpy as np
import pytest
import simplejpeg

from pytest_mle.errors import InputError, MissingExtraError
from pytest_mle.inputs import images
from pytest_mle.inputs.images import decode_rgb, decode_small_grey, read_image_size, read_rgb

NO_SIMPLEJPEG = pytest.mark.parametrize("has_simplejpeg", [True, False], ids=["simplejpeg", "opencv"])


@pytest.fixture
def without(monkeypatch):
    """Make a library look as if it were not installed."""

    def hide(module):
        monkeypatch.setitem(sys.modules, module, None)

    return hide


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_lossless_pixels_come_back(scene, encode, suffix):
    """Pixels are RGB in the order they were written."""
    image = scene()

    np.testing.assert_array_equal(decode_rgb(encode(image, suffix)), image)


@NO_SIMPLEJPEG
@pytest.mark.parametrize("sampling", ["420", "422", "444"])
def test_jpeg_pixels_equal_opencv(scene, encode, without, has_simplejpeg, sampling):
    """Results do not depend on whether simplejpeg is installed."""
    if not has_simplejpeg:
        without("simplejpeg")
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
    data = encode(scene(width=91, height=61), ".jpg", cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]

    np.testing.assert_array_equal(decode_rgb(data), expected)


@NO_SIMPLEJPEG
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_as_opencv_reads_it(scene, encode, with_exif, without, has_simplejpeg, orientation):
    """All eight EXIF orientations give the upright image."""
    if not has_simplejpeg:
        without("simplejpeg")
    data = with_exif(encode(scene()), orientation)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]

    np.testing.assert_array_equal(decode_rgb(data), expected)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_grey_image_has_three_equal_channels(scene, encode, suffix):
    """A grey file is repeated over the channels."""
    image = decode_rgb(encode(scene()[:, :, 0], suffix))

    assert image.shape == (60, 90, 3)
    assert (image[:, :, 0] == image[:, :, 2]).all()


@NO_SIMPLEJPEG
@pytest.mark.parametrize("cut", [0, 10, 0.3, 0.9, -2])
def test_truncated_jpeg_is_an_error(scene, encode, without, has_simplejpeg, cut):
    """A cut JPEG file never becomes a half grey image, with or without simplejpeg."""
    if not has_simplejpeg:
        without("simplejpeg")
    data = encode(scene())
    end = int(len(data) * cut) if isinstance(cut, float) else cut

    with pytest.raises(InputError, match=r"^images/a\.jpg: the (JPEG )?file is (truncated|empty)"):
        decode_rgb(data[:end], "images/a.jpg")


def test_damage_inside_a_scan_is_an_error_with_simplejpeg(scene, encode):
    """Warnings of libjpeg are errors."""
    data = bytearray(encode(scene()))
    data[len(data) // 2 : len(data) // 2 + 20] = b"\xff\x00" * 10

    with pytest.raises(InputError, match="damaged"):
        decode_rgb(bytes(data))


def _jpeg_with_rare_subsampling():
    """Build a sound JPEG file with two full components and a small third, one scan each, from grey files."""

    def grey(size):
        return cv2.imencode(".jpg", np.full((size, size), 100, np.uint8) + np.arange(size, dtype=np.uint8))[1].tobytes()

    large = grey(64)
    frame, scan = large.index(b"\xff\xc0"), large.index(b"\xff\xda")
    factors = bytes([1, 0x22, 0, 2, 0x22, 0, 3, 0x11, 0])
    data = large[:frame] + b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 64, 64, 3) + factors + large[frame + 13 : scan]
    for component, size in ((1, 64), (2, 64), (3, 32)):
        entropy_coded = grey(size)[grey(size).index(b"\xff\xda") + 10 : -2]
        data += b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, component, 0, 0, 63, 0) + entropy_coded
    return data + b"\xff\xd9"


def test_file_outside_simplejpegs_reach_goes_to_opencv():
    """A sound file whose subsampling TurboJPEG has no name for is no damage."""
    data = _jpeg_with_rare_subsampling()
    with pytest.raises(ValueError, match="subsampling"):
        simplejpeg.decode_jpeg(data)

    assert decode_rgb(data).shape == (64, 64, 3)
    assert decode_small_grey(data).shape == (32, 32)


def test_too_many_pixels_are_refused_before_decoding(monkeypatch):
    """A header of a few bytes that asks for 10 gigapixels is refused, and no decoder sees it."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 100_000, 100_000)

    with pytest.raises(InputError, match="100000 x 100000 pixels"):
        decode_rgb(bomb)


def test_missing_opencv_names_the_command(scene, encode, without):
    """Without OpenCV the error says what to install."""
    without("cv2")

    with pytest.raises(MissingExtraError, match=r'pip install "pytest-mle\[vision\]"'):
        decode_rgb(encode(scene(), ".png"))


def test_size_from_the_header(tmp_path, scene, encode, with_exif):
    """Size is read without decoding, upright, also when long segments come before the frame header."""
    jpeg = encode(scene(width=90, height=60))
    path = tmp_path / "a.jpg"
    comment = b"\xff\xfe" + struct.pack(">H", 60_002) + bytes(60_000)
    path.write_bytes(with_exif(jpeg[:2] + comment + jpeg[2:], 6))

    assert read_image_size(path) == (60, 90)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\xd8\xff\xe0\x00\x10JFIF"])
def test_size_of_no_image(tmp_path, content):
    """A file without header is an error that names it."""
    path = tmp_path / "a.jpg"
    path.write_bytes(content)

    with pytest.raises(InputError, match=r"^shown/a\.jpg: "):
        read_image_size(path, "shown/a.jpg")


def test_absent_file(tmp_path):
    """A file that is not there is an error that names it."""
    for read in (read_image_size, read_rgb):
        with pytest.raises(InputError, match=r"a\.jpg: cannot read the image: No such file"):
            read(tmp_path / "a.jpg")


@NO_SIMPLEJPEG
@pytest.mark.parametrize(("width", "height", "factor"), [(640, 480, 8), (130, 140, 4), (70, 70, 2), (33, 50, 1)])
def test_small_grey_keeps_enough_pixels(scene, encode, without, has_simplejpeg, width, height, factor):
    """Reduction stops while both sides still have 32 pixels, and the content stays that of the large image."""
    if not has_simplejpeg:
        without("simplejpeg")
    image = scene(width=width, height=height)

    small = decode_small_grey(encode(image))

    assert min(small.shape) >= 32
    assert small.shape[1] <= -(-width // factor)
    expected = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (16, 16), interpolation=cv2.INTER_AREA)
    found = cv2.resize(small, (16, 16), interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(float) - expected).mean() < 4


def test_pixels_that_differ_from_the_header_are_refused(scene, encode, monkeypatch):
    """If a decoder returns another size than declared, boxes would be misplaced."""
    monkeypatch.setattr(images, "_decode_strictly", lambda *_: np.zeros((5, 5, 3), np.uint8))

    with pytest.raises(InputError, match="decodes to 5 x 5 but declares 90 x 60"):
        decode_rgb(encode(scene()))
