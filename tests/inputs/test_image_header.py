"""Tests of reading image files as bytes."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.inputs.image_header import MalformedImageError, image_format, parse_header, structural_defect

SUFFIXES = {".jpg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WebP", ".tiff": "TIFF"}
PLAIN = np.random.default_rng(5).integers(0, 256, (24, 40, 3), dtype=np.uint8)
FILES = {suffix: cv2.imencode(suffix, PLAIN)[1].tobytes() for suffix in SUFFIXES}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_format_and_size(scene, encode, suffix):
    """Each format tells its size as it was written, and a whole file has no defect."""
    data = encode(scene(width=90, height=61), suffix)

    header = parse_header(data)

    assert (header.format, header.width, header.height) == (SUFFIXES[suffix], 90, 61)
    assert structural_defect(data) is None


@pytest.mark.parametrize("quality", [80, 101])
def test_webp_lossy_and_lossless(scene, encode, quality):
    """The two bit streams of WebP store their size differently."""
    data = encode(scene(width=33, height=17), ".webp", cv2.IMWRITE_WEBP_QUALITY, quality)

    assert (parse_header(data).width, parse_header(data).height) == (33, 17)


def test_webp_extended_header():
    """The extended header stores width and height less one in three bytes each."""
    data = (
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\x0f\x00\x00\x07\x00\x00"
    )

    assert (parse_header(data).width, parse_header(data).height) == (16, 8)


def test_bmp_bottom_up_and_old_header():
    """A negative height means top-down rows, and the oldest header has 16-bit sizes."""
    top_down = b"BM" + bytes(12) + struct.pack("<Iii", 40, 7, -5)
    old = b"BM" + bytes(12) + struct.pack("<IHH", 12, 7, 5)

    assert (parse_header(top_down).width, parse_header(top_down).height) == (7, 5)
    assert (parse_header(old).width, parse_header(old).height) == (7, 5)


@pytest.mark.parametrize("options", [(cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 1)])
def test_jpeg_with_several_scans_or_restart_markers(scene, encode, options):
    """Progressive files and restart markers are no defects; cut off, they are."""
    data = encode(scene(), ".jpg", *options)

    assert structural_defect(data) is None
    assert "truncated" in structural_defect(data[:-20])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncation_is_seen(scene, encode, suffix, share):
    """A file cut anywhere is reported, whatever its format."""
    data = encode(scene(), suffix)

    assert structural_defect(data[: int(len(data) * share)]) is not None


def test_missing_end_marker_is_seen(scene, encode):
    """A JPEG file without its last two bytes is truncated."""
    assert "no end marker" in structural_defect(encode(scene())[:-2])


def test_bytes_after_the_end_are_allowed(scene, encode):
    """Phones append data to JPEG files."""
    assert structural_defect(encode(scene()) + b"trailing bytes \xff\xd9") is None


def test_end_marker_of_a_thumbnail_does_not_count(scene, encode, with_exif):
    """A truncated file whose EXIF thumbnail is whole is still truncated."""
    data = with_exif(encode(scene()), 1, thumbnail=encode(scene(width=16, height=16)))

    assert structural_defect(data) is None
    assert "truncated" in structural_defect(data[:-2])


def test_jpeg_without_a_scan_is_no_image(scene, encode):
    """Headers with an end marker but no image data are a defect."""
    data = encode(scene())
    start_of_scan = data.index(b"\xff\xda")

    assert "no image data" in structural_defect(data[:start_of_scan] + b"\xff\xd9")


def test_zero_filled_tail_is_seen(scene, encode):
    """A copy that stopped half-way on a preallocated file ends in zeros."""
    data = encode(scene())

    assert structural_defect(data[: len(data) // 2] + bytes(len(data) // 2)) is not None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_swaps_the_sides(scene, encode, with_exif, orientation):
    """EXIF orientations 5 to 8 turn the image by a quarter."""
    header = parse_header(with_exif(encode(scene(width=90, height=60)), orientation))

    assert (header.width, header.height) == ((60, 90) if orientation >= 5 else (90, 60))
    assert header.orientation == orientation


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_invalid_orientation_is_upright(scene, encode, with_exif, orientation):
    """Cameras write 0 for unknown."""
    assert parse_header(with_exif(encode(scene()), orientation)).orientation == 1


def test_changed_png_byte_fails_its_checksum(scene, encode):
    """PNG has checksums, so one changed byte is seen."""
    data = bytearray(encode(scene(), ".png"))
    data[len(data) // 2] ^= 1

    assert "checksum" in structural_defect(bytes(data))


def test_tiff_whose_directory_comes_first():
    """Where the directory stands before the pixels, their declared end tells that they are cut."""
    tags = ((256, 4), (257, 3), (273, 100), (279, 12))
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = (b"II*\x00" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4)).ljust(112, b"\x80")

    assert (parse_header(data).width, parse_header(data).height) == (4, 3)
    assert structural_defect(data) is None
    assert structural_defect(data[:111]) == "the TIFF file is truncated: 111 of 112 bytes"


@pytest.mark.parametrize("tag", [273, 279])
def test_tiff_without_pixels(tag):
    """A directory that says not where the pixels are, or how many, is no image."""
    directory = b"".join(struct.pack("<HHII", key, 4, 1, 4) for key in (256, 257, tag))

    assert "no image data" in structural_defect(b"II*\x00" + struct.pack("<IH", 8, 3) + directory + bytes(4))


def test_png_without_pixels():
    """A PNG file that ends without image data is a defect."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")

    assert parse_header(data).width == 4
    assert "no image data" in structural_defect(data)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"not an image", b"\xff\xd8", b"<svg/>"])
def test_other_content_has_no_format(data):
    """What is none of the five formats is refused."""
    assert image_format(data) is None
    with pytest.raises(MalformedImageError):
        parse_header(data)
    assert structural_defect(data) is not None


def test_header_without_pixels():
    """A width of 0 is no image."""
    with pytest.raises(MalformedImageError, match="0 x 5 pixels"):
        parse_header(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 0, 5))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_damage_never_crashes_the_parser(suffix, data):
    """Whatever bytes are changed or cut, the answer is a defect or None, never another exception."""
    damaged = bytearray(FILES[suffix])
    for _ in range(data.draw(st.integers(0, 6))):
        damaged[data.draw(st.integers(0, min(200, len(damaged) - 1)))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))

    defect = structural_defect(bytes(damaged[:cut]))

    assert defect is None or defect
