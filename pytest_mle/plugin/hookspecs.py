"""Hooks by which third-party packages extend pytest-mle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@pytest.hookspec
def pytest_mle_checks() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return checks by name; a spec can then name them like built-in ones."""


@pytest.hookspec
def pytest_mle_dataset_formats() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return openers by ``format:`` name, called ``(name, options, root, *, location, allowed_roots)``."""


@pytest.hookspec
def pytest_mle_model_loaders() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return loaders by ``format:`` name; called as data set openers are, with ``trust_pickle`` besides."""


@pytest.hookspec
def pytest_mle_training_log_readers() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return readers by ``format:`` name, called as data set openers are."""
