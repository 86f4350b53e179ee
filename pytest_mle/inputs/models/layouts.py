"""What the outputs of detection networks mean: one function per layout, plain numpy.

Every decoder takes the named output arrays of one forward pass, the number of images in it, the declaration and the
number of declared classes (None if undeclared), and returns one :class:`Candidates` an image. Boxes are x1 y1 x2 y2 in
the declared coordinates, scores lie in 0..1, labels count from 0 without the background class. Nothing is suppressed
here; dense heads keep the anchors that reach the score threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError
from pytest_mle.inputs.models.declaration import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pytest_mle.inputs.models.declaration import BoxForm

    Arrays = Mapping[str, NDArray[Any]]
    Decoder = Callable[[Arrays, int, Output, int | None], "list[Candidates]"]

# Half precision and sigmoids end a little outside 0..1.
SCORE_TOLERANCE = 2e-3


class LayoutError(InputError):
    """The outputs do not fit the declared layout."""


class NonFiniteOutputError(InputError):
    """A network put out NaN or infinity; ``image`` is the position among the images that were predicted together."""

    def __init__(self, image: int, model: str | None = None) -> None:
        prefix = "" if model is None else f"model {model!r}: "
        super().__init__(f"{prefix}the network puts out NaN or infinity for image {image} of those given to it")
        self.image = image
        self.model = model


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes of one image before suppression: ``boxes`` ``(box, 4)``, ``scores`` ``(box,)``, ``labels`` ``(box,)``."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)


def decode(outputs: Arrays, image_count: int, output: Output, class_count: int | None) -> list[Candidates]:
    """Decode the outputs of one forward pass in the declared layout.

    Raises
    ------
    LayoutError
        Naming the outputs with their shapes and the layouts that they would fit.
    NonFiniteOutputError
        If an output holds NaN or infinity.
    """
    try:
        candidates = DECODERS[output.layout](outputs, image_count, output, class_count)
    except LayoutError as error:
        shapes = ", ".join(f"{name} {list(array.shape)} {array.dtype}" for name, array in outputs.items())
        fitting = fitting_layouts(outputs, image_count, class_count)
        hint = f"They would fit: {', '.join(fitting)}." if fitting else "No known layout fits them."
        raise LayoutError(
            f"the outputs ({shapes}) for {image_count} images do not fit layout {output.layout!r}: "
            f"{error.message}. {hint}"
        ) from error
    return candidates


def fitting_layouts(outputs: Arrays, image_count: int, class_count: int | None) -> list[str]:
    """Return the detection layouts whose decoder accepts these outputs."""
    fitting = []
    for layout, decoder in DECODERS.items():
        try:
            decoder(outputs, image_count, Output(layout=layout, nms="none"), class_count)  # type: ignore[arg-type]
        except InputError:
            continue
        fitting.append(layout)
    return fitting


def boxes_scores_labels(outputs: Arrays, image_count: int, output: Output, class_count: int | None) -> list[Candidates]:
    """Decode finished detections: boxes, scores and labels, or one array of x1 y1 x2 y2 score label.

    Split outputs are ``(image, box, 4)``, ``(image, box)``, ``(image, box)``, with an optional ``count`` ``(image,)``
    of the rows that are filled; one array is ``(image, box, 6)``. The axis of images may be absent for one image.
    Rows of score 0 or -1 are padding. Labels may be absent if there is one class.
    """
    single = _single_array(outputs, output)
    if single is not None:
        rows = _with_image_axis(single, 3, image_count)
        if rows.shape[2] != 6:
            raise LayoutError(f"one array needs 6 columns (box, score, label), got {rows.shape[2]}")
        boxes, scores, labels = rows[:, :, :4], rows[:, :, 4], rows[:, :, 5]
    else:
        names = _split_names(outputs, output, class_count)
        boxes = _with_image_axis(outputs[names["boxes"]], 3, image_count)
        if boxes.shape[2] != 4:
            raise LayoutError(f"{names['boxes']} needs 4 columns, got {boxes.shape[2]}")
        scores = _column(outputs[names["scores"]], boxes, image_count, names["scores"])
        if "labels" in names:
            labels = _column(outputs[names["labels"]], boxes, image_count, names["labels"])
        else:
            labels = np.zeros(scores.shape, dtype=np.int64)
        if not np.issubdtype(scores.dtype, np.floating):
            raise LayoutError(
                f"{names['scores']} holds {scores.dtype}, scores are fractions; name them in output.names"
            )
    counts = _counts(outputs, output, image_count, boxes.shape[1])
    return [
        _finished(boxes[i, : counts[i]], scores[i, : counts[i]], labels[i, : counts[i]], output, class_count, i)
        for i in range(image_count)
    ]


def end2end(outputs: Arrays, image_count: int, output: Output, class_count: int | None) -> list[Candidates]:
    """Decode ``(detection, 7)``: image, x1, y1, x2, y2, label, score, as YOLOv7's end-to-end export gives."""
    rows = _one_output(outputs, output)
    if rows.ndim != 2 or rows.shape[1] != 7:
        raise LayoutError(f"expected (detection, 7), got {list(rows.shape)}")
    image = _integers(rows[:, 0], "the image column")
    if len(image) and not 0 <= image.min() <= image.max() < image_count:
        raise LayoutError(f"the image column holds {image.min()}..{image.max()} for {image_count} images")
    found = []
    for index in range(image_count):
        own = rows[image == index]
        found.append(_finished(own[:, 1:5], own[:, 6], own[:, 5], output, class_count, index))
    return found


def yolov5(outputs: Arrays, image_count: int, output: Output, class_count: int | None) -> list[Candidates]:
    """Decode ``(image, anchor, 5 + class)``: centre x, centre y, width, height, objectness, class probabilities."""
    head = _with_image_axis(_one_output(outputs, output), 3, image_count)
    expected = _dense_classes(output, class_count)
    if head.shape[2] < 6 or (expected is not None and head.shape[2] != 5 + expected):
        columns = "5 + classes" if expected is None else f"5 + {expected}"
        raise LayoutError(f"expected (image, anchor, {columns}), got {list(head.shape)}")
    if expected is None and head.shape[2] > head.shape[1]:
        raise LayoutError(f"{head.shape[2]} columns for {head.shape[1]} anchors look like a transposed head")
    return [_dense(row[:, :4], row[:, 5:], output, index, row[:, 4]) for index, row in enumerate(head)]


def yolov8(outputs: Arrays, image_count: int, output: Output, class_count: int | None) -> list[Candidates]:
    """Decode ``(image, 4 + class, anchor)`` or its transpose: centre x, centre y, width, height, class probabilities.

    With declared classes the axis of that length is taken, else the shorter one.
    """
    head = _with_image_axis(_one_output(outputs, output), 3, image_count)
    expected = _dense_classes(output, class_count)
    if expected is None:
        is_channel_first = head.shape[1] <= head.shape[2]
    else:
        is_channel_first = head.shape[1] == 4 + expected
        if not is_channel_first and head.shape[2] != 4 + expected:
            raise LayoutError(f"expected (image, 4 + {expected}, anchor) or its transpose, got {list(head.shape)}")
    if is_channel_first:
        head = head.transpose(0, 2, 1)
    if head.shape[2] < 5:
        raise LayoutError(f"expected at least 5 channels (box and one class), got {head.shape[2]}")
    return [_dense(row[:, :4], row[:, 4:], output, index) for index, row in enumerate(head)]


def ssd(outputs: Arrays, image_count: int, output: Output, class_count: int | None) -> list[Candidates]:
    """Decode ``boxes`` ``(image, anchor, 4)``, priors applied, and ``scores`` ``(image, anchor, class)``."""
    names = _by_name_or_order(outputs, output, ("boxes", "scores"))
    boxes = _with_image_axis(outputs[names["boxes"]], 3, image_count)
    scores = _with_image_axis(outputs[names["scores"]], 3, image_count)
    if boxes.shape[2] != 4 or scores.shape[1] != boxes.shape[1]:
        raise LayoutError(
            f"expected (image, anchor, 4) and (image, anchor, class), got {boxes.shape} and {scores.shape}"
        )
    expected = _dense_classes(output, class_count)
    if expected is not None and scores.shape[2] != expected:
        raise LayoutError(f"expected scores of {expected} classes, got {scores.shape[2]}")
    return [_dense(boxes[i], scores[i], output, i) for i in range(image_count)]


DECODERS: dict[str, Decoder] = {
    "boxes_scores_labels": boxes_scores_labels,
    "end2end": end2end,
    "yolov5": yolov5,
    "yolov8": yolov8,
    "ssd": ssd,
}


def corners(boxes: NDArray[Any], form: BoxForm) -> NDArray[np.float32]:
    """Turn boxes of any form into x1 y1 x2 y2.

    Raises
    ------
    LayoutError
        If most of them are inside out: they have another form than the declared one.

    Notes
    -----
    A few boxes that are inside out are a weak network's; they lose their area, so that they stay in the result as
    false alarms.
    """
    values: NDArray[np.float32] = np.asarray(boxes, dtype=np.float32)
    found: NDArray[np.float32]
    if form == "cxcywh":
        half = values[:, 2:] * np.float32(0.5)
        found = np.concatenate((values[:, :2] - half, values[:, :2] + half), axis=1)
    elif form == "xywh":
        found = np.concatenate((values[:, :2], values[:, :2] + values[:, 2:]), axis=1)
    elif form == "yxyx":
        found = values[:, [1, 0, 3, 2]]
    else:
        found = values.copy()
    inverted = found[:, 2:] < found[:, :2]
    turned = int(inverted.any(axis=1).sum())
    if turned:
        if 2 * turned > len(found):
            raise LayoutError(f"{turned} of {len(found)} boxes end before they begin, so they are not {form!r}")
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2])
    return found


def _finished(
    boxes: NDArray[Any],
    scores: NDArray[Any],
    labels: NDArray[Any],
    output: Output,
    class_count: int | None,
    image: int,
) -> Candidates:
    """Check and translate the rows of one image whose labels are known already."""
    scores = np.asarray(scores, dtype=np.float32)
    # NaN is no padding: comparing it with 0 or -1 is False, so it stays and is refused.
    filled = (scores != 0) & (scores != -1)
    boxes, scores, labels = boxes[filled], scores[filled], labels[filled]
    _refuse_non_finite(image, boxes, scores)
    scores = _fractions(scores)
    classes = _integers(labels, "the labels") - output.labels_start_at
    if len(classes) and classes.min() < 0:
        raise LayoutError(f"a label is {int(classes.min()) + output.labels_start_at}: see labels_start_at")
    background = _background(output, None if class_count is None else class_count + 1)
    if background is not None:
        is_object = classes != background
        boxes, scores, classes = boxes[is_object], scores[is_object], classes[is_object]
        classes = classes - (classes > background)
    if class_count is not None and len(classes) and classes.max() >= class_count:
        raise LayoutError(
            f"label {classes.max()} of {class_count} declared classes: see background_class, labels_start_at"
        )
    reaches = scores >= output.effective_score_threshold
    return Candidates(corners(boxes[reaches], output.box_form), scores[reaches], classes[reaches])


def _dense(
    boxes: NDArray[Any],
    class_scores: NDArray[Any],
    output: Output,
    image: int,
    objectness: NDArray[Any] | None = None,
) -> Candidates:
    """Choose the anchors of one image that reach the threshold, with their best class (or every class that does)."""
    _refuse_non_finite(image, boxes, class_scores, objectness)
    background = _background(output, class_scores.shape[1])
    if background is not None:
        class_scores = np.delete(class_scores, background, axis=1)
    scores = _fractions(class_scores)
    if objectness is not None:
        scores = scores * _fractions(objectness)[:, np.newaxis]
    if output.multi_label:
        anchors, labels = np.nonzero(scores >= output.effective_score_threshold)
        chosen = scores[anchors, labels]
    else:
        best = scores.max(axis=1)
        anchors = np.flatnonzero(best >= output.effective_score_threshold)
        labels, chosen = scores[anchors].argmax(axis=1), best[anchors]
    return Candidates(corners(boxes[anchors], output.box_form), chosen, labels.astype(np.int64))


def _dense_classes(output: Output, class_count: int | None) -> int | None:
    """Return how many class columns a dense head has."""
    if class_count is None:
        return None
    return class_count + (output.background_class != "none")


def _background(output: Output, columns: int | None) -> int | None:
    if output.background_class == "none":
        return None
    if output.background_class == "first":
        return 0
    if output.background_class == "last":
        assert columns is not None
        return columns - 1
    if columns is not None and output.background_class >= columns:
        raise LayoutError(f"background_class {output.background_class} of {columns} classes")
    return output.background_class


def _refuse_non_finite(image: int, *arrays: NDArray[Any] | None) -> None:
    if not all(array is None or np.isfinite(array).all() for array in arrays):
        raise NonFiniteOutputError(image)


def _fractions(values: NDArray[Any]) -> NDArray[np.float32]:
    scores = np.asarray(values, dtype=np.float32)
    if scores.size and not -SCORE_TOLERANCE <= scores.min() <= scores.max() <= 1 + SCORE_TOLERANCE:
        raise LayoutError(
            f"scores reach from {scores.min():.3g} to {scores.max():.3g}, expected 0..1 (a sigmoid is missing?)"
        )
    return scores.clip(0, 1)


def _integers(values: NDArray[Any], what: str) -> NDArray[np.int64]:
    numbers = np.asarray(values)
    if not np.isfinite(numbers).all() or (numbers != np.rint(numbers)).any():
        raise LayoutError(f"{what} are no whole numbers")
    return numbers.astype(np.int64)


def _single_array(outputs: Arrays, output: Output) -> NDArray[Any] | None:
    if output.names.output is None and len(outputs) != 1:
        return None
    return _one_output(outputs, output)


def _one_output(outputs: Arrays, output: Output) -> NDArray[Any]:
    """Return the output that is named, or the first one: raw heads are often followed by feature maps."""
    if output.names.output is not None:
        return _named(outputs, output.names.output)
    return next(iter(outputs.values()))


def _split_names(outputs: Arrays, output: Output, class_count: int | None) -> dict[str, str]:
    has_no_labels = class_count == 1 and len(outputs) == 2 and output.names.labels is None
    return _by_name_or_order(outputs, output, ("boxes", "scores") if has_no_labels else ("boxes", "scores", "labels"))


def _by_name_or_order(outputs: Arrays, output: Output, roles: tuple[str, ...]) -> dict[str, str]:
    """Find the outputs by their declared names, by their usual names, or else by their order."""
    declared = {role: getattr(output.names, role) for role in roles}
    found = {role: name or (role if role in outputs else None) for role, name in declared.items()}
    if all(name is None for name in found.values()):
        others = [name for name in outputs if name != output.names.count]
        if len(others) < len(roles):
            raise LayoutError(f"expected {len(roles)} outputs ({', '.join(roles)}), got {len(others)}")
        found = dict(zip(roles, others, strict=False))
    missing = [role for role, name in found.items() if name is None]
    if missing:
        raise LayoutError(f"no output for {', '.join(missing)}: declare output.names")
    for name in found.values():
        _named(outputs, str(name))
    return {role: str(name) for role, name in found.items()}


def _named(outputs: Arrays, name: str) -> NDArray[Any]:
    if name not in outputs:
        raise LayoutError(f"there is no output {name!r}")
    return outputs[name]


def _with_image_axis(array: NDArray[Any], dimensions: int, image_count: int) -> NDArray[Any]:
    if array.ndim == dimensions - 1 and image_count == 1:
        array = array[np.newaxis]
    if array.ndim != dimensions or array.shape[0] != image_count:
        raise LayoutError(f"expected {dimensions} axes, the first for {image_count} images, got {list(array.shape)}")
    return array


def _column(array: NDArray[Any], boxes: NDArray[Any], image_count: int, name: str) -> NDArray[Any]:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    column = _with_image_axis(array, 2, image_count)
    if column.shape != boxes.shape[:2]:
        raise LayoutError(f"{name} {list(column.shape)} does not go with boxes {list(boxes.shape)}")
    return column


def _counts(outputs: Arrays, output: Output, image_count: int, rows: int) -> NDArray[np.int64]:
    if output.names.count is None:
        return np.full(image_count, rows, dtype=np.int64)
    counts = _integers(_named(outputs, output.names.count).reshape(-1), "the counts")
    if len(counts) != image_count or counts.min() < 0 or counts.max() > rows:
        raise LayoutError(f"{output.names.count} holds {counts.tolist()} for {image_count} images of {rows} rows")
    return counts
