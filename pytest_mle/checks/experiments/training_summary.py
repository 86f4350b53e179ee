"""Does the summary of a training say what came out, and is it true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.declared_values import leaves, why_undeclared
from pytest_mle.checks.experiments.logged_values import find_logged, is_same_value, logged_hyperparameters
from pytest_mle.checks.experiments.sha256 import files_sha256, is_sha256
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from pytest_mle.inputs.config import Config
    from pytest_mle.inputs.model import Model
    from pytest_mle.inputs.training_log import TrainingLog
    from pytest_mle.records.quantity import Quantity

REQUIRED = ("model_version", "model_sha256", "hyperparameters", "dataset_version", "selected_epoch")

QUANTITIES = {
    "summary_fields": exact("{finding}", "higher", "Required fields that say something."),
    "summary_fields_missing": exact("{finding}", "lower", "Required fields that are absent, empty or a placeholder."),
    "hyperparameter_mismatches": exact(
        "{finding}", "lower", "Final hyperparameters that are not those of the run, or that it did not log."
    ),
    "model_hash_mismatches": exact(
        "{finding}", "lower", "1 if the SHA-256 is not that of the model or one of its files."
    ),
}


@check(quantities=QUANTITIES)
def training_summary(
    summary: Config,
    log: TrainingLog | None = None,
    model: Model | None = None,
    *,
    required: list[str] | None = None,
    hyperparameters: str = "hyperparameters",
    model_sha256: str = "model_sha256",
    run_names: dict[str, str] | None = None,
) -> Measurement:
    """Count fields that a summary of a training leaves open, and compare it with the run and the model.

    All quantities are exact. Automotive SPICE 4.0 asks for the summary, with the trained model agreed and communicated,
    in MLE.3.BP5.

    Parameters
    ----------
    summary
        YAML, JSON or TOML, named in ``using: {summary: ...}``.
    log
        Of the run whose hyperparameters the summary gives; without one, they are not compared (NaN).
    model
        The trained model; without one, its hash is not compared (NaN).
    required
        Dotted names; by default ``model_version``, ``model_sha256``, ``hyperparameters``, ``dataset_version`` and
        ``selected_epoch``.
    hyperparameters, model_sha256
        Where the summary has them.
    run_names
        Hyperparameter to the name under which the run logged it, where they differ.

    Raises
    ------
    ValueError
        ``required`` is empty.
    """
    wanted = list(REQUIRED if required is None else required)
    if not wanted:
        raise ValueError("required must name at least one field")
    reasons = {name: _why_missing(summary, name) for name in wanted}
    missing = [_finding(summary, name, reason) for name, reason in reasons.items() if reason is not None]
    different = _hyperparameters(summary, hyperparameters, log, run_names or {})
    wrong_model = _model_hash(summary, model_sha256, model)
    found: dict[str, list[Finding] | str] = {
        "summary_fields_missing": missing,
        "hyperparameter_mismatches": different,
        "model_hash_mismatches": wrong_model,
    }
    quantities: dict[str, Quantity | float] = {
        name: unmeasured(one) if isinstance(one, str) else len(one) for name, one in found.items()
    }
    return Measurement(
        quantities={"summary_fields": len(wanted) - len(missing), **quantities},
        findings=tuple(Findings.collect(name, one) for name, one in found.items() if one and not isinstance(one, str)),
        settings={"summary": summary.path, "required": wanted},
    )


def _why_missing(summary: Config, name: str) -> str | None:
    if name not in summary:
        return "is not in the summary"
    value = summary.get(name)
    if isinstance(value, (dict, list)):
        reasons = [why_undeclared(one) for _, one in leaves(value, "")]
        return reasons[0] if all(reasons) else None
    return why_undeclared(value)


def _hyperparameters(
    summary: Config, key: str, log: TrainingLog | None, run_names: dict[str, str]
) -> list[Finding] | str:
    if log is None:
        return "no training log is declared whose hyperparameters could be compared"
    logged = logged_hyperparameters(log.run)
    if not logged:
        return f"{log.path} says nothing of hyperparameters. Log them, or name a run record with `run:`"
    stated = summary.get(key)
    if not isinstance(stated, dict) or not stated:
        return f"{summary.path} has no hyperparameters under {key!r}"
    found = []
    for name, value in _flat(stated, ""):
        is_logged, used = find_logged(logged, name, value, run_names.get(name))
        if not is_logged:
            found.append(_finding(summary, f"{key}.{name}", f"is {value!r}, and the run did not log it"))
        elif not is_same_value(value, used):
            found.append(_finding(summary, f"{key}.{name}", f"is {value!r}, but the run used {used!r}"))
    return found


def _flat(value: Any, prefix: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [pair for key, one in value.items() for pair in _flat(one, f"{prefix}.{key}" if prefix else str(key))]
    return [(prefix, value)]


def _model_hash(summary: Config, key: str, model: Model | None) -> list[Finding] | str:
    if model is None:
        return "no model is declared whose SHA-256 could be compared"
    stated = summary.get(key)
    if not is_sha256(stated):
        text = "is not in the summary" if stated is None else f"is {str(stated)[:80]!r}, no SHA-256"
        return [_finding(summary, key, text)]
    digests = {model.digest, *files_sha256(model.files)}
    if str(stated).lower() in digests:
        return []
    names = ", ".join(path.name for path in model.files)
    return [_finding(summary, key, f"is the SHA-256 neither of model {model.name} nor of its files ({names})")]


def _finding(summary: Config, key: str, message: str) -> Finding:
    place = summary.location(key)
    return Finding(message, place.path, place.line, key)
