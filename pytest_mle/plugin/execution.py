"""Run a planned item inside its pytest function and say the verdict in pytest's language."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.engine.bind import Binding
from pytest_mle.engine.recorded import no_check
from pytest_mle.engine.run import failed_result, run_item, verdict_before_running
from pytest_mle.errors import CheckError, MleError
from pytest_mle.plugin.nodes import PLANNED
from pytest_mle.plugin.timeout import time_limit
from pytest_mle.records.result import plain_json
from pytest_mle.records.verdict import Verdict
from pytest_mle.spec.planned import planned_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mle.engine.bind import Surroundings
    from pytest_mle.records.check import CheckDeclaration
    from pytest_mle.records.result import ItemResult
    from pytest_mle.spec.model import PlannedItem

RESULT = pytest.StashKey["ItemResult"]()
BINDING = pytest.StashKey["Binding"]()
AROUND = pytest.StashKey["Surroundings"]()

FIXTURES = {
    "dataset": "mle_dataset",
    "model": "mle_model",
    "training_log": "mle_training_log",
    "predictions": "mle_predictions",
    "config": "mle_config",
    "record": "mle_record",
    "project": "mle_project",
    "rng": "mle_rng",
    "clock": "mle_clock",
    "progress": "mle_progress",
}


def binding_of(node: pytest.Item) -> Binding:
    """Return the binding of the item that runs in a node; outside a checklist there is none."""
    if PLANNED not in node.stash:
        raise pytest.UsageError(
            f"{node.nodeid} is not a checklist item: the mle_* fixtures serve checks of a spec only"
        )
    if BINDING not in node.stash:
        node.stash[BINDING] = Binding(node.stash[PLANNED], node.stash[AROUND])
    return node.stash[BINDING]


def forget_run(node: pytest.Item) -> None:
    """Drop what a run of a node has left on it: pytest keeps the node, and a rerun must not find an old result."""
    if RESULT in node.stash:
        del node.stash[RESULT]
    if BINDING in node.stash:
        del node.stash[BINDING]


def result_of(
    planned: PlannedItem,
    request: pytest.FixtureRequest,
    provided: Any,
    built_in: CheckDeclaration | None,
    on_hang: Callable[[ItemResult], None],
    stderr: int,
) -> ItemResult:
    """Run an item, with ``provided`` being what its check fixture returned."""
    around: Surroundings = request.node.stash[AROUND]
    early = verdict_before_running(planned, around.spec)
    if early is not None:
        return early
    fixtures = {kind: partial(request.getfixturevalue, name) for kind, name in FIXTURES.items()}
    try:
        check = no_check() if planned.check is None else _declared(provided, planned, built_in)
        with time_limit(
            planned.timeout_s,
            lambda reason: on_hang(planned_result(planned, around.spec, Verdict.ERROR, reason)),
            stderr,
        ):
            return run_item(planned, check, binding_of(request.node), fixtures)
    except MleError as error:
        return failed_result(planned_result(planned, around.spec, Verdict.ERROR), error)


def _declared(provided: Any, planned: PlannedItem, built_in: CheckDeclaration | None) -> CheckDeclaration:
    if not callable(provided):
        raise CheckError(
            f"the fixture {planned.check} must return a function that measures, got "
            f"{type(provided).__name__}. Was `return measure` forgotten?"
        )
    declared = declaration_of(provided, planned.check)
    if built_in is not None and provided is built_in.function:
        return built_in
    origin = "project" if built_in is None else "overridden"
    declared = replace(declared, name=str(planned.check), origin=origin)
    _validate_late(declared, planned)
    return declared


def _validate_late(check: CheckDeclaration, planned: PlannedItem) -> None:
    """Check what could not be checked before the run, because the project's check is known only now."""
    from pytest_mle.spec.validate import parameter_problems, quantity_of

    given = planned.parameters
    known = set(check.parameter_names)
    if not known.issuperset(given) and _takes_any(check.function):
        given = {name: one for name, one in given.items() if name in known}
    wrong, missing = parameter_problems(check, given)
    problems = [*wrong.values(), *(f"{check.name} needs the parameter {name!r}" for name in missing)]
    problems += filter(None, (quantity_of(check, criterion.quantity)[1] for criterion in planned.criteria))
    if problems:
        raise CheckError("; ".join(problems), planned.location)


def _takes_any(function: Callable[..., Any]) -> bool:
    return any(one.kind is one.VAR_KEYWORD for one in inspect.signature(function).parameters.values())


def is_exclusive(provided: Any) -> bool:
    """Say whether the check that a fixture returned must run alone."""
    return bool(getattr(getattr(provided, "__mle_check__", None), "is_exclusive", False))


def explanation(result: ItemResult) -> str:
    """Return the verdict and its reasons as text that survives every process boundary."""
    advisory = {one.reason for one in result.criteria if one.is_advisory}
    reasons = (f"{reason} (advisory)" if reason in advisory else reason for reason in result.reasons)
    return str(plain_json("\n".join((f"{result.verdict}: {result.title}", *reasons))))


def announce(result: ItemResult) -> None:
    """End the pytest function the way its verdict demands."""
    if result.verdict.is_red:
        pytest.fail(explanation(result), pytrace=False)
    if not result.verdict.is_shown:
        pytest.skip("; ".join(result.reasons))
