"""Cut square 32 px crops of pedestrians and of background from a YOLO folder, for the crop classifier."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

CROP = 32
MARGIN = 1.25
CLASSES = ("background", "pedestrian")


@dataclass(frozen=True)
class Crop:
    """One crop (32, 32, 3) uint8 RGB, its class name and the image that it comes from."""

    pixels: np.ndarray
    label: str
    image: str


def read_image(path: Path) -> np.ndarray:
    """Read an image file as RGB uint8 (h, w, 3).

    Raises
    ------
    ValueError
        If the file is not an image that OpenCV can decode.

    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path}: not a readable image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV file with a header as one mapping a row."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_boxes(folder: Path) -> dict[str, np.ndarray]:
    """Return, for each image of a YOLO folder, its boxes (n, 5): x0, y0, x1, y1 in pixels and the ignore flag."""
    ignored = {(row["image"], int(row["object"])): int(row["ignore"]) for row in read_table(folder / "objects.csv")}
    boxes = {}
    for row in read_table(folder / "images.csv"):
        name, width, height = row["image"], int(row["width"]), int(row["height"])
        lines = (folder / "labels" / Path(name).with_suffix(".txt").name).read_text(encoding="utf-8").splitlines()
        found = np.zeros((len(lines), 5), np.float32)
        for index, line in enumerate(lines):
            _, cx, cy, w, h = (float(value) for value in line.split())
            found[index, :4] = (
                (cx - w / 2) * width,
                (cy - h / 2) * height,
                (cx + w / 2) * width,
                (cy + h / 2) * height,
            )
            found[index, 4] = ignored[name, index]
        boxes[name] = found
    return boxes


def square_around(box: np.ndarray) -> np.ndarray:
    """Return the square with the same centre as a box (x0, y0, x1, y1) and 1.25 times its longer side."""
    half = MARGIN * max(box[2] - box[0], box[3] - box[1]) / 2
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return np.array([x - half, y - half, x + half, y + half])


def cut(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Cut the square around a box (x0, y0, x1, y1) and resize it to 32x32; the image is mirrored at its borders."""
    left, top, right, _ = square_around(box)
    side = right - left
    scale = CROP / side
    move = np.array([[scale, 0, -left * scale - 0.5 + 0.5 * scale], [0, scale, -top * scale - 0.5 + 0.5 * scale]])
    if scale < 1:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    return cv2.warpAffine(image, move, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _overlaps(box: np.ndarray, others: np.ndarray) -> bool:
    wide = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    tall = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    return bool(((wide > 0) & (tall > 0)).any())


def background_boxes(image: np.ndarray, boxes: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Choose boxes whose crops show no pedestrian, of the size of one, the busiest of several candidates each."""
    height, width = image.shape[:2]
    chosen = []
    for _ in range(count):
        best, most = None, -1.0
        for _ in range(8):
            tall = rng.uniform(16, 70)
            bottom, centre = (
                rng.uniform(60 + 0.6 * tall, min(height - 1, 72 + 0.95 * tall)),
                rng.uniform(tall * 0.3, width - tall * 0.3),
            )
            box = np.array([centre - tall * 0.2, bottom - tall, centre + tall * 0.2, bottom])
            if _overlaps(square_around(box), boxes):
                continue
            contrast = float(cut(image, box).std())
            if contrast > most:
                best, most = box, contrast
        if best is not None:
            chosen.append(best)
    return chosen


def collect(folder: Path, backgrounds_per_image: int, seed: int) -> list[Crop]:
    """Collect crops of all pedestrians that are not to be ignored, and some backgrounds of each image."""
    rng = np.random.default_rng(seed)
    crops = []
    for name, boxes in read_boxes(folder).items():
        image = read_image(folder / name)
        crops += [Crop(cut(image, box), "pedestrian", name) for box in boxes if not box[4]]
        crops += [
            Crop(cut(image, box), "background", name)
            for box in background_boxes(image, boxes, backgrounds_per_image, rng)
        ]
    return crops
