"""Read images: RGB pixels, or the size alone; damaged files are errors, never grey areas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mle.errors import InputError, Location, MissingExtraError
from pytest_mle.inputs.decoder_processes import decode_apart
from pytest_mle.inputs.decoder_worker import RefusedImageError
from pytest_mle.inputs.image_header import ImageHeader, MalformedImageError, parse_header, structural_defect

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

# A header of 50 bytes can ask for terabytes; the largest automotive cameras stay below a tenth of this.
MAX_PIXELS = 100_000_000
# Enough for the headers of nearly all files; EXIF, thumbnails and colour profiles make a few longer.
_HEADER_BYTES = 32_768
# simplejpeg raises these for files that are sound but outside what it handles; they go to OpenCV.
_NOT_FOR_SIMPLEJPEG = ("subsampling", "colorspace", "color conversion", "too small")


def read_image_size(path: Path, shown: str | None = None) -> tuple[int, int]:
    """Return width and height of the upright image from the file's header, without decoding.

    Raises :class:`~pytest_mle.errors.InputError` with ``shown`` (or the path) if there is no readable header.
    """
    place = Location(shown or str(path))
    try:
        with path.open("rb") as stream:
            data = stream.read(_HEADER_BYTES)
            try:
                header = parse_header(data)
            except MalformedImageError:
                header = parse_header(data + stream.read())
    except OSError as error:
        raise InputError(f"cannot read the image: {error.strerror or error}", place) from error
    except MalformedImageError as error:
        raise InputError(str(error), place) from error
    return header.width, header.height


def read_rgb(path: Path, shown: str | None = None) -> NDArray[np.uint8]:
    """Decode an image file to RGB, shape ``(height, width, 3)``; errors as in :func:`decode_rgb`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the image: {error.strerror or error}", Location(shown or str(path))) from error
    return decode_rgb(data, shown or str(path))


def decode_rgb(data: bytes, shown: str = "<bytes>") -> NDArray[np.uint8]:
    """Decode the bytes of an image file to RGB, shape ``(height, width, 3)``, upright by its EXIF orientation.

    Grey images are repeated over the channels, alpha is dropped, 16 bits become 8. JPEG files are decoded by simplejpeg
    where it is installed, which sees damage inside a scan; its pixels equal OpenCV's. Both run in another process.

    Raises
    ------
    InputError
        Truncated, damaged, of an unknown format, beyond :data:`MAX_PIXELS`, or the decoder crashed or hung on it.
    MissingExtraError
        OpenCV is not installed.
    """
    place = Location(shown)
    header = checked_header(data, place)
    image = _decode_strictly(data, header, "RGB", place)
    if image is None:
        image = _decode_with_opencv(data, header, "RGB", place)
    image = _upright(image, header.orientation)
    if image.shape[:2] != (header.height, header.width):
        declared = f"{header.width} x {header.height}"
        raise InputError(f"decodes to {image.shape[1]} x {image.shape[0]} but declares {declared} pixels", place)
    return image


def decode_small_grey(data: bytes, shown: str = "<bytes>", *, at_least: int = 32) -> NDArray[np.uint8]:
    """Decode to grey, as far reduced (up to 1/8) as leaves ``at_least`` pixels on each side; not turned upright.

    It reads the whole file as strictly as :func:`decode_rgb` and raises the same errors: the reduction of a JPEG file
    saves the inverse transform, not the entropy decoding that finds damage.
    """
    place = Location(shown)
    header = checked_header(data, place)
    image = _decode_strictly(data, header, "GRAY", place, at_least=at_least)
    if image is not None:
        return image[:, :, 0]
    factor = next((factor for factor in (8, 4, 2) if min(header.width, header.height) >= factor * at_least), 1)
    return _decode_with_opencv(data, header, "GRAY", place, factor=factor)


def checked_header(data: bytes, place: Location) -> ImageHeader:
    """Return the header of a file that is complete and within the pixel bound; nothing is decoded."""
    try:
        header = parse_header(data)
    except MalformedImageError as error:
        raise InputError(str(error), place) from error
    if header.width * header.height > MAX_PIXELS:
        size = f"{header.width} x {header.height}"
        raise InputError(f"the header declares {size} pixels, more than the {MAX_PIXELS:,} allowed", place)
    defect = structural_defect(data)
    if defect is not None:
        raise InputError(defect, place)
    return header


def import_cv2() -> Any:
    """Return OpenCV, or raise the error that names the command that installs it."""
    command = 'pip install "pytest-mle[vision]"'
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("OpenCV", command) from error
    # A thread that waited while another one failed to import it gets what is left of the module.
    if not hasattr(cv2, "imdecode"):
        raise MissingExtraError("OpenCV", command)
    return cv2


def _decode_strictly(
    data: bytes, header: ImageHeader, colours: str, place: Location, *, at_least: int = 0
) -> NDArray[np.uint8] | None:
    """Decode a JPEG file with libjpeg's warnings as errors; None where simplejpeg is absent or cannot tell."""
    if header.format != "JPEG":
        return None
    try:
        import simplejpeg  # noqa: F401  whether it is there is decided here, not by the process that decodes
    except ImportError:
        return None
    arguments = (colours, min(at_least, header.width, header.height))
    try:
        return decode_apart("simplejpeg", data, pixel_bytes=_bytes_of(header), arguments=arguments, place=place)
    except RefusedImageError as error:
        if any(words in str(error).lower() for words in _NOT_FOR_SIMPLEJPEG):
            return None
        raise InputError(f"the JPEG data is damaged: {error}", place) from error


def _decode_with_opencv(
    data: bytes, header: ImageHeader, colours: str, place: Location, *, factor: int = 1
) -> NDArray[np.uint8]:
    import_cv2()
    try:
        return decode_apart("opencv", data, pixel_bytes=_bytes_of(header), arguments=(colours, factor), place=place)
    except RefusedImageError as error:
        raise InputError(f"cannot decode the image: {error}", place) from error


def _bytes_of(header: ImageHeader) -> int:
    return header.width * header.height * 3


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo the EXIF orientation (EXIF 2.32, tag 0x0112): 2 to 4 mirror and turn, 5 to 8 swap the axes first."""
    import numpy as np

    if orientation == 1:
        return image
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
