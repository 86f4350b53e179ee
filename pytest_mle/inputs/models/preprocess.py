"""Images into the network's input, and boxes back into the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        # Every byte's value once, so that scaling, mean and std cost one look-up a pixel; bit-equal to computing them.
        levels = np.arange(256, dtype=np.float32) / np.float32(255)
        self._prepared_levels = np.tile(levels, (preprocess.channels, 1))
        self._input_levels = self._as_input(levels.reshape(1, 1, 1, 256).repeat(preprocess.channels, axis=1))[0, :, 0]

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the network's input, None if it is that of the image."""
        return self.declared.size

    def prepare_into(self, image: NDArray[np.uint8], room: NDArray[np.float32]) -> Placement:
        """Write one RGB image to ``room`` ``(channel, height, width)``, resized and in 0..1, and say where it lies."""
        return self._write(image, room, self._prepared_levels)

    def new_input(self, count: int, width: int, height: int) -> NDArray[Any]:
        """Return room for the network's input of so many images, in its axis order and number type."""
        channels = self.declared.channels
        shape = (channels, height, width) if self.declared.layout == "nchw" else (height, width, channels)
        return np.empty((count, *shape), dtype=self.dtype)

    def feed_into(self, image: NDArray[np.uint8], room: NDArray[Any]) -> Placement:
        """Write one RGB image to its part of the network's input: prepared, with range, mean and std applied."""
        channels_first = room if self.declared.layout == "nchw" else room.transpose(2, 0, 1)
        return self._write(image, channels_first, self._input_levels)

    def feed(self, images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[Any], list[Placement]]:
        """Make the network's input of images of one size (or any sizes, if they are resized)."""
        values = self.new_input(len(images), *self._common_size(images))
        return values, [self.feed_into(image, room) for image, room in zip(images, values, strict=True)]

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Prepare images of one size (or any sizes, if they are resized): ``(image, channel, height, width)``."""
        width, height = self._common_size(images)
        prepared = np.empty((len(images), self.declared.channels, height, width), dtype=np.float32)
        for image, room in zip(images, prepared, strict=True):
            self.prepare_into(image, room)
        return prepared

    def network_input(self, prepared: NDArray[np.float32]) -> NDArray[Any]:
        """Apply range, mean, std, number type and axis order to prepared images."""
        values = self._as_input(prepared)
        if self.declared.layout == "nhwc":
            values = values.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(values)

    def _as_input(self, prepared: NDArray[np.float32]) -> NDArray[Any]:
        values = prepared * self.factor
        values += self.shift
        if self.dtype == "uint8":
            values = np.rint(values).clip(0, 255)
        return values.astype(self.dtype, copy=False)

    def _common_size(self, images: Sequence[NDArray[np.uint8]]) -> tuple[int, int]:
        for image in images:
            _check_image(image)
        sizes = {self.size or (image.shape[1], image.shape[0]) for image in images}
        if len(sizes) != 1:
            raise InputError(f"cannot put images of sizes {sorted(sizes)} into one batch without a resize")
        return sizes.pop()

    def _write(self, image: NDArray[np.uint8], room: NDArray[Any], levels: NDArray[Any]) -> Placement:
        """Write the resized image to ``(channel, height, width)``, each byte replaced by its level."""
        _check_image(image)
        height, width = image.shape[:2]
        new, (x, y), placement = place(self.declared, width, height)
        resized = image if new == (width, height) else self._resize(image, new)
        crop_x, crop_y = max(0, -x), max(0, -y)
        shown = resized[crop_y : crop_y + room.shape[1], crop_x : crop_x + room.shape[2]]
        x, y = max(0, x), max(0, y)
        inner = room[:, y : y + shown.shape[0], x : x + shown.shape[1]]
        if inner.shape != room.shape:
            room[:] = levels[:, self.declared.pad_value, np.newaxis, np.newaxis]
        for plane, target, level in zip(self._planes(shown), inner, levels, strict=True):
            if target.dtype == np.float32 and target.strides[1] == 4:
                _cv2().LUT(plane, level, dst=target)
            else:
                target[:] = level[plane]
        return placement

    def _resize(self, image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        cv2 = _cv2()
        interpolation = getattr(cv2, f"INTER_{self.declared.interpolation.upper()}")
        return cv2.resize(image, size, interpolation=interpolation)  # type: ignore[no-any-return]

    def _planes(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
        cv2 = _cv2()
        if self.declared.color == "gray":
            return (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY),)
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
