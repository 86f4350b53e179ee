"""How much better a model is on the data it was trained on than on validation data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.training.curve import curve
from pytest_mle.checks.training.epoch_series import EpochSeries, epoch_series
from pytest_mle.checks.training.run_status import run_finished
from pytest_mle.checks.training.selected_checkpoint import selected_epoch as epoch_of_checkpoint
from pytest_mle.checks.training.selected_checkpoint import value_at
from pytest_mle.checks.training.trend import mann_kendall
from pytest_mle.errors import InputError, Location
from pytest_mle.records.figure import Figure
from pytest_mle.records.finding import ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import Exact, exact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.quantity import Quantity

TRAINING_NAMES = ("train_{}", "train/{}", "training_{}", "{}")
VALIDATION_NAMES = ("val_{}", "val/{}", "valid_{}", "validation_{}", "eval_{}", "metrics/{}")
_SHORTEST_TREND = 10
# Words of metrics of which less is better.
_LOWER_IS_BETTER = frozenset({"loss", "error", "rate", "mae", "mse", "rmse", "perplexity"})

QUANTITIES = {
    "absolute_generalization_gap": exact(
        "1", "lower", "How much better the metric is on training data at the selected checkpoint; negative if worse."
    ),
    "relative_generalization_gap": exact("1", "lower", "The gap by the size of the metric on training data."),
    "median_gap_nearby": exact("1", "lower", "Median of the gap over the epochs around the selected one."),
    "train_metric": exact("1", None, "The metric on training data at the selected checkpoint."),
    "validation_metric": exact("1", None, "The metric on validation data at the selected checkpoint."),
    "selected_epoch": exact("{epoch}", None, "Epoch of the selected checkpoint."),
    "gap_trend": exact("1", "lower", "Kendall's tau of the gap up to the selected epoch; 1 is a steady growth."),
}


@check(quantities=QUANTITIES)
def generalization_gap(
    log: TrainingLog,
    *,
    metric: str = "accuracy",
    at: Literal["selected_checkpoint", "last_epoch"] = "selected_checkpoint",
    selected_epoch: int | None = None,
    higher_is_better: bool | None = None,
    neighbourhood: int = 5,
) -> Measurement:
    """Measure the gap between training and validation metric at the checkpoint that was kept.

    Log the training metric as it is on images without augmentation and in evaluation mode; a mean over the steps of an
    epoch lags behind and is disturbed by dropout, which makes the gap look smaller, even negative. The gap is exact for
    this log; the validation metric of a checkpoint that was selected by it is optimistic.

    Parameters
    ----------
    log
        With the metric on training and on validation data, such as ``train_accuracy`` (or ``accuracy``) and
        ``val_accuracy``.
    metric
        Name without its data: ``accuracy``, ``map_50``, ``loss``. Except losses and errors it must be a ratio in 0..1.
    at
        Which epoch counts.
    selected_epoch
        Epoch of the checkpoint that was kept; by default the one that the run marks as its best, else the first with
        the best validation metric.
    higher_is_better
        Direction of the metric; by default told by its name (less of a ``loss``, ``error`` or ``rate`` is better).
    neighbourhood
        Epochs of the median around the selected one.

    Raises
    ------
    InputError
        A series is missing (the error lists those that there are), or the log does not have the selected epoch.
    ValueError
        ``neighbourhood`` is below 1.
    """
    if neighbourhood < 1:
        raise ValueError(f"neighbourhood must be at least 1, got {neighbourhood}")
    more_is_better = is_higher_better(metric) if higher_is_better is None else higher_is_better
    train_name, val_name = _series_name(log, metric, TRAINING_NAMES), _series_name(log, metric, VALIDATION_NAMES)
    train, val = epoch_series(log, train_name), epoch_series(log, val_name)
    epoch = int(log.epochs[-1]) if at == "last_epoch" and len(log) else None
    if at == "selected_checkpoint":
        epoch = epoch_of_checkpoint(log, val, selected_epoch, higher_is_better=more_is_better)
    common, gaps = metric_gap(train, val, more_is_better=more_is_better)
    at_epoch = {name: _finite_at(series, epoch) for name, series in (("train", train), ("val", val))}
    has_both = all(map(math.isfinite, at_epoch.values()))
    is_ratio = not more_is_better or all(_lies_in_0_to_1(series.finite.values) for series in (train, val))
    return Measurement(
        quantities=_quantities(epoch, at_epoch["train"], at_epoch["val"], common, gaps, neighbourhood, more_is_better)
        if has_both and epoch is not None
        else {},
        validity=(
            run_finished(log),
            ValidityCondition(
                "has_both_metrics",
                has_both,
                f"at epoch {epoch} {train_name} is {at_epoch['train']:g} and {val_name} is {at_epoch['val']:g}"
                if epoch is not None
                else f"{val_name} has no finite value",
            ),
            ValidityCondition(
                "metric_is_ratio", is_ratio, "" if is_ratio else f"{metric} leaves 0..1: is it in percent?"
            ),
        ),
        figures=_figures(train, val, (train_name, val_name), (common, gaps), epoch),
        settings={
            "train_series": train_name,
            "validation_series": val_name,
            "at": at,
            "higher_is_better": more_is_better,
            "neighbourhood": neighbourhood,
        },
    )


def is_higher_better(metric: str) -> bool:
    """Tell a metric's direction by the words of its name."""
    return not _LOWER_IS_BETTER & set(metric.lower().replace("/", "_").split("_"))


def metric_gap(
    train: EpochSeries, val: EpochSeries, *, more_is_better: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the epochs with both metrics, and by how much training data do better in them."""
    ours, theirs = train.finite, val.finite
    common, left, right = np.intersect1d(ours.epochs, theirs.epochs, assume_unique=True, return_indices=True)
    difference = ours.values[left] - theirs.values[right]
    return common, difference if more_is_better else -difference


def _quantities(
    epoch: int,
    train: float,
    val: float,
    common: NDArray[np.int64],
    gaps: NDArray[np.float64],
    neighbourhood: int,
    more_is_better: bool,
) -> dict[str, Quantity | float]:
    gap = train - val if more_is_better else val - train
    position = int(np.searchsorted(common, epoch))
    around = gaps[max(0, position - neighbourhood // 2) : position + neighbourhood // 2 + 1]
    before = gaps[: position + 1]
    short = Exact(math.nan, None, f"{len(before)} epochs up to the selected one, a trend needs {_SHORTEST_TREND}")
    return {
        "absolute_generalization_gap": gap,
        "relative_generalization_gap": gap / abs(train) if train else math.copysign(math.inf, gap) if gap else 0.0,
        "median_gap_nearby": float(np.median(around)),
        "train_metric": train,
        "validation_metric": val,
        "selected_epoch": epoch,
        "gap_trend": mann_kendall(before).tau if len(before) >= _SHORTEST_TREND else short,
    }


def _series_name(log: TrainingLog, metric: str, patterns: tuple[str, ...]) -> str:
    names = [pattern.format(metric) for pattern in patterns]
    found = next((name for name in names if name in log.series), None)
    if found is None:
        has = ", ".join(sorted(log.series)) or "none"
        raise InputError(f"the log has no series {' or '.join(names)}. The log has: {has}.", Location(log.path))
    return found


def _finite_at(series: EpochSeries, epoch: int | None) -> float:
    value = None if epoch is None else value_at(series, epoch)
    return math.nan if value is None else value


def _lies_in_0_to_1(values: NDArray[np.float64]) -> bool:
    return not len(values) or (float(values.min()) >= 0 and float(values.max()) <= 1)


def _figures(
    train: EpochSeries,
    val: EpochSeries,
    names: tuple[str, str],
    gap: tuple[NDArray[np.int64], NDArray[np.float64]],
    epoch: int | None,
) -> tuple[Figure, ...]:
    marks = () if epoch is None else (("selected", float(epoch)),)
    lines = tuple(curve(name, one.epochs, one.values) for name, one in zip(names, (train, val), strict=True))
    return (
        Figure("line", "Training and validation metric", lines, x_label="epoch", y_label="metric", marks=marks),
        Figure("line", "Generalization gap", (curve("gap", *gap),), x_label="epoch", y_label="gap", marks=marks),
    )
