"""Do training and validation loss go on together, or apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.training.curve import curve
from pytest_mle.checks.training.epoch_series import EpochSeries, epoch_series
from pytest_mle.checks.training.run_status import run_finished
from pytest_mle.checks.training.training_convergence import (
    SHORTEST_TREND,
    nonfinite_findings,
    relative_change,
    relative_reduction,
    smoothed,
    values_in_window,
)
from pytest_mle.checks.training.trend import mann_kendall, theil_sen_slope
from pytest_mle.records.figure import Figure
from pytest_mle.records.finding import ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.inputs.training_log import TrainingLog

QUANTITIES = {
    "epochs_logged": exact("{epoch}", "higher", "Epochs in the log."),
    "missing_epochs": exact("{epoch}", "lower", "Epochs between the first and the last that the log leaves out."),
    "nonfinite_losses": exact("{finding}", "lower", "Losses that are NaN, infinite, or absent where one is due."),
    "relative_train_loss_reduction": exact("1", "higher", "Fall of the training loss from first to last window."),
    "relative_validation_loss_rise": exact("1", "lower", "Rise of the monitor's last window above its smoothed best."),
    "diverging_epochs": exact(
        "{epoch}",
        "lower",
        "Epochs since the best smoothed monitor, if it has risen while the training loss fell; else 0.",
    ),
    "final_loss_gap": exact("1", "lower", "Mean of monitor minus training loss over the last window."),
    "loss_gap_slope_per_epoch": exact("1", "lower", "Theil-Sen slope of that difference over the last epochs."),
    "loss_gap_trend": exact(
        "1", "lower", "Kendall's tau of that difference over the last epochs; 1 is a steady growth."
    ),
    "loss_gap_trend_p_value": exact("1", "higher", "Mann-Kendall p-value; small values show a growing difference."),
}


@check(quantities=QUANTITIES)
def loss_curves(
    log: TrainingLog,
    *,
    monitor: str = "val_loss",
    smoothing: int = 5,
    window_fraction: float = 0.2,
    minimum_epochs: int = 20,
    divergence_rise: float = 0.05,
) -> Measurement:
    """Measure whether training and validation loss part, which shows overfitting.

    Both losses rising is another defect (a learning rate too high) and counts in ``relative_validation_loss_rise``
    alone; ``diverging_epochs`` needs one to rise and the other to fall. The difference of the losses means something
    only if both are the same function; its trend then shows growing overfitting before the monitor itself rises. Epochs
    are not independent of each other, so the p-value is an indication. All quantities are exact for this log.

    Parameters
    ----------
    log
        With the series ``train_loss`` and ``monitor``.
    monitor
        Validation loss; smaller is better.
    smoothing
        Values in the mean that ends at each epoch.
    window_fraction
        Share of the values in the first and last window, above 0 and at most 0.5. Trends are taken over the last window
        or over 10 values, if that is more.
    minimum_epochs
        With fewer epochs nothing can be said: the validity condition ``enough_epochs`` does not hold.
    divergence_rise
        How far the smoothed monitor must end above its best, as a share of it, to have risen.

    Raises
    ------
    InputError
        A series is missing; the error lists those that there are.
    ValueError
        A parameter is out of its range.
    """
    _check_parameters(smoothing, window_fraction, minimum_epochs, divergence_rise)
    train, watched = epoch_series(log, "train_loss"), epoch_series(log, monitor)
    nonfinite = {"train_loss": train.nonfinite_epochs, monitor: watched.nonfinite_epochs}
    nonfinite_count = sum(map(len, nonfinite.values()))
    common, gap = loss_gap(train, watched)
    enough = len(log) >= minimum_epochs and len(gap) >= 2 * smoothing
    quantities: dict[str, float] = {
        "epochs_logged": len(log),
        "missing_epochs": int(log.epochs[-1] - log.epochs[0]) + 1 - len(log) if len(log) else 0,
        "nonfinite_losses": nonfinite_count,
    }
    figures = [_losses(train, watched, monitor, smoothing)]
    if enough and not nonfinite_count:
        window = values_in_window(len(gap), window_fraction)
        tail = max(window, min(SHORTEST_TREND, len(gap)))
        trend = mann_kendall(gap[-tail:])
        best = float(smoothed(watched.values, smoothing).min())
        last = watched.values[-values_in_window(len(watched.values), window_fraction) :]
        quantities |= {
            "relative_train_loss_reduction": relative_reduction(train, window_fraction),
            "relative_validation_loss_rise": relative_change(float(last.mean()) - best, best),
            "diverging_epochs": diverging_epochs(train, watched, smoothing, divergence_rise),
            "final_loss_gap": float(gap[-window:].mean()),
            "loss_gap_slope_per_epoch": theil_sen_slope(common[-tail:].astype(np.float64), gap[-tail:]),
            "loss_gap_trend": trend.tau,
            "loss_gap_trend_p_value": trend.p_value,
        }
        gap_line = curve(f"{monitor} - train_loss", common, gap)
        figures.append(Figure("line", "Difference of the losses", (gap_line,), x_label="epoch", y_label="loss"))
    return Measurement(
        quantities=quantities,
        findings=nonfinite_findings(log, nonfinite),
        validity=(
            run_finished(log),
            ValidityCondition(
                "enough_epochs",
                enough,
                f"{len(log)} epochs, {len(gap)} of them with both losses; "
                f"needed are {minimum_epochs} epochs and {2 * smoothing} with both losses",
            ),
            ValidityCondition("finite_losses", not nonfinite_count, f"{nonfinite_count} losses are not finite"),
        ),
        figures=tuple(figures),
        settings={
            "monitor": monitor,
            "smoothing": smoothing,
            "window_fraction": window_fraction,
            "minimum_epochs": minimum_epochs,
            "divergence_rise": divergence_rise,
        },
    )


def loss_gap(train: EpochSeries, watched: EpochSeries) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the epochs that have both losses, and monitor minus training loss in them."""
    common, ours, theirs = np.intersect1d(train.epochs, watched.epochs, assume_unique=True, return_indices=True)
    return common, watched.values[theirs] - train.values[ours]


def diverging_epochs(train: EpochSeries, watched: EpochSeries, smoothing: int, rise: float) -> int:
    """Return how many epochs ago the losses parted: the smoothed monitor rose from its best, the training loss fell.

    Returns 0 if they did not.
    """
    monitor = smoothed(watched.values, smoothing)
    best_position = int(monitor.argmin())
    best, best_epoch = float(monitor[best_position]), int(watched.epochs[smoothing - 1 + best_position])
    has_risen = relative_change(float(monitor[-1]) - best, best) > rise
    training = smoothed(train.values, smoothing)
    # The last value that is no later than the monitor's best, or the first if smoothing leaves none.
    at_best = max(0, int(np.searchsorted(train.epochs[smoothing - 1 :], best_epoch, side="right")) - 1)
    has_fallen = float(training[-1]) < float(training[at_best])
    return int(watched.epochs[-1]) - best_epoch if has_risen and has_fallen else 0


def _losses(train: EpochSeries, watched: EpochSeries, monitor: str, smoothing: int) -> Figure:
    lines = [curve("train_loss", train.epochs, train.values), curve(monitor, watched.epochs, watched.values)]
    finite = watched.finite
    marks: tuple[tuple[str, float], ...] = ()
    if len(finite.values) >= smoothing:
        smooth = smoothed(finite.values, smoothing)
        epochs = finite.epochs[smoothing - 1 :]
        lines.append(curve(f"{monitor} (smoothed)", epochs, smooth))
        marks = (("best", float(epochs[int(smooth.argmin())])),)
    return Figure("line", "Losses by epoch", tuple(lines), x_label="epoch", y_label="loss", marks=marks)


def _check_parameters(smoothing: int, window_fraction: float, minimum_epochs: int, divergence_rise: float) -> None:
    if smoothing < 2:
        raise ValueError(f"smoothing must be at least 2, got {smoothing}")
    if not 0 < window_fraction <= 0.5:
        raise ValueError(f"window_fraction must be above 0 and at most 0.5, got {window_fraction}")
    if minimum_epochs < 3:
        raise ValueError(f"minimum_epochs must be at least 3 for a trend, got {minimum_epochs}")
    if not divergence_rise >= 0:
        raise ValueError(f"divergence_rise must not be negative, got {divergence_rise}")
