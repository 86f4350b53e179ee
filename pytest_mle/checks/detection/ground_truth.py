"""Gather predictions and annotations of a whole data set as the flat arrays that matching works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from pytest_mle.checks.detection.matching import DetectedBoxes, TrueBoxes
from pytest_mle.errors import InputError, closest
from pytest_mle.inputs.predictions import DetectionPredictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Dataset, Objects
    from pytest_mle.inputs.predictions import Predictions

# A data set does not change while it is open, so its boxes are gathered once for all checks that ask for them.
_gathered: WeakKeyDictionary[Dataset, TrueBoxes] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Which images are not independent of each other.

    ``of_image`` ``(image,)`` counts the clusters from 0 without gaps; ``noun`` says what they are, for reports.
    """

    of_image: NDArray[np.int64]
    noun: str

    @property
    def count(self) -> int:
        """Number of clusters."""
        return int(self.of_image.max(initial=-1)) + 1

    def sums(self, per_image: NDArray[Any]) -> NDArray[np.float64]:
        """Add up a number per image to one per cluster."""
        return np.bincount(self.of_image, weights=per_image, minlength=self.count).astype(np.float64)

    def restricted_to(self, images: NDArray[np.int64]) -> Clusters:
        """Return the clusters of some of the images."""
        return Clusters(np.unique(self.of_image[images], return_inverse=True)[1].reshape(-1), self.noun)


def true_boxes(dataset: Dataset) -> TrueBoxes:
    """Return the annotations of all images, ``image_index`` ascending, objects of an image in their order.

    Objects with ``ignore`` (crowds, too occluded, outside the slice) are ignored as COCO ignores objects out of an area
    range: a detection that matches one is neither a hit nor a false alarm.

    Raises
    ------
    InputError
        The data set is not for detection, a label file cannot be read, or a box is not finite or has no area; the
        message names the image.
    """
    if dataset.task != "detection":
        raise InputError(
            f"data set {dataset.name!r} is for {dataset.task}: detection quality needs annotated boxes. "
            "Name a detection data set in `using:` or `defaults:`."
        )
    try:
        found = _gathered.get(dataset)
    except TypeError:  # a project's own data set may be neither hashable nor weakly referable
        return _gather(dataset)
    if found is None:
        found = _gathered[dataset] = _gather(dataset)
    return found


def detected_boxes(predictions: Predictions) -> DetectedBoxes:
    """Return the detections of all images.

    Raises
    ------
    InputError
        The predictions are those of a classifier, or a box, score or image number makes no sense.
    """
    if not isinstance(predictions, DetectionPredictions):
        raise InputError(
            f"model {predictions.model.name!r} is for classification: detection quality needs a detector. "
            "Name one in `using:` or `defaults:`, or use the check classification_quality."
        )
    found = predictions.detections
    try:
        boxes, scores = found.boxes.astype(np.float64), found.scores.astype(np.float64)
        return DetectedBoxes(boxes, scores, found.labels, found.image_index)
    except ValueError as error:
        raise InputError(f"the detections of model {predictions.model.name!r} cannot be used: {error}") from error


def image_clusters(dataset: Dataset, attribute: str | None = None) -> Clusters:
    """Return the cluster of each image: its sequence, or the images with the same value of an attribute.

    An image without a value is a cluster of its own.

    Raises
    ------
    InputError
        The images have no such attribute.
    """
    if attribute is None:
        numbers = np.asarray(dataset.sequence_ids(), dtype=np.int64)
    else:
        if attribute not in dataset.attribute_names:
            hint = closest(attribute, dataset.attribute_names)
            raise InputError(f"the images of data set {dataset.name!r} have no attribute {attribute!r}. {hint}")
        values = [dataset.sample(index).attributes.get(attribute) for index in range(len(dataset))]
        # A tuple tells the number of an image from the value of an attribute.
        keys = [("image", index) if value is None else ("value", value) for index, value in enumerate(values)]
        position = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        numbers = np.array([position[key] for key in keys], dtype=np.int64)
    distinct, of_image = np.unique(numbers, return_inverse=True)
    is_single = len(distinct) == len(numbers)
    return Clusters(of_image.reshape(-1).astype(np.int64), "images" if is_single else (attribute or "sequence") + "s")


def _gather(dataset: Dataset) -> TrueBoxes:
    objects = [dataset.objects(index) for index in range(len(dataset))]
    for index, one in enumerate(objects):
        _check(one, index, dataset)
    counts = [len(one.labels) for one in objects]
    return TrueBoxes(
        boxes=np.concatenate([one.boxes.reshape(-1, 4) for one in objects]) if objects else np.empty((0, 4)),
        labels=np.concatenate([one.labels for one in objects]) if objects else np.empty(0, dtype=np.int64),
        image_index=np.repeat(np.arange(len(objects)), counts),
        ignored=np.concatenate([one.ignore for one in objects]) if objects else None,
    )


def _check(objects: Objects, index: int, dataset: Dataset) -> None:
    """Refuse annotations that cannot be matched, naming the image."""
    boxes, count = objects.boxes, len(objects.labels)
    if len(boxes) != count or len(objects.ignore) != count:
        problem = f"{len(boxes)} boxes, {count} labels and {len(objects.ignore)} ignore flags"
    elif count and not (np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all()):
        problem = "a box is not finite or has no area"
    else:
        return
    raise InputError(f"data set {dataset.name!r}, image {dataset.sample(index).id!r}: {problem}")
