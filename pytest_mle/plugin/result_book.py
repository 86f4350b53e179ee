"""What the controller knows of each planned item: selected or not, reported or not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_mle.records.result import result_from_json
from pytest_mle.records.verdict import Verdict
from pytest_mle.spec.planned import planned_result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_mle.records.result import ItemResult
    from pytest_mle.spec.model import PlannedItem, Spec


class ResultBook:
    """Results by spec and planned item. One planned item has several where a fixture is parametrized."""

    def __init__(self, specs: Iterable[Spec]) -> None:
        self.specs = tuple(specs)
        self._planned = {str(spec.path): {item.name: item for item in spec.items} for spec in self.specs}
        self._results: dict[str, dict[str, dict[str, ItemResult]]] = {path: {} for path in self._planned}
        self._selected: dict[str, set[str]] | None = None

    def select(self, names: Iterable[tuple[str, str]]) -> None:
        """Note which items (spec path, planned name) are about to run; the others are NOT_SELECTED."""
        if self._selected is None:
            self._selected = {path: set() for path in self._planned}
        for path, name in names:
            self._selected[path].add(name)

    def is_selected(self, spec: Spec, name: str) -> bool:
        """Say whether an item was to run; before the collection is complete, all are."""
        return self._selected is None or name in self._selected[str(spec.path)]

    def add(self, report: dict[str, Any]) -> ItemResult:
        """Note a result that came on a test report; a later one of the same node replaces it."""
        result = result_from_json(report["result"])
        of_item = self._results[report["spec"]].setdefault(report["planned"], {})
        of_item[report["node"]] = result
        return result

    def crashed(self, node_id: str, message: str) -> None:
        """Note that the process that ran a node died."""
        for spec in self.specs:
            for item in spec.items:
                if f"{item.process}::{item.base_practice}::{item.name}" == "::".join(node_id.split("::")[-3:]):
                    result = planned_result(item, spec, Verdict.ERROR, message)
                    self._results[str(spec.path)].setdefault(item.name, {})[node_id] = result

    def put(self, spec: Spec, result: ItemResult) -> None:
        """Note the result of an item that was judged here."""
        self._results[str(spec.path)][result.name] = {result.name: result}

    def has_result(self, spec: Spec, item: PlannedItem) -> bool:
        """Say whether an item has reported."""
        return bool(self._results[str(spec.path)].get(item.name))

    def results(self, spec: Spec) -> dict[str, tuple[ItemResult, ...]]:
        """Return the results of a spec by planned name, variants of a parametrized fixture under names of their own."""
        return {
            name: tuple(of_item[node] for node in sorted(of_item))
            for name, of_item in self._results[str(spec.path)].items()
        }

    def not_selected(self, spec: Spec) -> frozenset[str]:
        """Return the planned items that were not to run."""
        return frozenset(item.name for item in spec.items if not self.is_selected(spec, item.name))

    def judged_sources(self, spec: Spec) -> tuple[ItemResult, ...]:
        """Return the results of all items but the derived ones, in the order of the plan; missing ones are ERROR."""
        found = self.results(spec)
        sources: list[ItemResult] = []
        for item in spec.items:
            if not item.is_derived:
                sources += found.get(item.name) or (planned_result(item, spec, Verdict.ERROR, "it never reported"),)
        return tuple(sources)

    def sources_selected(self, spec: Spec) -> bool:
        """Say whether everything that derived items judge was selected."""
        return all(self.is_selected(spec, item.name) for item in spec.items if not item.is_derived)


def under_node_name(result: ItemResult, node_name: str) -> ItemResult:
    """Return a result under the name of its pytest node, which tells variants of a parametrized fixture apart."""
    return result if node_name == result.name else replace(result, name=node_name)
