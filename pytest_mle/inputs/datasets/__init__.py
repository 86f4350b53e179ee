"""Data sets by format."""

from pytest_mle.inputs.datasets.opening import open_dataset

__all__ = ["open_dataset"]
