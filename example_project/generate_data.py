"""Write the data sets of the example: ``python generate_data.py`` (the seed is fixed, so are the scenes).

Every split is a YOLO folder: ``images/*.jpg``, ``labels/*.txt`` (``class cx cy w h``, normalised; an empty
file declares a background image), ``images.csv`` (one row an image), ``objects.csv`` (one row a labelled
object) and ``data.yaml``. Training and validation images are single frames of distinct scenes; the other
splits hold short sequences. A scene that looks like one already accepted, in whatever split, is dropped and
replaced.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import cv2
import numpy as np
from crops import CLASSES, collect, read_table
from scenes import (
    HEIGHT,
    LIGHTINGS,
    REGIONS,
    WEATHERS,
    WIDTH,
    Frame,
    World,
    plan_foreign_world,
    plan_world,
    render_frame,
)

ROOT = Path(__file__).parent
MASTER_SEED = 20260104
JPEG_QUALITY = 82
MIN_VISIBLE_SHARE, MIN_HEIGHT_PX = 0.35, 16.0
# Perceptual hashes (64 bits) of two frames differ at least this much, in one sequence and across sequences.
MIN_HAMMING_WITHIN, MIN_HAMMING_ACROSS = 9, 9
COUNTS = (0, 1, 1, 1, 2, 2, 2, 3, 3, 4)
CAMERAS = {"front-a": (1.0, 1.0, 1.0), "front-b": (1.03, 0.99, 0.96), "mast-c": (1.0, 1.0, 1.0)}


@dataclass(frozen=True)
class Split:
    """How many sequences of which lengths a split has, and when; ``single`` keeps one random frame of each."""

    name: str
    code: int
    lengths: tuple[int, ...]
    sequences: int
    start: date
    single: bool = False
    foreign: bool = False
    shifted: bool = False
    quality: int = JPEG_QUALITY


SPLITS = (
    Split("train", 1, (2, 3), 1008, date(2025, 1, 1), single=True),
    Split("val", 2, (2, 3), 156, date(2025, 1, 1), single=True),
    Split("test", 3, (2, 3), 144, date(2025, 1, 1)),
    Split("ood", 4, (2,), 40, date(2025, 1, 1), foreign=True),
    Split("production", 5, (2, 3), 60, date(2026, 1, 1)),
    Split("production_drifted", 6, (2,), 60, date(2026, 1, 1), shifted=True, quality=70),
)


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Return the 64 bits of the DCT hash of an RGB image: which low frequencies lie above their median."""
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(grey.astype(np.float32))[:8, :8].ravel()
    return low > np.median(low)


def shift_sensor(image: np.ndarray) -> np.ndarray:
    """Return an image as a mistuned camera sees it: more gain, a colour cast, out of focus."""
    bright = image.astype(np.float32) * np.array([1.5, 1.25, 1.0]) + np.array([22, 12, 0])
    return np.clip(cv2.GaussianBlur(bright, (0, 0), 1.3), 0, 255).round().astype(np.uint8)


class SceneSource:
    """Plan scenes and drop those that look like an earlier one."""

    def __init__(self) -> None:
        self._hashes = np.zeros((0, 64), bool)
        self.dropped = 0

    def frames(self, split: Split, number: int) -> tuple[World, str, list[Frame]]:
        """Return the world, the camera and the frames of sequence ``number`` of a split."""
        for attempt in range(200):
            rng = np.random.default_rng([MASTER_SEED, split.code, number, attempt])
            length = split.lengths[number // 12 % len(split.lengths)]
            world, camera = _plan(split, number, length, rng)
            shown = [int(rng.integers(length))] if split.single else range(length)
            frames = [render_frame(world, index, rng, np.array(CAMERAS[camera])) for index in shown]
            if split.shifted:
                frames = [Frame(shift_sensor(frame.image), frame.pedestrians) for frame in frames]
            if self._accept(np.stack([perceptual_hash(frame.image) for frame in frames])):
                return world, camera, frames
            self.dropped += 1
        raise RuntimeError(f"{split.name}: no new scene found for sequence {number}; scenes are too much alike")

    def _accept(self, hashes: np.ndarray) -> bool:
        across = (hashes[:, None] ^ self._hashes[None]).sum(axis=2)
        within = (hashes[:, None] ^ hashes[None]).sum(axis=2)[np.triu_indices(len(hashes), 1)]
        if across.size and across.min() < MIN_HAMMING_ACROSS:
            return False
        if within.size and within.min() < MIN_HAMMING_WITHIN:
            return False
        self._hashes = np.concatenate([self._hashes, hashes])
        return True


def _plan(split: Split, number: int, length: int, rng: np.random.Generator) -> tuple[World, str]:
    """Plan the world; weather, lighting and the number of pedestrians go round, so that splits have the same mix."""
    lighting = LIGHTINGS[number // len(WEATHERS) % len(LIGHTINGS)]
    shuffled = np.random.default_rng([MASTER_SEED, split.code, 998, number // len(COUNTS)]).permutation(COUNTS)
    count = int(shuffled[number % len(COUNTS)])
    if split.foreign:
        return plan_foreign_world(rng, lighting, pedestrians=count), "mast-c"
    weather, region = WEATHERS[number % len(WEATHERS)], str(rng.choice(REGIONS))
    world = plan_world(rng, weather, lighting, region, pedestrians=count, frames=length)
    return world, str(rng.choice(["front-a", "front-b"]))


def _recorded_at(split: Split, world: World, rng: np.random.Generator) -> str:
    """Return a date of the split's year that suits the weather: no snow in summer."""
    while True:
        day = split.start + timedelta(days=int(rng.integers(0, 330)))
        if world.look.weather != "snow" or day.month in {1, 2, 3, 11}:
            return day.isoformat()


def write_split(split: Split, source: SceneSource, folder: Path) -> None:
    """Write one split as a YOLO folder."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    images, objects = [], []
    for number in range(split.sequences):
        world, camera, frames = source.frames(split, number)
        day = _recorded_at(split, world, np.random.default_rng([MASTER_SEED, split.code, number, 999]))
        for index, frame in enumerate(frames):
            name = f"images/{len(images) + 1:06d}.jpg"
            objects += _write_frame(folder, name, frame, split.quality)
            images.append(
                {
                    "image": name,
                    "sequence": f"{split.name}-{number + 1:04d}",
                    "frame": index,
                    "weather": world.look.weather,
                    "lighting": world.look.lighting,
                    "region": world.region,
                    "camera_id": camera,
                    "source": "simulation",
                    "recorded_at": day,
                    "location": f"synthetic/{world.region}",
                    "annotator": "renderer",
                    "license": "CC0-1.0",
                    "width": WIDTH,
                    "height": HEIGHT,
                    "object_count": len(frame.pedestrians),
                    "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
                },
            )
    write_table(folder / "images.csv", images)
    write_table(folder / "objects.csv", objects)
    (folder / "data.yaml").write_text("path: .\nnames: {0: pedestrian}\n", encoding="utf-8")


def _write_frame(folder: Path, name: str, frame: Frame, quality: int) -> list[dict]:
    cv2.imwrite(str(folder / name), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    lines, objects = [], []
    for index, pedestrian in enumerate(frame.pedestrians):
        x0, y0, x1, y1 = pedestrian.box
        values = ((x0 + x1) / 2 / WIDTH, (y0 + y1) / 2 / HEIGHT, (x1 - x0) / WIDTH, (y1 - y0) / HEIGHT)
        lines.append("0 " + " ".join(f"{value:.6f}" for value in values))
        visible = 1 - pedestrian.occlusion
        objects.append(
            {
                "image": name,
                "object": index,
                "distance_m": f"{pedestrian.distance_m:.2f}",
                "occlusion": f"{pedestrian.occlusion:.3f}",
                "height_px": f"{y1 - y0:.2f}",
                "clothing": pedestrian.clothing,
                "ignore": int(visible < MIN_VISIBLE_SHARE or y1 - y0 < MIN_HEIGHT_PX),
            },
        )
    text = "".join(line + "\n" for line in lines)
    (folder / "labels" / Path(name).with_suffix(".txt").name).write_text(text, encoding="utf-8")
    return objects


def write_table(path: Path, rows: list[dict]) -> None:
    """Write rows with the same keys as a CSV file with a header."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_crops(split: Path, folder: Path, backgrounds_per_image: int) -> None:
    """Write the crops of a split as an ImageFolder, with their sequence and conditions in ``images.csv``."""
    shutil.rmtree(folder, ignore_errors=True)
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
    about = {row["image"]: row for row in read_table(split / "images.csv")}
    rows = []
    for number, crop in enumerate(collect(split, backgrounds_per_image, MASTER_SEED)):
        name = f"{crop.label}/{number + 1:06d}.jpg"
        pixels = cv2.cvtColor(crop.pixels, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / name), pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])
        parent = about[crop.image]
        kept = ("sequence", "weather", "lighting", "region", "camera_id", "source", "recorded_at", "license")
        rows.append(
            {"image": name, "label": crop.label, **{key: parent[key] for key in kept}, "parent_image": crop.image}
        )
    write_table(folder / "images.csv", rows)


def main() -> None:
    """Write all splits and the crops of the test split."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "data", help="where the splits go")
    out = parser.parse_args().out
    source = SceneSource()
    for split in SPLITS:
        write_split(split, source, out / split.name)
        print(f"{split.name}: written, {source.dropped} look-alikes dropped so far", flush=True)
    write_crops(out / "test", out / "crops_test", 1)


if __name__ == "__main__":
    main()
