"""Publish the checks that specs name as pytest fixtures of the same name, so that projects can override them."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_mle.records.check import CheckDeclaration


def fixture_module(checks: Iterable[CheckDeclaration]) -> types.ModuleType:
    """Return a plugin module with one fixture a check."""
    module = types.ModuleType("pytest_mle_checks")
    for check in checks:
        setattr(module, check.name, pytest.fixture(name=check.name)(_provider(check)))
    return module


def _provider(check: CheckDeclaration) -> Callable[[], Callable[..., Any]]:
    def provide() -> Callable[..., Any]:
        return check.function

    # `pytest --fixtures` shows where a fixture stands and what it is: the check itself.
    provide.__name__ = check.name
    provide.__doc__ = check.function.__doc__
    provide.__module__ = check.function.__module__
    return provide
