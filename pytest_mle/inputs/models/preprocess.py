"""Images into the network's input, and boxes back into the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.inputs.models.declaration import Preprocess


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image lies in the network's input.

    ``scale_x``, ``scale_y`` are network pixels an image pixel, the offsets the place of the image's upper left corner
    in the network's input (negative where it was cropped), ``width`` and ``height`` those of the original image.
    """

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    width: int
    height: int

    def to_image(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map boxes ``(box, 4)`` x1 y1 x2 y2 from the network's input to the original image and clip them to it."""
        mapped = np.asarray(boxes, dtype=np.float64).copy()
        mapped[:, 0::2] = ((mapped[:, 0::2] - self.offset_x) / self.scale_x).clip(0, self.width)
        mapped[:, 1::2] = ((mapped[:, 1::2] - self.offset_y) / self.scale_y).clip(0, self.height)
        return mapped.astype(np.float32)


def place(preprocess: Preprocess, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int], Placement]:
    """Plan the resize of one image.

    Returns
    -------
    tuple
        The size (width, height) that the image is resized to, the corner (x, y) in the network's input where the
        resized image is put (negative: cut off), and the placement.

    Raises
    ------
    InputError
        If the image may not be resized but has another size than the declared one.

    Notes
    -----
    Letterbox rounds as Ultralytics does, the centre crop as torchvision's ``Resize`` and ``CenterCrop``.
    """
    if preprocess.resize == "none":
        if preprocess.size not in (None, (width, height)):
            raise InputError(f"resize is none, but an image is {width}x{height} where {preprocess.size} is declared")
        return (width, height), (0, 0), Placement(1.0, 1.0, 0.0, 0.0, width, height)
    assert preprocess.size is not None
    target_width, target_height = preprocess.size
    if preprocess.resize == "stretch":
        new, corner = (target_width, target_height), (0, 0)
    elif preprocess.resize == "letterbox":
        scale = min(target_width / width, target_height / height)
        new = (max(1, round(width * scale)), max(1, round(height * scale)))
        corner = ((target_width - new[0]) // 2, (target_height - new[1]) // 2)
    else:
        cover = (
            max(target_width, round(target_width / preprocess.crop_fraction)),
            max(target_height, round(target_height / preprocess.crop_fraction)),
        )
        # Integers, because the shorter side shall be met exactly: 3 * (224 / 3) is not always 224.
        if cover[0] * height >= cover[1] * width:
            new = (cover[0], cover[0] * height // width)
        else:
            new = (cover[1] * width // height, cover[1])
        corner = (-round((new[0] - target_width) / 2), -round((new[1] - target_height) / 2))
    placement = Placement(new[0] / width, new[1] / height, float(corner[0]), float(corner[1]), width, height)
    return new, corner, placement


class Preprocessor:
    """Prepare images as a model's ``preprocess`` declares it.

    ``dtype`` is the number type of the network's input, as declared or as its graph says.
    """

    def __init__(self, preprocess: Preprocess, dtype: str | None = None) -> None:
        self.declared = preprocess
        self.dtype = dtype or preprocess.dtype or "float32"
        if self.dtype == "uint8" and (preprocess.range not in (None, (0, 255)) or preprocess.mean or preprocess.std):
            raise InputError("the network takes uint8: preprocess needs range [0, 255] and neither mean nor std")
        low, high = preprocess.range or ((0.0, 255.0) if self.dtype == "uint8" else (0.0, 1.0))
        mean = np.array(preprocess.mean or [0.0] * preprocess.channels)
        std = np.array(preprocess.std or [1.0] * preprocess.channels)
        column = (1, preprocess.channels, 1, 1)
        self.factor = ((high - low) / std).astype(np.float32).reshape(column)
        self.shift = ((low - mean) / std).astype(np.float32).reshape(column)
        self._is_identity = bool((self.factor == 1).all() and (self.shift == 0).all())

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the network's input, None if it is that of the image."""
        return self.declared.size

    def new_batch(self, count: int, width: int, height: int) -> NDArray[np.float32]:
        """Return room for prepared images, ``(image, channel, height, width)``."""
        return np.empty((count, self.declared.channels, height, width), dtype=np.float32)

    def prepare_into(self, image: NDArray[np.uint8], out: NDArray[np.float32]) -> Placement:
        """Write one RGB image to ``out`` ``(channel, height, width)``, resized and in 0..1, and say where it lies."""
        _check_image(image)
        height, width = image.shape[:2]
        new, corner, placement = place(self.declared, width, height)
        resized = image if new == (width, height) else self._resize(image, new)
        x, y = corner
        crop_x, crop_y = max(0, -x), max(0, -y)
        shown = resized[crop_y : crop_y + out.shape[1], crop_x : crop_x + out.shape[2]]
        x, y = max(0, x), max(0, y)
        inner = out[:, y : y + shown.shape[0], x : x + shown.shape[1]]
        if inner.shape != out.shape:
            out[:] = self.declared.pad_value / 255
        for channel, plane in enumerate(self._planes(shown)):
            np.divide(plane, np.float32(255), out=inner[channel])
        return placement

    def prepare(self, images: list[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], list[Placement]]:
        """Prepare images of one size (or any sizes, if they are resized)."""
        for image in images:
            _check_image(image)
        sizes = {self.size or (image.shape[1], image.shape[0]) for image in images}
        if len(sizes) != 1:
            raise InputError(f"cannot put images of sizes {sorted(sizes)} into one batch without a resize")
        width, height = sizes.pop()
        prepared = self.new_batch(len(images), width, height)
        return prepared, [self.prepare_into(image, row) for image, row in zip(images, prepared, strict=True)]

    def network_input(self, prepared: NDArray[np.float32]) -> NDArray[Any]:
        """Apply range, mean, std, number type and axis order to prepared images."""
        values = prepared
        if not self._is_identity:
            values = prepared * self.factor
            values += self.shift
        if self.dtype == "uint8":
            values = np.rint(values).clip(0, 255)
        if self.declared.layout == "nhwc":
            values = values.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(values, dtype=self.dtype)

    def _resize(self, image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        cv2 = _cv2()
        interpolation = getattr(cv2, f"INTER_{self.declared.interpolation.upper()}")
        return cv2.resize(image, size, interpolation=interpolation)  # type: ignore[no-any-return]

    def _planes(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
        cv2 = _cv2()
        if self.declared.color == "gray":
            return (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY),)
        # Contiguous planes are divided twice as fast as strided ones.
        planes = cv2.split(image)
        return tuple(reversed(planes)) if self.declared.color == "bgr" else tuple(planes)


def _check_image(image: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(f"expected an RGB image (height, width, 3) of uint8, got {image.shape} of {image.dtype}")


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("OpenCV", 'pip install "pytest-mle[vision]"') from error
    return cv2
