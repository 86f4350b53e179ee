"""A training log as the spec declares it, and what all readers make of their findings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import InputError, Location
from pytest_mle.inputs.training_log import TrainingLog
from pytest_mle.inputs.training_logs.by_epoch import arrange
from pytest_mle.inputs.training_logs.metrics import metrics_by_epoch, named_sources
from pytest_mle.inputs.trusted_path import resolve_trusted, shown_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_mle.inputs.training_log import TrainingRun
    from pytest_mle.inputs.training_logs.metrics import Metric


@dataclass(frozen=True)
class DeclaredLog:
    """An entry under ``inputs.training_logs``."""

    name: str
    options: Mapping[str, Any]
    root: Path
    location: Location | None
    allowed_roots: tuple[Path, ...]

    def refusal(self, message: str) -> InputError:
        """Return an error that blames the declaration."""
        return InputError(f"training log {self.name}: {message}", self.location)

    def path(self, option: str = "path") -> Path:
        """Return the resolved path that an option names."""
        declared = self.options.get(option)
        if not isinstance(declared, str) or not declared:
            raise self.refusal(f"{option!r} must name its file, got {declared!r}")
        return self.trusted(declared)

    def trusted(self, path: str | Path) -> Path:
        """Resolve a path that the declaration names or that lies beside one."""
        return resolve_trusted(path, self.root, allowed_roots=self.allowed_roots, location=self.location)

    def read(self, path: Path, most: int) -> bytes:
        """Return the content of a file of at most so many bytes."""
        try:
            if path.stat().st_size > most:
                raise InputError(f"the log has more than the {most} bytes allowed", Location(self.shown(path)))
            return path.read_bytes()
        except OSError as error:
            raise self.refusal(f"cannot read {path}: {error.strerror or error}") from error

    def text(self, option: str) -> str | None:
        """Return an option that is text, or None if it is not given."""
        value = self.options.get(option)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise self.refusal(f"{option!r} must be text, got {value!r}")
        return value

    def shown(self, path: Path) -> str:
        """Return a path as users see it."""
        return shown_path(path, self.root)

    def mapping(self) -> dict[str, str]:
        """Return ``columns:``, from standard series to the log's own names."""
        declared = self.options.get("columns") or {}
        if not isinstance(declared, dict) or not all(
            isinstance(text, str) for pair in declared.items() for text in pair
        ):
            raise self.refusal(f"'columns' must map series to columns, got {declared!r}")
        return dict(declared)

    def from_metrics(
        self, metrics: Mapping[str, Metric], run: TrainingRun, shown: str, metadata: Mapping[str, Any] | None = None
    ) -> TrainingLog:
        """Return the log that a tracker's metrics make; its digest covers the values, not how the store keeps them."""
        mapping = self.mapping()
        sources = named_sources(metrics, mapping, self.name, shown, self.location)
        found = metrics_by_epoch(metrics, mapping, shown)
        arranged = arrange(found.points.items(), sources, found.epochs)
        digest = hashlib.sha256(json.dumps(mapping, sort_keys=True).encode())
        for name in sorted(metrics):
            digest.update(f"{name}\0{len(metrics[name].values)}\0".encode())
            digest.update(metrics[name].steps.tobytes())
            digest.update(metrics[name].values.tobytes())
        return TrainingLog(
            name=self.name,
            path=shown,
            epochs=found.epochs,
            series=arranged.series,
            digest=digest.hexdigest(),
            metadata={
                **(metadata or {}),
                "columns": {target: " + ".join(terms) for target, terms in sources.items()},
                "gaps": arranged.gaps,
                "epochs_from": found.source,
                "without_epoch": arranged.without_epoch,
            },
            step_series=arranged.step_series,
            run=run,
        )
