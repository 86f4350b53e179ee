"""The training log protocol: epochs by named series."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class TrainingLog:
    """Per-epoch series under their standard names, and what else the log knows of the run.

    ``series``: ``train_loss``, ``val_loss``, ``val_map_50``, ``learning_rate``, ``gradient_norm``; each ``(epoch,)``
    float64 with NaN where the log has no value; ``epochs`` ``(epoch,)`` int64.
    """

    name: str
    path: str
    epochs: NDArray[np.int64]
    series: Mapping[str, NDArray[np.float64]]
    digest: str
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.epochs)
