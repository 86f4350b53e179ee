"""Models that a project's own Python code builds."""

from __future__ import annotations

import ast
import importlib
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import InputError, closest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType


def call_factory(factory: str, arguments: Mapping[str, Any], root: Path) -> tuple[Any, list[Path]]:
    """Call ``module:function``, importable from ``root`` or installed.

    Returns
    -------
    tuple
        What the function returned, and the project's source files that it is made of: its module and, below ``root``,
        everything that this imports.

    Raises
    ------
    InputError
        If there is no such module or function.
    """
    with project_function(factory, root, "factory") as (module, function):
        # Inside, because a factory may import its parts only when it is called.
        made = function(**arguments)
    return made, project_sources(module, root)


@contextmanager
def project_function(name: str, root: Path, what: str) -> Iterator[tuple[ModuleType, Callable[..., Any]]]:
    """Import ``module:function`` from ``root`` or from what is installed, and keep ``root`` importable inside.

    Raises :class:`~pytest_mle.errors.InputError`, which calls it ``what``, if there is no such module or function.
    """
    module_name, _, function_name = name.partition(":")
    with _on_path(root):
        importlib.invalidate_caches()
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise InputError(f"{what} {name!r} cannot be imported from {root.name}: {error}") from error
        function = getattr(module, function_name, None)
        if not callable(function):
            known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            raise InputError(
                f"module {module_name!r} has no function {function_name!r}. {closest(function_name, known)}"
            )
        yield module, function


def project_sources(module: ModuleType, root: Path) -> list[Path]:
    """Return the source files below ``root`` of a module and of everything that it imports."""
    return sorted(_sources(module, root.resolve(), set()))


@contextmanager
def _on_path(root: Path) -> Iterator[None]:
    entry = str(root)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _sources(module: ModuleType, root: Path, seen: set[Path]) -> set[Path]:
    file = getattr(module, "__file__", None)
    path = None if file is None else Path(file).resolve()
    if path is None or path in seen or path.suffix != ".py":
        return seen
    if not path.is_relative_to(root) or "site-packages" in path.parts:
        return seen
    seen.add(path)
    package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
    for name in _imported_names(path, package):
        imported = sys.modules.get(name)
        if imported is not None:
            _sources(imported, root, seen)
    return seen


def _imported_names(path: Path, package: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
