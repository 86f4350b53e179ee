"""Was the declared learning-rate schedule the one that ran, and did the loss fall when the rate did."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.training.curve import curve
from pytest_mle.checks.training.epoch_series import EpochSeries, epoch_series
from pytest_mle.checks.training.lr_schedule import (
    LearningRateSchedule,
    as_declared,
    plateau_rates,
    rates_at,
    read_schedule,
)
from pytest_mle.checks.training.run_status import run_finished
from pytest_mle.errors import InputError, InputNotDeclaredError
from pytest_mle.records.figure import Figure
from pytest_mle.records.finding import CAP, Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import Exact, exact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pytest_mle.errors import Location
    from pytest_mle.inputs.config import Config
    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.quantity import Quantity

SERIES = "learning_rate"
# The handbook's configuration has everything below `training`.
_PREFIXES = ("", "training.")

QUANTITIES = {
    "epochs_compared": exact("{epoch}", "higher", "Epochs whose rate was compared with the declared schedule."),
    "lr_schedule_mismatches": exact("{epoch}", "lower", "Epochs with a rate that the declared schedule does not have."),
    "lr_drops": exact("{event}", None, "How often the rate fell by drop_share below where it stood."),
    "mean_loss_change_after_drop": exact(
        "1", "lower", "Mean loss of the window after a drop minus that before it, averaged over the drops."
    ),
    "improving_drops_fraction": exact("1", "higher", "Share of the drops after which the mean loss was lower."),
}


@dataclass(frozen=True, slots=True, eq=False)
class RateBand:
    """What a schedule allows in each epoch, ``(epoch,)``; NaN where it declares nothing."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def excludes(self, rates: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
        """Say which rates lie outside by more than a share of the band's ends."""
        with np.errstate(invalid="ignore"):
            outside: NDArray[np.bool_] = (rates < self.low * (1 - tolerance)) | (rates > self.high * (1 + tolerance))
        return outside


@check(quantities=QUANTITIES)
def lr_schedule_effectiveness(
    log: TrainingLog,
    config: Config | None = None,
    *,
    schedule: dict[str, Any] | None = None,
    epochs: int | None = None,
    key: str = "learning_rate",
    monitor: str = "val_loss",
    window: int = 10,
    drop_share: float = 0.5,
    tolerance: float = 0.01,
) -> Measurement:
    """Compare logged learning rates with the declared schedule, and the loss before and after each drop of the rate.

    Programs log the rate at the beginning of an epoch, after its last update or as a mean, so each of these is right: a
    mismatch is a rate outside of what the schedule takes on from the beginning to the end of the epoch. That the loss
    fell when the rate did shows little, because both fall in most runs; let it advise.

    Parameters
    ----------
    log
        With the series ``learning_rate`` and ``monitor`` by epoch; the first epoch is 0 or 1.
    config
        The training configuration, unless ``schedule`` is given. Keys that belong to another schedule are passed over.
    schedule
        ``{schedule: cosine, initial: 0.001, warmup_epochs: 5, min_lr: 0.00001}``. Schedules and their keys, named as in
        PyTorch where it has them: ``constant``; ``step`` (``step_size`` or ``milestones``, ``gamma``); ``exponential``
        (``gamma``); ``cosine`` and ``linear`` (``min_lr``, ``decay_epochs``); ``plateau`` (``metric``, ``mode``,
        ``factor``, ``patience``, ``threshold``, ``threshold_mode``, ``cooldown``, ``min_lr``), which is replayed on the
        logged metric; ``one_cycle`` (``max_lr``, ``pct_start``, ``div_factor``, ``final_div_factor``,
        ``anneal_strategy``). All but the last take a linear ``warmup_epochs`` with ``start_factor``.
        ``steps_per_epoch`` for a scheduler that is stepped each batch.
    epochs
        Length of the whole run, which a run that was stopped early does not reach; by default ``epochs`` of the
        configuration, else the last one of the log.
    key
        Name of the schedule in the configuration, also looked for below ``training``.
    monitor
        Loss of which the fall is measured; smaller is better.
    window
        Epochs before and after a drop.
    drop_share
        How far the rate must fall to have dropped, as a share of where it stood; a smooth decay drops again each time.
    tolerance
        How far a rate may lie beyond the declared one, as a share of it.

    Raises
    ------
    InputNotDeclaredError
        There is neither a configuration nor a ``schedule``.
    InputError
        The configuration has no such key or declares no schedule, or a series is missing.
    ValueError
        A parameter is out of its range.
    """
    _check_parameters(window, drop_share, tolerance)
    rates, losses = epoch_series(log, SERIES), epoch_series(log, monitor)
    declared = _declared(log, config, schedule, epochs, key)
    finite = rates.finite
    band = _band(log, declared, finite)
    wrong = np.flatnonzero(band.excludes(finite.values, tolerance))
    drops = lr_drops(finite.values, drop_share)
    changes = changes_at(finite.epochs[drops], losses.finite, window)
    quantities: dict[str, Quantity | float] = {
        "epochs_compared": int(np.isfinite(band.low).sum()),
        "lr_schedule_mismatches": len(wrong),
        "lr_drops": len(drops),
    }
    nothing = Exact(math.nan, 0, f"the rate never fell by {100 * drop_share:g} % between two epochs with a loss")
    quantities["mean_loss_change_after_drop"] = float(changes.mean()) if len(changes) else nothing
    quantities["improving_drops_fraction"] = float((changes < 0).mean()) if len(changes) else nothing
    return Measurement(
        quantities=quantities,
        findings=_findings(log, finite, band, wrong),
        validity=(
            run_finished(log),
            ValidityCondition(
                "finite_rates",
                not rates.nonfinite_epochs and len(finite.values) > 0,
                f"{len(finite.values)} finite rates, {len(rates.nonfinite_epochs)} that are not finite or absent",
            ),
            ValidityCondition(
                "finite_losses",
                not losses.nonfinite_epochs,
                f"{len(losses.nonfinite_epochs)} values of {monitor} are not",
            ),
        ),
        figures=_figures(finite, band, losses, monitor, finite.epochs[drops]),
        settings={
            "declared": as_declared(declared),
            "monitor": monitor,
            "window": window,
            "drop_share": drop_share,
            "tolerance": tolerance,
        },
    )


def lr_drops(rates: NDArray[np.float64], share: float) -> NDArray[np.int64]:
    """Return the positions at which the rate has fallen by a share below its highest since the drop before."""
    drops = []
    reference = -math.inf
    for position, rate in enumerate(rates.tolist()):
        if rate > reference:
            reference = rate
        # Rounded logs must not hide a factor of exactly one half.
        elif rate <= reference * (1 - share) * (1 + 1e-6) and rate < reference:
            drops.append(position)
            reference = rate
    return np.array(drops, dtype=np.int64)


def changes_at(epochs: NDArray[np.int64], losses: EpochSeries, window: int) -> NDArray[np.float64]:
    """Return the mean loss of the window from each epoch on, minus that of the window before it, where both exist."""
    total = np.concatenate([[0.0], np.cumsum(losses.values)])
    at = np.searchsorted(losses.epochs, epochs)
    at = at[(at > 0) & (at < len(losses.values))]
    begin, end = np.maximum(at - window, 0), np.minimum(at + window, len(losses.values))
    changes: NDArray[np.float64] = (total[end] - total[at]) / (end - at) - (total[at] - total[begin]) / (at - begin)
    return changes


def _declared(
    log: TrainingLog, config: Config | None, schedule: Mapping[str, Any] | None, epochs: int | None, key: str
) -> LearningRateSchedule:
    declared: Any = schedule
    location: Location | None = None
    if declared is None:
        if config is None:
            raise InputNotDeclaredError(
                "no learning-rate schedule: declare the training configuration under inputs.configs, or "
                "`with: {schedule: {schedule: cosine, initial: 0.001}}`"
            )
        place = next((prefix + key for prefix in _PREFIXES if prefix + key in config), None)
        declared, location = config.require(place or key), config.location(place or key)
    if epochs is None and config is not None:
        epochs = next((config.get(f"{prefix}epochs") for prefix in _PREFIXES if f"{prefix}epochs" in config), None)
    if not isinstance(declared, (dict, int, float)):
        raise InputError(f"{key} must be a mapping with `schedule` and `initial`, got {declared!r}", location)
    if epochs is None:
        epochs = int(log.epochs[-1]) + 1 - _first_epoch(log) if len(log) else 1
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise InputError(f"epochs must be a whole number of at least 1, got {epochs!r}", location)
    try:
        return read_schedule(declared, epochs, leftovers=schedule is None)
    except ValueError as error:
        if schedule is not None:
            raise
        raise InputError(str(error), location) from error


def _first_epoch(log: TrainingLog) -> int:
    """Return 0 or 1: logs count from either, and may begin later."""
    return 0 if len(log) and int(log.epochs[0]) == 0 else 1


def _band(log: TrainingLog, declared: LearningRateSchedule, rates: EpochSeries) -> RateBand:
    before = (rates.epochs - _first_epoch(log)).astype(np.float64)
    if declared.schedule == "plateau":
        start, end = plateau_rates(declared, _metric_by_position(log, declared.metric, int(before.max(initial=-1)) + 1))
        ends = np.stack([start, end])[:, before.astype(np.int64)]
    else:
        updates = np.stack([before, before + 1]) * declared.steps_per_epoch
        ends = np.stack([rates_at(declared, one) for one in _with_peak(declared, updates)])
    low, high = ends.min(axis=0), ends.max(axis=0)
    if declared.warmup_epochs and declared.start_factor is None:
        # Only where warm-up begins is undeclared: it may not leave 0..initial.
        warming = before < declared.warmup_epochs
        low, high = np.where(warming, 0.0, low), np.where(warming, declared.initial, high)
    return RateBand(low, high)


def _with_peak(declared: LearningRateSchedule, updates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add the peak of a cycle where it lies inside an epoch, because both ends of that epoch are lower."""
    if declared.schedule != "one_cycle":
        return updates
    peak = declared.pct_start * declared.epochs * declared.steps_per_epoch - 1
    return np.concatenate([updates, np.clip(peak, updates[:1], updates[1:])])


def _metric_by_position(log: TrainingLog, name: str, count: int) -> NDArray[np.float64]:
    """Return a metric by epochs before it, NaN where the log has none."""
    series = epoch_series(log, name)
    positions = series.epochs - _first_epoch(log)
    values = np.full(count, math.nan)
    values[positions[positions < count]] = series.values[positions < count]
    return values


def _findings(log: TrainingLog, rates: EpochSeries, band: RateBand, wrong: NDArray[np.int64]) -> tuple[Findings, ...]:
    shown = [
        Finding(
            f"the rate is {rates.values[i]:.6g}, declared is {_range(band.low[i], band.high[i])}",
            log.path,
            subject=f"epoch {rates.epochs[i]}",
        )
        for i in wrong[:CAP]
    ]
    return (Findings("lr_schedule_mismatches", len(wrong), tuple(shown)),) if len(wrong) else ()


def _range(low: float, high: float) -> str:
    return f"{low:.6g}" if math.isclose(low, high, rel_tol=1e-6) else f"{low:.6g} to {high:.6g}"


def _figures(
    rates: EpochSeries, band: RateBand, losses: EpochSeries, monitor: str, drops: NDArray[np.int64]
) -> tuple[Figure, ...]:
    lines = (
        curve("logged", rates.epochs, rates.values),
        curve("declared, highest in the epoch", rates.epochs, band.high),
        curve("declared, lowest in the epoch", rates.epochs, band.low),
    )
    marks = tuple(("drop", float(epoch)) for epoch in drops[:CAP])
    loss = (curve(monitor, losses.epochs, losses.values),)
    return (
        Figure("line", "Learning rate, logged and declared", lines, x_label="epoch", y_label="learning rate"),
        Figure("line", "Loss at drops of the learning rate", loss, x_label="epoch", y_label="loss", marks=marks),
    )


def _check_parameters(window: int, drop_share: float, tolerance: float) -> None:
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    if not 0 < drop_share < 1:
        raise ValueError(f"drop_share must lie between 0 and 1, got {drop_share}")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must lie in 0..1, got {tolerance}")
