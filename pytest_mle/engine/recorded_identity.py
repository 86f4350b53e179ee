"""Whether a record is of the model, the data set and the slice that an item asks about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.engine.bind import UsedInput
from pytest_mle.errors import InputNotDeclaredError
from pytest_mle.records.condition import conditions
from pytest_mle.records.finding import ValidityCondition
from pytest_mle.records.result import plain_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_mle.engine.bind import Binding
    from pytest_mle.inputs.record import Record
    from pytest_mle.records.check import CheckDeclaration

SUBJECT_OF_KIND = {
    "model": ("model",),
    "differentiable_model": ("model",),
    "predictions": ("model", "dataset"),
    "dataset": ("dataset",),
}
CALLED = {"model": "model", "dataset": "data set"}


def identity_conditions(record: Record, check: CheckDeclaration, binding: Binding) -> Iterator[ValidityCondition]:
    """Yield whether the record is of the inputs that the item is about.

    Those are the inputs of its check, or without a check the model and the data set that it gets. A digest that the
    record does not have is a failed condition ``identified`` unless the spec gives a reason under ``unidentified``; one
    that differs is never excused.
    """
    wanted = _subjects(check, binding)
    unknown: list[str] = []
    other: list[str] = []
    slice_is_proven = False
    for subject, parameter in wanted:
        alike = [name for kind, name in wanted if kind == subject]
        recorded = _recorded_digest(record, subject, parameter, alike)
        if recorded is None:
            if subject not in record.declared.get("unidentified", {}):
                unknown.append(f"{subject}_sha256" + (f".{parameter}" if len(alike) > 1 else ""))
            continue
        known = _known_digests(subject, parameter, binding)
        if known is None:
            continue
        name, digests = known
        if recorded not in digests:
            other.append(f"recorded for another {CALLED[subject]}: {recorded}, {name} is {' or '.join(digests)}")
        slice_is_proven = slice_is_proven or (subject == "dataset" and recorded == digests[-1] != digests[0])
    if not wanted and record.model_sha256 is None and record.dataset_sha256 is None:
        unknown += [f"{one}_sha256" for one in CALLED if one not in record.declared.get("unidentified", {})]
    missing = f"record {record.name} does not tell what was measured: {' and '.join(unknown)} missing"
    yield condition("identified", missing if unknown else "")
    yield condition("same_inputs", "; ".join(other))
    asked, said = plain_json(dict(binding.item.where)), plain_json(dict(record.where))
    is_same = asked == said or (slice_is_proven and not said)
    differing = f"recorded for the slice {said or 'of everything'}, asked for {asked or 'everything'}"
    yield condition("same_slice", "" if is_same else differing)


def condition(name: str, problem: str) -> ValidityCondition:
    """Return a condition that holds if there is no problem."""
    return ValidityCondition(name, not problem, problem)


def _subjects(check: CheckDeclaration, binding: Binding) -> list[tuple[str, str]]:
    """Return the inputs to identify: ``model`` or ``dataset``, each with its parameter."""
    item, store = binding.item, binding.around.store
    if item.check is None:
        return [(one, one) for one in CALLED if store.is_declared(one, item.using, one)]
    wanted = [
        # Predictions are made on the item's data set, which no parameter names.
        (subject, "dataset" if (declared.kind, subject) == ("predictions", "dataset") else declared.name)
        for declared in check.inputs
        if not declared.is_optional or declared.name in item.using
        for subject in SUBJECT_OF_KIND.get(declared.kind, ())
    ]
    return list(dict.fromkeys(wanted))


def _recorded_digest(record: Record, subject: str, parameter: str, parameters: list[str]) -> str | None:
    said = record.model_sha256 if subject == "model" else record.dataset_sha256
    if said is None or isinstance(said, str):
        # One digest cannot tell which of several models it is of.
        return said if len(parameters) == 1 else None
    return said.get(parameter)


def _known_digests(subject: str, parameter: str, binding: Binding) -> tuple[str, tuple[str, ...]] | None:
    """Return name and digests of the declared input; None if there is none to compare with."""
    lookup: dict[str, Callable[[str, Binding], tuple[str, tuple[str, ...]]]] = {"model": _model, "dataset": _dataset}
    try:
        return lookup[subject](parameter, binding)
    except InputNotDeclaredError:
        return None


def _model(parameter: str, binding: Binding) -> tuple[str, tuple[str, ...]]:
    store = binding.around.store
    name = store.bound_name("model", binding.item.using, parameter)
    return f"model {name!r}", store.model_digests(name)


def _dataset(parameter: str, binding: Binding) -> tuple[str, tuple[str, ...]]:
    store = binding.around.store
    name = store.bound_name("dataset", binding.item.using, parameter)
    whole = store.dataset(name)
    where = conditions(binding.item.where)
    chosen = whole.select(where) if where else whole
    binding.used[parameter] = UsedInput("datasets", chosen)
    return f"data set {name!r}", tuple(dict.fromkeys((whole.digest, chosen.digest)))
