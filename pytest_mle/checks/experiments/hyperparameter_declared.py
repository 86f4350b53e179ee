"""Are these hyperparameters declared, in their ranges, and those that the run used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.declared_values import is_none_word, leaves, why_no_hyperparameter
from pytest_mle.checks.experiments.logged_values import find_logged, is_same_value, logged_hyperparameters
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.checks.experiments.value_ranges import read_range
from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_mle.inputs.config import Config
    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.quantity import Quantity

_NAMES = ("name", "type", "class")

QUANTITIES = {
    "declared_hyperparameters": exact("{parameter}", "higher", "Values that the config declares under the keys."),
    "missing_hyperparameters": exact(
        "{finding}", "lower", "Absent or empty values, placeholders, NaN, and numbers written as text."
    ),
    "out_of_range_hyperparameters": exact(
        "{finding}", "lower", "Values outside their range or the allowed schedules, or whose range is none."
    ),
    "nonpositive_loss_weights": exact("{finding}", "lower", "Loss weights that are no number above 0."),
    "config_run_mismatches": exact(
        "{finding}", "lower", "Values that are not those of the run; a value that it did not log counts."
    ),
    "unlogged_hyperparameters": exact("{finding}", "lower", "Values that the run did not log."),
}


@check(quantities=QUANTITIES)
def hyperparameter_declared(
    config: Config,
    log: TrainingLog | None = None,
    *,
    keys: list[str],
    one_of: list[str] | None = None,
    conditional: dict[str, list[str]] | None = None,
    explicit_none_allowed: bool = False,
    allowed_schedules: list[str] | None = None,
    loss_weights: str = "loss_weights",
    ranges: str = "ranges",
    run_names: dict[str, str] | None = None,
) -> Measurement:
    """Count hyperparameters that a config leaves open, puts outside their range, or that the run did not use.

    A value declares something if somebody has decided it: null, empty text, ``TBD``, NaN and ``250,000`` in quotes do
    not. What the run used is compared with a relative tolerance of 1e-6, and text with the number that it prints,
    because many trackers keep text. All quantities are exact. Automotive SPICE 4.0 asks for hyperparameters in
    MLE.2.BP2 and for their record in information item 01-54.

    Parameters
    ----------
    config
        The training configuration.
    log
        Of the run whose hyperparameters are compared; without one, nothing is compared (NaN).
    keys
        Dotted names that must be declared; of a mapping, each value in it.
    one_of
        Of a mapping among ``keys``, at least one of these names must be declared in it.
    conditional
        Choice to names: ``{SGD: [momentum]}`` asks for ``momentum`` (beside the key, or inside it) where a value of
        ``keys`` is ``SGD``. A mapping's choice is its ``name`` or ``type``.
    explicit_none_allowed
        Whether the word ``none`` declares that something is not used. Null never does: it is what forgetting looks
        like.
    allowed_schedules
        What values of keys that end in ``schedule`` may be.
    loss_weights
        Key of the loss weights, whose signs are looked at where ``keys`` has it.
    ranges
        Key of the config's ranges by dotted name: ``[lowest, highest]``, ``{min: ..., max: ...}`` or ``{choices:
        [...]}``. Where no value has one, ``out_of_range_hyperparameters`` is not measured (NaN).
    run_names
        Key to the name under which the run logged it, where they differ: ``{learning_rate.initial: lr0}``.

    Raises
    ------
    ValueError
        ``keys`` is empty, or ``allowed_schedules`` is given and no key ends in ``schedule``.
    """
    if not keys:
        raise ValueError("keys must name at least one hyperparameter")
    if allowed_schedules and not any(_last(key) == "schedule" for key in keys):
        raise ValueError(f"allowed_schedules needs a key that ends in 'schedule', got {', '.join(keys)}")
    declared = _declared(config, keys, none_allowed=explicit_none_allowed)
    declared.missing += _missing_choices(config, keys, one_of or (), none_allowed=explicit_none_allowed)
    declared.missing += _missing_conditional(config, keys, conditional or {}, declared)
    out_of_range = _out_of_range(config, declared.values, ranges, allowed_schedules)
    weights = _nonpositive(config, loss_weights) if loss_weights in keys else None
    mismatches = _mismatches(config, log, declared.values, run_names or {})
    unlogged = None if isinstance(mismatches, str) else [one for one, is_logged in mismatches if not is_logged]
    found: dict[str, list[Finding] | str] = {
        "missing_hyperparameters": declared.missing,
        "out_of_range_hyperparameters": out_of_range,
        "nonpositive_loss_weights": f"keys do not name {loss_weights!r}" if weights is None else weights,
        "config_run_mismatches": mismatches if isinstance(mismatches, str) else [one for one, _ in mismatches],
        "unlogged_hyperparameters": str(mismatches) if unlogged is None else unlogged,
    }
    quantities: dict[str, Quantity | float] = {
        name: unmeasured(one) if isinstance(one, str) else len(one) for name, one in found.items()
    }
    return Measurement(
        quantities={"declared_hyperparameters": len(declared.values), **quantities},
        findings=tuple(Findings.collect(name, one) for name, one in found.items() if one and not isinstance(one, str)),
        settings={"config": config.path, "keys": list(keys), "run": None if log is None else log.path},
    )


@dataclass(slots=True)
class _Declared:
    """Usable values by dotted name, and what is missing."""

    values: dict[str, Any] = field(default_factory=dict)
    missing: list[Finding] = field(default_factory=list)


def _declared(config: Config, keys: Sequence[str], *, none_allowed: bool) -> _Declared:
    found = _Declared()
    for key in keys:
        if key not in config:
            found.missing.append(_finding(config, key, "is not declared"))
            continue
        value = config.get(key)
        for name, one in _plain_leaves(value, key):
            reason = _why_missing(one, none_allowed=none_allowed)
            if reason is None:
                found.values[name] = one
            else:
                found.missing.append(_finding(config, name, reason))
    return found


def _plain_leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield values of nested mappings; a list is one value."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _plain_leaves(one, f"{name}.{key}")
    else:
        yield name, value


def _why_missing(value: Any, *, none_allowed: bool) -> str | None:
    if is_none_word(value) and not isinstance(value, bool):
        return None if none_allowed else f"is {value!r}, which declares no value"
    for _, one in leaves(value, ""):
        reason = why_no_hyperparameter(one)
        if reason is not None:
            hint = ". If it is not used, write none" if none_allowed and one is None else ""
            return f"{reason}{hint}"
    return None


def _missing_choices(
    config: Config, keys: Sequence[str], one_of: Sequence[str], *, none_allowed: bool
) -> list[Finding]:
    if not one_of:
        return []
    found = []
    for key in keys:
        value = config.get(key)
        if key not in config or (none_allowed and is_none_word(value)):
            continue
        names = value if isinstance(value, dict) else {}
        if not any(name in names and _why_missing(names[name], none_allowed=none_allowed) is None for name in one_of):
            found.append(_finding(config, key, f"declares none of {', '.join(one_of)}"))
    return found


def _missing_conditional(
    config: Config, keys: Sequence[str], conditional: Mapping[str, list[str]], declared: _Declared
) -> list[Finding]:
    found = []
    needed = {choice.casefold(): names for choice, names in conditional.items()}
    for key in keys if needed else ():
        value = config.get(key)
        named = next((value[name] for name in _NAMES if name in value), None) if isinstance(value, dict) else value
        if isinstance(value, dict) and named is None:
            found.append(_finding(config, key, "does not say its name, so nobody can tell what it needs"))
            continue
        for name in needed.get(str(named).casefold(), ()):
            inside = f"{key}.{name}"
            place = inside if inside in config else name
            reason = "is not declared" if place not in config else _why_missing(config.get(place), none_allowed=False)
            if reason is None:
                declared.values[place] = config.get(place)
            elif place not in declared.values and not any(one.subject == place for one in declared.missing):
                found.append(_finding(config, place, f"{reason}; {named} needs it"))
    return found


def _out_of_range(
    config: Config, values: Mapping[str, Any], ranges: str, allowed_schedules: Sequence[str] | None
) -> list[Finding] | str:
    found, judged = [], 0
    allowed = [one.casefold() for one in allowed_schedules or ()]
    for name, value in values.items():
        if allowed and _last(name) == "schedule":
            judged += 1
            if str(value).casefold() not in allowed:
                expected = ", ".join(allowed_schedules or ())
                found.append(_finding(config, name, f"is {value!r}. Allowed: {expected}"))
        if f"{ranges}.{name}" in config:
            judged += 1
            within = read_range(config.get(f"{ranges}.{name}"))
            if isinstance(within, str):
                found.append(_finding(config, f"{ranges}.{name}", within))
            elif value not in within:
                found.append(_finding(config, name, f"is {value!r}, outside {within}"))
    if not judged:
        return f"{config.path} declares no range for these keys under {ranges!r}"
    return found


def _nonpositive(config: Config, key: str) -> list[Finding]:
    weights = dict(_plain_leaves(config.get(key), key))
    return [
        _finding(config, name, f"is {value!r}, no number above 0")
        for name, value in weights.items()
        for number in (value if isinstance(value, list) and value else [value])
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < float("inf")
    ]


def _mismatches(
    config: Config, log: TrainingLog | None, values: Mapping[str, Any], run_names: Mapping[str, str]
) -> list[tuple[Finding, bool]] | str:
    """Return what differs, each with whether the run logged it; or why nothing can be compared."""
    if log is None:
        return "no training log is declared whose hyperparameters could be compared"
    logged = logged_hyperparameters(log.run)
    if not logged:
        return f"{log.path} says nothing of hyperparameters. Log them, or name a run record with `run:`"
    if not values:
        return "the config declares none of the keys, so there is nothing to compare"
    found = []
    for name, value in values.items():
        is_logged, used = find_logged(logged, name, value, run_names.get(name))
        if not is_logged:
            text = f"is {value!r}, and the run did not log {run_names.get(name, name)!r}"
            found.append((_finding(config, name, text), False))
        elif not is_same_value(value, used):
            found.append((_finding(config, name, f"is {value!r}, but the run used {used!r}"), True))
    return found


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _finding(config: Config, key: str, message: str) -> Finding:
    place = config.location(key)
    return Finding(message, place.path, place.line, key)
