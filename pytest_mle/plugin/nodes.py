"""The tree of collected nodes: spec file > process > base practice > item."""

from __future__ import annotations

import inspect
import re
import types
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.python import PyCollector  # the only private import: it gives fixtures and parametrization for free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from pytest_mle.spec.model import PlannedItem, Spec

PLANNED = pytest.StashKey["PlannedItem"]()
SPEC = pytest.StashKey["Spec"]()


class SpecFile(pytest.Module):
    """A spec; a module for pytest, so that module-scoped fixtures have a node."""

    def __init__(self, *, spec: Spec, run: Callable[..., None], **keywords: Any) -> None:
        super().__init__(**keywords)
        self.obj = types.ModuleType("mle_spec")
        self.spec = spec
        self.run = run

    def collect(self) -> Iterator[pytest.Collector]:
        """Yield one node a process, in the order of the plan."""
        for process, items in _groups(self.spec.items, "process"):
            yield ChecklistNode.from_parent(self, name=process, planned=items, level="base_practice", file=self)


class ChecklistNode(PyCollector):
    """A process or a base practice."""

    def __init__(self, *, planned: tuple[PlannedItem, ...], level: str | None, file: SpecFile, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.obj = types.SimpleNamespace()
        self.planned = planned
        self.level = level
        self.file = file
        self._fixtureinfo: dict[tuple[tuple[str, ...], tuple[str, ...]], Any] = {}
        self.add_marker(marker_name(self.name))

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Yield the base practices of a process, or the items of a base practice."""
        if self.level is not None:
            for name, items in _groups(self.planned, self.level):
                yield ChecklistNode.from_parent(self, name=name, planned=items, level=None, file=self.file)
            return
        for planned in self.planned:
            function = _test_function(planned, self.file)
            setattr(self.obj, planned.name, function)
            for item in self._functions(planned, function):
                _place(item, planned, self.file.path)
                item.stash[PLANNED] = planned
                item.stash[SPEC] = self.file.spec
                yield item

    def _functions(self, planned: PlannedItem, function: Callable[..., None]) -> Iterable[pytest.Function]:
        """Return the pytest functions of an item: one, or one a variant where a fixture is parametrized.

        Items that ask for the same fixtures share what pytest finds out about these, as the variants of a parametrized
        test do. Not where it may differ from item to item: with variants, or where a plugin or conftest.py makes some.
        """
        alike = (_fixtures(planned), item_markers(planned))
        shared = self._fixtureinfo.get(alike)
        if shared is not None:
            return (pytest.Function.from_parent(self, name=planned.name, fixtureinfo=shared),)
        made = tuple(self._genfunctions(planned.name, function))
        if len(made) == 1 and not hasattr(made[0], "callspec") and self._only_pytest_makes_variants():
            self._fixtureinfo[alike] = made[0]._fixtureinfo  # noqa: SLF001
        return made

    def _only_pytest_makes_variants(self) -> bool:
        makers = self.config.hook.pytest_generate_tests.get_hookimpls()
        return all(str(getattr(maker.function, "__module__", "")).startswith("_pytest.") for maker in makers)


def _groups(items: Iterable[PlannedItem], key: str) -> Iterator[tuple[str, tuple[PlannedItem, ...]]]:
    order = {name: place for place, name in enumerate(dict.fromkeys(getattr(item, key) for item in items))}
    ordered = sorted(items, key=lambda item: order[getattr(item, key)])
    for name, group in groupby(ordered, key=lambda item: str(getattr(item, key))):
        yield name, tuple(group)


def _test_function(planned: PlannedItem, file: SpecFile) -> Callable[..., None]:
    run = file.run

    def checklist_item(**fixtures: Any) -> None:
        run(planned, **fixtures)

    # pytest reads the fixtures that an item needs from its signature.
    checklist_item.__signature__ = _signature(*_fixtures(planned))  # type: ignore[attr-defined]
    checklist_item.__name__ = planned.item
    checklist_item.__doc__ = planned.title
    marked: Callable[..., None] = checklist_item
    for mark in _marks("mle", *item_markers(planned)):
        marked = mark(marked)
    return marked


def _fixtures(planned: PlannedItem) -> tuple[str, ...]:
    return ("request", str(planned.check)) if needs_check(planned) else ("request",)


@lru_cache(maxsize=1000)
def _signature(*fixtures: str) -> inspect.Signature:
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in fixtures])


@lru_cache(maxsize=1000)
def _marks(*names: str) -> tuple[pytest.MarkDecorator, ...]:
    return tuple(getattr(pytest.mark, name) for name in names)


def needs_check(planned: PlannedItem) -> bool:
    """Say whether an item runs its check, or is decided by the spec alone."""
    return planned.check is not None and planned.not_applicable is None and not planned.pending_reasons


def _place(item: pytest.Item, planned: PlannedItem, path: Path) -> None:
    line = planned.location.line if planned.location is not None else None
    place = (path, None if line is None else line - 1, item.name)
    item.reportinfo = lambda: place  # type: ignore[method-assign]


def marker_name(identifier: str) -> str:
    """Return ``mle_4_bp3`` for ``MLE.4.BP3``."""
    return re.sub(r"\W", "_", identifier).lower()


def item_markers(planned: PlannedItem) -> tuple[str, ...]:
    """Return the markers of an item itself; process and base practice carry their own."""
    return (*(f"asil_{level.lower()}" for level in planned.asil_levels), *planned.marks)


def all_markers(spec: Spec) -> dict[str, str]:
    """Return every marker that a spec's nodes carry, with its description for ``pytest --markers``."""
    markers = {"mle": "an item of a machine-learning-engineering checklist"}
    for item in spec.items:
        markers[marker_name(item.process)] = f"items of {item.process}"
        markers[marker_name(item.base_practice)] = f"items of {item.base_practice}"
        markers |= {name: f"items marked {name}" for name in item_markers(item)}
    return markers
