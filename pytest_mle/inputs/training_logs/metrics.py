"""Metrics as trackers keep them, by step, and the epochs that they belong to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.errors import InputError, Location, closest
from pytest_mle.inputs.training_logs.by_epoch import NO_EPOCH, Points
from pytest_mle.inputs.training_logs.layouts import EPOCH_NAMES, EPOCH_SERIES, standard_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MAX_EPOCH = 1 << 31


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """Values by step: ``steps`` ``(value,)`` int64, ascending; ``values`` ``(value,)`` float64."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Epochs:
    """The epochs of a log ``(epoch,)``, ascending, the points of each metric, and where the epochs come from."""

    epochs: NDArray[np.int64]
    points: Mapping[str, Points]
    source: str


def metrics_by_epoch(metrics: Mapping[str, Metric], mapping: Mapping[str, str], shown: str) -> Epochs:
    """Find the epoch of each logged value.

    - With a metric ``epoch`` (or the one that ``columns: {epoch: NAME}`` names), a value belongs to the epoch that was
      logged at its step, else to the one at the next later step that has one: programs log the epoch with each value,
      or when it ends. What was logged after the last epoch was belongs to none, and stays in the series by step.
    - Without one, the step is the epoch. The losses and validation metrics (and what ``columns:`` names) decide which
      epochs there are; another metric with a step that is not among them counts steps of its own (batches, seconds)
      and is a series by step alone.

    Raises :class:`~pytest_mle.errors.InputError` for a log without a value, and an epoch that is no whole number or
    runs backwards.
    """
    if not any(len(metric.steps) for metric in metrics.values()):
        raise InputError("the log has no value", Location(shown))
    epoch_name = mapping.get("epoch") or next((name for name in EPOCH_NAMES if name in metrics), None)
    if epoch_name is not None and len(metrics[epoch_name].values):
        return _by_epoch_metric(metrics, epoch_name, shown)
    return _by_step(metrics, mapping)


def named_sources(
    names: Mapping[str, object], mapping: Mapping[str, str], name: str, shown: str, location: Location | None
) -> dict[str, tuple[str, ...]]:
    """Return the columns of each standard series: those of known programs, and those that the spec maps.

    Raises :class:`~pytest_mle.errors.InputError` for a mapping to a column that the log does not have.
    """
    for target, column in mapping.items():
        if column not in names:
            hint = closest(column, list(names))
            raise InputError(f"training log {name}: {shown} has no column {column!r} for {target}. {hint}", location)
    declared = {target: (column,) for target, column in mapping.items() if target != "epoch"}
    return {**standard_columns(list(names)), **declared}


def whole_epochs(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which values can number an epoch."""
    with np.errstate(invalid="ignore"):
        is_whole: NDArray[np.bool_] = np.isfinite(values) & (values == np.round(values))
        return is_whole & (values >= 0) & (values < MAX_EPOCH)


def _by_epoch_metric(metrics: Mapping[str, Metric], epoch_name: str, shown: str) -> Epochs:
    numbers = metrics[epoch_name]
    bad = np.flatnonzero(~whole_epochs(numbers.values))
    if len(bad):
        message = f"the metric {epoch_name!r} must be a whole number, but it is {numbers.values[bad[0]]:g} at step "
        raise InputError(f"{message}{numbers.steps[bad[0]]}", Location(shown))
    back = np.flatnonzero(np.diff(numbers.values) < 0)
    if len(back):
        before, after = numbers.values[back[0] : back[0] + 2]
        message = f"the epoch goes back from {before:g} to {after:g}: is this the log of several runs?"
        raise InputError(message, Location(shown))
    steps, first = np.unique(numbers.steps, return_index=True)
    last = np.append(first[1:], len(numbers.steps)) - 1
    if (numbers.values[first] != numbers.values[last]).any():
        step = steps[np.flatnonzero(numbers.values[first] != numbers.values[last])[0]]
        raise InputError(f"step {step} has two epochs: is this the log of several runs?", Location(shown))
    epochs, places = np.unique(numbers.values[first].astype(np.int64), return_inverse=True)
    points = {
        name: Points(metric.values, places_of_steps(steps, places, metric.steps), metric.steps)
        for name, metric in metrics.items()
        if name != epoch_name
    }
    return Epochs(epochs, points, epoch_name)


def places_of_steps(known: NDArray[np.int64], places: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place that stands at each step or at the next later one (``known`` ascending), else ``NO_EPOCH``."""
    following = np.searchsorted(known, steps)
    return np.append(places.astype(np.int64), NO_EPOCH)[following]


def _by_step(metrics: Mapping[str, Metric], mapping: Mapping[str, str]) -> Epochs:
    sources = standard_columns(list(metrics))
    deciding = {name for target, names in sources.items() if target in EPOCH_SERIES for name in names}
    deciding |= set(mapping.values())
    if not deciding:
        deciding = set(metrics)
    epochs = np.unique(np.concatenate([metrics[name].steps for name in sorted(deciding)]))
    points: dict[str, Points] = {}
    for name, metric in metrics.items():
        places = np.searchsorted(epochs, metric.steps)
        is_epoch = np.isin(metric.steps, epochs).all()
        points[name] = Points(metric.values, places if is_epoch else np.full(len(metric.steps), NO_EPOCH), metric.steps)
    return Epochs(epochs, points, "step")


def metric_of(steps: list[int], values: list[float], name: str, shown: str) -> Metric:
    """Return a metric from its values in the order in which they were logged.

    Raises :class:`~pytest_mle.errors.InputError` if the steps run backwards: a run that was resumed at an earlier step,
    or several runs in one log, have no single course.
    """
    found = np.array(steps, dtype=np.int64)
    back = np.flatnonzero(np.diff(found) < 0)
    if len(back):
        before, after = found[back[0] : back[0] + 2]
        message = f"{name} goes back from step {before} to {after}: is this the log of several runs?"
        raise InputError(message, Location(shown))
    return Metric(found, np.array(values, dtype=np.float64).reshape(len(steps)))


def to_number(value: object) -> float | None:
    """Return a logged JSON value as a number; text for what JSON has no number for counts, other text does not."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return _SPELLED.get(value) if isinstance(value, str) else None


_SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
