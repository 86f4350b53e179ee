"""Did the experiment store keep what the training wrote."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.errors import InputNotDeclaredError
from pytest_mle.records.finding import Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_mle.inputs.training_log import TrainingLog

QUANTITIES = {
    "compared_series": exact("{finding}", "higher", "Series that both logs have."),
    "missing_metric_series": exact("{finding}", "lower", "Series that the store lacks."),
    "log_vs_store_mismatches": exact(
        "{epoch}", "lower", "Values, by series and epoch, that differ or that one of both lacks."
    ),
}


@check(quantities=QUANTITIES)
def metrics_persisted(
    log: TrainingLog,
    store: TrainingLog,
    *,
    required: list[str] | None = None,
    relative_tolerance: float = 1e-4,
    absolute_tolerance: float = 1e-9,
) -> Measurement:
    """Compare each series that the training wrote with the one in the experiment store, epoch by epoch.

    The store counts as complete only if it has each epoch and each value. Epochs that it numbers from 0 where the log
    begins with 1 (or the other way round) are matched. All quantities are exact.

    Parameters
    ----------
    log
        What the training script wrote (``training_log.csv``).
    store
        The run in MLflow, W&B, TensorBoard or another store; named in ``using: {store: ...}``.
    required
        Series that the store must have, also where the log lacks them. By default those that the log has under standard
        names, or all of it if it has none.
    relative_tolerance, absolute_tolerance
        Values are equal if they differ by less than one of both: text logs round, stores keep float32.

    Raises
    ------
    InputNotDeclaredError
        ``store`` is bound to the same log as ``log``.
    """
    if store.name == log.name:
        raise InputNotDeclaredError(
            f"the store is bound to the log {log.name!r} itself: declare the run of the experiment store under "
            "inputs.training_logs and name it in `using: {store: ...}`"
        )
    wanted = list(dict.fromkeys((*_expected(log), *(required or ()))))
    missing = [_absent(name, log, store) for name in wanted if name not in store.series]
    common = [name for name in wanted if name in store.series and name in log.series]
    offset = epoch_offset(log.epochs.tolist(), store.epochs.tolist())
    differing = [
        one for name in common for one in _differences(name, log, store, offset, relative_tolerance, absolute_tolerance)
    ]
    # Two trackers of the same run may hold exactly the same values; two files of the same bytes are one log.
    are_files = log.run.uri is None and store.run.uri is None
    is_copy = log.digest == store.digest and (are_files or log.path == store.path)
    has_both = bool(common) and len(log) > 0 and len(store) > 0
    return Measurement(
        quantities={
            "compared_series": len(common),
            "missing_metric_series": len(missing)
            if wanted
            else unmeasured(f"{log.path} has no series, and none is required"),
            "log_vs_store_mismatches": len(differing)
            if has_both
            else unmeasured("both logs have no series and epoch in common"),
        },
        findings=tuple(
            Findings.collect(name, one)
            for name, one in (("missing_metric_series", missing), ("log_vs_store_mismatches", differing))
            if one
        ),
        validity=(
            ValidityCondition(
                "store_is_another_log",
                not is_copy,
                f"{store.path} is the content of {log.path}: a copy of the log is no store" if is_copy else "",
            ),
        ),
        settings={
            "log": log.path,
            "store": store.run.uri or store.path,
            "epoch_offset": offset,
            "relative_tolerance": relative_tolerance,
        },
    )


def epoch_offset(log: Sequence[int], store: Sequence[int]) -> int:
    """Return what to add to the store's epochs: 0, or 1 or -1 if they are the same epochs counted from elsewhere."""
    if len(log) == len(store) and len(log):
        for offset in (1, -1):
            if list(log) == [epoch + offset for epoch in store]:
                return offset
    return 0


def _expected(log: TrainingLog) -> list[str]:
    standard = [name for name in log.metadata.get("columns", {}) if name in log.series]
    return standard or list(log.series)


def _absent(name: str, log: TrainingLog, store: TrainingLog) -> Finding:
    place = f"; the log has it in {len(log)} epochs" if name in log.series else ""
    return Finding(f"the store has no such series{place}", store.path, subject=name)


def _differences(
    name: str, log: TrainingLog, store: TrainingLog, offset: int, relative: float, absolute: float
) -> list[Finding]:
    written = dict(zip(log.epochs.tolist(), log.series[name].tolist(), strict=True))
    kept = dict(zip((store.epochs + offset).tolist(), store.series[name].tolist(), strict=True))
    found = []
    for epoch in sorted({*written, *kept}):
        left, right = written.get(epoch, math.nan), kept.get(epoch, math.nan)
        if not _is_equal(left, right, relative, absolute):
            text = f"the log has {_shown(left)}, the store {_shown(right)}"
            found.append(Finding(text, store.path, subject=f"{name} of epoch {epoch}"))
    return found


def _is_equal(left: float, right: float, relative: float, absolute: float) -> bool:
    return bool(np.isclose(left, right, rtol=relative, atol=absolute, equal_nan=True))


def _shown(value: float) -> str:
    return "no number" if math.isnan(value) else f"{value:.6g}"
