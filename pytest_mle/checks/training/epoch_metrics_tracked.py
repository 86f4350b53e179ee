"""Which metrics were tracked, in every epoch and with a number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.training.curve import curve
from pytest_mle.checks.training.run_status import run_finished
from pytest_mle.errors import closest
from pytest_mle.records.figure import Figure
from pytest_mle.records.finding import CAP, Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_mle.inputs.training_log import TrainingLog

# Words that trackers and frameworks put around the name of a metric on validation data.
_BEFORE = frozenset({"val", "valid", "validation", "eval", "metrics", "metric", "bbox", "box"})
_AFTER = frozenset({"score", "macro", "micro", "weighted", "epoch", "b", "m"})

QUANTITIES = {
    "epochs_logged": exact("{epoch}", "higher", "Epochs in the log."),
    "tracked_metric_series": exact("{finding}", "higher", "Required metrics that the log has."),
    "missing_metric_series": exact("{finding}", "lower", "Required metrics that the log does not have at all."),
    "epoch_gaps": exact(
        "{epoch}", "lower", "Epochs without a due value, added up over the metrics, and epochs that the log leaves out."
    ),
    "nonfinite_values": exact("{finding}", "lower", "Values of required metrics that are NaN or infinite."),
}


@dataclass(frozen=True, slots=True, eq=False)
class Tracked:
    """A metric and the series that holds it: ``gaps`` and ``nonfinite`` are epochs."""

    metric: str
    series: str
    gaps: NDArray[np.int64]
    nonfinite: NDArray[np.int64]


@check(quantities=QUANTITIES)
def epoch_metrics_tracked(
    log: TrainingLog,
    *,
    required: Sequence[str] = ("map", "f1", "precision", "recall"),
    every_n_epochs: int = 1,
) -> Measurement:
    """Count required metrics that a log does not have, epochs without a value, and values that are no number.

    A metric is the series of that name, or one with the words around it that trackers write: ``val_f1``,
    ``metrics/mAP50-95(B)``, ``val/precision_macro``. A series of training data (``train_f1``) is none. Where several
    fit, the one with the fewest defects counts; ``settings`` says which. Map a column of another name with ``columns``
    of the log's entry.

    Parameters
    ----------
    log
        Its series by epoch.
    required
        Metrics, such as ``f1``, or full names of series, such as ``gradient_norm`` and ``learning_rate``.
    every_n_epochs
        A value is due at least so often; 1 is every epoch.

    Raises
    ------
    ValueError
        Nothing is required, or ``every_n_epochs`` is below 1.
    """
    if not required:
        raise ValueError("required must name at least one metric")
    if every_n_epochs < 1:
        raise ValueError(f"every_n_epochs must be at least 1, got {every_n_epochs}")
    wanted = tuple(dict.fromkeys(required))
    tracked = [one for metric in wanted if (one := _tracked(log, metric, every_n_epochs)) is not None]
    found = {one.metric for one in tracked}
    missing = [metric for metric in wanted if metric not in found]
    left_out = int(log.epochs[-1] - log.epochs[0]) + 1 - len(log) if len(log) else 0
    return Measurement(
        quantities={
            "epochs_logged": len(log),
            "tracked_metric_series": len(tracked),
            "missing_metric_series": len(missing),
            "epoch_gaps": left_out + sum(len(one.gaps) for one in tracked),
            "nonfinite_values": sum(len(one.nonfinite) for one in tracked),
        },
        findings=_findings(log, missing, tracked),
        validity=(
            run_finished(log),
            ValidityCondition("has_epochs", len(log) > 0, f"the log has {len(log)} epochs"),
        ),
        figures=_figures(log, tracked),
        settings={"series": {one.metric: one.series for one in tracked}, "every_n_epochs": every_n_epochs},
    )


def is_series_of(series: str, metric: str) -> bool:
    """Say whether a series holds a metric on validation data, by its name."""
    if series == metric:
        return True
    wanted = re.findall(r"[a-z0-9]+", metric.lower())
    words = re.findall(r"[a-z0-9]+", series.lower())
    while words and words[0] in _BEFORE and words != wanted:
        words = words[1:]
    while words and (words[-1] in _AFTER or words[-1].isdigit()) and words != wanted:
        words = words[:-1]
    # mAP50 and mAP_50 are the metric map at one threshold; f1 is no f at 1.
    return words == wanted or (bool(words) and [*words[:-1], words[-1].rstrip("0123456789")] == wanted)


def overdue(has_value: NDArray[np.bool_], every: int) -> NDArray[np.int64]:
    """Return the positions at which a value is due and absent: the last ``every`` positions have none."""
    positions = np.arange(len(has_value))
    last = np.maximum.accumulate(np.where(has_value, positions, -1))
    return np.flatnonzero(positions - last >= every)


def _tracked(log: TrainingLog, metric: str, every: int) -> Tracked | None:
    candidates = [metric] if metric in log.series else [name for name in log.series if is_series_of(name, metric)]
    # A column without any number is no metric that was tracked.
    judged = [_judged(log, metric, name, every) for name in candidates if np.isfinite(log.series[name]).any()]
    return min(judged, key=lambda one: len(one.gaps) + len(one.nonfinite), default=None)


def _judged(log: TrainingLog, metric: str, name: str, every: int) -> Tracked:
    absent = np.isin(log.epochs, np.array(log.metadata.get("gaps", {}).get(name, ()), dtype=np.int64))
    nonfinite = ~absent & ~np.isfinite(log.series[name])
    return Tracked(metric, name, log.epochs[overdue(~absent, every)], log.epochs[nonfinite])


def _findings(log: TrainingLog, missing: list[str], tracked: list[Tracked]) -> tuple[Findings, ...]:
    def by_epoch(message: str, attribute: str) -> list[Finding]:
        return [
            Finding(message, log.path, subject=f"{one.series} of epoch {epoch}")
            for one in tracked
            for epoch in getattr(one, attribute)[:CAP].tolist()
        ][:CAP]

    absent = [
        Finding(f"no series of it. {closest(metric, list(log.series))}", log.path, subject=metric) for metric in missing
    ]
    gaps, nonfinite = (sum(len(getattr(one, name)) for one in tracked) for name in ("gaps", "nonfinite"))
    found = (
        Findings.collect("missing_metric_series", absent),
        Findings("epoch_gaps", gaps, tuple(by_epoch("a value is due and absent", "gaps"))),
        Findings("nonfinite_values", nonfinite, tuple(by_epoch("the value is not finite", "nonfinite"))),
    )
    return tuple(one for one in found if one.total)


def _figures(log: TrainingLog, tracked: list[Tracked]) -> tuple[Figure, ...]:
    if not tracked:
        return ()
    lines = tuple(curve(one.series, log.epochs, log.series[one.series]) for one in tracked)
    return (Figure("line", "Metrics by epoch", lines, x_label="epoch", y_label="metric"),)
