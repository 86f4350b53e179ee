"""Models: one file per framework, pre- and post-processing shared by all of them."""

from __future__ import annotations

from pytest_mle.inputs.models.opening import open_model

__all__ = ["open_model"]
