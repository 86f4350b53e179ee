"""Configuration files by format."""

from pytest_mle.inputs.configs.reading import read_config

__all__ = ["read_config"]
