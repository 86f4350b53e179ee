"""Does regularization reduce overfitting: the same training with and without it, over several seeds."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.training.generalization_gap import generalization_gap, is_higher_better
from pytest_mle.checks.training.run_status import run_finished
from pytest_mle.errors import InputError, Location
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import Bounded, PointEstimate, estimate, exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.quantity import Quantity

# One run an arm cannot tell an effect from the luck of its seed, two give no usable interval.
SEEDS_PER_ARM = 3
REGULARIZERS = (
    *("dropout", "drop_path", "droppath", "weight_decay", "label_smoothing", "regularization", "stochastic_depth"),
    *("mixup", "cutmix", "l1", "l2", "augment", "augmentation"),
)

QUANTITIES = {
    "ablation_runs": exact("{run}", "higher", "Independent runs without regularization."),
    "regularized_runs": exact("{run}", "higher", "Independent runs with regularization."),
    "absolute_gap_reduction": estimate(
        "1", "higher", "Mean generalization gap of the runs without regularization minus that of those with it."
    ),
    "absolute_validation_gain": estimate(
        "1", "higher", "How much better the validation metric is with regularization; negative if worse."
    ),
    "regularized_gap": exact("1", "lower", "Mean gap of the runs with regularization."),
    "ablation_gap": exact("1", None, "Mean gap of the runs without it."),
}


@check(quantities=QUANTITIES)
def regularization_ablation(
    log: TrainingLog,
    ablation: TrainingLog,
    log_2: TrainingLog | None = None,
    log_3: TrainingLog | None = None,
    log_4: TrainingLog | None = None,
    log_5: TrainingLog | None = None,
    ablation_2: TrainingLog | None = None,
    ablation_3: TrainingLog | None = None,
    ablation_4: TrainingLog | None = None,
    ablation_5: TrainingLog | None = None,
    *,
    metric: str = "accuracy",
    regularizers: Sequence[str] = REGULARIZERS,
    ignore: Sequence[str] = (),
) -> Measurement:
    """Compare the generalization gap of runs with regularization and of the same runs without it.

    The gap of each run is that of ``generalization_gap`` at its own best checkpoint. Bounds are Welch's (1947) over the
    runs, which stand for seeds; there is no claim below three independent runs an arm. A smaller gap alone may come
    from a model that learned less: look at ``absolute_validation_gain`` too.

    Parameters
    ----------
    log
        The run with regularization.
    ablation
        The run without it, and else the same.
    log_2, log_3, log_4, log_5
        Runs with regularization from other seeds, bound with ``using: {log_2: NAME}``.
    ablation_2, ablation_3, ablation_4, ablation_5
        Runs without it from other seeds.
    metric
        As in ``generalization_gap``: ``accuracy`` needs ``train_accuracy`` and ``val_accuracy``.
    regularizers
        Words of the hyperparameters that make the difference. Where the logs tell hyperparameters, these and no others
        must differ between the arms: the validity condition ``only_regularization_differs``.
    ignore
        Hyperparameters that may differ for other reasons (names of runs, paths); seeds may anyway.

    Raises
    ------
    InputError
        Both arms have the same log, or a series is missing.
    """
    regularized = _independent([log, log_2, log_3, log_4, log_5])
    ablated = _independent([ablation, ablation_2, ablation_3, ablation_4, ablation_5])
    if {one.digest for one in regularized} & {one.digest for one in ablated}:
        raise InputError(
            "the same log is bound as run with and without regularization; bind `ablation` with using",
            Location(log.path),
        )
    arms = [[generalization_gap(one, metric=metric) for one in arm] for arm in (regularized, ablated)]
    broken = [
        f"{run.name}: {condition.name} ({condition.detail})"
        for runs, measured in zip((regularized, ablated), arms, strict=True)
        for run, one in zip(runs, measured, strict=True)
        for condition in one.validity
        if not condition.holds and condition.name != "run_finished"
    ]
    quantities: dict[str, Quantity | float] = {
        "ablation_runs": len(ablated),
        "regularized_runs": len(regularized),
    }
    figures: tuple[Figure, ...] = ()
    if not broken:
        gaps, scores = (
            [np.array([_value(one.quantities[name]) for one in arm]) for arm in arms]
            for name in ("absolute_generalization_gap", "validation_metric")
        )
        gain = (scores[0], scores[1]) if is_higher_better(metric) else (scores[1], scores[0])
        quantities |= {
            "absolute_gap_reduction": difference_of_means(gaps[1], gaps[0]),
            "absolute_validation_gain": difference_of_means(*gain),
            "regularized_gap": float(gaps[0].mean()),
            "ablation_gap": float(gaps[1].mean()),
        }
        figures = (_figure(regularized, ablated, gaps),)
    return Measurement(
        quantities=quantities,
        validity=(
            run_finished(*regularized, *ablated),
            ValidityCondition("gaps_measured", not broken, "; ".join(broken)),
            ValidityCondition(
                "enough_seeds",
                min(len(regularized), len(ablated)) >= SEEDS_PER_ARM,
                f"{len(regularized)} independent runs with and {len(ablated)} without regularization, "
                f"needed are {SEEDS_PER_ARM} each",
            ),
            _only_regularization_differs(regularized, ablated, regularizers, ignore),
        ),
        figures=figures,
        settings={
            "metric": metric,
            "regularized": [one.name for one in regularized],
            "ablated": [one.name for one in ablated],
            "differing_hyperparameters": differing_hyperparameters(regularized, ablated),
        },
    )


def difference_of_means(first: NDArray[np.float64], second: NDArray[np.float64]) -> Quantity:
    """Return the mean of ``first`` minus that of ``second``, both ``(run,)``, with Welch's one-sided bounds.

    Without spread, or with a single run in an arm, there is no interval.
    """
    value = float(first.mean() - second.mean())
    count = len(first) + len(second)
    if min(len(first), len(second)) < 2:
        return PointEstimate(value, count)
    parts = [float(arm.var(ddof=1)) / len(arm) for arm in (first, second)]
    if not sum(parts):
        return PointEstimate(value, count)
    freedom = sum(parts) ** 2 / sum(part**2 / (len(arm) - 1) for part, arm in zip(parts, (first, second), strict=True))

    def bounds(confidence: float) -> tuple[float, float]:
        from scipy.special import stdtrit

        reach = float(stdtrit(freedom, confidence)) * math.sqrt(sum(parts))
        return value - reach, value + reach

    return Bounded(value, bounds, count, f"Welch's t over {len(first)} and {len(second)} runs")


def differing_hyperparameters(first: Sequence[TrainingLog], second: Sequence[TrainingLog]) -> list[str] | None:
    """Return the hyperparameters that differ between two arms, seeds left out; None if a log does not tell any."""
    if not all(one.run.hyperparameters for one in (*first, *second)):
        return None
    names = sorted({name for one in (*first, *second) for name in one.run.hyperparameters})
    return [name for name in names if "seed" not in _words(name) and _values(first, name) != _values(second, name)]


def _only_regularization_differs(
    first: Sequence[TrainingLog], second: Sequence[TrainingLog], regularizers: Sequence[str], ignore: Sequence[str]
) -> ValidityCondition:
    name = "only_regularization_differs"
    differing = differing_hyperparameters(first, second)
    if differing is None:
        return ValidityCondition(name, holds=True, detail="the logs do not tell their hyperparameters")
    by_regularization = [one for one in differing if is_regularizer(one, regularizers)]
    others = [one for one in differing if one not in by_regularization and one not in ignore]
    if not by_regularization:
        return ValidityCondition(name, holds=False, detail="no regularization differs between the arms")
    detail = f"other differences: {', '.join(others)}" if others else ", ".join(by_regularization)
    return ValidityCondition(name, not others, detail)


def is_regularizer(hyperparameter: str, regularizers: Sequence[str]) -> bool:
    """Say whether a dotted name holds a regularizer's name as whole words (``optimizer.weight_decay``)."""
    words = f"_{'_'.join(_words(hyperparameter))}_"
    return any(f"_{'_'.join(_words(one))}_" in words for one in regularizers)


def _independent(runs: Sequence[TrainingLog | None]) -> list[TrainingLog]:
    """Leave out runs that are copies: the same log, or the same seeds."""
    kept: list[TrainingLog] = []
    for one in runs:
        if one is not None and not any(
            one.digest == other.digest or (one.run.seeds and one.run.seeds == other.run.seeds) for other in kept
        ):
            kept.append(one)
    return kept


def _values(arm: Sequence[TrainingLog], name: str) -> set[str]:
    return {json.dumps(one.run.hyperparameters.get(name), default=str, sort_keys=True) for one in arm}


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def _value(quantity: Quantity | float) -> float:
    return float(quantity if isinstance(quantity, (int, float)) else quantity.value)


def _figure(
    regularized: Sequence[TrainingLog], ablated: Sequence[TrainingLog], gaps: Sequence[NDArray[np.float64]]
) -> Figure:
    return Figure(
        "bars",
        "Generalization gap of each run",
        (Series("gap", tuple(np.concatenate(list(gaps)).tolist())),),
        labels=(*(f"{one.name} (with)" for one in regularized), *(f"{one.name} (without)" for one in ablated)),
        y_label="gap",
    )
