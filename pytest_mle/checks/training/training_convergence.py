"""Did the training converge and keep what it had learned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.training.curve import curve
from pytest_mle.checks.training.epoch_series import EpochSeries, epoch_series
from pytest_mle.checks.training.run_status import run_finished
from pytest_mle.checks.training.selected_checkpoint import selected_epoch as epoch_of_checkpoint
from pytest_mle.checks.training.trend import mann_kendall, theil_sen_slope
from pytest_mle.records.figure import Figure
from pytest_mle.records.finding import CAP, Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.inputs.training_log import TrainingLog

_NOT_MEASURED = math.nan
SHORTEST_TREND = 10

QUANTITIES = {
    "epochs_logged": exact("{epoch}", "higher", "Epochs in the log."),
    "missing_epochs": exact("{epoch}", "lower", "Epochs between the first and the last that the log leaves out."),
    "nonfinite_losses": exact("{finding}", "lower", "Losses that are NaN, infinite, or absent where one is due."),
    "plateau_epochs": exact(
        "{epoch}",
        "higher",
        "Epochs since the smoothed monitor last improved; 0 if it never did, or has risen above its best since.",
    ),
    "best_epoch": exact("{epoch}", None, "Epoch of the smallest smoothed monitor."),
    "best_smoothed_loss": exact("1", "lower", "Smallest smoothed monitor."),
    "relative_validation_loss_reduction": exact("1", "higher", "Fall of the smoothed monitor from its first to best."),
    "relative_train_loss_reduction": exact("1", "higher", "Fall of the training loss from first to last window."),
    "relative_validation_loss_rise": exact("1", "lower", "Rise of the monitor's last window above its smoothed best."),
    "final_slope_per_epoch": exact("1", "lower", "Theil-Sen slope of the monitor over its last epochs."),
    "overfitting_trend": exact("1", "lower", "Kendall's tau of the monitor over its last epochs; 1 is a steady rise."),
    "overfitting_trend_p_value": exact("1", "higher", "Mann-Kendall p-value; small values show a rise."),
    "selected_epoch": exact("{epoch}", None, "Epoch of the selected checkpoint."),
    "selected_metric": exact("1", "higher", "Validation metric of the selected checkpoint; not a test result."),
    "selected_metric_neighbourhood": exact("1", "higher", "Median of the metric around the selected epoch."),
}


@check(quantities=QUANTITIES)
def training_convergence(
    log: TrainingLog,
    *,
    monitor: str = "val_loss",
    metric: str = "val_map_50",
    selected_epoch: int | None = None,
    smoothing: int = 5,
    window_fraction: float = 0.2,
    minimum_epochs: int = 20,
    tolerance: float = 0.001,
    plateau_rise: float = 0.1,
) -> Measurement:
    """Measure convergence and overfitting of one training run from its log.

    Losses are smoothed by a mean over ``smoothing`` values that ends at each epoch; windows are a share of the run, so
    the measures mean the same for 50 and for 500 epochs. The metric comes from validation data, on which the checkpoint
    was selected: it is optimistic and shows no requirement. All quantities are exact for this log; a run with another
    seed has another one.

    Parameters
    ----------
    log
        With the series ``train_loss`` and ``monitor``; without ``metric``, what rests on it is not measured (NaN). A
        run that is known to be running, failed or killed shows nothing: the validity condition ``run_finished``.
    monitor
        Validation loss that shall reach a plateau; smaller is better.
    metric
        Validation metric of the selected checkpoint; larger is better.
    selected_epoch
        Epoch of the checkpoint that was kept; by default the one that the run marks as its best, else the first with
        the largest metric.
    smoothing
        Values in the mean; also epochs around the selected one.
    window_fraction
        Share of the values in the first and last window, above 0 and at most 0.5. Trends are taken over the last window
        or over 10 values, if that is more.
    minimum_epochs
        With fewer epochs nothing can be said: the validity condition ``enough_epochs`` does not hold.
    tolerance
        Relative improvement of the smoothed monitor that counts as one.
    plateau_rise
        If the smoothed monitor ends more than this share above its best, it has left its plateau.

    Raises
    ------
    InputError
        A series is missing (the error lists those that there are), or ``selected_epoch`` is not in the log.
    ValueError
        A parameter is out of its range.
    """
    _check_parameters(smoothing, window_fraction, minimum_epochs, tolerance, plateau_rise)
    train, watched = epoch_series(log, "train_loss"), epoch_series(log, monitor)
    nonfinite = {"train_loss": train.nonfinite_epochs, monitor: watched.nonfinite_epochs}
    nonfinite_count = sum(map(len, nonfinite.values()))
    enough = len(log) >= minimum_epochs and min(len(train.values), len(watched.values)) >= 2 * smoothing
    quantities: dict[str, float] = {
        "epochs_logged": len(log),
        "missing_epochs": int(log.epochs[-1] - log.epochs[0]) + 1 - len(log) if len(log) else 0,
        "nonfinite_losses": nonfinite_count,
        **_selected_checkpoint(log, metric, selected_epoch, smoothing),
    }
    if enough and not nonfinite_count:
        quantities |= _convergence(watched, smoothing, window_fraction, tolerance, plateau_rise)
        quantities["relative_train_loss_reduction"] = relative_reduction(train, window_fraction)
    shortest = min(len(train.values), len(watched.values))
    return Measurement(
        quantities=quantities,
        findings=nonfinite_findings(log, nonfinite),
        validity=(
            run_finished(log),
            ValidityCondition(
                "enough_epochs",
                enough,
                f"{len(log)} epochs with at least {shortest} losses each, "
                f"needed are {minimum_epochs} epochs and {2 * smoothing} losses",
            ),
            ValidityCondition("finite_losses", not nonfinite_count, f"{nonfinite_count} losses are not finite"),
        ),
        figures=_figures(train, watched, monitor, quantities["selected_epoch"], smoothing),
        settings={
            "monitor": monitor,
            "metric": metric if metric in log.series else None,
            "smoothing": smoothing,
            "window_fraction": window_fraction,
            "minimum_epochs": minimum_epochs,
            "tolerance": tolerance,
            "plateau_rise": plateau_rise,
        },
    )


def smoothed(values: NDArray[np.float64], smoothing: int) -> NDArray[np.float64]:
    """Return the means over ``smoothing`` values that end at each position, shape ``(value - smoothing + 1,)``."""
    return np.convolve(values, np.full(smoothing, 1 / smoothing), mode="valid")


def epochs_since_improvement(values: NDArray[np.float64], epochs: NDArray[np.int64], tolerance: float) -> int:
    """Return how many epochs ago a series last fell by more than a relative tolerance below its smallest value before.

    Slow progress counts: what is compared with moves only with an improvement that counted.
    """
    reference, since = float(values[0]), int(epochs[0])
    for value, epoch in zip(values[1:].tolist(), epochs[1:].tolist(), strict=True):
        if reference - value > tolerance * abs(reference):
            reference, since = value, epoch
    return int(epochs[-1]) - since


def _convergence(
    watched: EpochSeries, smoothing: int, window_fraction: float, tolerance: float, plateau_rise: float
) -> dict[str, float]:
    smooth = smoothed(watched.values, smoothing)
    epochs = watched.epochs[smoothing - 1 :]
    best = float(smooth.min())
    window = values_in_window(len(watched.values), window_fraction)
    rise = relative_change(float(watched.values[-window:].mean()) - best, best)
    has_left = relative_change(float(smooth[-1]) - best, best) > plateau_rise
    since = epochs_since_improvement(smooth, epochs, tolerance)
    # A loss that never fell is flat as well, and shows that nothing was learned.
    has_fallen = since < int(epochs[-1] - epochs[0])
    tail = max(window, min(SHORTEST_TREND, len(watched.values)))
    trend = mann_kendall(watched.values[-tail:])
    return {
        "plateau_epochs": since if has_fallen and not has_left else 0,
        "best_epoch": int(epochs[int(smooth.argmin())]),
        "best_smoothed_loss": best,
        "relative_validation_loss_reduction": relative_change(float(smooth[0]) - best, float(smooth[0])),
        "relative_validation_loss_rise": rise,
        "final_slope_per_epoch": theil_sen_slope(watched.epochs[-tail:].astype(np.float64), watched.values[-tail:]),
        "overfitting_trend": trend.tau,
        "overfitting_trend_p_value": trend.p_value,
    }


def relative_reduction(train: EpochSeries, window_fraction: float) -> float:
    """Return the fall from the first to the last window, relative to the size of the first (losses may be negative)."""
    window = values_in_window(len(train.values), window_fraction)
    first, last = float(train.values[:window].mean()), float(train.values[-window:].mean())
    return relative_change(first - last, first)


def values_in_window(count: int, window_fraction: float) -> int:
    """Return how many values a share of a series is, at least one."""
    return max(1, round(count * window_fraction))


def relative_change(change: float, reference: float) -> float:
    """Return a change by the size of what it is relative to; infinite for a change from 0."""
    if change == 0:
        return 0.0
    return change / abs(reference) if reference else math.copysign(math.inf, change)


def _selected_checkpoint(log: TrainingLog, metric: str, declared: int | None, smoothing: int) -> dict[str, float]:
    scored = epoch_series(log, metric).finite if metric in log.series else None
    selected = epoch_of_checkpoint(log, scored, declared)
    measured = {
        "selected_epoch": _NOT_MEASURED if selected is None else float(selected),
        "selected_metric": _NOT_MEASURED,
        "selected_metric_neighbourhood": _NOT_MEASURED,
    }
    if scored is None or selected is None or selected not in scored.epochs:
        return measured
    position = int(np.flatnonzero(scored.epochs == selected)[0])
    around = scored.values[max(0, position - smoothing // 2) : position + smoothing // 2 + 1]
    return {
        **measured,
        "selected_metric": float(scored.values[position]),
        "selected_metric_neighbourhood": float(np.median(around)),
    }


def nonfinite_findings(log: TrainingLog, nonfinite: dict[str, tuple[int, ...]]) -> tuple[Findings, ...]:
    """Return the findings of losses that are NaN, infinite or absent, by series."""
    total = sum(map(len, nonfinite.values()))
    shown = [
        Finding("the value is not finite or absent", log.path, subject=f"{name} of epoch {epoch}")
        for name, epochs in nonfinite.items()
        for epoch in epochs[:CAP]
    ]
    return (Findings("nonfinite_losses", total, tuple(shown[:CAP])),) if total else ()


def _figures(
    train: EpochSeries, watched: EpochSeries, monitor: str, selected_epoch: float, smoothing: int
) -> tuple[Figure, ...]:
    finite = watched.finite
    lines = [curve("train_loss", train.epochs, train.values), curve(monitor, watched.epochs, watched.values)]
    if len(finite.values) >= smoothing:
        smooth = smoothed(finite.values, smoothing)
        lines.append(curve(f"{monitor} (smoothed)", finite.epochs[smoothing - 1 :], smooth))
    marks = () if math.isnan(selected_epoch) else (("selected", float(selected_epoch)),)
    return (Figure("line", "Losses by epoch", tuple(lines), x_label="epoch", y_label="loss", marks=marks),)


def _check_parameters(
    smoothing: int, window_fraction: float, minimum_epochs: int, tolerance: float, plateau_rise: float
) -> None:
    if smoothing < 1:
        raise ValueError(f"smoothing must be at least 1, got {smoothing}")
    if not 0 < window_fraction <= 0.5:
        raise ValueError(f"window_fraction must be above 0 and at most 0.5, got {window_fraction}")
    if minimum_epochs < 3:
        raise ValueError(f"minimum_epochs must be at least 3 for a trend, got {minimum_epochs}")
    if not (tolerance >= 0 and plateau_rise >= 0):
        raise ValueError(f"tolerance and plateau_rise must not be negative, got {tolerance} and {plateau_rise}")
