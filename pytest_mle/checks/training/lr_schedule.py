"""Declared learning-rate schedules, as PyTorch's schedulers compute them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import closest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LearningRateSchedule:
    """A schedule with its lengths in epochs, and in updates if ``steps_per_epoch`` is more than 1.

    Parameters
    ----------
    schedule
        Key of :data:`KEYS`.
    initial
        Rate after warm-up, before any decay; in ``one_cycle`` it follows from ``max_lr`` and ``div_factor``.
    epochs
        Length of the whole run.
    warmup_epochs, start_factor
        Linear warm-up from ``start_factor * initial``, as ``LinearLR``; without a factor it may start anywhere in 0..1.
    steps_per_epoch
        Updates of the scheduler in an epoch; 1 if it is stepped once an epoch.
    min_lr
        ``eta_min`` of ``CosineAnnealingLR``, end of ``linear``, ``min_lr`` of ``ReduceLROnPlateau``.
    decay_epochs
        ``T_max``, or ``total_iters`` of ``LinearLR``; by default the epochs after warm-up.
    step_size, milestones, gamma
        ``StepLR`` from the end of warm-up on, or ``MultiStepLR`` at epochs of the run; ``gamma`` also of
        ``ExponentialLR``.
    metric, mode, factor, patience, threshold, threshold_mode, cooldown
        ``ReduceLROnPlateau`` on a series of the log.
    max_lr, pct_start, div_factor, final_div_factor, anneal_strategy
        ``OneCycleLR`` of two phases.
    """

    schedule: str
    initial: float
    epochs: float
    warmup_epochs: float = 0.0
    start_factor: float | None = None
    steps_per_epoch: float = 1.0
    min_lr: float = 0.0
    decay_epochs: float | None = None
    step_size: float | None = None
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    metric: str = "val_loss"
    mode: str = "min"
    factor: float = 0.1
    patience: float = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: float = 0
    max_lr: float = math.nan
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    anneal_strategy: str = "cos"


_ALWAYS = ("schedule", "initial", "warmup_epochs", "start_factor", "steps_per_epoch")
KEYS = {
    "constant": _ALWAYS,
    "step": (*_ALWAYS, "step_size", "milestones", "gamma"),
    "exponential": (*_ALWAYS, "gamma"),
    "cosine": (*_ALWAYS, "min_lr", "decay_epochs"),
    "linear": (*_ALWAYS, "min_lr", "decay_epochs"),
    "plateau": (
        *(*_ALWAYS, "min_lr", "metric", "mode", "factor", "patience", "threshold", "threshold_mode", "cooldown"),
    ),
    "one_cycle": (
        *("schedule", "steps_per_epoch", "max_lr", "pct_start", "div_factor", "final_div_factor", "anneal_strategy"),
    ),
}
_REQUIRED = {"exponential": ("gamma",), "one_cycle": ("max_lr",)}
_CHOICES = {"mode": ("min", "max"), "threshold_mode": ("rel", "abs"), "anneal_strategy": ("cos", "linear")}
_TEXTS = ("schedule", "metric", *_CHOICES)
# What would divide by zero, or never move.
_POSITIVE = ("steps_per_epoch", "decay_epochs", "step_size", "gamma", "factor", "div_factor", "final_div_factor")


def read_schedule(
    declared: Mapping[str, Any] | float, epochs: float, *, leftovers: bool = False
) -> LearningRateSchedule:
    """Check a declared schedule; a plain number is a constant rate.

    With ``leftovers``, keys of other schedules are passed over, which configurations keep when the schedule is changed.
    Raises ValueError for an unknown schedule or key, a key that is missing, or a value out of its range.
    """
    given = {"initial": declared, "schedule": "constant"} if isinstance(declared, (int, float)) else dict(declared)
    kind = given.get("schedule")
    if kind not in KEYS:
        raise ValueError(f"unknown learning-rate schedule {kind!r}. {closest(str(kind), list(KEYS))}")
    known = {key for keys in KEYS.values() for key in keys}
    for key in tuple(given):
        if leftovers and key in known - {*KEYS[kind]}:
            del given[key]
        elif key not in KEYS[kind]:
            raise ValueError(f"a {kind} schedule has no {key!r}. {closest(key, KEYS[kind])}")
    needed = _REQUIRED.get(kind, ()) if kind == "one_cycle" else ("initial", *_REQUIRED.get(kind, ()))
    missing = [key for key in needed if key not in given]
    if kind == "step" and ("step_size" in given) == ("milestones" in given):
        missing.append("step_size or milestones (one of them)")
    if missing:
        raise ValueError(f"a {kind} schedule needs {', '.join(missing)}")
    values = {key: _value(key, value) for key, value in given.items() if value is not None}
    if kind == "one_cycle":
        values["initial"] = values["max_lr"] / values.get("div_factor", 25.0)
    schedule = LearningRateSchedule(**{"epochs": float(epochs), **values})
    if not 0 <= schedule.warmup_epochs < max(epochs, 1):
        raise ValueError(f"warmup_epochs must lie in 0..{epochs:g}, got {schedule.warmup_epochs:g}")
    return schedule


def _value(key: str, value: Any) -> Any:
    if key in _TEXTS:
        if key in _CHOICES and value not in _CHOICES[key]:
            raise ValueError(f"{key} must be one of {', '.join(_CHOICES[key])}, got {value!r}")
        return str(value)
    if key == "milestones":
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError(f"milestones must be a list of epochs, got {value!r}")
        return tuple(sorted(_number("milestones", one) for one in value))
    return _number(key, value)


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{key} must be a number of at least 0, got {value!r}")
    if value == 0 and key in _POSITIVE:
        raise ValueError(f"{key} must be above 0")
    return float(value)


def rates_at(schedule: LearningRateSchedule, updates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rates after so many updates of the scheduler (0 is its first rate); not for ``plateau``.

    During warm-up without ``start_factor`` they are NaN, because nothing is declared.
    """
    if schedule.schedule == "one_cycle":
        return _one_cycle(schedule, updates)
    per_epoch = schedule.steps_per_epoch
    warmup = schedule.warmup_epochs * per_epoch
    since = np.maximum(updates - warmup, 0.0)
    rates = _decayed(schedule, since, updates)
    if warmup:
        start = math.nan if schedule.start_factor is None else schedule.start_factor
        rising = schedule.initial * (start + (1 - start) * updates / warmup)
        rates = np.where(updates < warmup, rising, rates)
    return rates


def _decayed(
    schedule: LearningRateSchedule, since: NDArray[np.float64], updates: NDArray[np.float64]
) -> NDArray[np.float64]:
    per_epoch, initial, lowest = schedule.steps_per_epoch, schedule.initial, schedule.min_lr
    length = (schedule.decay_epochs or schedule.epochs - schedule.warmup_epochs) * per_epoch
    match schedule.schedule:
        case "step" if schedule.step_size is not None:
            return initial * schedule.gamma ** np.floor(since / (schedule.step_size * per_epoch))
        case "step":
            passed = np.searchsorted(np.array(schedule.milestones) * per_epoch, updates, side="right")
            return initial * schedule.gamma ** passed.astype(np.float64)
        case "exponential":
            return initial * schedule.gamma ** (since / per_epoch)
        case "cosine":
            return lowest + (initial - lowest) * (1 + np.cos(np.pi * np.minimum(since / length, 1))) / 2
        case "linear":
            return initial + (lowest - initial) * np.minimum(since / length, 1)
    return np.full(len(since), initial)


def _one_cycle(schedule: LearningRateSchedule, updates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two phases of OneCycleLR (Smith and Topin 2017), which ends one update before its total."""
    total = schedule.epochs * schedule.steps_per_epoch
    peak, end = schedule.pct_start * total - 1, total - 1
    start, high = schedule.initial, schedule.max_lr
    final = start / schedule.final_div_factor
    up = _annealed(schedule, start, high, updates / peak if peak > 0 else np.ones(len(updates)))
    down = _annealed(schedule, high, final, (updates - peak) / (end - peak))
    return np.where(updates <= peak, up, down)


def _annealed(
    schedule: LearningRateSchedule, start: float, end: float, share: NDArray[np.float64]
) -> NDArray[np.float64]:
    share = np.clip(share, 0, 1)
    if schedule.anneal_strategy == "linear":
        return start + (end - start) * share
    return end + (start - end) / 2 * (1 + np.cos(np.pi * share))


def plateau_rates(
    schedule: LearningRateSchedule, metric: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rates of ReduceLROnPlateau before and after it sees the metric of each epoch, shape ``(epoch,)``.

    Epochs without a finite metric do not step it. During warm-up it waits, and the rates are NaN unless
    ``start_factor`` is declared.
    """
    before, after = np.empty(len(metric)), np.empty(len(metric))
    rate, best, bad, cooling = schedule.initial, math.inf if schedule.mode == "min" else -math.inf, 0, 0
    for epoch, value in enumerate(metric.tolist()):
        before[epoch] = after[epoch] = rate
        if epoch < schedule.warmup_epochs:
            ends = np.array([epoch, min(epoch + 1, schedule.warmup_epochs)], dtype=np.float64)
            before[epoch], after[epoch] = rates_at(schedule, ends * schedule.steps_per_epoch)
            continue
        if not math.isfinite(value):
            continue
        if _is_better(schedule, value, best):
            best, bad = value, 0
        else:
            bad += 1
        if cooling > 0:
            cooling, bad = cooling - 1, 0
        if bad > schedule.patience:
            lowered = max(rate * schedule.factor, schedule.min_lr)
            # PyTorch's default eps: a smaller change is not made.
            rate = lowered if rate - lowered > 1e-8 else rate
            cooling, bad = int(schedule.cooldown), 0
        after[epoch] = rate
    return before, after


def _is_better(schedule: LearningRateSchedule, value: float, best: float) -> bool:
    if math.isinf(best):
        return True
    margin = schedule.threshold * (best if schedule.threshold_mode == "rel" else 1.0)
    return value < best - margin if schedule.mode == "min" else value > best + margin


def as_declared(schedule: LearningRateSchedule) -> dict[str, Any]:
    """Return the keys that matter to a schedule, with their values, for the report."""
    kept = (*KEYS[schedule.schedule], "epochs")
    return {one.name: getattr(schedule, one.name) for one in fields(schedule) if one.name in kept}
