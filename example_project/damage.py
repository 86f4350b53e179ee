"""Write ``data_damaged/``: a copy of some test images with one planted defect each, listed in ``DEFECTS.csv``."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
from crops import read_image, read_table
from generate_data import write_table

ROOT = Path(__file__).parent
SOURCE, TARGET = ROOT / "data" / "test", ROOT / "data_damaged"
IMAGES = 36


def _label(image: Path) -> Path:
    return image.parent.parent / "labels" / image.with_suffix(".txt").name


def truncated_image(image: Path) -> None:
    """Cut the file to a third: decoders that do not complain fill the rest with grey."""
    data = image.read_bytes()
    image.write_bytes(data[: len(data) // 3])


def empty_image(image: Path) -> None:
    """Leave a file of no bytes."""
    image.write_bytes(b"")


def garbage_image(image: Path) -> None:
    """Write bytes that are no image at all."""
    image.write_bytes(np.random.default_rng(7).bytes(3000))


def wrong_image_format(image: Path) -> None:
    """Store PNG bytes under a name that says JPEG; small, so that only the format is unusual."""
    flat = cv2.medianBlur(cv2.cvtColor(read_image(image), cv2.COLOR_RGB2BGR), 7) & 0xF0
    image.write_bytes(cv2.imencode(".png", flat, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())


def missing_label(image: Path) -> None:
    """Forget the label file."""
    _label(image).unlink()


def class_name_in_label(image: Path) -> None:
    """Write the name of the class where its number belongs."""
    label = _label(image)
    label.write_text(label.read_text(encoding="utf-8").replace("0 ", "pedestrian ", 1), encoding="utf-8")


def _append(image: Path, line: str) -> None:
    with _label(image).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def nan_in_label(image: Path) -> None:
    """Add a box with a coordinate that is not a number."""
    _append(image, "0 nan 0.500000 0.050000 0.200000")


def unknown_class(image: Path) -> None:
    """Add a box of class 9, of which there is none."""
    _append(image, "9 0.300000 0.500000 0.050000 0.200000")


def box_outside_image(image: Path) -> None:
    """Add a box whose left edge lies far outside the image, although its centre lies inside."""
    _append(image, "0 0.070000 0.500000 0.400000 0.300000")


def zero_size_box(image: Path) -> None:
    """Add a box without width."""
    _append(image, "0 0.500000 0.500000 0.000000 0.200000")


def repeated_box(image: Path) -> None:
    """Repeat the first box."""
    _append(image, _label(image).read_text(encoding="utf-8").splitlines()[0])


def short_line(image: Path) -> None:
    """Add a line with three columns."""
    _append(image, "0 0.500000 0.500000")


def extra_columns(image: Path) -> None:
    """Add a line with seven columns."""
    _append(image, "0 0.400000 0.500000 0.050000 0.200000 0.9 17")


IN_IMAGE = (truncated_image, empty_image, garbage_image, wrong_image_format)
IN_LABEL = (
    missing_label,
    class_name_in_label,
    nan_in_label,
    unknown_class,
    box_outside_image,
    zero_size_box,
    repeated_box,
    short_line,
    extra_columns,
)


def _copy_base() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Copy one frame with at least one object of each of the first sequences; return its rows."""
    seen: dict[str, dict[str, str]] = {}
    for row in read_table(SOURCE / "images.csv"):
        if row["object_count"] != "0":
            seen.setdefault(row["sequence"], row)
    rows = list(seen.values())[:IMAGES]
    names = {row["image"] for row in rows}
    for name in names:
        shutil.copyfile(SOURCE / name, TARGET / name)
        shutil.copyfile(_label(SOURCE / name), _label(TARGET / name))
    return rows, [row for row in read_table(SOURCE / "objects.csv") if row["image"] in names]


def _duplicate(
    row: dict[str, str], objects: list[dict[str, str]], name: str, *, exact: bool
) -> tuple[dict, list[dict]]:
    """Add a copy of an image under another name: the same bytes, or brighter and compressed again."""
    original, copy = TARGET / row["image"], TARGET / name
    if exact:
        shutil.copyfile(original, copy)
    else:
        brighter = np.clip(read_image(original).astype(np.float32) * 1.04 + 2, 0, 255).astype(np.uint8)
        cv2.imwrite(str(copy), cv2.cvtColor(brighter, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 60])
    shutil.copyfile(_label(original), _label(copy))
    own = [entry | {"image": name} for entry in objects if entry["image"] == row["image"]]
    return row | {"image": name, "sequence": row["sequence"] + "-copy"}, own


def main() -> None:
    """Copy, damage, and list the damage."""
    shutil.rmtree(TARGET, ignore_errors=True)
    (TARGET / "images").mkdir(parents=True)
    (TARGET / "labels").mkdir()
    rows, objects = _copy_base()
    shutil.copyfile(SOURCE / "data.yaml", TARGET / "data.yaml")
    defects = []
    for plant, row in zip(IN_IMAGE + IN_LABEL, rows, strict=False):
        plant(TARGET / row["image"])
        file = row["image"] if plant in IN_IMAGE else _label(Path("data") / row["image"]).relative_to("data").as_posix()
        defects.append({"file": file, "defect": plant.__name__, "of": ""})
    orphan = Path("labels/900001.txt")
    shutil.copyfile(_label(TARGET / rows[-4]["image"]), TARGET / orphan)
    defects.append({"file": orphan.as_posix(), "defect": "orphan_label", "of": ""})
    for row, name, exact in zip(rows[-3:], ("900002", "900003", "900004"), (True, True, False), strict=True):
        twin, own = _duplicate(row, objects, f"images/{name}.jpg", exact=exact)
        defects.append(
            {"file": twin["image"], "defect": "exact_duplicate" if exact else "near_duplicate", "of": row["image"]}
        )
        rows, objects = [*rows, twin], [*objects, *own]
    write_table(TARGET / "images.csv", rows)
    write_table(TARGET / "objects.csv", objects)
    write_table(TARGET / "DEFECTS.csv", defects)


if __name__ == "__main__":
    main()
