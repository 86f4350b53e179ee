"""Image files as bytes: format, size and structural damage, without decoding.

A decoder hides damage: OpenCV fills the missing half of a truncated JPEG with grey and reports success. The structure
of the file does not lie, and reading it costs a hundredth of decoding.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

Format = Literal["JPEG", "PNG", "BMP", "WebP", "TIFF"]

SUFFIXES: dict[Format, frozenset[str]] = {
    "JPEG": frozenset({".jpg", ".jpeg", ".jpe", ".jfif"}),
    "PNG": frozenset({".png"}),
    "BMP": frozenset({".bmp", ".dib"}),
    "WebP": frozenset({".webp"}),
    "TIFF": frozenset({".tif", ".tiff"}),
}

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Inside entropy-coded data, 0xFF is followed by 0x00 (stuffing), a restart marker or more 0xFF; all else ends the scan.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
_MIRRORED_DIAGONALLY = frozenset({5, 6, 7, 8})
_TIFF_TYPE_SIZES = {1: 1, 3: 2, 4: 4}
_TIFF_TYPE_CODES = {1: "B", 3: "H", 4: "I"}


class MalformedImageError(ValueError):
    """The bytes are not a complete image of a known format; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header declares.

    ``width`` and ``height`` are those of the upright image; ``orientation`` is the EXIF orientation (1 to 8) of a JPEG
    file and 1 for the others.
    """

    format: Format
    width: int
    height: int
    orientation: int = 1


def image_format(data: bytes) -> Format | None:
    """Tell the format from the first bytes; None if it is none of the known ones."""
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == _PNG_SIGNATURE:
        return "PNG"
    if data[:2] == b"BM":
        return "BMP"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:4] in (b"II*\x00", b"MM\x00*"):
        return "TIFF"
    return None


def parse_header(data: bytes) -> ImageHeader:
    """Read format and size from the beginning of a file.

    Raises :class:`MalformedImageError` if the header is not there, incomplete, or declares no pixels.
    """
    found = image_format(data)
    if found is None:
        raise MalformedImageError("this is no JPEG, PNG, BMP, WebP or TIFF file" if data else "the file is empty")
    try:
        if found == "JPEG":
            walk = _walk_jpeg(data, to_the_end=False)
            width, height, orientation = walk.width, walk.height, walk.orientation
        else:
            orientation = 1
            width, height = {"PNG": _png_size, "BMP": _bmp_size, "WebP": _webp_size, "TIFF": _tiff_size}[found](data)
    except (struct.error, IndexError) as error:
        raise MalformedImageError(f"the {found} header is incomplete") from error
    if width < 1 or height < 1:
        raise MalformedImageError(f"the {found} header declares {width} x {height} pixels")
    if orientation in _MIRRORED_DIAGONALLY:
        width, height = height, width
    return ImageHeader(found, width, height, orientation)


def structural_defect(data: bytes) -> str | None:
    """Say what is missing or damaged in a whole file, or None if its structure is complete.

    JPEG: an end marker after the last scan (bytes after it are allowed, phones write them; the end marker of an EXIF
    thumbnail does not count). PNG: every chunk with its CRC up to IEND. BMP, WebP, TIFF: all declared bytes are there.
    Changed bytes inside compressed data are not seen: only a decoder or a checksum sees those.
    """
    try:
        header = parse_header(data)
        if header.format == "JPEG":
            _walk_jpeg(data, to_the_end=True)
        else:
            {"PNG": _check_png, "BMP": _check_bmp, "WebP": _check_webp, "TIFF": _check_tiff}[header.format](data)
    except MalformedImageError as error:
        return str(error)
    except (struct.error, IndexError):
        return "the file is truncated"
    return None


@dataclass(slots=True)
class _JpegWalk:
    width: int = 0
    height: int = 0
    orientation: int = 1


def _walk_jpeg(data: bytes, *, to_the_end: bool) -> _JpegWalk:
    """Go from marker to marker, up to the frame header or to the end of the image."""
    walk = _JpegWalk()
    has_scan = False
    position = 2
    while (found := _JPEG_MARKER.search(data, position)) is not None:
        marker, position = data[found.end() - 1], found.end()
        if marker == 0xD9:
            if not has_scan:
                raise MalformedImageError("the JPEG file has no image data")
            return walk
        if marker in _STANDALONE_MARKERS or marker == 0xD8:
            continue
        length = struct.unpack_from(">H", data, position)[0]
        if marker == 0xE1:
            walk.orientation = _exif_orientation(data[position + 2 : position + length])
        elif marker in _FRAME_MARKERS and not walk.width:
            walk.height, walk.width = struct.unpack_from(">HH", data, position + 3)
            if not to_the_end:
                return walk
        elif marker == 0xDA:
            has_scan = True
        position += length
    raise MalformedImageError("the JPEG file is truncated: no end marker after the image data")


def _exif_orientation(segment: bytes) -> int:
    """Return tag 0x0112 of IFD0; 1 (upright) if there is none, as every viewer does."""
    if segment[:6] != b"Exif\x00\x00":
        return 1
    try:
        orientation = _tiff_tags(segment[6:]).get(0x0112, (1,))[0]
    except (struct.error, IndexError, MalformedImageError):
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _check_png(data: bytes) -> None:
    position = len(_PNG_SIGNATURE)
    has_pixels = False
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if zlib.crc32(memoryview(data)[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise MalformedImageError(f"a PNG chunk at byte {position} does not fit its checksum")
        has_pixels = has_pixels or kind == b"IDAT"
        if kind == b"IEND":
            if not has_pixels:
                raise MalformedImageError("the PNG file has no image data")
            return
        position = end + 4
    raise MalformedImageError("the PNG file is truncated: no IEND chunk")


def _bmp_size(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


def _check_bmp(data: bytes) -> None:
    width, height = _bmp_size(data)
    offset, header_size = struct.unpack_from("<II", data, 10)
    is_core = header_size == 12
    bits = struct.unpack_from("<H", data, 24 if is_core else 28)[0]
    compression = 0 if is_core else struct.unpack_from("<I", data, 30)[0]
    row = (width * bits + 31) // 32 * 4
    size = row * height if compression in (0, 3) else struct.unpack_from("<I", data, 34)[0]
    if len(data) < offset + size:
        raise MalformedImageError(f"the BMP file is truncated: {len(data)} of {offset + size} bytes")


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise MalformedImageError("the WebP file has no image data")


def _check_webp(data: bytes) -> None:
    declared = struct.unpack_from("<I", data, 4)[0] + 8
    if len(data) < declared:
        raise MalformedImageError(f"the WebP file is truncated: {len(data)} of {declared} bytes")


def _tiff_tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """Return the integer tags of the first directory."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise MalformedImageError("the TIFF header is damaged")
    directory = struct.unpack_from(order + "I", data, 4)[0]
    tags = {}
    for entry in range(struct.unpack_from(order + "H", data, directory)[0]):
        position = directory + 2 + 12 * entry
        tag, kind, count = struct.unpack_from(order + "HHI", data, position)
        if kind not in _TIFF_TYPE_SIZES:
            continue
        if count * _TIFF_TYPE_SIZES[kind] > len(data):
            raise MalformedImageError(f"the TIFF file is truncated: tag {tag} declares {count} values")
        is_inline = count * _TIFF_TYPE_SIZES[kind] <= 4
        values_at = position + 8 if is_inline else struct.unpack_from(order + "I", data, position + 8)[0]
        tags[tag] = struct.unpack_from(f"{order}{count}{_TIFF_TYPE_CODES[kind]}", data, values_at)
    return tags


def _tiff_size(data: bytes) -> tuple[int, int]:
    tags = _tiff_tags(data)
    return tags.get(256, (0,))[0], tags.get(257, (0,))[0]


def _check_tiff(data: bytes) -> None:
    tags = _tiff_tags(data)
    offsets, lengths = tags.get(273) or tags.get(324), tags.get(279) or tags.get(325)
    if not offsets or not lengths:
        raise MalformedImageError("the TIFF file has no image data")
    end = max(offset + length for offset, length in zip(offsets, lengths, strict=False))
    if len(data) < end:
        raise MalformedImageError(f"the TIFF file is truncated: {len(data)} of {end} bytes")
