"""Whether a training run has come to its end, without which its curves show nothing yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.records.finding import ValidityCondition

if TYPE_CHECKING:
    from pytest_mle.inputs.training_log import TrainingLog


def run_finished(*logs: TrainingLog) -> ValidityCondition:
    """Return the condition that no run is known to be running, failed or killed.

    A file that does not tell its run's status is taken as that of a finished one; trackers tell it.
    """
    unfinished = [
        f"run {log.run.run_id or log.name} is {log.run.status}"
        for log in logs
        if log.run.status not in (None, "finished")
    ]
    told = sum(log.run.status is not None for log in logs)
    detail = "; ".join(unfinished) or ("finished" if told == len(logs) else "the log does not tell")
    return ValidityCondition("run_finished", not unfinished, detail)
