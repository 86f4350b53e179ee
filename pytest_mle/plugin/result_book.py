"""What the controller knows of each planned item: selected or not, reported or not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_mle.records.result import result_from_json
from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.run_report import NEVER_REPORTED
from pytest_mle.spec.planned import planned_result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_mle.records.result import ItemResult
    from pytest_mle.spec.model import PlannedItem, Spec


class Node(NamedTuple):
    """A pytest node of a planned item: the item itself, or a variant where a fixture is parametrized."""

    spec: str
    planned: str
    node_id: str
    name: str


class ResultBook:
    """Results by spec and planned item. One planned item has several where a fixture is parametrized."""

    def __init__(self, specs: Iterable[Spec]) -> None:
        self.specs = tuple(specs)
        self._planned = {str(spec.path): {item.name: item for item in spec.items} for spec in self.specs}
        self._results: dict[str, dict[str, dict[str, ItemResult]]] = {path: {} for path in self._planned}
        self._selected: dict[str, dict[str, dict[str, str]]] | None = None

    def select(self, nodes: Iterable[Node]) -> None:
        """Note which nodes are about to run; items without one are NOT_SELECTED."""
        if self._selected is None:
            self._selected = {path: {} for path in self._planned}
        for node in nodes:
            self._selected[node.spec].setdefault(node.planned, {})[node.node_id] = node.name

    def select_all(self) -> None:
        """Forget what was selected: a run that was refused has deselected nothing on purpose."""
        self._selected = None

    def is_selected(self, spec: Spec, name: str) -> bool:
        """Say whether an item was to run; before the collection is complete, all are."""
        return self._selected is None or name in self._selected[str(spec.path)]

    def add(self, report: dict[str, Any]) -> ItemResult:
        """Note a result that came on a test report; a later one of the same node replaces it."""
        result = result_from_json(report["result"])
        self._note(report["spec"], report["planned"], report["node"], result)
        return result

    def crashed(self, node: Node, message: str) -> None:
        """Note that the process that ran a node died."""
        spec = next(spec for spec in self.specs if str(spec.path) == node.spec)
        self.put(spec, self._without_result(spec, node.planned, node.name, message), node.node_id, node.planned)

    def put(self, spec: Spec, result: ItemResult, node_id: str | None = None, planned: str | None = None) -> None:
        """Note a result that is known here: of an item, or of one of its nodes."""
        self._note(str(spec.path), planned or result.name, node_id or result.name, result)

    def _note(self, path: str, planned: str, node_id: str, result: ItemResult) -> None:
        self._results[path].setdefault(planned, {})[node_id] = result

    def _without_result(self, spec: Spec, planned: str, name: str, message: str) -> ItemResult:
        item = self._planned[str(spec.path)][planned]
        return under_node_name(planned_result(item, spec, Verdict.ERROR, message), name)

    def has_result(self, spec: Spec, item: PlannedItem) -> bool:
        """Say whether an item has reported."""
        return bool(self._results[str(spec.path)].get(item.name))

    def results(self, spec: Spec) -> dict[str, tuple[ItemResult, ...]]:
        """Return the results of a spec by planned name, variants of a parametrized fixture under names of their own.

        A variant that was to run and never reported is ERROR, also where others of its item have reported.
        """
        selected = {} if self._selected is None else self._selected[str(spec.path)]
        found = {}
        for name, of_item in self._results[str(spec.path)].items():
            missing = {
                node_id: self._without_result(spec, name, node_name, NEVER_REPORTED)
                for node_id, node_name in selected.get(name, {}).items()
                if node_id not in of_item and len(selected[name]) > 1
            }
            found[name] = tuple(result for _, result in sorted((of_item | missing).items()))
        return found

    def not_selected(self, spec: Spec) -> frozenset[str]:
        """Return the planned items that were not to run."""
        return frozenset(item.name for item in spec.items if not self.is_selected(spec, item.name))

    def judged_sources(self, spec: Spec) -> tuple[ItemResult, ...]:
        """Return the results of all items but the derived ones, in the order of the plan; missing ones are ERROR."""
        found = self.results(spec)
        sources: list[ItemResult] = []
        for item in spec.items:
            if not item.is_derived:
                sources += found.get(item.name) or (planned_result(item, spec, Verdict.ERROR, NEVER_REPORTED),)
        return tuple(sources)

    def sources_selected(self, spec: Spec) -> bool:
        """Say whether everything that derived items judge was selected."""
        return all(self.is_selected(spec, item.name) for item in spec.items if not item.is_derived)


def under_node_name(result: ItemResult, node_name: str) -> ItemResult:
    """Return a result under the name of its pytest node, which tells variants of a parametrized fixture apart."""
    return result if node_name == result.name else replace(result, name=node_name)
