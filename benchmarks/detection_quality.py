"""Compare detection_quality from image files to bounds with the bare forward passes of the same model.

    python benchmarks/detection_quality.py --images 400 --batch 8 --repeats 5

One run is what an item costs: read labels and images from disk, predict, match, resample sequences. It alternates with
the bare forward passes on the same batches, prepared before, so that a busy machine disturbs both alike. The ratio of
the medians is printed, without the bootstrap and with it, because the bootstrap's cost does not depend on the model; of
CPU time too, which hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from prediction_pass import HEIGHT, WIDTH, medians, save_detector, seconds

from pytest_mle.checks.detection import detection_quality as measured
from pytest_mle.inputs.datasets import open_dataset
from pytest_mle.inputs.models import open_model
from pytest_mle.inputs.prediction_pass import predict_dataset

FRAMES_PER_SEQUENCE = 5


def save_dataset(root: Path, images: int, objects_per_image: int) -> None:
    """Write JPEG files, YOLO labels and a table with the sequence of each image."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "data.yaml").write_text("names: [car, person]\n")
    rows = ["image,sequence"]
    for index in range(images):
        noise = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        cv2.imwrite(str(root / f"images/{index:05}.jpg"), cv2.resize(noise, (WIDTH * 3 // 2, HEIGHT * 3 // 2)))
        size = rng.uniform(0.05, 0.4, (objects_per_image, 2))
        center = rng.uniform(0.2, 0.8, (objects_per_image, 2))
        labels = rng.integers(0, 2, objects_per_image)
        lines = [
            f"{label} {x:.6f} {y:.6f} {w:.6f} {h:.6f}"
            for label, (x, y), (w, h) in zip(labels, center, size, strict=True)
        ]
        (root / f"labels/{index:05}.txt").write_text("\n".join(lines) + "\n")
        rows.append(f"images/{index:05}.jpg,{index // FRAMES_PER_SEQUENCE}")
    (root / "images.csv").write_text("\n".join(rows) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--objects-per-image", type=int, default=5)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--channels", type=int, default=64, help="width of the model, which decides its time")
    parser.add_argument("--threads", type=int, default=None, help="threads of the network (default: the runtime's)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        save_detector(root / "m.onnx", options.channels)
        save_dataset(root / "data", options.images, options.objects_per_image)
        model = open_model(
            "bench",
            {
                "path": "m.onnx",
                "task": "detection",
                "preprocess": {"resize": "letterbox", "size": [WIDTH, HEIGHT], "mean": [0.5] * 3, "std": [0.25] * 3},
                "output": {
                    "layout": "yolov8",
                    "nms": {"iou": 0.55},
                    "score_threshold": 0.5,
                    "coordinates": "normalised",
                },
                "classes": ["car", "person"],
                "batch_size": options.batch,
                "intra_op_threads": options.threads,
            },
            root,
        )

        def opened():
            return open_dataset("test", {"path": "data", "format": "yolo", "metadata": "data/images.csv"}, root)

        dataset = opened()
        starts = range(0, len(dataset), options.batch)
        batches = [
            model.preprocessor.network_input(
                model.prepare([dataset.image(i) for i in range(start, min(start + options.batch, len(dataset)))])
            )
            for start in starts
        ]

        def forward() -> None:
            for values in batches:
                model.network.run(values)

        apart = {"open and predict": [], "labels, matching, rates": [], "bootstrap": []}
        bootstrap = [(0.0, 0.0)]
        draw_and_score = measured._scores  # noqa: SLF001  timed apart from the rest

        def timed_scores(*arguments):
            scores = []
            bootstrap[0] = seconds(lambda: scores.append(draw_and_score(*arguments)))
            return scores[0]

        measured._scores = timed_scores  # noqa: SLF001

        def whole_check():
            done = []
            apart["open and predict"].append(seconds(lambda: done.append(predict_dataset(model, opened()))))
            rng = np.random.default_rng(0)
            rest = seconds(lambda: done.append(measured.detection_quality(done[0], rng, resamples=options.resamples)))
            apart["labels, matching, rates"].append(tuple(a - b for a, b in zip(rest, bootstrap[0], strict=True)))
            apart["bootstrap"].append(bootstrap[0])
            return done[1], len(done[0].detections.scores)

        forward()
        found, detections = whole_check()
        for values in apart.values():
            values.clear()
        bare, whole = [], []
        for _ in range(options.repeats):
            bare.append(seconds(forward))
            whole.append(seconds(whole_check))
        report(options, found, detections, bare, whole, apart)


def report(options, found, detections, bare, whole, apart) -> None:
    images, (base, base_cpu) = options.images, medians(bare)
    print(
        f"{images} images in {found.settings['clusters']} sequences, {found.quantities['objects']} objects, "
        f"{detections} detections; medians of {options.repeats}"
    )

    def show(name, values):
        wall, cpu = medians(values)
        print(
            f"{name:28} {1000 * wall / images:8.3f} ms an image {wall / base:7.3f} x bare forward "
            f"(CPU {cpu / base_cpu:6.3f})"
        )

    show("bare forward", bare)
    for name, values in apart.items():
        show(f"  {name}", values)
    without = [
        tuple(a - b for a, b in zip(one, two, strict=True)) for one, two in zip(whole, apart["bootstrap"], strict=True)
    ]
    show("check without bootstrap", without)
    show(f"check, {options.resamples} resamples", whole)


if __name__ == "__main__":
    main()
