"""From a planned item to the call of its check: which input goes where."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_mle.engine.store import SECTIONS, require_differentiable
from pytest_mle.errors import CheckError
from pytest_mle.records.condition import conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_mle.engine.store import InputStore
    from pytest_mle.inputs.config import Config
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import Model
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.inputs.record import Record
    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.check import CheckDeclaration, InputDeclaration
    from pytest_mle.records.clock import Clock
    from pytest_mle.records.progress import Progress
    from pytest_mle.records.result import ItemResult
    from pytest_mle.spec.model import PlannedItem, Spec

PRIMARY = {"dataset": "dataset", "model": "model", "training_log": "training_log", "predictions": "predictions"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run offers to checks besides the declared inputs."""

    spec: Spec
    store: InputStore
    clock: Clock
    progress: Progress
    results: Callable[[], Sequence[ItemResult]]


class UsedInput(NamedTuple):
    """An input that an item used, and the section of the spec that declares it."""

    section: str
    value: Any


class Binding:
    """The inputs of one item; remembers which were used, so that the result can name them with their digests."""

    def __init__(self, item: PlannedItem, around: Surroundings) -> None:
        self.item = item
        self.around = around
        self.used: dict[str, UsedInput] = {}

    def dataset(self, parameter: str = "dataset") -> Dataset:
        """Return the data set bound to a parameter, cut down to the item's ``where:``."""
        whole = self._whole_dataset(parameter)
        where = conditions(self.item.where)
        chosen = whole.select(where) if where else whole
        self.used[parameter] = UsedInput("datasets", chosen)
        return chosen

    def model(self, parameter: str = "model") -> Model:
        """Return the model bound to a parameter."""
        store = self.around.store
        chosen = store.model(store.bound_name("model", self.item.using, parameter))
        self.used[parameter] = UsedInput("models", chosen)
        return chosen

    def training_log(self, parameter: str = "log") -> TrainingLog:
        """Return the training log bound to a parameter."""
        store = self.around.store
        chosen = store.training_log(store.bound_name("training_log", self.item.using, parameter))
        self.used[parameter] = UsedInput("training_logs", chosen)
        return chosen

    def config(self, parameter: str = "config") -> Config:
        """Return the configuration file bound to a parameter."""
        store = self.around.store
        chosen = store.config(store.bound_name("config", self.item.using, parameter))
        self.used[parameter] = UsedInput("configs", chosen)
        return chosen

    def record(self, parameter: str = "record") -> Record:
        """Return the record bound to a parameter."""
        store = self.around.store
        chosen = store.record(store.bound_name("record", self.item.using, parameter))
        self.used[parameter] = UsedInput("records", chosen)
        return chosen

    def predictions(self, parameter: str = "predictions") -> Predictions:
        """Return the predictions of the bound model on the bound data set, cut down to ``where:``."""
        from pytest_mle.inputs.prediction_pass import select_predictions

        store = self.around.store
        model = store.model(store.bound_name("predictions", self.item.using, parameter))
        whole = self._whole_dataset("dataset")
        found = store.predictions(model, whole, self.around.progress)
        self.used[parameter] = UsedInput("models", model)
        where = conditions(self.item.where)
        chosen = whole.select(where) if where else whole
        self.used["dataset"] = UsedInput("datasets", chosen)
        return select_predictions(found, chosen) if where else found

    def arguments(
        self, check: CheckDeclaration, fixtures: Mapping[str, Callable[[], Any]] | None = None
    ) -> dict[str, Any]:
        """Return all positional arguments of a check by name.

        Parameters
        ----------
        check
            The check that will be called.
        fixtures
            How to get the first input of a kind, where a project may have put its own fixture in our place.
        """
        seen: set[str] = set()
        arguments = {}
        for declared in check.inputs:
            base = "model" if declared.kind == "differentiable_model" else declared.kind
            fixture = (fixtures or {}).get(base) if base not in seen and declared.name not in self.item.using else None
            is_left_out = declared.is_optional and not self._is_bound(declared, is_first=base not in seen)
            seen.add(base)
            if is_left_out:
                continue
            value = fixture() if fixture is not None else self._argument(declared, check)
            arguments[declared.name] = require_differentiable(value) if base != declared.kind else value
        return arguments

    def _is_bound(self, declared: InputDeclaration, *, is_first: bool) -> bool:
        """Say whether an optional input is there: named in `using:`, or the first of its kind and there by default."""
        if declared.name in self.item.using or declared.kind not in SECTIONS:
            return True
        return is_first and self.around.store.is_declared(declared.kind, self.item.using, declared.name)

    def _argument(self, declared: InputDeclaration, check: CheckDeclaration) -> Any:
        around = self.around
        named: dict[str, Callable[[str], Any]] = {
            "dataset": self.dataset,
            "model": self.model,
            "differentiable_model": self.model,
            "training_log": self.training_log,
            "predictions": self.predictions,
            "config": self.config,
            "record": self.record,
        }
        given: dict[str, Callable[[], Any]] = {
            "project": around.store.project,
            "rng": lambda: random_generator(around.spec.policy.seed, self.item.name),
            "clock": lambda: around.clock,
            "progress": lambda: around.progress,
            "requirements": lambda: around.spec.requirements,
            "results": around.results,
        }
        if declared.kind in named:
            return named[declared.kind](declared.name)
        if declared.kind in given:
            return given[declared.kind]()
        raise CheckError(
            f"check {check.name} asks for an input of kind {declared.kind}, which this version cannot open"
        )

    def _whole_dataset(self, parameter: str) -> Dataset:
        store = self.around.store
        return store.dataset(store.bound_name("dataset", self.item.using, parameter))


def random_generator(seed: int, name: str) -> Any:
    """Return the item's own random generator: the same for the same seed and item, whatever ran before it."""
    import numpy as np

    return np.random.default_rng([seed, zlib.crc32(name.encode())])
