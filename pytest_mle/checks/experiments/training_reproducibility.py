"""Could the training be repeated: seeds, hardware, versions, and a second run if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.declared_values import is_none_word, why_undeclared
from pytest_mle.checks.experiments.logged_values import is_same_value, logged_hyperparameters
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.errors import InputError, Location, closest
from pytest_mle.records.finding import Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_mle.inputs.config import Config
    from pytest_mle.inputs.training_log import TrainingLog, TrainingRun
    from pytest_mle.records.quantity import Quantity

QUANTITIES = {
    "unset_seeds": exact("{seed}", "lower", "Libraries whose seed the run did not record."),
    "seed_mismatches": exact("{seed}", "lower", "Recorded seeds that are not those of the config."),
    "missing_environment_keys": exact("{finding}", "lower", "Parts of hardware and versions that were not recorded."),
    "absolute_rerun_difference": exact("1", "lower", "Difference of the metric's best value between run and rerun."),
    "rerun_setting_differences": exact(
        "{finding}", "lower", "Seeds, hyperparameters and versions in which the rerun differs from the run."
    ),
}
ENVIRONMENT = ("hardware.machine", "hardware.device", "framework_versions.python")


@check(quantities=QUANTITIES)
def training_reproducibility(
    log: TrainingLog,
    config: Config | None = None,
    rerun: TrainingLog | None = None,
    *,
    seeds: list[str],
    environment: list[str] | None = None,
    metric: str = "val_map_50",
    better: Literal["lower", "higher"] = "higher",
) -> Measurement:
    """Count what a repetition of the training would need and the run did not record.

    Training on GPUs is rarely the same bit by bit, so what a rerun shows is a difference, to be held against a
    tolerance. It is that of one pair of runs and exact for them; it is no interval for other seeds. Automotive SPICE
    4.0 asks for the training environment in the training approach (MLE.3.BP1).

    Parameters
    ----------
    log
        Of the run, with its seeds, hardware and versions.
    config
        The training configuration: its ``seed`` or ``seeds.<library>`` must be what the run recorded.
    rerun
        Log of a second run with the same settings; named in ``using:``.
    seeds
        Libraries that need a seed: ``python``, ``numpy``, ``torch``, ``dataloader_workers``. A seed under ``all``
        serves each; for ``dataloader_workers``, no worker needs none (``none: 0 workers``).
    environment
        What must be recorded: ``hardware.NAME``, ``framework_versions.NAME``, several names with ``|`` where one is
        enough; by default ``hardware.machine``, ``hardware.device`` and ``framework_versions.python``, and one
        version more, that of the framework.
    metric
        Series whose best value is compared with the rerun's.
    better
        The better direction of the metric.

    Raises
    ------
    ValueError
        ``seeds`` is empty.
    InputError
        With a rerun: one of the logs has no series ``metric``.
    """
    if not seeds:
        raise ValueError("seeds must name at least one library")
    unset = [one for library in seeds for one in _unset(log, library)]
    mismatches = [] if config is None else _seed_mismatches(log, config)
    missing = _missing_environment(log, environment)
    differences = [] if rerun is None else _setting_differences(log.run, rerun)
    difference = _difference(log, rerun, metric, better)
    found = {
        "unset_seeds": unset,
        "seed_mismatches": mismatches,
        "missing_environment_keys": missing,
        "rerun_setting_differences": differences,
    }
    quantities: dict[str, Quantity | float] = {name: len(one) for name, one in found.items()}
    if config is None:
        quantities["seed_mismatches"] = unmeasured("no config is declared with whose seeds they could be compared")
    if rerun is None:
        quantities["rerun_setting_differences"] = unmeasured(_NO_RERUN)
    return Measurement(
        quantities={**quantities, "absolute_rerun_difference": difference},
        findings=tuple(Findings.collect(name, one) for name, one in found.items() if one),
        validity=_independent(log, rerun),
        settings={"metric": metric, "seeds": {name: str(seed) for name, seed in log.run.seeds.items()}},
    )


_NO_RERUN = "no second run is declared. Name its log in `using: {rerun: ...}`"


def _unset(log: TrainingLog, library: str) -> list[Finding]:
    recorded = {**logged_hyperparameters(log.run), **{f"seeds.{name}": seed for name, seed in log.run.seeds.items()}}
    seed = recorded.get(f"seeds.{library}", recorded.get("seeds.all"))
    if isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0:
        return []
    if library == "dataloader_workers" and isinstance(seed, str) and is_none_word(seed.partition(":")[0]):
        return []
    said = "is not recorded" if seed is None else f"is {seed!r}, no whole number from 0"
    return [Finding(f"the seed {said}. Record seeds by library with the run", log.path, subject=library)]


def _seed_mismatches(log: TrainingLog, config: Config) -> list[Finding]:
    found = []
    for library, seed in log.run.seeds.items():
        key = next((one for one in (f"seeds.{library}", "seeds.all", "seed") if one in config), None)
        if key is not None and not is_same_value(config.get(key), seed):
            place = config.location(key)
            text = f"the run used {seed}, the config says {config.get(key)!r}"
            found.append(Finding(text, place.path, place.line, f"seed of {library}"))
    return found


def _missing_environment(log: TrainingLog, environment: Sequence[str] | None) -> list[Finding]:
    recorded = {
        **{f"hardware.{name}": value for name, value in log.run.hardware.items()},
        **{f"framework_versions.{name}": value for name, value in log.run.framework_versions.items()},
    }
    wanted = ENVIRONMENT if environment is None else tuple(environment)
    found = [
        Finding("is not recorded with the run", log.path, subject=keys)
        for keys in wanted
        if all(why_undeclared(recorded.get(key.strip())) for key in keys.split("|"))
    ]
    if environment is None and not _has_framework(log.run.framework_versions):
        found.append(Finding("no version of the training framework is recorded", log.path))
    return found


def _has_framework(versions: Mapping[str, str]) -> bool:
    return any(name != "python" and why_undeclared(version) is None for name, version in versions.items())


def _setting_differences(run: TrainingRun, rerun: TrainingLog) -> list[Finding]:
    pairs: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
        ("seed", run.seeds, rerun.run.seeds),
        ("hyperparameter", logged_hyperparameters(run), logged_hyperparameters(rerun.run)),
        ("version", run.framework_versions, rerun.run.framework_versions),
    ]
    return [
        Finding(
            f"is {first.get(name)!r} in the run and {second.get(name)!r} in the rerun",
            rerun.path,
            subject=f"{kind} {name}",
        )
        for kind, first, second in pairs
        for name in dict.fromkeys((*first, *second))
        if not is_same_value(first.get(name), second.get(name))
    ]


def _difference(log: TrainingLog, rerun: TrainingLog | None, metric: str, better: str) -> Quantity | float:
    if rerun is None:
        return unmeasured(_NO_RERUN)
    return abs(_best(log, metric, better) - _best(rerun, metric, better))


def _best(log: TrainingLog, metric: str, better: str) -> float:
    if metric not in log.series:
        raise InputError(f"the log has no series {metric!r}. {closest(metric, list(log.series))}", Location(log.path))
    values = log.series[metric]
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan")
    return float(finite.max() if better == "higher" else finite.min())


def _independent(log: TrainingLog, rerun: TrainingLog | None) -> tuple[ValidityCondition, ...]:
    if rerun is None:
        return ()
    ids = (log.run.run_id, rerun.run.run_id)
    # A rerun can be the same bit by bit: then only the runs' ids tell it from a copy of the log.
    is_same = ids[0] == ids[1] if None not in ids else log.path == rerun.path or log.digest == rerun.digest
    text = f"{rerun.path} is the log of {log.path}, or nothing tells them apart: a copy repeats nothing"
    return (ValidityCondition("rerun_is_another_run", not is_same, text if is_same else ""),)
