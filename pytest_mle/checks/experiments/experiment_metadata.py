"""Does the record of a run say what the run depended on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.dataset_digests import matching_digest
from pytest_mle.checks.experiments.declared_values import leaves, why_undeclared
from pytest_mle.checks.experiments.sha256 import is_sha256
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.errors import closest
from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.training_log import TrainingLog, TrainingRun
    from pytest_mle.records.quantity import Quantity

QUANTITIES = {
    "recorded_metadata_fields": exact("{finding}", "higher", "Required fields that the run has recorded."),
    "missing_metadata_fields": exact(
        "{finding}", "lower", "Required fields that are absent, empty, a placeholder or malformed."
    ),
    "dataset_hash_mismatches": exact(
        "{finding}", "lower", "1 if the recorded SHA-256 is neither the data set's nor one of its manifests'."
    ),
}
REQUIRED = (
    *("model_version", "dataset_version", "dataset_sha256", "hyperparameters"),
    *("hardware", "framework_versions", "seed"),
)
# Required name to the field of TrainingRun.
_FIELDS = {"seed": "seeds", "seeds": "seeds", "git_commit": "git_commit", "run_id": "run_id", "status": "status"} | {
    name: name for name in REQUIRED if name != "seed"
}
_GROUPS = ("hyperparameters", "hardware", "framework_versions", "seeds")


@check(quantities=QUANTITIES)
def experiment_metadata(
    log: TrainingLog, dataset: Dataset | None = None, *, required: list[str] | None = None
) -> Measurement:
    """Count fields that the record of a run leaves open, and compare its data set's hash with the data.

    A field is recorded if all that stands in it is: a hardware group in which every value is null records nothing, and
    one with a ``TBD`` in it is not finished. ``dataset_sha256`` must be a SHA-256. All quantities are exact. Automotive
    SPICE 4.0 asks for it in the information items 01-53 and 01-54.

    Parameters
    ----------
    log
        Of the run, with what its tracker or its ``run:`` record says of it.
    dataset
        The training data (``using: {dataset: train}``). Its manifests, its digest in the reports and the SHA-256 over
        its folder are compared with ``dataset_sha256``. Without it, nothing is compared (NaN).
    required
        ``model_version``, ``dataset_version``, ``dataset_sha256``, ``hyperparameters``, ``hardware``,
        ``framework_versions``, ``seed`` (these by default), ``git_commit``, ``run_id``, ``status``, or a name inside a
        group: ``hardware.device``, ``hyperparameters.epochs``.

    Raises
    ------
    ValueError
        ``required`` is empty or has an unknown field.
    """
    wanted = list(REQUIRED if required is None else required)
    if not wanted:
        raise ValueError("required must name at least one field")
    reasons = {name: _why_missing(log.run, name) for name in wanted}
    missing = [Finding(reason, log.path, subject=name) for name, reason in reasons.items() if reason is not None]
    mismatch, matched = _dataset_hash(log, dataset)
    found = {
        "missing_metadata_fields": missing,
        "dataset_hash_mismatches": [] if isinstance(mismatch, str) else mismatch,
    }
    quantities: dict[str, Quantity | float] = {
        "recorded_metadata_fields": len(wanted) - len(missing),
        "missing_metadata_fields": len(missing),
        "dataset_hash_mismatches": unmeasured(mismatch) if isinstance(mismatch, str) else len(mismatch),
    }
    return Measurement(
        quantities=quantities,
        findings=tuple(Findings.collect(name, one) for name, one in found.items() if one),
        settings={"run": log.run.uri or log.path, "required": wanted, "dataset_sha256_is_of": matched},
    )


def _why_missing(run: TrainingRun, name: str) -> str | None:
    group, _, rest = name.partition(".")
    if rest and group in _GROUPS:
        value = getattr(run, group).get(rest)
    elif name in _FIELDS:
        value = getattr(run, _FIELDS[name])
    else:
        raise ValueError(f"required names an unknown field {name!r}. {closest(name, [*_FIELDS, *_GROUPS])}")
    return _why_incomplete(name, value)


def _why_incomplete(name: str, value: Any) -> str | None:
    if value is None or value in ({}, ""):
        return "is not recorded with the run"
    if name == "dataset_sha256" and not is_sha256(value):
        return f"is {str(value)[:80]!r}, no SHA-256 (64 hexadecimal digits): a version can point elsewhere tomorrow"
    open_ones = [(inside, reason) for inside, one in leaves(value, name) if (reason := why_undeclared(one)) is not None]
    # Of hyperparameters some are empty on purpose (`clip: null`); of a record of the surroundings none is.
    if open_ones and (name != "hyperparameters" or len(open_ones) == sum(1 for _ in leaves(value, name))):
        inside, reason = open_ones[0]
        return reason if inside == name else f"{inside} {reason}"
    return None


def _dataset_hash(log: TrainingLog, dataset: Dataset | None) -> tuple[list[Finding] | str, str | None]:
    recorded = log.run.dataset_sha256
    if dataset is None:
        return "no data set is declared with which the recorded hash could be compared", None
    if recorded is None or not is_sha256(recorded):
        return f"{log.path} records no SHA-256 of the data set", None
    matched = matching_digest(dataset, recorded)
    if matched is not None:
        return [], matched
    text = (
        f"the run recorded {recorded[:12]}..., which is the SHA-256 of nothing in data set {dataset.name}: other data, "
        "or changed since. Bind the training data with `using: {dataset: ...}`"
    )
    return [Finding(text, log.path, subject="dataset_sha256")], None
