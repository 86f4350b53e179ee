"""Compare our COCO matcher with pycocotools and faster-coco-eval, side by side in one run.

    python benchmarks/mean_average_precision.py --images 25000 --repeats 3

Every measurement runs in a process of its own, the three evaluators in turn, so that a busy machine disturbs all of
them alike. CPU time (user + system) counts, loading of the boxes left out; peak memory is the growth over the process
with the boxes loaded. The reference evaluators get their annotations as the dictionaries that they ask for.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import resource
import statistics
import time

import numpy as np

from pytest_mle.checks.detection.average_precision import average_precision
from pytest_mle.checks.detection.matching import DetectedBoxes, TrueBoxes, match_detections
from pytest_mle.checks.detection.resampling import draw_cluster_weights, resample_average_precision

CLASSES = 3


def simulate(images, boxes_per_image, seed=20260104):
    """Simulate a detector with mAP of about 0.5: 90 % of the objects found, 18 % false alarms, overlapping scores."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), rng.poisson(boxes_per_image, images))
    size = rng.uniform(12, 140, (len(image), 2))
    corner = rng.uniform(0, 600, (len(image), 2))
    boxes = np.hstack((corner, corner + size))
    labels = rng.integers(0, CLASSES, len(image))
    truth = TrueBoxes(boxes, labels, image)

    found = rng.random(len(image)) < 0.9
    noise = rng.normal(0, 0.07, (len(image), 4)) * np.hstack((size, size))
    invented = int(0.18 * len(image))
    corner, size = rng.uniform(0, 600, (invented, 2)), rng.uniform(12, 140, (invented, 2))
    detected = np.vstack(((boxes + noise)[found], np.hstack((corner, corner + size))))
    detected[:, 2:] = np.maximum(detected[:, 2:], detected[:, :2] + 1)
    quality = 1 - np.abs(noise[found] / np.hstack((size_of(truth.boxes),) * 2)[found]).mean(axis=1) * 4
    scores = np.concatenate((quality + rng.normal(0, 0.25, found.sum()), rng.normal(0.45, 0.25, invented)))
    detected_image = np.concatenate((image[found], rng.integers(0, images, invented)))
    detected_labels = np.concatenate((labels[found], rng.integers(0, CLASSES, invented)))
    order = np.argsort(detected_image, kind="stable")
    return (
        DetectedBoxes(detected[order], scores[order], detected_labels[order], detected_image[order]),
        truth,
        images,
    )


def size_of(boxes):
    return boxes[:, 2:] - boxes[:, :2]


def evaluate_ours(detected, truth, images):
    # Built again from bare arrays, so that the checks of the values are measured too.
    detected = DetectedBoxes(detected.boxes, detected.scores, detected.labels, detected.image_index)
    truth = TrueBoxes(truth.boxes, truth.labels, truth.image_index)
    result = average_precision(match_detections(detected, truth, image_count=images))
    return result.map_50_95, result.map_50


def coco_dictionaries(detected, truth, images):
    shared = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": label, "name": str(label)} for label in range(CLASSES)],
    }
    sides = []
    for boxes, scores in ((truth, None), (detected, detected.scores.tolist())):
        sizes = size_of(boxes.boxes)
        annotations = [
            {
                "id": row + 1,
                "image_id": image,
                "category_id": label,
                "bbox": box,
                "area": area,
                "iscrowd": 0,
            }
            for row, (image, label, box, area) in enumerate(
                zip(
                    boxes.image_index.tolist(),
                    boxes.labels.tolist(),
                    np.hstack((boxes.boxes[:, :2], sizes)).tolist(),
                    sizes.prod(axis=1).tolist(),
                    strict=True,
                )
            )
        ]
        if scores is not None:
            for annotation, score in zip(annotations, scores, strict=True):
                annotation["score"] = score
        sides.append(shared | {"annotations": annotations})
    return sides


def evaluate_reference(coco_class, evaluator_class, sides, all_settings):
    indexed = []
    with contextlib.redirect_stdout(io.StringIO()):
        for dataset in sides:
            coco = coco_class()
            coco.dataset = dataset
            coco.createIndex()
            indexed.append(coco)
        evaluator = evaluator_class(*indexed, "bbox")
        if not all_settings:
            # The same work as ours: no area range, one limit.
            evaluator.params.areaRng = [[0, 1e10]]
            evaluator.params.areaRngLbl = ["all"]
            evaluator.params.maxDets = [100]
        evaluator.evaluate()
        evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"])[:, :, :, 0, -1]
    return float(precision[precision > -1].mean()), float(precision[0][precision[0] > -1].mean())


def prepare(name, data, all_settings):
    """Import what an evaluator needs and return the call to measure."""
    if name == "ours":
        return lambda: evaluate_ours(*data)
    if name == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        evaluator = COCOeval
    else:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as evaluator
    sides = coco_dictionaries(*data)
    return lambda: evaluate_reference(COCO, evaluator, sides, all_settings)


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name, options, resamples, queue):
    images = options.images
    data = simulate(images, options.boxes_per_image)
    if resamples:
        table = match_detections(data[0], data[1], image_count=images)
        rng = np.random.default_rng(0)

        def run():
            weights = draw_cluster_weights(rng, images, resamples)
            return np.percentile(resample_average_precision(table, np.arange(images), weights).map_50_95, [2.5, 97.5])
    else:
        run = prepare(name, data, options.all_settings)
    before, cpu, wall = peak_memory(), time.process_time(), time.perf_counter()
    result = run()
    queue.put(
        {
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - wall,
            "growth": peak_memory() - before,
            "peak": peak_memory(),
            "result": tuple(float(value) for value in result),
            "sizes": (len(data[0]), len(data[1])),
        }
    )


def in_own_process(*arguments):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=measure, args=(*arguments, queue))
    process.start()
    measurement = queue.get()
    process.join()
    return measurement


def describe(label, runs):
    cpu, wall, growth, peak = (statistics.median(run[key] for run in runs) for key in ("cpu", "wall", "growth", "peak"))
    print(
        f"{label:<22} {cpu:9.3f} s cpu {wall:9.3f} s wall  +{growth:6.0f} MiB, peak {peak:6.0f} MiB  "
        f"{runs[0]['result'][0]:.6f} {runs[0]['result'][1]:.6f}"
    )
    return cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=25_000)
    parser.add_argument("--boxes-per-image", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument(
        "--all-settings",
        action="store_true",
        help="let the others evaluate their default four area ranges, three limits",
    )
    parser.add_argument("--without", action="append", default=[], choices=["pycocotools", "faster-coco-eval"])
    options = parser.parse_args()

    names = [name for name in ("ours", "faster-coco-eval", "pycocotools") if name not in options.without]
    runs = {name: [] for name in names}
    for _ in range(options.repeats):
        for name in names:
            runs[name].append(in_own_process(name, options, 0))
    detections, objects = runs["ours"][0]["sizes"]
    print(f"{options.images} images, {objects} objects, {detections} detections; medians of {options.repeats}")
    cpu = {name: describe(name, runs[name]) for name in names}
    for name in names[1:]:
        print(f"{name} / ours: {cpu[name] / cpu['ours']:.1f}")
        difference = np.abs(np.subtract(runs[name][0]["result"], runs["ours"][0]["result"])).max()
        print(f"largest difference of mAP and mAP50 to {name}: {difference:.1e}")
    bootstrap = [in_own_process("ours", options, options.resamples) for _ in range(options.repeats)]
    describe(f"{options.resamples} resamples", bootstrap)


if __name__ == "__main__":
    main()
