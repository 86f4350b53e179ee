"""Pictures inside results: what may be seen of them."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from pytest_mle.errors import MissingExtraError
from pytest_mle.inputs.images import import_cv2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_mle.records.figure import Figure

PREFIX = "data:image/jpeg;base64,"
# A face or a number plate of this many pixels cannot be told any more; people, cars and the scene still can.
BLUR_SIGMA = 3.0


def visible_figures(figures: Iterable[Figure], images: Literal["shown", "blurred", "off"]) -> tuple[Figure, ...]:
    """Return figures with their embedded pictures as ``policy.images`` allows them.

    ``blurred`` smooths each with a Gaussian of 3 pixels; a picture that cannot be decoded, or for which OpenCV is
    missing, is left out, as all are by ``off``. Figures without embedded pictures stay as they are.
    """
    if images == "shown":
        return tuple(figures)
    return tuple(
        replace(figure, images=tuple(_allowed(figure.images, images)))
        if any(one.startswith("data:") for one in figure.images)
        else figure
        for figure in figures
    )


def _allowed(pictures: Iterable[str], images: Literal["blurred", "off"]) -> Iterator[str]:
    for picture in pictures:
        if not picture.startswith("data:"):
            yield picture
        elif images == "blurred":
            blurred = _blurred(picture)
            if blurred is not None:
                yield blurred


def _blurred(picture: str) -> str | None:
    if not picture.startswith(PREFIX):
        return None
    try:
        cv2 = import_cv2()
        data = np.frombuffer(base64.b64decode(picture.removeprefix(PREFIX), validate=True), np.uint8)
    except (MissingExtraError, binascii.Error):
        return None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        return None
    encoded = cv2.imencode(".jpg", cv2.GaussianBlur(image, (0, 0), BLUR_SIGMA))[1]
    return PREFIX + base64.b64encode(encoded.tobytes()).decode()
