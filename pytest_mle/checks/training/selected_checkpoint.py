"""Which epoch's checkpoint was kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.errors import InputError, Location

if TYPE_CHECKING:
    from pytest_mle.checks.training.epoch_series import EpochSeries
    from pytest_mle.inputs.training_log import TrainingLog


def selected_epoch(
    log: TrainingLog, scored: EpochSeries | None, declared: int | None, *, higher_is_better: bool = True
) -> int | None:
    """Return the epoch of the checkpoint that was kept.

    The declared one, else that of the checkpoint which the run marks as its best, else the first with the best finite
    value of ``scored``; None if there is no value. Raises :class:`~pytest_mle.errors.InputError` if the log does not
    have the epoch.
    """
    best = [one.epoch for one in log.run.checkpoints if one.is_best and one.epoch is not None]
    chosen = declared if declared is not None or not best else best[-1]
    if chosen is not None:
        if chosen not in log.epochs:
            epochs = f"{log.epochs[0]}..{log.epochs[-1]}" if len(log) else "none"
            raise InputError(f"the log has no epoch {chosen}; it has {epochs}", Location(log.path))
        return chosen
    if scored is None or not len(scored.finite.values):
        return None
    finite = scored.finite
    position = finite.values.argmax() if higher_is_better else finite.values.argmin()
    return int(finite.epochs[int(position)])


def value_at(series: EpochSeries, epoch: int) -> float | None:
    """Return the value of an epoch, None if there is none."""
    (found,) = (series.epochs == epoch).nonzero()
    return float(series.values[found[0]]) if len(found) else None
