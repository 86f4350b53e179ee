"""Read images: RGB pixels, or the size alone; damaged files are errors, never grey areas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mle.errors import InputError, Location, MissingExtraError
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
    where it is installed, which sees damage inside a scan; its pixels equal OpenCV's.

    Raises
    ------
    InputError
        Truncated, damaged, of an unknown format, or beyond :data:`MAX_PIXELS`.
    MissingExtraError
        OpenCV is not installed.
    """
    place = Location(shown)
    header = checked_header(data, place)
    image = _decode_strictly(data, header, "RGB", place)
    if image is None:
        cv2 = import_cv2()
        bgr = _decode_with_opencv(data, cv2.IMREAD_COLOR, place)
        image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
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
    cv2 = import_cv2()
    modes = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}
    factor = next((factor for factor in modes if min(header.width, header.height) >= factor * at_least), 1)
    return _decode_with_opencv(data, modes.get(factor, cv2.IMREAD_GRAYSCALE), place)


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
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("OpenCV", 'pip install "pytest-mle[vision]"') from error
    return cv2


def _decode_strictly(
    data: bytes, header: ImageHeader, colours: str, place: Location, *, at_least: int = 0
) -> NDArray[np.uint8] | None:
    """Decode a JPEG file with libjpeg's warnings as errors; None where simplejpeg is absent or cannot tell."""
    if header.format != "JPEG":
        return None
    try:
        import simplejpeg
    except ImportError:
        return None
    smallest = min(at_least, header.width, header.height)
    try:
        image: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, colours, fastdct=False, fastupsample=False, min_height=smallest, min_width=smallest, strict=True
        )
    except ValueError as error:
        if any(words in str(error).lower() for words in _NOT_FOR_SIMPLEJPEG):
            return None
        raise InputError(f"the JPEG data is damaged: {error}", place) from error
    return image


def _decode_with_opencv(data: bytes, mode: int, place: Location) -> NDArray[np.uint8]:
    import numpy as np

    cv2 = import_cv2()
    try:
        image: NDArray[np.uint8] | None = cv2.imdecode(
            np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:
        raise InputError(f"cannot decode the image: {error.err or error}", place) from error
    if image is None:
        raise InputError("cannot decode the image: its data is damaged", place)
    return image


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
