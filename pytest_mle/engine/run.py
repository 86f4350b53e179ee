"""Run one item: call its check, judge the measurement, never let a crash look like a pass."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mle.engine.judge import judge
from pytest_mle.engine.recorded import take_from_record
from pytest_mle.errors import CheckError, InputNotDeclaredError, Location, MleError, NotMeasurableError
from pytest_mle.governance.evidence import judge_evidence
from pytest_mle.records.figure import Figure
from pytest_mle.records.finding import Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.result import EvidenceResult, plain_json, result_from_json, result_to_json
from pytest_mle.records.verdict import Verdict, worst
from pytest_mle.spec.planned import planned_result
from pytest_mle.spec.validate import RECORD, takes_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_mle.engine.bind import Binding
    from pytest_mle.records.check import CheckDeclaration
    from pytest_mle.records.quantity import QuantityDeclaration
    from pytest_mle.records.result import ItemResult
    from pytest_mle.spec.model import PlannedItem, Spec

PACKAGE_PARENT = Path(__file__).parents[2]


def verdict_before_running(item: PlannedItem, spec: Spec) -> ItemResult | None:
    """Return the result of an item that needs no run: closed by the spec, or still owing something."""
    if item.not_applicable is not None:
        return planned_result(item, spec, Verdict.NOT_APPLICABLE, item.not_applicable)
    if (item.check is not None or RECORD in item.using) and not item.pending_reasons:
        return None
    evidence = _evidence(item, spec)
    reasons = (*item.pending_reasons, *(one.reason for one in evidence))
    verdict = worst([Verdict.PENDING, *(one.verdict for one in evidence)])
    return replace(planned_result(item, spec, verdict, *(reasons or ("nothing to show it by",))), evidence=evidence)


def run_item(
    item: PlannedItem,
    check: CheckDeclaration,
    binding: Binding,
    fixtures: Mapping[str, Callable[[], Any]] | None = None,
) -> ItemResult:
    """Call the item's check, or take what its record says, and judge it; any exception becomes a verdict.

    ``KeyboardInterrupt`` and ``SystemExit`` pass through, so that a run can be stopped.
    """
    spec = binding.around.spec
    started, begin = datetime.now(UTC), time.perf_counter()
    base = planned_result(item, spec, Verdict.ERROR)
    is_recorded = takes_record(check, item.using)
    try:
        if is_recorded:
            taken = take_from_record(check, binding)
            measured, criteria = taken.measurement, taken.criteria
            declared: Mapping[str, QuantityDeclaration] | None = taken.declared
        else:
            arguments = binding.arguments(check, fixtures)
            measured = _as_measurement(check.function(**arguments, **item.parameters), check.name)
            declared, criteria = check.quantities, item.criteria
        outcome = judge(measured, declared, criteria, spec.policy.confidence)
        evidence = _evidence(item, spec)
        result = replace(
            base,
            verdict=worst([outcome.verdict, *(one.verdict for one in evidence)]),
            reasons=(*outcome.reasons, *(one.reason for one in evidence)),
            evidence=evidence,
            criteria=outcome.criteria,
            quantities=outcome.quantities,
            findings=measured.findings,
            validity=measured.validity,
            figures=_visible(measured.figures, spec),
            settings=plain_json(dict(measured.settings)),
        )
        result = _in_plain_types(result, check.name)
    except Exception as error:  # noqa: BLE001  the one place where a crash of a check becomes a verdict
        result = failed_result(base, error)
    return replace(
        result,
        # Nothing was measured by the check here.
        check_location=None if is_recorded else _code_place(check.location, spec.root),
        is_overridden=check.origin == "overridden" and not is_recorded,
        inputs={name: describe_input(used.value, used.section) for name, used in binding.used.items()},
        seed=spec.policy.seed,
        started=started.isoformat(timespec="seconds"),
        duration_s=time.perf_counter() - begin,
    )


def _visible(figures: Sequence[Figure], spec: Spec) -> tuple[Figure, ...]:
    if not any(figure.images for figure in figures):
        return tuple(figures)
    from pytest_mle.inputs.pictures import visible_figures

    return visible_figures(figures, spec.policy.images)


def _evidence(item: PlannedItem, spec: Spec) -> tuple[EvidenceResult, ...]:
    judged = tuple(judge_evidence(one, spec.root) for one in item.evidence)
    if item.evidence_owed is None:
        return judged
    return (*judged, EvidenceResult("evidence", Verdict.PENDING, item.evidence_owed))


def failed_result(base: ItemResult, error: BaseException) -> ItemResult:
    """Turn an exception into the verdict that it means."""
    if isinstance(error, InputNotDeclaredError):
        return replace(base, verdict=Verdict.PENDING, reasons=(str(error),))
    if isinstance(error, NotMeasurableError):
        return replace(base, verdict=Verdict.INCONCLUSIVE, reasons=(str(error),))
    if isinstance(error, (MleError, TimeoutError)):
        return replace(base, verdict=Verdict.ERROR, reasons=(str(error),))
    text = f"{type(error).__name__}: {text_of(error)}".rstrip(": ")
    return replace(base, verdict=Verdict.ERROR, reasons=(text + _raised_at(error),))


def text_of(error: BaseException) -> str:
    """Return an exception's message; an exception that cannot even say it must not end the run."""
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001  whatever its __str__ raises
        return f"its message cannot be shown ({type(broken).__name__})"


def _raised_at(error: BaseException) -> str:
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f" (raised at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"


@lru_cache(maxsize=1000)
def _code_place(location: Location, root: Path) -> str:
    """Name a line of code from the project's or the package's folder: reports of two machines shall be equal."""
    path = Path(location.path)
    for folder in (root, PACKAGE_PARENT):
        if path.is_relative_to(folder):
            return str(Location(path.relative_to(folder).as_posix(), location.line))
    return str(location)


def _as_measurement(returned: Any, name: str) -> Measurement:
    if isinstance(returned, Measurement):
        return _well_formed(returned, name)
    if isinstance(returned, dict) and returned:
        return Measurement(quantities=returned)
    if returned is None:
        raise CheckError(f"check {name} returned nothing. Return a mle.Measurement or a mapping of quantities.")
    if isinstance(returned, dict):
        raise CheckError(f"check {name} returned no quantity at all")
    raise CheckError(
        f"check {name} returned {type(returned).__name__}. Return a mle.Measurement or a mapping of quantities."
    )


def _well_formed(measured: Measurement, name: str) -> Measurement:
    for field in ("quantities", "settings"):
        value = getattr(measured, field)
        if not isinstance(value, Mapping):
            raise CheckError(f"check {name} returned {field} as {type(value).__name__}; it must be a mapping")
    for field, kind in (("findings", Findings), ("validity", ValidityCondition), ("figures", Figure)):
        values = getattr(measured, field)
        wrong = (
            values if not isinstance(values, (tuple, list)) else [one for one in values if not isinstance(one, kind)]
        )
        if not isinstance(values, (tuple, list)) or wrong:
            got = type(wrong[0] if isinstance(wrong, list) else wrong).__name__
            raise CheckError(f"check {name} returned {got} in {field}; it must be a tuple of mle.{kind.__name__}")
    return measured


def _in_plain_types(result: ItemResult, name: str) -> ItemResult:
    """Return a result as it looks after a process boundary; what would not survive one is the check's mistake."""
    try:
        return result_from_json(result_to_json(result))
    except ValueError as error:
        details = getattr(error, "errors", None)
        first = details()[0] if callable(details) else {}
        where = ".".join(str(part) for part in first.get("loc", ()))
        said = f"{where}: {first['msg']}" if where else str(error).partition("\n")[0]
        raise CheckError(f"check {name} returned a value of a wrong type: {said}") from error


def describe_input(value: Any, section: str) -> dict[str, Any]:
    """Return what a result records of an input: its name, section of the spec, digest and declaration."""
    described: dict[str, Any] = {"name": str(getattr(value, "name", type(value).__name__)), "section": section}
    digest = getattr(value, "digest", None)
    if isinstance(digest, str):
        described["sha256"] = digest
    about = getattr(value, "description", None)
    if isinstance(about, dict):
        described["description"] = plain_json(about)
    if hasattr(value, "__len__"):
        described["samples"] = len(value)
    return described
