"""The training log protocol: epochs by named series, series by step, and what is known of the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

RunStatus = Literal["finished", "running", "failed", "killed"]


@dataclass(frozen=True, slots=True, eq=False)
class StepSeries:
    """A series by optimizer step: ``steps`` ``(value,)`` int64, ascending; ``values`` ``(value,)`` float64."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A saved state of the model that the run tells of.

    ``path`` as the run wrote it, relative to the log's folder where it is not absolute.
    """

    path: str
    epoch: int | None = None
    is_best: bool = False
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What a log knows of the run that wrote it; None and empty mean that it does not say.

    ``hyperparameters`` have dotted names (``optimizer.weight_decay``) and the types that the tracker kept (some keep
    text only). ``seeds`` by library (``python``, ``numpy``, ``torch``, ``dataloader_workers``), or one under
    ``all``. ``hardware`` and ``framework_versions`` as :func:`pytest_mle.tracking.record_environment` names them.
    ``uri`` names the store and the run in it for messages, without credentials.
    """

    run_id: str | None = None
    uri: str | None = None
    status: RunStatus | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    model_version: str | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None
    dataset_version: str | None = None
    dataset_sha256: str | None = None
    hardware: Mapping[str, Any] = field(default_factory=dict)
    framework_versions: Mapping[str, str] = field(default_factory=dict)
    checkpoints: tuple[Checkpoint, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TrainingLog:
    """Per-epoch series under their standard names, and what else the log knows of the run.

    ``series``: ``train_loss``, ``val_loss``, ``val_map_50``, ``learning_rate``, ``gradient_norm``; each ``(epoch,)``
    float64 with NaN where the log has no value; ``epochs`` ``(epoch,)`` int64. ``step_series`` under the same names
    where the log has values by step. ``metadata`` says how the log was read (columns, gaps).
    """

    name: str
    path: str
    epochs: NDArray[np.int64]
    series: Mapping[str, NDArray[np.float64]]
    digest: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    step_series: Mapping[str, StepSeries] = field(default_factory=dict)
    run: TrainingRun = field(default_factory=TrainingRun)

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def description(self) -> dict[str, Any]:
        """What a result records of the log besides its digest: where it is, and which run it tells of."""
        known = {
            "path": self.path,
            "run_id": self.run.run_id,
            "status": self.run.status,
            "git_commit": self.run.git_commit,
            "dataset_version": self.run.dataset_version,
        }
        return {name: value for name, value in known.items() if value is not None}
