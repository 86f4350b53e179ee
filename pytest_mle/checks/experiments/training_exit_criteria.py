"""Is there an end to the training, and did the run keep to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.declared_values import is_none_word, why_no_hyperparameter
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.records.finding import Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_mle.inputs.config import Config
    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.quantity import Quantity

QUANTITIES = {
    "missing_exit_criteria": exact("{finding}", "lower", "Exit criteria that the config leaves open."),
    "maximum_epochs": exact("{epoch}", None, "Most epochs that the config allows."),
    "epochs_logged": exact("{epoch}", None, "Epochs in the log."),
    "epochs_over_limit": exact("{epoch}", "lower", "Epochs that the run trained beyond the limit."),
    "stop_rule_violations": exact(
        "{finding}", "lower", "1 if the run went on after early stopping was due, or ended before it and the limit."
    ),
    "stop_epoch": exact("{epoch}", None, "Epoch at whose end early stopping was due; NaN if it never was."),
}
_KEYS = ("epochs", "early_stopping.patience", "early_stopping.metric", "early_stopping.min_delta")


@check(quantities=QUANTITIES)
def training_exit_criteria(
    config: Config,
    log: TrainingLog | None = None,
    *,
    keys: list[str] | None = None,
    epochs: str = "epochs",
    patience: str = "early_stopping.patience",
    metric: str = "early_stopping.metric",
    min_delta: str = "early_stopping.min_delta",
    better: Literal["lower", "higher"] | None = None,
    slack_epochs: int = 0,
) -> Measurement:
    """Count exit criteria that a config leaves open, and replay early stopping on the log.

    The rule is that of Keras, Lightning and Ultralytics: an evaluation is an improvement if it is better than the best
    before by more than ``min_delta``; after ``patience`` evaluations without one, training stops. Epochs without value
    of the metric are no evaluations. A run that ends early without that, for instance because somebody killed it, broke
    its rule too. Automotive SPICE 4.0 asks for exit criteria in the training approach (MLE.3.BP1).

    Parameters
    ----------
    config
        The training configuration.
    log
        Of the run. Without one, or without series of the metric, what rests on it is not measured (NaN).
    keys
        Dotted names that must be declared; by default the four below.
    epochs, patience, metric, min_delta
        Dotted names of the limit of epochs, and of early stopping's patience, series and smallest improvement. A
        ``min_delta`` that is not declared is 0.
    better
        The better direction of the metric; by default lower for names with ``loss`` or ``error``, else higher.
    slack_epochs
        Evaluations by which a framework may stop later than the rule (some stop after more than ``patience``).

    Raises
    ------
    ValueError
        ``slack_epochs`` is negative.
    """
    if slack_epochs < 0:
        raise ValueError(f"slack_epochs must not be negative, got {slack_epochs}")
    missing = [one for key in (_KEYS if keys is None else keys) for one in _missing(config, key, is_text=key == metric)]
    limit = _whole(config.get(epochs))
    rule = _rule(config, patience, metric, min_delta, better)
    replayed = _replay(rule, log, limit, slack_epochs)
    over = _over_limit(log, limit)
    quantities: dict[str, Quantity | float] = {
        "missing_exit_criteria": len(missing),
        "maximum_epochs": unmeasured(f"{epochs} is no whole number above 0") if limit is None else limit,
        "epochs_logged": unmeasured("no training log is declared") if log is None else len(log),
        "epochs_over_limit": unmeasured(over) if isinstance(over, str) else over,
        "stop_rule_violations": unmeasured(replayed) if isinstance(replayed, str) else len(replayed.violations),
        "stop_epoch": unmeasured(replayed) if isinstance(replayed, str) else replayed.stop_epoch,
    }
    kinds = {
        "missing_exit_criteria": missing,
        "stop_rule_violations": [] if isinstance(replayed, str) else replayed.violations,
    }
    return Measurement(
        quantities=quantities,
        findings=tuple(Findings.collect(name, found) for name, found in kinds.items() if found),
        validity=_validity(log, replayed),
        settings={
            "config": config.path,
            "rule": rule
            if isinstance(rule, str)
            else f"{rule.metric}, {rule.better} is better, patience {rule.patience}, min_delta {rule.min_delta:g}",
            "slack_epochs": slack_epochs,
        },
    )


@dataclass(frozen=True, slots=True)
class StopRule:
    """Early stopping."""

    metric: str
    better: Literal["lower", "higher"]
    patience: int
    min_delta: float = 0.0


def stop_position(values: Sequence[float], rule: StopRule) -> int | None:
    """Return the position of the evaluation after which the rule stops training; None if it never does."""
    sign = 1.0 if rule.better == "higher" else -1.0
    best, waited = -math.inf, 0
    for position, value in enumerate(values):
        if sign * value > best + rule.min_delta:
            best, waited = sign * value, 0
        else:
            waited += 1
            if waited >= rule.patience:
                return position
    return None


@dataclass(frozen=True, slots=True)
class _Replayed:
    stop_epoch: float
    violations: list[Finding]
    nonfinite: int


def _missing(config: Config, key: str, *, is_text: bool) -> list[Finding]:
    place = config.location(key)
    value = config.get(key)
    reason = why_no_hyperparameter(value) if key in config else "is not declared"
    if reason is None and is_none_word(value):
        reason = f"is {value!r}, so the training has no such end"
    if reason is None and not is_text and (isinstance(value, bool) or not isinstance(value, (int, float))):
        reason = f"is {value!r}, no number"
    elif reason is None and is_text and not isinstance(value, str):
        reason = f"is {value!r}, no name of a metric"
    return [] if reason is None else [Finding(reason, place.path, place.line, key)]


def _rule(
    config: Config, patience: str, metric: str, min_delta: str, better: Literal["lower", "higher"] | None
) -> StopRule | str:
    """Return the rule that the config declares, or why there is none."""
    name, waits, delta = config.get(metric), _whole(config.get(patience)), config.get(min_delta, 0.0)
    if not isinstance(name, str) or why_no_hyperparameter(name) or is_none_word(name):
        return f"the config declares no metric under {metric!r}, so there is no rule to replay"
    if waits is None:
        return f"the config declares no whole number above 0 under {patience!r}, so there is no rule to replay"
    if isinstance(delta, bool) or not isinstance(delta, (int, float)) or not 0 <= delta < math.inf:
        return f"{min_delta} is {delta!r}, no number from 0"
    guessed: Literal["lower", "higher"] = "lower" if "loss" in name.lower() or "error" in name.lower() else "higher"
    return StopRule(name, better or guessed, waits, float(delta))


def _replay(rule: StopRule | str, log: TrainingLog | None, limit: int | None, slack: int) -> _Replayed | str:
    if isinstance(rule, str):
        return rule
    if log is None:
        return "no training log is declared on which early stopping could be replayed"
    if rule.metric not in log.series or not len(log):
        return f"{log.path} has no series {rule.metric!r}; it has {', '.join(log.series) or 'none'}"
    gaps = set(log.metadata.get("gaps", {}).get(rule.metric, ()))
    evaluated = [
        (int(epoch), float(value))
        for epoch, value in zip(log.epochs, log.series[rule.metric], strict=True)
        if int(epoch) not in gaps
    ]
    nonfinite = sum(not math.isfinite(value) for _, value in evaluated)
    if not evaluated:
        return f"{log.path} has no value of {rule.metric!r}"
    position = stop_position([value for _, value in evaluated], rule)
    after = 0 if position is None else len(evaluated) - 1 - position
    violations = []
    if position is not None and after > slack:
        text = f"early stopping was due after epoch {evaluated[position][0]}, but {after} more evaluations followed"
        violations.append(Finding(text, log.path, subject=rule.metric))
    elif position is None and limit is not None and len(log) < limit:
        status = f" (status {log.run.status})" if log.run.status else ""
        text = f"the run ended after {len(log)} of {limit} epochs{status}, but early stopping was not due"
        violations.append(Finding(text, log.path, subject=rule.metric))
    elif position is None and limit is None:
        return "the config has no limit of epochs, and early stopping was never due"
    return _Replayed(math.nan if position is None else evaluated[position][0], violations, nonfinite)


def _over_limit(log: TrainingLog | None, limit: int | None) -> int | str:
    if log is None:
        return "no training log is declared"
    if limit is None:
        return "the config has no limit of epochs"
    if not len(log):
        return f"{log.path} has no epoch"
    # A log that begins late, or leaves epochs out, has trained them all the same.
    first = min(int(log.epochs[0]), 1)
    return max(0, int(log.epochs[-1]) - first + 1 - limit)


def _validity(log: TrainingLog | None, replayed: _Replayed | str) -> tuple[ValidityCondition, ...]:
    if log is None:
        return ()
    nonfinite = 0 if isinstance(replayed, str) else replayed.nonfinite
    is_over = log.run.status != "running"
    return (
        ValidityCondition("run_has_ended", is_over, "" if is_over else f"{log.path} is the log of a run that goes on"),
        ValidityCondition("finite_metric", not nonfinite, f"{nonfinite} values of the metric are not finite"),
    )


def _whole(value: object) -> int | None:
    """Return a whole number above 0, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) and value > 0 else None
