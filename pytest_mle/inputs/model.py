"""The model protocol, small on purpose: predict for a batch; a differentiable model also gives logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Task

Batch = "Sequence[NDArray[np.uint8]]"


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Detections of a batch, images one after the other, best score first inside an image.

    ``boxes`` ``(detection, 4)`` float32, x1 y1 x2 y2 in pixels of the original images; ``scores`` ``(detection,)``
    float32 in 0..1; ``labels`` ``(detection,)`` int64; ``image_index`` ``(detection,)`` int64, ascending.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    image_index: NDArray[np.int64]


@runtime_checkable
class Model(Protocol):
    """A model under test with the pre- and post-processing that its spec entry declares."""

    name: str
    task: Task
    class_names: tuple[str, ...]
    files: tuple[Path, ...]
    batch_size: int

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> Detections | NDArray[np.float32]:
        """Predict for RGB images of any size: detections, or probabilities ``(image, class)`` whose rows sum to 1."""
        ...

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Resize and scale to the network's size in 0..1, without mean and std: ``(image, channel, height, width)``."""
        ...

    def forward(self, prepared: NDArray[np.float32]) -> Any:
        """Run the bare network on prepared images; for latency."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 over the model's files (external weights included) and its declaration."""
        ...

    @property
    def description(self) -> dict[str, Any]:
        """What is recorded with each result: files, task, preprocess, output, device, provider, library versions."""
        ...


@runtime_checkable
class DifferentiableModel(Model, Protocol):
    """A model through which gradients flow (TorchScript, torch.export, module:factory)."""

    device: Any

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return ``(image, class)`` logits for prepared images in 0..1; mean and std are applied inside."""
        ...
