"""Compare the prediction pass over a data set with the bare forward passes of the same model on the same batches.

Run: python benchmarks/prediction_pass.py [--samples 96] [--batch 8] [--repeats 5]

The model is a convolutional detector head with the channels chosen so that one image takes at least 5 ms; the data set
is JPEG files on disk that are decoded anew in every pass. Passes and bare runs alternate, so that both see the same
machine; the ratios of the medians are printed, of wall time and of CPU time. The second hardly depends on what else the
machine does; the first is what a user waits for.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pytest_mle.inputs.dataset import Sample
from pytest_mle.inputs.models import open_model
from pytest_mle.inputs.prediction_pass import predict_dataset

WIDTH, HEIGHT = 320, 256


class JpegFolder:
    """A data set of JPEG files, decoded anew each time."""

    name, task, class_names = "folder", "detection", ("car", "person")

    def __init__(self, root: Path, count: int) -> None:
        self.root, self.count = root, count
        rng = np.random.default_rng(0)
        for i in range(count):
            noise = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
            cv2.imwrite(str(self._path(i)), cv2.resize(noise, (WIDTH * 3 // 2, HEIGHT * 3 // 2)))

    def _path(self, index: int) -> Path:
        return self.root / f"{index:05}.jpg"

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> Sample:
        """Return one sample."""
        return Sample(self._path(index).name, self._path(index))

    def image(self, index: int):
        """Decode one image."""
        return cv2.cvtColor(cv2.imread(str(self._path(index))), cv2.COLOR_BGR2RGB)


def save_detector(path: Path, channels: int) -> None:
    """Write conv, relu, conv, relu, conv to a YOLOv8-like head of (image, 6, anchor)."""
    rng = np.random.default_rng(0)
    sizes = [(channels, 3, 2), (channels * 2, channels, 2), (channels * 2, channels * 2, 2), (6, channels * 2, 2)]
    nodes, weights, previous = [], [], "images"
    for i, (out, into, stride) in enumerate(sizes):
        weights.append(numpy_helper.from_array(rng.normal(0, 0.05, (out, into, 3, 3)).astype(np.float32), f"w{i}"))
        nodes.append(helper.make_node("Conv", [previous, f"w{i}"], [f"c{i}"], strides=[stride] * 2, pads=[1] * 4))
        nodes.append(helper.make_node("Sigmoid" if i == len(sizes) - 1 else "Relu", [f"c{i}"], [f"r{i}"]))
        previous = f"r{i}"
    weights.append(numpy_helper.from_array(np.array([0, 6, -1]), "shape"))
    nodes.append(helper.make_node("Reshape", [previous, "shape"], ["output0"]))
    graph = helper.make_graph(
        nodes,
        "bench",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 6, None])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


def seconds(call) -> tuple[float, float]:
    """Return wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def medians(runs) -> list[float]:
    """Return the medians of wall and CPU seconds."""
    return [statistics.median(values) for values in zip(*runs, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=96)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--threads", type=int, default=None, help="threads of the network (default: the runtime's)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        save_detector(root / "m.onnx", options.channels)
        entry = {
            "path": "m.onnx",
            "task": "detection",
            "preprocess": {"resize": "letterbox", "size": [WIDTH, HEIGHT], "mean": [0.5] * 3, "std": [0.25] * 3},
            "output": {"layout": "yolov8", "nms": {"iou": 0.55}, "score_threshold": 0.5, "coordinates": "normalised"},
            "classes": ["car", "person"],
            "batch_size": options.batch,
            "intra_op_threads": options.threads,
        }
        model, dataset = open_model("bench", entry, root), JpegFolder(root, options.samples)
        starts = range(0, len(dataset), options.batch)
        images = [[dataset.image(i) for i in range(s, min(s + options.batch, len(dataset)))] for s in starts]
        batches = [model.prepare(batch) for batch in images]
        networks = [model.preprocessor.network_input(batch) for batch in batches]

        def forward() -> None:
            for values in networks:
                model.network.run(values)

        def one_after_the_other() -> None:
            for s in starts:
                model.predict([dataset.image(i) for i in range(s, min(s + options.batch, len(dataset)))])

        forward()
        found = predict_dataset(model, dataset)
        runs = {"bare forward": forward, "prediction pass": lambda: predict_dataset(model, dataset)}
        runs["without threads"] = one_after_the_other
        times = {name: [] for name in runs}
        for _ in range(options.repeats):
            for name, call in runs.items():
                times[name].append(seconds(call))
        bare, bare_cpu = medians(times["bare forward"])
        print(f"{len(dataset)} images, batch {options.batch}, {len(found.detections.boxes)} detections")
        for name, values in times.items():
            wall, cpu = medians(values)
            print(
                f"{name:16} {1000 * wall / len(dataset):7.2f} ms an image, {wall / bare:5.3f} x bare forward "
                f"(CPU {cpu / bare_cpu:5.3f})"
            )


if __name__ == "__main__":
    main()
