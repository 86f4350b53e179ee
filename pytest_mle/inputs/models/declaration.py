"""What a spec may say of a model: keys, values and the combinations that make sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pytest_mle.errors import InputError, closest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_mle.errors import Location

Format = Literal["onnx", "torchscript", "torch_export", "torch_pickle", "factory"]
Layout = Literal["boxes_scores_labels", "end2end", "yolov5", "yolov8", "ssd", "probabilities", "logits"]
BoxForm = Literal["xyxy", "yxyx", "xywh", "cxcywh"]
DENSE_LAYOUTS = ("yolov5", "yolov8", "ssd")
CLASSIFICATION_LAYOUTS = ("probabilities", "logits")
# Thousands of candidates an image come out of a dense head; these two bounds are those of the YOLO evaluations.
DENSE_SCORE_THRESHOLD = 0.001
DENSE_MAX_DETECTIONS = 300


class Declared(BaseModel):
    """A strict mapping of the spec: no unknown key, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# YAML has lists only, which strict mode would refuse for tuples.
Size = Annotated[tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]], Field(strict=False)]
Range = Annotated[tuple[float, float], Field(strict=False)]
PerChannel = Annotated[tuple[float, ...], Field(strict=False)]
ClassNames = Annotated[tuple[str, ...], Field(strict=False)]


class Preprocess(Declared):
    """How an image becomes the network's input.

    ``size`` is (width, height). ``letterbox`` keeps the aspect ratio and pads to both sides with ``pad_value``;
    ``center_crop`` covers ``size`` / ``crop_fraction`` and cuts the middle. ``mean`` and ``std`` are in units of
    ``range`` and in the channel order of ``color``.
    """

    resize: Literal["letterbox", "stretch", "center_crop", "none"]
    size: Size | None = None
    interpolation: Literal["linear", "area", "nearest", "cubic"] = "linear"
    crop_fraction: float = Field(default=1.0, gt=0, le=1)
    pad_value: int = Field(default=114, ge=0, le=255)
    color: Literal["rgb", "bgr", "gray"] = "rgb"
    range: Range | None = None
    mean: PerChannel | None = None
    std: PerChannel | None = None
    layout: Literal["nchw", "nhwc"] = "nchw"
    dtype: Literal["float32", "uint8", "float16"] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.size is None and self.resize != "none":
            raise ValueError(f"resize {self.resize!r} needs size: [width, height]")
        for key in ("mean", "std"):
            values = getattr(self, key)
            if values is not None and len(values) != self.channels:
                raise ValueError(f"{key} needs {self.channels} values for color {self.color!r}, got {len(values)}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {list(self.std)}")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range must ascend, got {list(self.range)}")
        if self.dtype == "uint8" and (self.range not in (None, (0, 255)) or self.mean or self.std):
            raise ValueError("dtype uint8 needs range [0, 255] and neither mean nor std")
        return self

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return 1 if self.color == "gray" else 3


class OutputNames(Declared):
    """Names of the graph's outputs where they are not found by their usual name or order."""

    output: str | None = None
    boxes: str | None = None
    scores: str | None = None
    labels: str | None = None
    count: str | None = None


class Nms(Declared):
    """Non-maximum suppression that pytest-mle applies."""

    iou: float = Field(gt=0, le=1)
    class_agnostic: bool = False


class Output(Declared):
    """What the network's outputs mean."""

    layout: Layout
    names: OutputNames = OutputNames()
    boxes: BoxForm | None = None
    coordinates: Literal["pixel", "normalised"] = "pixel"
    background_class: Annotated[int, Field(ge=0)] | Literal["none", "first", "last"] = "none"
    nms: Nms | Literal["none"] | None = None
    score_threshold: float | None = Field(default=None, ge=0, lt=1)
    max_detections: int | None = Field(default=None, gt=0)
    labels_start_at: int = Field(default=0, ge=0)
    multi_label: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.layout in DENSE_LAYOUTS and self.nms is None:
            raise ValueError(f"layout {self.layout!r} needs nms: {{iou: 0.55}}, or nms: none if the graph holds it")
        if self.labels_start_at and self.background_class != "none":
            raise ValueError("labels_start_at and background_class would both shift the labels; declare one of them")
        if self.layout in CLASSIFICATION_LAYOUTS:
            given = sorted(self.model_fields_set - {"layout", "names"})
            if given:
                raise ValueError(f"{', '.join(given)} means nothing for layout {self.layout!r}")
        return self

    @property
    def is_dense(self) -> bool:
        """Whether every anchor is a candidate."""
        return self.layout in DENSE_LAYOUTS

    @property
    def box_form(self) -> BoxForm:
        """How four numbers make a box: as declared, or as the layout's authors do it."""
        return self.boxes or ("cxcywh" if self.layout in ("yolov5", "yolov8") else "xyxy")

    @property
    def effective_score_threshold(self) -> float:
        """Lowest score that is kept."""
        if self.score_threshold is not None:
            return self.score_threshold
        return DENSE_SCORE_THRESHOLD if self.is_dense else 0.0

    @property
    def effective_max_detections(self) -> int | None:
        """Most detections of one image that are kept."""
        return self.max_detections or (DENSE_MAX_DETECTIONS if self.is_dense else None)


class ModelDeclaration(Declared):
    """One entry of ``inputs.models``."""

    task: Literal["detection", "classification"]
    preprocess: Preprocess
    output: Output
    path: str | None = None
    format: Format | None = None
    factory: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    arguments: dict[str, Any] = {}
    state_dict: str | None = None
    classes: ClassNames = ()
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    batch_size: int = Field(default=1, gt=0)
    provider: str | None = None
    intra_op_threads: int | None = Field(default=None, gt=0)
    like: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.path is None) == (self.factory is None):
            raise ValueError("a model needs either path: FILE or factory: module:function")
        if self.factory is None and (self.state_dict or self.arguments):
            raise ValueError("state_dict and arguments belong to factory: module:function")
        if (self.factory is not None) != (self.format == "factory") and self.format is not None:
            raise ValueError(f"format {self.format!r} does not go with {'factory' if self.factory else 'path'}")
        if (self.output.layout in CLASSIFICATION_LAYOUTS) != (self.task == "classification"):
            raise ValueError(f"output layout {self.output.layout!r} does not belong to task {self.task!r}")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes holds a name twice")
        if self.output.background_class == "last" and self.output.layout == "boxes_scores_labels" and not self.classes:
            raise ValueError("background_class 'last' needs classes: a label alone does not say which one is last")
        return self

    def recorded(self) -> dict[str, Any]:
        """Return what the digest and the report hold of it: all but places on this machine."""
        return self.model_dump(mode="json", exclude={"path", "state_dict", "like"})


def read_declaration(name: str, options: Mapping[str, Any], location: Location | None) -> ModelDeclaration:
    """Validate a model's entry.

    Raises
    ------
    InputError
        Naming every wrong key with the closest allowed one.
    """
    try:
        return ModelDeclaration.model_validate(dict(options))
    except ValidationError as error:
        problems = "; ".join(_problem(one) for one in error.errors(include_url=False))
        raise InputError(f"model {name!r}: {problems}", location) from error


def _problem(error: Any) -> str:
    # Pydantic puts the names of union members into the path; they are no keys of the spec.
    path = [
        str(part) for part in error["loc"] if part != "Nms" and not str(part).startswith(("literal[", "constrained"))
    ]
    dotted = ".".join(path) or "the entry"
    if error["type"] == "extra_forbidden":
        return f"unknown key {dotted}. {closest(path[-1], _keys(path[:-1]))}"
    if error["type"] == "missing":
        return f"{dotted} is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "value_error":
        return message if dotted == "the entry" else f"{dotted}: {message}"
    return f"{dotted}: {message}, got {error['input']!r}"


def _keys(path: Sequence[str]) -> list[str]:
    level: Any = ModelDeclaration
    for part in path:
        level = {"preprocess": Preprocess, "output": Output, "names": OutputNames, "nms": Nms}.get(part, level)
    return list(level.model_fields)
