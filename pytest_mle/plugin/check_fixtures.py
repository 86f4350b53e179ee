"""Publish checks as pytest fixtures of the same name, so that projects can override them and build on them."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from pytest_mle.records.check import CheckDeclaration

    FindCheck = Callable[[str], CheckDeclaration | None]


def fixture_module(names: Iterable[str], named: Collection[str], find_check: FindCheck) -> types.ModuleType:
    """Return a plugin module with one fixture a check.

    Parameters
    ----------
    names
        All checks there are.
    named
        Those that a spec names; the others are imported only if a fixture of the project asks for them.
    find_check
        How to get a check by name.
    """
    module = types.ModuleType("pytest_mle_checks")
    for name in names:
        setattr(module, name, pytest.fixture(name=name)(_provider(name, find_check, is_named=name in named)))
    return module


def _provider(name: str, find_check: FindCheck, *, is_named: bool) -> Callable[[], Callable[..., Any]]:
    def provide() -> Callable[..., Any]:
        check = find_check(name)
        assert check is not None
        return check.function

    # `pytest --fixtures` shows where a fixture stands and what it is: the check itself.
    check = find_check(name) if is_named else None
    provide.__name__ = name
    provide.__doc__ = f"Built-in check: `pytest-mle checks {name}`." if check is None else check.function.__doc__
    provide.__module__ = __name__ if check is None else check.function.__module__
    return provide
