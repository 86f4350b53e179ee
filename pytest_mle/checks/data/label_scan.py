"""Judge the lines of YOLO label files. Damage is a result, not an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_mle.inputs.datasets.yolo_label import LabelLine, LabelLineError, defects_of, parse_label_line

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class LineDefect:
    """What is wrong with one line; ``is_unparsable`` if it says no box at all. Line None is the whole file."""

    line: int | None
    message: str
    is_unparsable: bool = False


@dataclass(frozen=True, slots=True)
class LabelScan:
    """What one label file is; ``boxes`` are all lines that say a box, right or wrong."""

    boxes: tuple[LabelLine, ...] = ()
    defects: tuple[LineDefect, ...] = ()
    is_missing: bool = False

    @property
    def is_background(self) -> bool:
        """Whether the file is there and declares that the image has no object."""
        return not (self.is_missing or self.boxes or self.defects)


def scan_label_file(
    path: Path, class_count: int, *, size: tuple[int, int] | None, box_tolerance: float, minimum_box_side: float
) -> LabelScan:
    """Scan a label file; ``size`` is width and height of its image, None if the image is unusable."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return LabelScan(is_missing=True)
    except OSError as error:
        return LabelScan(defects=(LineDefect(None, f"cannot be read: {error.strerror or error}", is_unparsable=True),))
    return scan_label_lines(
        data, class_count, size=size, box_tolerance=box_tolerance, minimum_box_side=minimum_box_side
    )


def scan_label_lines(
    data: bytes, class_count: int, *, size: tuple[int, int] | None, box_tolerance: float, minimum_box_side: float
) -> LabelScan:
    """Scan the content of a label file; each line has at most one defect, with all that is wrong in its message.

    Blank lines at the end are none; between boxes they are, because other readers stumble over them.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        broken = data[: error.start].count(b"\n") + 1
        return LabelScan(defects=(LineDefect(broken, "is no UTF-8 text", is_unparsable=True),))
    boxes: list[LabelLine] = []
    defects: list[LineDefect] = []
    seen: dict[tuple[float, ...], tuple[int, int]] = {}
    for number, line in enumerate(text.rstrip().split("\n") if text.strip() else (), 1):
        try:
            box = parse_label_line(line)
        except LabelLineError as error:
            defects.append(LineDefect(number, str(error), is_unparsable=True))
            continue
        boxes.append(box)
        found = defects_of(box, class_count, tolerance=box_tolerance)
        if size is not None and box.width > 0 and box.height > 0:
            found += _too_small(box, size, minimum_box_side)
        first_line, first_label = seen.setdefault(box.corners, (number, box.label))
        if first_line != number:
            other = "" if first_label == box.label else " with another class"
            found.append(f"the same box as in line {first_line}{other}")
        if found:
            defects.append(LineDefect(number, "; ".join(found)))
    return LabelScan(tuple(boxes), tuple(defects))


def _too_small(box: LabelLine, size: tuple[int, int], minimum_box_side: float) -> list[str]:
    width, height = box.width * size[0], box.height * size[1]
    # Six decimals, which most tools write, are 0.002 px in an image of 4000 px.
    if min(width, height) < minimum_box_side - 0.005:
        return [f"the box has {width:.2g} x {height:.2g} px"]
    return []
