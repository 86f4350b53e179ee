"""Did gradients explode, vanish, stop or become NaN, in the whole model and by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.training.curve import curve
from pytest_mle.checks.training.epoch_series import epoch_series, missing_series
from pytest_mle.checks.training.run_status import run_finished
from pytest_mle.errors import InputError, Location
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import CAP, Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import Exact, exact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.quantity import Quantity

SERIES = "gradient_norm"
WINDOW_OF_STEPS = 20
WINDOW_OF_EPOCHS = 5

QUANTITIES = {
    "gradient_norms_logged": exact("{record}", "higher", "Gradient norms of the whole model in the log."),
    "nonfinite_gradients": exact(
        "{finding}", "lower", "Gradient norms that are NaN, infinite, or absent where due; layers count too."
    ),
    "median_gradient_norm": exact("1", None, "Median of the finite gradient norms."),
    "exploding_steps_fraction": exact(
        "1", "lower", "Share of gradient norms above gradient_maximum, infinite ones too."
    ),
    "exploding_windows": exact("{finding}", "lower", "Windows of which more than half lies above gradient_maximum."),
    "vanishing_windows": exact("{finding}", "lower", "Windows of which more than half lies below gradient_minimum."),
    "constant_windows": exact(
        "{finding}", "lower", "Windows of equal norms, as they are after clipping, or where nothing is measured."
    ),
    "layers": exact("{layer}", "higher", "Layers whose gradient norm is logged."),
    "dead_layers": exact("{layer}", "lower", "Layers of which the last window vanishes."),
}


@dataclass(frozen=True, slots=True, eq=False)
class GradientNorms:
    """Norms in order of time, shape ``(value,)``; ``nonfinite`` are the positions without a finite norm where due."""

    name: str
    positions: NDArray[np.int64]
    values: NDArray[np.float64]
    nonfinite: tuple[int, ...]
    is_by_step: bool

    @property
    def unit(self) -> str:
        """What a position counts."""
        return "step" if self.is_by_step else "epoch"


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """How many sliding windows of a series explode, vanish or stand still."""

    exploding: int
    vanishing: int
    constant: int
    ends_vanishing: bool


@check(quantities=QUANTITIES)
def gradient_health(
    log: TrainingLog,
    *,
    gradient_maximum: float = 1000.0,
    gradient_minimum: float = 1e-6,
    window: int | None = None,
) -> Measurement:
    """Look for exploding, vanishing, constant and NaN gradients over windows of a training run.

    Windows slide by one value; one counts if more than half of it lies beyond the limit. So a single step that mixed
    precision skipped (norm 0) or a spike while warming up is a share of steps, and no window. Equal norms over a window
    say that the norm was taken after clipping, which hides what this check is for, or that it was not measured at all.
    All quantities are exact for this log.

    Parameters
    ----------
    log
        With the series ``gradient_norm``, by step where there is one, else by epoch; ``gradient_norm/NAME`` for each
        layer. Without a series for the whole model it is the root of the sum of the squares of the layers. Without
        layers, ``dead_layers`` is not measured (NaN).
    gradient_maximum, gradient_minimum
        Gradient norms above explode, those below vanish.
    window
        Values in a window; by default 20 steps or 5 epochs. With fewer finite values the validity condition
        ``enough_gradients`` does not hold.

    Raises
    ------
    InputError
        No gradient norm is logged (the error lists what is), or there are only layers, logged at different steps.
    ValueError
        A parameter is out of its range.
    """
    if not 0 <= gradient_minimum < gradient_maximum:
        raise ValueError(f"gradient_minimum must lie in 0..{gradient_maximum}, got {gradient_minimum}")
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    layers = [gradient_norms(log, name) for name in layer_names(log)]
    total = gradient_norms(log, SERIES) if _has(log, SERIES) else _combined(log, layers)
    size = window or (WINDOW_OF_STEPS if total.is_by_step else WINDOW_OF_EPOCHS)
    finite = total.values[np.isfinite(total.values)]
    counts = count_windows(finite, size, gradient_minimum, gradient_maximum)
    dead = _dead_layers(layers, window, gradient_minimum, gradient_maximum)
    numbers = total.values[~np.isnan(total.values)]
    quantities: dict[str, Quantity | float] = {
        "gradient_norms_logged": len(total.values),
        "nonfinite_gradients": sum(len(one.nonfinite) for one in (total, *layers)),
        "median_gradient_norm": float(np.median(finite)) if len(finite) else math.nan,
        "exploding_steps_fraction": float((numbers > gradient_maximum).mean()) if len(numbers) else math.nan,
        "exploding_windows": counts.exploding,
        "vanishing_windows": counts.vanishing,
        "constant_windows": counts.constant,
        "layers": len(layers),
        "dead_layers": len(dead)
        if layers
        else Exact(math.nan, None, f"the log has no series {SERIES}/NAME of a layer"),
    }
    return Measurement(
        quantities=quantities,
        findings=_findings(log, (total, *layers), dead),
        validity=(
            run_finished(log),
            ValidityCondition(
                "enough_gradients", len(finite) >= size, f"{len(finite)} finite gradient norms, needed are {size}"
            ),
        ),
        figures=_figures(total, layers, size),
        settings={
            "resolution": total.unit,
            "window": size,
            "gradient_maximum": gradient_maximum,
            "gradient_minimum": gradient_minimum,
            "layers": [layer.name for layer in layers],
        },
    )


def layer_names(log: TrainingLog) -> list[str]:
    """Return the names of the series that hold the gradient norm of one layer, in the log's order."""
    return [name for name in dict.fromkeys([*log.step_series, *log.series]) if name.startswith(f"{SERIES}/")]


def gradient_norms(log: TrainingLog, name: str) -> GradientNorms:
    """Return a series by step where the log has one, else by epoch."""
    by_step = log.step_series.get(name)
    if by_step is not None:
        bad = by_step.steps[~np.isfinite(by_step.values)]
        return GradientNorms(name, by_step.steps, by_step.values, tuple(bad.tolist()), is_by_step=True)
    by_epoch = epoch_series(log, name)
    return GradientNorms(name, by_epoch.epochs, by_epoch.values, by_epoch.nonfinite_epochs, is_by_step=False)


def count_windows(values: NDArray[np.float64], size: int, minimum: float, maximum: float) -> WindowCounts:
    """Count the sliding windows of finite values in which more than half lies beyond a limit, or all are equal.

    Sums of a cumulative count, so a million steps cost as little as the pass over them.
    """
    if len(values) < size:
        return WindowCounts(0, 0, 0, ends_vanishing=False)
    above = _sliding_sums(values > maximum, size) * 2 > size
    below = _sliding_sums(values < minimum, size) * 2 > size
    is_same = np.diff(values) == 0
    constant = int((_sliding_sums(is_same, size - 1) == size - 1).sum()) if size > 1 else 0
    return WindowCounts(int(above.sum()), int(below.sum()), constant, bool(below[-1]))


def _sliding_sums(hits: NDArray[np.bool_], size: int) -> NDArray[np.int64]:
    total: NDArray[np.int64] = np.concatenate([[0], np.cumsum(hits, dtype=np.int64)])
    return total[size:] - total[:-size]


def _has(log: TrainingLog, name: str) -> bool:
    return name in log.step_series or name in log.series


def _combined(log: TrainingLog, layers: list[GradientNorms]) -> GradientNorms:
    """Return the norm over all layers: the root of the sum of their squares."""
    if not layers:
        raise missing_series(log, SERIES, f", nor {SERIES}/NAME of a layer: no gradients were tracked")
    first = layers[0]
    if any(not np.array_equal(one.positions, first.positions) for one in layers):
        message = (
            f"the layers' gradient norms stand at different {first.unit}s, so they make no norm of the whole model"
        )
        raise InputError(f"{message}. Log {SERIES} as well.", Location(log.path))
    # hypot, because the square of a large norm overflows.
    values = first.values
    for one in layers[1:]:
        values = np.hypot(values, one.values)
    return GradientNorms(f"{SERIES} (of {len(layers)} layers)", first.positions, values, (), first.is_by_step)


def _dead_layers(
    layers: list[GradientNorms], window: int | None, minimum: float, maximum: float
) -> list[tuple[str, float]]:
    """Return the layers whose last window vanishes, with the median norm in it."""
    dead = []
    for layer in layers:
        finite = layer.values[np.isfinite(layer.values)]
        size = min(len(finite), window or (WINDOW_OF_STEPS if layer.is_by_step else WINDOW_OF_EPOCHS))
        if not size or count_windows(finite, size, minimum, maximum).ends_vanishing:
            dead.append((layer.name, float(np.median(finite[-size:])) if size else math.nan))
    return dead


def _findings(
    log: TrainingLog, series: tuple[GradientNorms, ...], dead: list[tuple[str, float]]
) -> tuple[Findings, ...]:
    nonfinite = sum(len(one.nonfinite) for one in series)
    shown = [
        Finding("the gradient norm is not finite or absent", log.path, subject=f"{one.name} of {one.unit} {position}")
        for one in series
        for position in one.nonfinite[:CAP]
    ]
    stopped = [
        Finding(f"the last gradients vanish (median {value:.3g})", log.path, subject=name) for name, value in dead
    ]
    found = (
        Findings("nonfinite_gradients", nonfinite, tuple(shown[:CAP])),
        Findings.collect("dead_layers", stopped),
    )
    return tuple(one for one in found if one.total)


def _figures(total: GradientNorms, layers: list[GradientNorms], window: int) -> tuple[Figure, ...]:
    line = Figure(
        "line",
        f"Gradient norm by {total.unit}",
        (curve(total.name, total.positions, total.values),),
        x_label=total.unit,
        y_label="norm",
    )
    if not layers:
        return (line,)
    medians = _last_medians({layer.name: layer.values for layer in layers}, window)
    names = tuple(name.removeprefix(f"{SERIES}/") for name in medians)
    bars = Figure(
        "bars",
        "Median gradient norm of each layer in its last window",
        (Series("median", tuple(medians.values())),),
        labels=names,
        y_label="norm",
    )
    return (line, bars)


def _last_medians(layers: Mapping[str, NDArray[np.float64]], window: int) -> dict[str, float]:
    medians = {}
    for name, values in layers.items():
        finite = values[np.isfinite(values)][-window:]
        if len(finite):
            medians[name] = float(np.median(finite))
    return medians
