"""Training logs by format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_mle.inputs.training_logs.opening import read_training_log

__all__ = ["read_training_log"]


def __getattr__(name: str) -> Any:
    # Checking an entry of a spec needs no NumPy.
    if name == "read_training_log":
        from pytest_mle.inputs.training_logs.opening import read_training_log

        return read_training_log
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
