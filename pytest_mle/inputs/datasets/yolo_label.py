"""Lines of a YOLO label file: ``class center_x center_y width height``, normalised to the image."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_CLASS = re.compile(r"[0-9]{1,9}")
_COLUMNS = 5


class LabelLineError(ValueError):
    """A line that says no box; the message says why."""


@dataclass(frozen=True, slots=True)
class LabelLine:
    """One box: class, center and size as shares of the image."""

    label: int
    center_x: float
    center_y: float
    width: float
    height: float

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom as shares of the image."""
        half_width, half_height = self.width / 2, self.height / 2
        return (
            self.center_x - half_width,
            self.center_y - half_height,
            self.center_x + half_width,
            self.center_y + half_height,
        )


def parse_label_line(text: str) -> LabelLine:
    """Read five columns of finite numbers, the first a whole number without sign.

    Raises :class:`LabelLineError` for everything else, be it another format (polygons, class names, scores) or damage.
    Range and size are not judged here: see :func:`defects_of`.
    """
    columns = text.split()
    if not columns:
        raise LabelLineError("blank line")
    if not _CLASS.fullmatch(columns[0]):
        raise LabelLineError(f"class {columns[0]!r} is not a whole number from 0")
    if len(columns) != _COLUMNS:
        raise LabelLineError(f"{len(columns)} columns instead of {_COLUMNS} (class center_x center_y width height)")
    try:
        numbers = [float(column) for column in columns[1:]]
    except ValueError as error:
        raise LabelLineError(f"{' '.join(columns[1:])!r} are not four numbers") from error
    if not all(map(math.isfinite, numbers)):
        raise LabelLineError(f"{' '.join(columns[1:])!r} are not finite")
    return LabelLine(int(columns[0]), *numbers)


def defects_of(line: LabelLine, class_count: int, *, tolerance: float) -> list[str]:
    """Say what is wrong with a box: class out of range, no size, or beyond the image by more than ``tolerance``."""
    defects = []
    if line.label >= class_count:
        defects.append(f"class {line.label} is not in 0..{class_count - 1}")
    if line.width <= 0 or line.height <= 0:
        defects.append(f"the box has no area (width {line.width:g}, height {line.height:g})")
    left, top, right, bottom = line.corners
    for side, value, beyond in (
        ("left", left, -left),
        ("top", top, -top),
        ("right", right, right - 1),
        ("bottom", bottom, bottom - 1),
    ):
        if beyond > tolerance:
            defects.append(f"the box leaves the image ({side} {value:.3g})")
    return defects
