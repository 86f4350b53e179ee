"""Has each hyperparameter a range, and do the declared and the used values lie inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.declared_values import is_number_as_text
from pytest_mle.checks.experiments.logged_values import as_number, find_logged, logged_hyperparameters
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.checks.experiments.value_ranges import ValueRange, read_range
from pytest_mle.errors import NotMeasurableError
from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_mle.inputs.config import Config
    from pytest_mle.inputs.training_log import TrainingLog

QUANTITIES = {
    "hyperparameters": exact("{parameter}", "higher", "Hyperparameters looked at."),
    "hyperparameters_without_range": exact(
        "{finding}", "lower", "Hyperparameters that have no range, or one that is none."
    ),
    "final_values_out_of_range": exact(
        "{finding}", "lower", "Hyperparameters whose final value is outside their range or not known."
    ),
    "declared_values_out_of_range": exact("{finding}", "lower", "Values of the config outside their range."),
    "ranges_without_hyperparameter": exact("{finding}", "lower", "Ranges of what the config does not declare."),
}


@check(quantities=QUANTITIES)
def hyperparameter_ranges(
    config: Config,
    log: TrainingLog | None = None,
    *,
    keys: list[str] | None = None,
    fixed: list[str] | None = None,
    ranges: str = "ranges",
    run_names: dict[str, str] | None = None,
) -> Measurement:
    """Count hyperparameters without range, and values outside theirs.

    A range is ``[lowest, highest]``, ``{min: ..., max: ...}`` or ``{choices: [...]}``; both ends belong to it. All
    quantities are exact. Automotive SPICE 4.0 asks for ranges and initial values in MLE.2.BP2.

    Parameters
    ----------
    config
        The training configuration, with its ranges by dotted name under ``ranges``.
    log
        Of the final run: its hyperparameters are the final values. Without one, or if it has none, those of the config
        are.
    keys
        Dotted names that need a range; of a mapping, each number in it. By default every number of the config.
    fixed
        Names, or beginnings of names, that nobody tunes and that need no range; by default ``seed``.
    ranges
        Key of the ranges.
    run_names
        Key to the name under which the run logged it, where they differ.

    Raises
    ------
    NotMeasurableError
        The config has no hyperparameter to look at.
    """
    values = _hyperparameters(config, keys, ("seed",) if fixed is None else tuple(fixed), ranges)
    if not values:
        raise NotMeasurableError(f"{config.path} has no number outside {ranges!r}, so no hyperparameter needs a range")
    declared = {name: _range_of(config, ranges, name) for name in values}
    usable = {name: one for name, one in declared.items() if isinstance(one, ValueRange)}
    found: dict[str, list[Finding]] = {
        "hyperparameters_without_range": [
            _finding(config, f"{ranges}.{name}" if one else name, name, one or f"has no range under {ranges!r}")
            for name, one in declared.items()
            if not isinstance(one, ValueRange)
        ],
        "final_values_out_of_range": _final_values(config, log, values, usable, run_names or {}),
        "declared_values_out_of_range": [
            _finding(config, name, name, f"is {values[name]!r}, outside {within}")
            for name, within in usable.items()
            if values[name] not in within
        ],
        "ranges_without_hyperparameter": [
            _finding(config, f"{ranges}.{name}", name, "has a range, but the config does not declare it")
            for name in _range_names(config.get(ranges), "")
            if name not in config
        ],
    }
    counts = {name: len(one) for name, one in found.items()}
    nothing = unmeasured(f"no hyperparameter has a usable range under {ranges!r}")
    inside = ("final_values_out_of_range", "declared_values_out_of_range")
    return Measurement(
        quantities={
            "hyperparameters": len(values),
            **counts,
            **({} if usable else dict.fromkeys(inside, nothing)),
        },
        findings=tuple(Findings.collect(name, one) for name, one in found.items() if one),
        settings={"final_values": _source(config, log), "ranges": {name: str(one) for name, one in usable.items()}},
    )


def _hyperparameters(config: Config, keys: Sequence[str] | None, fixed: Sequence[str], ranges: str) -> dict[str, Any]:
    """Return the values that need a range; what ``keys`` names and nobody declared is None."""
    everything = {
        name: value
        for name, value in config.flat().items()
        if not _is_below(name, (ranges,)) and not _is_below(name, fixed)
    }
    if keys is None:
        return {name: value for name, value in everything.items() if _is_number(value)}
    found: dict[str, Any] = {}
    for key in keys:
        inside = {name: value for name, value in everything.items() if _is_below(name, (key,))}
        found |= {name: one for name, one in inside.items() if name == key or _is_number(one)} or {key: None}
    return found


def _is_below(name: str, prefixes: Sequence[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return is_number_as_text(value)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _range_of(config: Config, ranges: str, name: str) -> ValueRange | str:
    """Return a range, why what stands there is none, or an empty text if nothing stands there."""
    key = f"{ranges}.{name}"
    return read_range(config.get(key)) if key in config else ""


def _range_names(declared: Any, prefix: str) -> list[str]:
    if not isinstance(declared, dict):
        return []
    names: list[str] = []
    for key, value in declared.items():
        is_group = isinstance(value, dict) and not set(value) & {"min", "max", "choices"}
        names += _range_names(value, f"{prefix}{key}.") if is_group else [f"{prefix}{key}"]
    return names


def _final_values(
    config: Config,
    log: TrainingLog | None,
    values: Mapping[str, Any],
    usable: Mapping[str, ValueRange],
    run_names: Mapping[str, str],
) -> list[Finding]:
    logged = {} if log is None else logged_hyperparameters(log.run)
    found = []
    for name, within in usable.items():
        final = values[name]
        if logged:
            is_logged, used = find_logged(logged, name, final, run_names.get(name))
            if not is_logged:
                text = f"has no final value: the run did not log {run_names.get(name, name)!r}"
                found.append(_finding(config, name, name, text))
                continue
            number = as_number(used)
            final = used if number is None else number
        if final not in within:
            found.append(_finding(config, name, name, f"ended as {final!r}, outside {within}"))
    return found


def _source(config: Config, log: TrainingLog | None) -> str:
    return config.path if log is None or not log.run.hyperparameters else log.path


def _finding(config: Config, place: str, name: str, message: str) -> Finding:
    location = config.location(place)
    return Finding(message, location.path, location.line, name)
