"""Random detection data and the reference evaluators that the numeric core must agree with."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from pytest_mle.checks.detection.matching import DetectedBoxes, TrueBoxes

# Outside every area range used in tests: the way to make pycocotools ignore an object that is no crowd.
AREA_OUT_OF_RANGE = 2e10


def _random_boxes(rng, count, canvas, *, on_grid):
    corner = rng.uniform(0, canvas, (count, 2))
    size = rng.uniform(2, canvas / 2, (count, 2))
    if on_grid:
        corner, size = np.floor(corner), np.floor(size)
    return np.hstack((corner, corner + size))


@pytest.fixture(scope="session")
def random_data():
    """Make detections and ground truth of small crowded images; some images stay empty."""

    def make(
        seed,
        *,
        images=12,
        classes=3,
        detections=60,
        objects=40,
        canvas=24,
        on_grid=True,
        score_steps=None,
        crowds=0.0,
        ignored=0.0,
    ):
        rng = np.random.default_rng(seed)
        object_boxes = _random_boxes(rng, objects, canvas, on_grid=on_grid)
        object_image = rng.integers(0, images, objects)
        object_label = rng.integers(0, classes, objects)
        # Half of the detections are objects moved a little, so that there are matches at all thresholds.
        copied = rng.integers(0, objects, detections) if objects else np.zeros(detections, dtype=np.int64)
        boxes = _random_boxes(rng, detections, canvas, on_grid=on_grid)
        image = rng.integers(0, images, detections)
        label = rng.integers(0, classes, detections)
        if objects:
            near = rng.random(detections) < 0.7
            noise = rng.integers(-1, 2, (detections, 4)) if on_grid else rng.normal(0, 0.4, (detections, 4))
            moved = object_boxes[copied] + noise * (rng.random((detections, 1)) < 0.7)
            moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2])
            boxes[near], image[near], label[near] = moved[near], object_image[copied][near], object_label[copied][near]
        scores = rng.random(detections)
        if score_steps is not None:
            scores = np.floor(scores * score_steps) / score_steps
        detected = DetectedBoxes(boxes, scores, label, image)
        truth = TrueBoxes(
            object_boxes,
            object_label,
            object_image,
            ignored=rng.random(objects) < ignored,
            crowd=rng.random(objects) < crowds,
        )
        return detected, truth

    return make


def _coco_dataset(detected, truth, image_count, class_count):
    images = [{"id": image + 1, "width": 1000, "height": 1000} for image in range(image_count)]
    categories = [{"id": label, "name": str(label)} for label in range(class_count)]

    def corner_and_size(box):
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    objects = [
        {
            "id": row + 1,
            "image_id": int(truth.image_index[row]) + 1,
            "category_id": int(truth.labels[row]),
            "bbox": corner_and_size(truth.boxes[row].tolist()),
            "area": AREA_OUT_OF_RANGE if truth.ignored[row] else float(truth.area[row]),
            "iscrowd": int(truth.crowd[row]),
        }
        for row in range(len(truth))
    ]
    detections = []
    for row in range(len(detected)):
        box = corner_and_size(detected.boxes[row].tolist())
        detections.append(
            {
                "id": row + 1,
                "image_id": int(detected.image_index[row]) + 1,
                "category_id": int(detected.labels[row]),
                "bbox": box,
                "area": box[2] * box[3],
                "score": float(detected.scores[row]),
                "iscrowd": 0,
            }
        )
    return (
        {"images": images, "categories": categories, "annotations": objects},
        {"images": images, "categories": categories, "annotations": detections},
    )


def _run(coco_class, evaluator_class, detected, truth, *, image_count, class_count, area_ranges, max_detections):
    sides = []
    with contextlib.redirect_stdout(io.StringIO()):
        for dataset in _coco_dataset(detected, truth, image_count, class_count):
            coco = coco_class()
            coco.dataset = dataset
            coco.createIndex()
            sides.append(coco)
        evaluator = evaluator_class(*sides, "bbox")
        evaluator.params.areaRng = [list(area_range) for area_range in area_ranges]
        evaluator.params.areaRngLbl = [str(area_range) for area_range in area_ranges]
        evaluator.params.maxDets = list(max_detections)
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


@pytest.fixture(scope="session")
def pycocotools_evaluation():
    """Evaluate with pycocotools; -1 in its arrays means undefined."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def evaluate(detected, truth, **settings):
        return _run(COCO, COCOeval, detected, truth, **settings)

    return evaluate


@pytest.fixture(scope="session")
def faster_coco_evaluation():
    """Evaluate with faster-coco-eval; -1 in its arrays means undefined."""
    from faster_coco_eval import COCO, COCOeval_faster

    def evaluate(detected, truth, **settings):
        return _run(COCO, COCOeval_faster, detected, truth, **settings)

    return evaluate
