"""The declared inputs, opened when first asked for and then shared by every check of the run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_mle.engine.prediction_cache import PredictionCache
from pytest_mle.errors import InputError, InputNotDeclaredError, MleError, closest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_mle.inputs.config import Config
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import Model
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.inputs.project import Project
    from pytest_mle.inputs.record import Record
    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.progress import Progress
    from pytest_mle.spec.model import InputEntry, Spec

T = TypeVar("T")

SECTIONS = {
    "dataset": "datasets",
    "model": "models",
    "differentiable_model": "models",
    "predictions": "models",
    "training_log": "training_logs",
    "config": "configs",
    "record": "records",
    "table": "tables",
}
DEFAULT_KEYS = {"differentiable_model": "model", "predictions": "model"}


@dataclass(frozen=True, slots=True)
class Trust:
    """What the invoker of pytest grants; a spec cannot grant it to itself."""

    pickle: bool = False
    data_roots: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Readers:
    """Formats that third-party packages add: name to opener, per section."""

    datasets: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    models: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    training_logs: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


class InputStore:
    """Opens each input once; an input that cannot be opened raises the same error for every item that needs it."""

    def __init__(
        self, spec: Spec, trust: Trust, cache: PredictionCache | None = None, readers: Readers | None = None
    ) -> None:
        self._spec = spec
        self._trust = trust
        self._cache = cache or PredictionCache(None)
        self._readers = readers or Readers()
        self._opened: dict[tuple[str, str], Any] = {}
        self._project: Project | None = None

    def bound_name(self, kind: str, using: Mapping[str, str], parameter: str) -> str:
        """Return the name of the input that an item's parameter is bound to.

        ``using:`` decides by parameter name, then ``defaults:`` by kind; a single declared input needs neither.
        """
        section = SECTIONS[kind]
        key = DEFAULT_KEYS.get(kind, kind)
        declared = self._spec.inputs.get(section, {})
        name = using.get(parameter) or using.get(key) or self._spec.defaults.get(key)
        if name is None and len(declared) == 1:
            name = next(iter(declared))
        if name is None:
            known = f" Declared: {', '.join(declared)}." if declared else ""
            raise InputNotDeclaredError(
                f"no {key.replace('_', ' ')} for {parameter!r}: declare one under inputs.{section} and name it in "
                f"`using:` or `defaults:`.{known}"
            )
        return name

    def is_declared(self, kind: str, using: Mapping[str, str], parameter: str) -> bool:
        """Say whether there is an input for an item's parameter."""
        try:
            self.bound_name(kind, using, parameter)
        except InputNotDeclaredError:
            return False
        return True

    def dataset(self, name: str) -> Dataset:
        """Open a data set."""
        return self._once("datasets", name, self._open_dataset)

    def model(self, name: str) -> Model:
        """Open a model."""
        return self._once("models", name, self._open_model)

    def training_log(self, name: str) -> TrainingLog:
        """Read a training log."""
        return self._once("training_logs", name, self._read_training_log)

    def config(self, name: str) -> Config:
        """Read a configuration file."""
        return self._once("configs", name, self._read_config)

    def record(self, name: str) -> Record:
        """Read a record, in base units."""
        return self._once("records", name, self._read_record)

    def model_digests(self, name: str) -> tuple[str, ...]:
        """Return every digest that a model is known by: ours and, where it is one file, that of the file.

        A file of a kind that nothing here can open (an engine built for the target) is known by its own digest alone.
        """
        from pytest_mle.inputs.models.opening import TORCH_ENDINGS

        options = self._entry("models", name).options
        is_ours = "factory" in options or "format" in options
        if not is_ours and not str(options.get("path")).endswith((".onnx", *TORCH_ENDINGS)):
            return (self._model_file_digest(self._entry("models", name)),)
        model = self.model(name)
        files = (*getattr(model, "files", ()), *getattr(model, "sources", ()))
        return (model.digest, sha256_of(files[0])) if len(files) == 1 else (model.digest,)

    def project(self) -> Project:
        """Return the folder that the spec stands in, with its git history."""
        from pytest_mle.inputs.project import Project

        if self._project is None:
            self._project = Project(self._spec.root.resolve(), self._trust.data_roots)
        return self._project

    def predictions(self, model: Model, dataset: Dataset, progress: Progress | None = None) -> Predictions:
        """Return the model's predictions on a whole data set, from memory, from disk or computed now."""
        key = ("predictions", f"{id(model)}:{id(dataset)}")
        if key not in self._opened:
            # The inputs are kept beside the result, so that their ids cannot be given to other objects.
            self._opened[key] = (self._cache.predictions(model, dataset, progress), model, dataset)
        return self._opened[key][0]  # type: ignore[no-any-return]

    def _once(self, section: str, name: str, opener: Callable[[InputEntry], T]) -> T:
        key = (section, name)
        if key not in self._opened:
            try:
                self._opened[key] = opener(self._entry(section, name))
            except MleError as error:
                self._opened[key] = error
        found = self._opened[key]
        if isinstance(found, MleError):
            raise found
        return found  # type: ignore[no-any-return]

    def _entry(self, section: str, name: str) -> InputEntry:
        declared = self._spec.inputs.get(section, {})
        if name not in declared:
            raise InputNotDeclaredError(
                f"inputs.{section} has no {name!r}. {closest(name, list(declared))} "
                f"Declare it in {self._spec.path.name} under inputs.{section}."
            )
        return declared[name]

    def _roots(self) -> tuple[Path, ...]:
        return (self._spec.root, *self._trust.data_roots)

    def _open_dataset(self, entry: InputEntry) -> Dataset:
        from pytest_mle.inputs.datasets import open_dataset

        opener: Callable[..., Dataset] = self._readers.datasets.get(str(entry.options.get("format")), open_dataset)
        return opener(entry.name, entry.options, self._spec.root, location=entry.location, allowed_roots=self._roots())

    def _open_model(self, entry: InputEntry) -> Model:
        from pytest_mle.inputs.models import open_model

        opener: Callable[..., Model] = self._readers.models.get(str(entry.options.get("format")), open_model)
        return opener(
            entry.name,
            entry.options,
            self._spec.root,
            location=entry.location,
            allowed_roots=self._roots(),
            trust_pickle=self._trust.pickle,
        )

    def _read_training_log(self, entry: InputEntry) -> TrainingLog:
        from pytest_mle.inputs.training_logs import read_training_log

        reader: Callable[..., TrainingLog] = self._readers.training_logs.get(
            str(entry.options.get("format")), read_training_log
        )
        return reader(entry.name, entry.options, self._spec.root, location=entry.location, allowed_roots=self._roots())

    def _model_file_digest(self, entry: InputEntry) -> str:
        from pytest_mle.inputs.models.files import model_file

        path = str(entry.options["path"])
        return sha256_of(model_file(path, self._spec.root, location=entry.location, allowed_roots=self._roots()))

    def _read_record(self, entry: InputEntry) -> Record:
        from pytest_mle.engine.recorded_units import in_base_units
        from pytest_mle.inputs.records import read_record

        return in_base_units(
            read_record(
                entry.name, entry.options, self._spec.root, location=entry.location, allowed_roots=self._roots()
            )
        )

    def _read_config(self, entry: InputEntry) -> Config:
        from pytest_mle.inputs.configs import read_config

        return read_config(
            entry.name, entry.options, self._spec.root, location=entry.location, allowed_roots=self._roots()
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def require_differentiable(model: Model) -> Model:
    """Return the model if gradients flow through it, else say which formats do."""
    if not hasattr(model, "logits"):
        raise InputError(
            f"model {model.name!r} gives no gradients. White-box attacks need a TorchScript model, "
            "or `format: factory` with `factory: module:function` and `state_dict: weights.pt`."
        )
    return model
