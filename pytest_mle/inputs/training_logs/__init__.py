"""Training logs by format."""

from pytest_mle.inputs.training_logs.opening import read_training_log

__all__ = ["read_training_log"]
