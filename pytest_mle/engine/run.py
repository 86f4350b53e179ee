"""Run one item: call its check, judge the measurement, never let a crash look like a pass."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_mle.engine.judge import judge
from pytest_mle.errors import CheckError, InputNotDeclaredError, MleError, NotMeasurableError
from pytest_mle.governance.evidence import judge_evidence
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.verdict import Verdict, worst
from pytest_mle.spec.planned import planned_result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_mle.engine.bind import Binding
    from pytest_mle.records.check import CheckDeclaration
    from pytest_mle.records.result import ItemResult
    from pytest_mle.spec.model import PlannedItem, Spec


def verdict_before_running(item: PlannedItem, spec: Spec) -> ItemResult | None:
    """Return the result of an item that needs no run: closed by the spec, or still owing something."""
    if item.not_applicable is not None:
        return planned_result(item, spec, Verdict.NOT_APPLICABLE, item.not_applicable)
    if item.check is not None and not item.pending_reasons:
        return None
    evidence = tuple(judge_evidence(one, spec.root) for one in item.evidence)
    reasons = (*item.pending_reasons, *(one.reason for one in evidence))
    verdict = worst([Verdict.PENDING, *(one.verdict for one in evidence)])
    return replace(planned_result(item, spec, verdict, *(reasons or ("nothing to show it by",))), evidence=evidence)


def run_item(
    item: PlannedItem,
    check: CheckDeclaration,
    binding: Binding,
    fixtures: Mapping[str, Callable[[], Any]] | None = None,
) -> ItemResult:
    """Call the item's check and judge what it measured; any exception becomes a verdict with its reason.

    ``KeyboardInterrupt`` and ``SystemExit`` pass through, so that a run can be stopped.
    """
    spec = binding.around.spec
    started, begin = datetime.now(UTC), time.perf_counter()
    base = planned_result(item, spec, Verdict.ERROR)
    try:
        arguments = binding.arguments(check, fixtures)
        measured = _as_measurement(check.function(**arguments, **item.parameters), check.name)
        outcome = judge(measured, check.quantities, item.criteria, spec.policy.confidence)
        evidence = tuple(judge_evidence(one, spec.root) for one in item.evidence)
        result = replace(
            base,
            verdict=worst([outcome.verdict, *(one.verdict for one in evidence)]),
            reasons=(*outcome.reasons, *(one.reason for one in evidence)),
            evidence=evidence,
            criteria=outcome.criteria,
            quantities=outcome.quantities,
            findings=measured.findings,
            validity=measured.validity,
            figures=measured.figures,
            settings=_plain(dict(measured.settings)),
        )
    except Exception as error:  # noqa: BLE001  the one place where a crash of a check becomes a verdict
        result = failed_result(base, error)
    return replace(
        result,
        check_location=str(check.location),
        is_overridden=check.origin == "overridden",
        inputs={name: describe_input(value) for name, value in binding.used.items()},
        seed=spec.policy.seed,
        started=started.isoformat(timespec="seconds"),
        duration_s=time.perf_counter() - begin,
    )


def failed_result(base: ItemResult, error: BaseException) -> ItemResult:
    """Turn an exception into the verdict that it means."""
    if isinstance(error, InputNotDeclaredError):
        return replace(base, verdict=Verdict.PENDING, reasons=(str(error),))
    if isinstance(error, NotMeasurableError):
        return replace(base, verdict=Verdict.INCONCLUSIVE, reasons=(str(error),))
    if isinstance(error, (MleError, TimeoutError)):
        return replace(base, verdict=Verdict.ERROR, reasons=(str(error),))
    return replace(base, verdict=Verdict.ERROR, reasons=(f"{type(error).__name__}: {error}{_raised_at(error)}",))


def _raised_at(error: BaseException) -> str:
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f" (raised at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"


def _as_measurement(returned: Any, name: str) -> Measurement:
    if isinstance(returned, Measurement):
        return returned
    if isinstance(returned, dict) and returned:
        return Measurement(quantities=returned)
    if returned is None:
        raise CheckError(f"check {name} returned nothing. Return a mle.Measurement or a mapping of quantities.")
    if isinstance(returned, dict):
        raise CheckError(f"check {name} returned no quantity at all")
    raise CheckError(
        f"check {name} returned {type(returned).__name__}. Return a mle.Measurement or a mapping of quantities."
    )


def describe_input(value: Any) -> dict[str, Any]:
    """Return what a result records of an input: its name, digest and declaration."""
    described: dict[str, Any] = {"name": str(getattr(value, "name", type(value).__name__))}
    digest = getattr(value, "digest", None)
    if isinstance(digest, str):
        described["sha256"] = digest
    about = getattr(value, "description", None)
    if isinstance(about, dict):
        described["description"] = _plain(about)
    if hasattr(value, "__len__"):
        described["samples"] = len(value)
    return described


def _plain(value: Any) -> Any:
    """Reduce a value to JSON types: a Path or a numpy scalar would kill an xdist worker while it reports."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return _plain(item())
    return str(value)
