"""Match detected boxes with ground truth as the COCO evaluation does, once, for every later metric."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Booleans = NDArray[np.bool_]

COCO_IOU_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
WHOLE_AREA = (0.0, float("inf"))
# Thresholds that a pair passes are bits of one machine word, so that all of them are matched in one pass.
MAX_IOU_THRESHOLDS = 64
# Bounds the working memory: about 100 bytes a pair.
PAIRS_PER_BLOCK = 1 << 19


@dataclass(frozen=True, slots=True, eq=False)
class DetectedBoxes:
    """Detections of all images, one array entry a detection.

    Parameters
    ----------
    boxes
        ``(detection, 4)``: x1 y1 x2 y2 in pixels. Zero width or height is allowed (a box clipped at the border; it
        matches nothing).
    scores
        ``(detection,)``, finite, larger is more certain.
    labels
        ``(detection,)`` integer class labels.
    image_index
        ``(detection,)`` position of the image in the data set.

    Raises
    ------
    ValueError
        Wrong shape, a value that is not finite, or x2 < x1 or y2 < y1; the message names the first such row.
    """

    boxes: Floats
    scores: Floats
    labels: Integers
    image_index: Integers

    def __post_init__(self) -> None:
        boxes = _checked_boxes(self.boxes, "detected boxes")
        scores = _checked_column(self.scores, len(boxes), "detected boxes: scores")
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "scores", scores)
        for name in ("labels", "image_index"):
            column = _checked_integers(getattr(self, name), len(boxes), f"detected boxes: {name}")
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class TrueBoxes:
    """Ground truth of all images, one array entry an object.

    Parameters
    ----------
    boxes
        ``(object, 4)``: x1 y1 x2 y2 in pixels, x1 < x2 and y1 < y2.
    labels
        ``(object,)`` integer class labels.
    image_index
        ``(object,)`` position of the image in the data set.
    ignored
        ``(object,)``: neither a hit nor a miss, and one detection that matches it is no false alarm. None: no object.
    crowd
        ``(object,)``: a region with several objects, implies ``ignored``. It takes any number of detections, and its
        overlap is intersection / detection area instead of the intersection over union. None: no object.
    area
        ``(object,)`` in square pixels, for the area range (COCO: of the mask). None: the area of the box.

    Raises
    ------
    ValueError
        Wrong shape, a value that is not finite, a box without area; the message names the first such row.
    """

    boxes: Floats
    labels: Integers
    image_index: Integers
    ignored: Booleans | None = None
    crowd: Booleans | None = None
    area: Floats | None = None

    def __post_init__(self) -> None:
        boxes = _checked_boxes(self.boxes, "ground truth")
        size = boxes[:, 2:] - boxes[:, :2]
        _refuse(np.any(size <= 0, axis=1), "ground truth", "has no area", boxes)
        object.__setattr__(self, "boxes", boxes)
        for name in ("labels", "image_index"):
            column = _checked_integers(getattr(self, name), len(boxes), f"ground truth: {name}")
            object.__setattr__(self, name, column)
        for name in ("ignored", "crowd"):
            flags = _checked_flags(getattr(self, name), len(boxes), f"ground truth: {name}")
            object.__setattr__(self, name, flags)
        area = size.prod(axis=1) if self.area is None else self.area
        object.__setattr__(self, "area", _checked_column(area, len(boxes), "ground truth: area"))

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class MatchTable:
    """Who matched whom at each IoU threshold: all that detection metrics need.

    Detections are sorted by class, then by falling score; equal scores by image, then as given. Objects stand as given.
    Only the ``max_detections`` best detections of each image and class are in it; ``dropped_detections`` counts the
    others.

    ``detection_match`` ``(threshold, detection)`` is the row of the matched object or -1; ``detection_ignored`` tells
    which detections count neither as true nor as false positive. ``truth_match`` ``(threshold, object)`` is the row (in
    this table) of the matched detection or -1, for a crowd the best scored one. ``detection_source`` is the row of each
    detection in the input, ``detection_rank`` its position by score in its image and class. Classes are counted from 0
    in ``classes``, which holds the labels.
    """

    iou_thresholds: Floats
    classes: Integers
    image_count: int
    max_detections: int
    dropped_detections: int
    detection_source: Integers
    detection_image: Integers
    detection_class: Integers
    detection_score: Floats
    detection_rank: Integers
    detection_match: NDArray[np.int32]
    detection_ignored: Booleans
    truth_image: Integers
    truth_class: Integers
    truth_ignored: Booleans
    truth_match: NDArray[np.int32]
    class_bounds: Integers = field(init=False)

    def __post_init__(self) -> None:
        bounds = np.searchsorted(self.detection_class, np.arange(len(self.classes) + 1))
        object.__setattr__(self, "class_bounds", bounds)

    @property
    def truth_counts(self) -> Integers:
        """Number of objects of each class that are not ignored: ``(class,)``."""
        return np.bincount(self.truth_class[~self.truth_ignored], minlength=len(self.classes))

    @property
    def classes_without_truth(self) -> tuple[int, ...]:
        """Labels of the classes that have no object to find; no accuracy exists for them."""
        return tuple(self.classes[self.truth_counts == 0].tolist())

    def class_rows(self, class_position: int) -> slice:
        """Return the rows of the detections of one class, best score first."""
        return slice(int(self.class_bounds[class_position]), int(self.class_bounds[class_position + 1]))

    def threshold_position(self, iou_threshold: float) -> int:
        """Return the position of an IoU threshold; ValueError if the table was not matched at it."""
        position = int(np.argmin(np.abs(self.iou_thresholds - iou_threshold)))
        if not abs(self.iou_thresholds[position] - iou_threshold) < 1e-9:
            available = ", ".join(f"{threshold:g}" for threshold in self.iou_thresholds)
            message = f"boxes were not matched at IoU {iou_threshold:g}, only at {available}"
            raise ValueError(message)
        return position

    def limited_to(self, max_detections: int) -> MatchTable:
        """Return the table for fewer detections per image and class, without matching again.

        It is exact: matching goes by falling score, so what was cut off could not have changed what is left.
        """
        if not 1 <= max_detections <= self.max_detections:
            message = f"max_detections must be in 1..{self.max_detections} for this table, got {max_detections}"
            raise ValueError(message)
        kept = self.detection_rank < max_detections
        new_row = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        # A match of -1 looks up the entry appended behind the last row.
        truth_match = np.append(new_row, np.int32(-1))[self.truth_match]
        return replace(
            self,
            max_detections=max_detections,
            dropped_detections=self.dropped_detections + int(np.count_nonzero(~kept)),
            detection_source=self.detection_source[kept],
            detection_image=self.detection_image[kept],
            detection_class=self.detection_class[kept],
            detection_score=self.detection_score[kept],
            detection_rank=self.detection_rank[kept],
            detection_match=self.detection_match[:, kept],
            detection_ignored=self.detection_ignored[:, kept],
            truth_match=truth_match,
        )


def match_detections(
    detected: DetectedBoxes,
    truth: TrueBoxes,
    *,
    image_count: int,
    classes: Sequence[int] | None = None,
    iou_thresholds: Sequence[float] = COCO_IOU_THRESHOLDS,
    area_range: tuple[float, float] = WHOLE_AREA,
    max_detections: int = 100,
) -> MatchTable:
    """Match detections with ground truth greedily by falling score, for each image, class and IoU threshold.

    The rules are those of ``pycocotools.cocoeval.COCOeval`` for boxes. A detection takes the object with the highest
    IoU that is still free and reaches the threshold, of equal ones the last; an ignored object only if no other one
    does. What matches an ignored object is ignored, and so is an unmatched detection whose area is out of range.
    Objects out of the area range are ignored. Equal scores keep the order given.

    Parameters
    ----------
    detected, truth
        Boxes of the same images.
    image_count
        Number of images, those without any box included.
    classes
        Labels to evaluate, each label that occurs among them. None: the labels that occur.
    iou_thresholds
        Rising, each in (0, 1], at most 64.
    area_range
        Smallest and largest area in square pixels, both included.
    max_detections
        Best scored detections that count per image and class.

    Raises
    ------
    ValueError
        No image, an index or label out of range, thresholds or ranges that make no sense.

    Notes
    -----
    Deviation from COCO: ``ignored`` is honoured (pycocotools overwrites an annotation's ``ignore`` by ``iscrowd``), and
    boxes are corners instead of corner and size, so an IoU can differ in its last bit.
    """
    thresholds = _checked_thresholds(iou_thresholds)
    _check_limits(image_count, area_range, max_detections)
    labels = _evaluated_classes(classes, detected, truth)
    for boxes, name in ((detected, "detected boxes"), (truth, "ground truth")):
        outside = (boxes.image_index < 0) | (boxes.image_index >= image_count)
        _refuse(outside, f"{name}: image_index", f"is not in 0..{image_count - 1}", boxes.image_index)
    truth_ignored = _ignored_objects(truth, area_range)

    groups = _Groups.form(detected, truth, labels, max_detections)
    pairs = _candidate_pairs(detected, truth, truth_ignored, groups, thresholds)
    taken = _assign(pairs, len(groups.detections), len(truth))
    return _table(
        detected,
        truth,
        groups,
        pairs,
        taken,
        truth_ignored=truth_ignored,
        labels=labels,
        thresholds=thresholds,
        area_range=area_range,
        image_count=image_count,
        max_detections=max_detections,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Input rows sorted by image and class; detections then by falling score, objects as given.

    ``detection_position`` is the position of a detection by score among all of them.
    """

    detections: Integers
    detection_position: Integers
    detection_key: Integers
    detection_rank: Integers
    objects: Integers
    object_key: Integers
    class_count: int

    @classmethod
    def form(
        cls,
        detected: DetectedBoxes,
        truth: TrueBoxes,
        labels: Integers,
        max_detections: int,
    ) -> _Groups:
        by_score = _by_score(detected)
        position = np.empty(len(by_score), dtype=np.int64)
        position[by_score] = np.arange(len(by_score))
        label = np.searchsorted(labels, detected.labels)
        # Positions by score are unique, so sorting plain integers orders by two columns at once (ten times faster).
        key, position = _sorted_by(detected.image_index * len(labels) + label, position)
        first_of_group = np.flatnonzero(np.diff(key, prepend=-1))
        group_size = np.diff(first_of_group, append=len(key))
        rank = np.arange(len(key)) - np.repeat(first_of_group, group_size)
        kept = rank < max_detections

        object_key = truth.image_index * len(labels) + np.searchsorted(labels, truth.labels)
        object_order = np.argsort(object_key, kind="stable")
        return cls(
            detections=by_score[position[kept]],
            detection_position=position[kept],
            detection_key=key[kept],
            detection_rank=rank[kept],
            objects=object_order,
            object_key=object_key[object_order],
            class_count=len(labels),
        )


def _by_score(detected: DetectedBoxes) -> Integers:
    """Return the rows by falling score; equal scores by image, then as given."""
    if np.all(detected.image_index[1:] >= detected.image_index[:-1]):
        return np.argsort(-detected.scores, kind="stable")
    return np.lexsort((detected.image_index, -detected.scores))


def _sorted_by(key: Integers, position: Integers) -> tuple[Integers, Integers]:
    """Sort unique positions by key, then by themselves; return both columns."""
    both = np.sort(key * len(position) + position)
    sorted_key, sorted_position = np.divmod(both, max(len(position), 1))
    return sorted_key, sorted_position


def _order_of_positions(position: Integers, end: int) -> Integers:
    """Return the order in which unique positions below ``end`` rise."""
    entry = np.full(end, -1, dtype=np.int64)
    entry[position] = np.arange(len(position))
    return entry[entry >= 0]


def _stable_order(key: Integers) -> Integers:
    """Return the stable order of numbers from 0 on; small ones as 16 bit, which numpy sorts in linear time."""
    if key.max(initial=0) <= np.iinfo(np.uint16).max:
        return np.argsort(key.astype(np.uint16), kind="stable")
    return np.argsort(key, kind="stable")


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Detection and object of the same group that overlap enough for some threshold.

    ``passed`` has bit t set where threshold t is reached, ``exclusive`` all bits where the object takes one detection
    only. Pairs of one step share no detection and no object; ``step_bounds`` cuts the arrays into steps.
    """

    detection: Integers
    object: Integers
    passed: NDArray[np.uint64]
    exclusive: NDArray[np.uint64]
    step_bounds: Integers


def _candidate_pairs(
    detected: DetectedBoxes,
    truth: TrueBoxes,
    truth_ignored: Booleans,
    groups: _Groups,
    thresholds: Floats,
) -> _Pairs:
    """Find all pairs that can match, in the order in which the greedy matching looks at them."""
    crowd = np.asarray(truth.crowd)
    # COCO lets an IoU of 1 reach the threshold 1 in spite of rounding.
    reachable = np.minimum(thresholds, 1 - 1e-10)
    blocks = list(_overlap_blocks(detected, truth, crowd, groups, float(reachable[0])))
    detection = np.concatenate([block[0] for block in blocks])
    position = np.concatenate([block[1] for block in blocks])
    overlap = np.concatenate([block[2] for block in blocks])
    row = groups.objects[position]

    order = _by_preference(detection, overlap, truth_ignored[row])
    detection, row, overlap = detection[order], row[order], overlap[order]
    first_of_detection = np.flatnonzero(np.diff(detection, prepend=-1))
    candidates = np.diff(first_of_detection, append=len(detection))
    choice = np.arange(len(detection)) - np.repeat(first_of_detection, candidates)

    step = groups.detection_rank[detection] * (choice.max(initial=0) + 1) + choice
    order = _stable_order(step)
    step_bounds = np.append(np.flatnonzero(np.diff(step[order], prepend=-1)), len(step))
    reached = np.searchsorted(reachable, overlap[order], side="right")
    # bits_below[n] has the n lowest bits set.
    bits_below = np.array([(1 << count) - 1 for count in range(len(thresholds) + 1)], dtype=np.uint64)
    row = row[order]
    every_bit = np.uint64(0xFFFFFFFFFFFFFFFF)
    return _Pairs(
        detection=detection[order],
        object=row,
        passed=bits_below[reached],
        exclusive=np.where(crowd[row], np.uint64(0), every_bit),
        step_bounds=step_bounds,
    )


def _overlap_blocks(
    detected: DetectedBoxes,
    truth: TrueBoxes,
    crowd: Booleans,
    groups: _Groups,
    smallest: float,
) -> Iterator[tuple[Integers, Integers, Floats]]:
    """Yield position of the detection, position of the object and overlap of pairs that reach ``smallest``."""
    first = np.searchsorted(groups.object_key, groups.detection_key, side="left")
    count = np.searchsorted(groups.object_key, groups.detection_key, side="right") - first
    pairs_before = np.append(0, np.cumsum(count))
    boxes = _corners_and_area(detected.boxes[groups.detections])
    objects = _corners_and_area(truth.boxes[groups.objects])
    crowd = crowd[groups.objects]
    start = 0
    # At least once, so that there is something to concatenate.
    while start == 0 or start < len(count):
        stop = int(np.searchsorted(pairs_before, pairs_before[start] + PAIRS_PER_BLOCK, side="right")) - 1
        stop = min(max(stop, start + 1), len(count))
        block_count = count[start:stop]
        detection = np.repeat(np.arange(start, stop), block_count)
        shift = first[start:stop] - (pairs_before[start:stop] - pairs_before[start])
        position = np.arange(len(detection)) + np.repeat(shift, block_count)
        yield _overlapping(boxes, objects, crowd, detection, position, smallest=smallest)
        start = max(stop, 1)


def _overlapping(
    boxes: Floats,
    objects: Floats,
    crowd: Booleans,
    detection: Integers,
    position: Integers,
    *,
    smallest: float,
) -> tuple[Integers, Integers, Floats]:
    """Return the pairs whose overlap is at least ``smallest``: IoU, for a crowd intersection / detection area."""
    width = np.minimum(boxes[2][detection], objects[2][position])
    width -= np.maximum(boxes[0][detection], objects[0][position])
    touching = np.flatnonzero(width > 0)
    detection, position, width = detection[touching], position[touching], width[touching]
    height = np.minimum(boxes[3][detection], objects[3][position])
    height -= np.maximum(boxes[1][detection], objects[1][position])
    touching = np.flatnonzero(height > 0)
    detection, position = detection[touching], position[touching]

    intersection = width[touching] * height[touching]
    detection_area = boxes[4][detection]
    union = detection_area + objects[4][position] - intersection
    overlap = intersection / np.where(crowd[position], detection_area, union)
    enough = overlap >= smallest
    return detection[enough], position[enough], overlap[enough]


def _corners_and_area(boxes: Floats) -> Floats:
    """Return ``(5, box)``: x1, y1, x2, y2 and area, each contiguous, because pairs gather them one by one."""
    columns = np.empty((5, len(boxes)))
    columns[:4] = boxes.T
    columns[4] = _areas(boxes.T)
    return columns


def _areas(corners: Floats) -> Floats:
    """Return the area of boxes given as ``(4, box)``."""
    area: Floats = (corners[2] - corners[0]) * (corners[3] - corners[1])
    return area


def _by_preference(detection: Integers, overlap: Floats, ignored: Booleans) -> Integers:
    """Return the order of pairs in which each detection prefers them; the detections keep theirs.

    Objects that count come before ignored ones, then the higher overlap, then the later object (COCO replaces the best
    one so far by an equal one).
    """
    order = np.arange(len(detection))
    neighbours = detection[1:] == detection[:-1]
    contested = np.zeros(len(detection), dtype=np.bool_)
    contested[1:] |= neighbours
    contested[:-1] |= neighbours
    # Most detections have one candidate only, which needs no sorting.
    rows = np.flatnonzero(contested)
    order[rows] = rows[np.lexsort((-rows, -overlap[rows], ignored[rows], detection[rows]))]
    return order


def _assign(pairs: _Pairs, detection_count: int, object_count: int) -> NDArray[np.uint64]:
    """Return for each pair the thresholds (as bits) at which the two are matched."""
    # Step by step: first choices of the best detection of every image and class, second choices, ..., first choices of
    # the second best detection.
    matched = np.zeros(detection_count, dtype=np.uint64)
    occupied = np.zeros(object_count, dtype=np.uint64)
    taken = np.zeros(len(pairs.detection), dtype=np.uint64)
    for start, stop in zip(pairs.step_bounds[:-1].tolist(), pairs.step_bounds[1:].tolist(), strict=True):
        detection, row = pairs.detection[start:stop], pairs.object[start:stop]
        already, used = matched[detection], occupied[row]
        hit = pairs.passed[start:stop] & ~(already | used)
        matched[detection] = already | hit
        occupied[row] = used | (hit & pairs.exclusive[start:stop])
        taken[start:stop] = hit
    return taken


def _table(
    detected: DetectedBoxes,
    truth: TrueBoxes,
    groups: _Groups,
    pairs: _Pairs,
    taken: NDArray[np.uint64],
    *,
    truth_ignored: Booleans,
    labels: Integers,
    thresholds: Floats,
    area_range: tuple[float, float],
    image_count: int,
    max_detections: int,
) -> MatchTable:
    """Write the assigned pairs into a table whose detections are sorted by class and score."""
    detection_class = groups.detection_key % groups.class_count
    order = _order_of_positions(groups.detection_position, len(detected))
    order = order[_stable_order(detection_class[order])]
    row_of = np.empty(len(order), dtype=np.int32)
    row_of[order] = np.arange(len(order), dtype=np.int32)

    detection_match = np.full((len(thresholds), len(order)), -1, dtype=np.int32)
    truth_match = np.full((len(thresholds), len(truth)), -1, dtype=np.int32)
    detection_row = row_of[pairs.detection]
    for threshold in range(len(thresholds)):
        # Last step first: of the detections of a crowd, the best scored one is written last and stays.
        hits = np.flatnonzero((taken >> np.uint64(threshold)) & np.uint64(1))[::-1]
        detection_match[threshold, detection_row[hits]] = pairs.object[hits]
        truth_match[threshold, pairs.object[hits]] = detection_row[hits]

    source = groups.detections[order]
    area = _areas(detected.boxes.T)[source]
    out_of_range = (area < area_range[0]) | (area > area_range[1])
    # The entry behind the last object answers for -1.
    by_object = np.append(truth_ignored, np.False_)[detection_match]
    return MatchTable(
        iou_thresholds=thresholds,
        classes=labels,
        image_count=image_count,
        max_detections=max_detections,
        dropped_detections=len(detected) - len(order),
        detection_source=source,
        detection_image=detected.image_index[source],
        detection_class=detection_class[order],
        detection_score=detected.scores[source],
        detection_rank=groups.detection_rank[order],
        detection_match=detection_match,
        detection_ignored=by_object | ((detection_match < 0) & out_of_range),
        truth_image=truth.image_index,
        truth_class=np.searchsorted(labels, truth.labels),
        truth_ignored=truth_ignored,
        truth_match=truth_match,
    )


def _ignored_objects(truth: TrueBoxes, area_range: tuple[float, float]) -> Booleans:
    """Return which objects neither count as found nor as missed."""
    area = np.asarray(truth.area)
    ignored: Booleans = np.asarray(truth.ignored) | np.asarray(truth.crowd)
    return ignored | (area < area_range[0]) | (area > area_range[1])


def _evaluated_classes(classes: Sequence[int] | None, detected: DetectedBoxes, truth: TrueBoxes) -> Integers:
    """Return the sorted labels to evaluate and see that every label is among them."""
    if classes is None:
        return np.unique(np.concatenate((detected.labels, truth.labels)))
    labels = np.unique(np.asarray(classes, dtype=np.int64))
    for boxes, name in ((detected, "detected boxes"), (truth, "ground truth")):
        _refuse(~np.isin(boxes.labels, labels), f"{name}: labels", f"is not one of {labels.tolist()}", boxes.labels)
    return labels


def _checked_thresholds(iou_thresholds: Sequence[float]) -> Floats:
    """Return the IoU thresholds as an array after checking them."""
    thresholds = np.asarray(iou_thresholds, dtype=np.float64)
    if thresholds.ndim != 1 or not 1 <= len(thresholds) <= MAX_IOU_THRESHOLDS:
        message = f"give 1 to {MAX_IOU_THRESHOLDS} IoU thresholds, got shape {thresholds.shape}"
        raise ValueError(message)
    if not (np.all(thresholds > 0) and np.all(thresholds <= 1) and np.all(np.diff(thresholds) > 0)):
        message = f"IoU thresholds must rise within (0, 1], got {thresholds.tolist()}"
        raise ValueError(message)
    return thresholds


def _check_limits(image_count: int, area_range: tuple[float, float], max_detections: int) -> None:
    """Refuse limits under which nothing can be measured."""
    if image_count < 1:
        message = f"image_count must be at least 1, got {image_count}: nothing can be measured without images"
        raise ValueError(message)
    if max_detections < 1:
        message = f"max_detections must be at least 1, got {max_detections}"
        raise ValueError(message)
    if not 0 <= area_range[0] < area_range[1]:
        message = f"area_range must be (smallest, largest) with 0 <= smallest < largest, got {area_range}"
        raise ValueError(message)


def _checked_boxes(values: ArrayLike, name: str) -> Floats:
    """Return boxes as float64 ``(box, 4)`` after checking shape, finiteness and the order of the corners."""
    boxes = np.asarray(values, dtype=np.float64)
    if boxes.shape == (0,):
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        message = f"{name}: boxes must have shape (box, 4) as x1 y1 x2 y2, got {boxes.shape}"
        raise ValueError(message)
    _refuse(np.any(~np.isfinite(boxes), axis=1), name, "is not finite", boxes)
    _refuse(
        np.any(boxes[:, 2:] < boxes[:, :2], axis=1), name, "has x2 < x1 or y2 < y1 (give corners, not sizes)", boxes
    )
    return boxes


def _checked_column(values: ArrayLike, length: int, name: str) -> Floats:
    """Return a column as float64 after checking shape and finiteness."""
    column = np.asarray(values, dtype=np.float64)
    _check_length(column.shape, length, name)
    _refuse(~np.isfinite(column), name, "is not finite", column)
    return column


def _checked_integers(values: ArrayLike, length: int, name: str) -> Integers:
    """Return a column as int64; fractions and truth values are no labels or positions."""
    column = np.asarray(values)
    _check_length(column.shape, length, name)
    if length and not np.issubdtype(column.dtype, np.integer):
        message = f"{name} must be integers, got {column.dtype}"
        raise ValueError(message)
    return column.astype(np.int64, copy=False)


def _checked_flags(values: ArrayLike | None, length: int, name: str) -> Booleans:
    """Return a column of truth values; None means none is set."""
    if values is None:
        return np.zeros(length, dtype=np.bool_)
    column = np.asarray(values)
    _check_length(column.shape, length, name)
    if length and not np.isin(column, (0, 1)).all():
        message = f"{name} must be true or false, got {column.dtype} with other values"
        raise ValueError(message)
    return column.astype(np.bool_)


def _check_length(shape: tuple[int, ...], length: int, name: str) -> None:
    """Refuse a column that has not one value a box."""
    if shape != (length,):
        message = f"{name} must have shape ({length},), one value a box, got {shape}"
        raise ValueError(message)


def _refuse(offenders: Booleans, name: str, problem: str, values: NDArray[np.generic]) -> None:
    """Raise if any row offends, naming the first one, its value and how many there are."""
    rows = np.flatnonzero(offenders)
    if len(rows):
        first = int(rows[0])
        message = f"{name}: row {first} {problem}: {values[first].tolist()} ({len(rows)} such rows)"
        raise ValueError(message)
