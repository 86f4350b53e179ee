"""One series of a training log, ready to be measured: which epochs have a value, which should have one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.errors import InputError, Location, closest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.inputs.training_log import TrainingLog


@dataclass(frozen=True, slots=True, eq=False)
class EpochSeries:
    """Values by epoch, without gaps.

    ``nonfinite_epochs`` are the epochs in which a value is NaN or infinite, or absent where one is due: a log that
    skips each second epoch has its rhythm, a log that falls silent has lost its values (pandas writes NaN as an empty
    cell).
    """

    epochs: NDArray[np.int64]
    values: NDArray[np.float64]
    nonfinite_epochs: tuple[int, ...]
    lost_epochs: tuple[int, ...] = ()

    @property
    def finite(self) -> EpochSeries:
        """The same series without values that are not finite."""
        kept = np.isfinite(self.values)
        return EpochSeries(self.epochs[kept], self.values[kept], self.nonfinite_epochs, self.lost_epochs)


def epoch_series(log: TrainingLog, name: str) -> EpochSeries:
    """Return a series of a log.

    Raises :class:`~pytest_mle.errors.InputError` with the series that there are if this one is not among them.
    """
    if name not in log.series:
        raise missing_series(log, name)
    values = log.series[name]
    gaps = np.isin(log.epochs, np.array(log.metadata.get("gaps", {}).get(name, ()), dtype=np.int64))
    there = np.flatnonzero(~gaps)
    due = _due(there, len(log.epochs))
    lost = due & gaps
    nonfinite = (~gaps & ~np.isfinite(values)) | lost
    return EpochSeries(log.epochs[there], values[there], _listed(log, nonfinite), _listed(log, lost))


def missing_series(log: TrainingLog, name: str, why: str = "") -> InputError:
    """Return the error that a series is not in a log: with the name that was probably meant, and all that there are."""
    hint = closest(name, list(log.series))
    if hint.startswith("Did"):
        hint += f" The log has: {', '.join(sorted(log.series))}."
    if name in log.step_series:
        hint = f"It has values by step, but none by epoch. {hint}"
    return InputError(f"the log has no series {name!r}{why}. {hint}", Location(log.path))


def _listed(log: TrainingLog, chosen: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(log.epochs[chosen].tolist())


def _due(there: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Say at which positions a value is due: all, unless values come in a regular rhythm."""
    due = np.ones(count, dtype=np.bool_)
    if len(there) < 2:
        return due
    steps = np.diff(there)
    rhythm = int(steps[0])
    # The last epoch is often validated in addition.
    is_regular = bool((steps[:-1] == rhythm).all()) and int(steps[-1]) <= rhythm
    has_begun, goes_on = int(there[0]) < rhythm, count - 1 - int(there[-1]) < rhythm
    if is_regular and has_begun and goes_on:
        due[:] = False
    return due
