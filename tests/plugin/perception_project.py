"""A tiny perception project: real images, labels, an ONNX detector and a training log, small enough for every test."""

from __future__ import annotations

import textwrap

import cv2
import numpy as np
from checklist_project import item

from tests.support.onnx_files import save_constant_detector

IMAGES = 12
BOX = (20.0, 10.0, 40.0, 40.0)

HEADER = """
    mle_spec: 1
    project: {name: Tiny perception, version: "1"}
    processes: []
    policy: {seed: 7}
    inputs:
      datasets:
        test: {path: data, format: yolo}
      models:
        detector:
          path: detector.onnx
          task: detection
          classes: [pedestrian]
          preprocess: {size: [64, 48], resize: letterbox}
          output: {layout: boxes_scores_labels, boxes: xyxy, coordinates: pixel}
          batch_size: 4
      training_logs:
        final: {path: training_log.csv}
    items:
"""

ITEMS = (
    item("DATA", "dataset_integrity", ["corrupt_images == 0", "annotation_errors == 0"]),
    item("DETECT", "detection_quality", "map_50 >= 90 % by point value"),
    item("SIZE", "model_size", "file_size < 1 MB"),
    item("TRAIN", "training_convergence", ["nonfinite_losses == 0", "missing_epochs == 0"]),
)


def write_perception(folder, *, detector=None, epochs=30):
    """Write data, model and training log into a folder; a spec in it can begin with ``HEADER``."""
    for number in range(IMAGES):
        write_image(folder / f"data/images/{number:02}.png", number)
        label = folder / f"data/labels/{number:02}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("0 0.46875 0.5208333 0.3125 0.625\n")
    (folder / "data/data.yaml").write_text("names: {0: pedestrian}\n")
    save_constant_detector(folder / "detector.onnx", detector or outputs(), shape=(1, 3, 48, 64))
    rows = [f"{epoch},{3 / epoch:.5f},{3.2 / epoch:.5f}" for epoch in range(1, epochs + 1)]
    (folder / "training_log.csv").write_text("\n".join(["epoch,train_loss,val_loss", *rows]) + "\n")


def write_image(path, seed=0):
    """Write noise of 64 x 48 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    path.write_bytes(cv2.imencode(path.suffix, noise)[1].tobytes())


def outputs(boxes=(BOX,), score=0.9, label=0):
    """Return what a detector puts out for every image."""
    return {
        "boxes": np.array([boxes], np.float32),
        "scores": np.full((1, len(boxes)), score, np.float32),
        "labels": np.full((1, len(boxes)), label, np.int64),
    }


def header(**changes):
    """Return the beginning of a spec with some lines replaced."""
    text = textwrap.dedent(HEADER)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text
