"""What a run found, whole: the data behind `results.json` and every other report."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import MleError
from pytest_mle.records.result import ItemResult, result_data, result_from_json, result_to_json
from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.escaping import unicode_text
from pytest_mle.reports.gate import Gate, base_practice_counts, gate, run_gate
from pytest_mle.spec.model import BasePractice, Project
from pytest_mle.spec.planned import planned_result

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pytest_mle.spec.model import PlannedItem, Spec

FORMAT_VERSION = 1
NEVER_REPORTED = "it never reported: the run ended before it did (a crash, a killed worker, -x or an interrupt)"
NOT_PLANNED = "a result came for an item that is not in the plan"


@dataclass(frozen=True, slots=True)
class SpecReport:
    """One spec with the result of every planned item, in the order of the plan.

    Parameters
    ----------
    path
        The spec file, relative to the folder that pytest was started for.
    items
        Every planned item: one that never reported is ERROR, a deselected one NOT_SELECTED.
    files
        SHA-256 of every file that the spec consists of.
    overrides
        What the command line and the environment set, by dotted key.
    inputs
        The inputs that were used, with their digests, by section and name.
    folder
        The folder that pytest was started in, seen from the repository's top: places of items begin there.
    file
        The spec file, seen from the repository's top; empty if that is ``path``.
    """

    path: str
    project: Project
    processes: tuple[str, ...]
    process_titles: dict[str, str]
    base_practices: tuple[BasePractice, ...]
    items: tuple[ItemResult, ...]
    seed: int = 0
    confidence: float | None = None
    files: dict[str, str] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    folder: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run of one or more specs.

    Parameters
    ----------
    specs
        In the order they were given.
    started
        Begin of the run, ISO 8601 with zone.
    duration_s
        Seconds from begin to end.
    exit_code
        Exit code of the process; other tests of the same run may have closed it though the gate is open.
    hostname, versions, hardware
        Where it ran and with what.
    problems
        What went wrong with the run as a whole (interrupted, internal error); each closes the gate.
    """

    specs: tuple[SpecReport, ...]
    started: str
    duration_s: float
    exit_code: int | None = None
    hostname: str = "localhost"
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    format_version: int = FORMAT_VERSION

    @property
    def gate(self) -> Gate:
        """Whether the run is green, and if not, why."""
        return run_gate(self)


def spec_report(
    spec: Spec,
    path: str,
    results: Mapping[str, Sequence[ItemResult]],
    not_selected: Collection[str] = (),
    folder: str = "",
    file: str = "",
) -> SpecReport:
    """Put results beside the plan: the plan decides what is reported.

    Parameters
    ----------
    spec
        The plan.
    path
        The spec file as reports shall name it.
    results
        By planned name; an item has several where a fixture is parametrized. One that no plan asked for becomes an
        ERROR of its own.
    not_selected
        Names of deselected items; a result counts more than a name here.
    folder, file
        See :class:`SpecReport`.
    """
    items: list[ItemResult] = []
    for item in spec.items:
        items += results.get(item.name) or (_without_result(item, spec, not_selected),)
    planned = {item.name for item in spec.items}
    items += [
        replace(result, verdict=Verdict.ERROR, reasons=(NOT_PLANNED, *result.reasons))
        for name, of_item in results.items()
        if name not in planned
        for result in of_item
    ]
    return SpecReport(
        path=path,
        project=spec.project,
        processes=spec.processes,
        process_titles=dict(spec.process_titles),
        base_practices=tuple(spec.base_practices.values()),
        items=tuple(items),
        seed=spec.policy.seed,
        confidence=spec.policy.confidence,
        files=dict(spec.files),
        overrides=dict(spec.overrides),
        inputs=_used_inputs(items),
        folder=folder,
        file=file,
    )


def _used_inputs(items: Iterable[ItemResult]) -> dict[str, dict[str, Any]]:
    """Return section, name and digest of what the items used; a slice of a data set is not the data set."""
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        for one in item.inputs.values():
            section = one.get("section") if isinstance(one, dict) else None
            if section is not None and "sha256" in one and not (item.where and section == "datasets"):
                found.setdefault(section, {}).setdefault(one["name"], {"sha256": one["sha256"]})
    return found


def _without_result(item: PlannedItem, spec: Spec, not_selected: Collection[str]) -> ItemResult:
    if item.name in not_selected:
        return planned_result(item, spec, Verdict.NOT_SELECTED, "deselected")
    return planned_result(item, spec, Verdict.ERROR, NEVER_REPORTED)


def report_text(report: RunReport) -> str:
    """Write a report as strict JSON, a line for each item, so that a person can read and search it too.

    What JSON cannot hold is written as the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``; lone surrogates of
    undecodable file names are written as Python escapes. Keys of an item that have their default value are left out.
    ``gate`` and ``base_practice_counts`` are there for other readers; :func:`report_from_json` works them out again.
    """
    specs = []
    for spec in report.specs:
        data = asdict(replace(spec, items=()))
        counts = base_practice_counts(spec)
        members = _members({**data, "gate": _gate_to_json(gate(spec)), "base_practice_counts": counts})
        # Item by item as text: the data of all at once would take as much memory again as the whole run.
        specs.append(_object({**members, "items": _array(_item_text(item) for item in spec.items)}))
    run = {"format_version": report.format_version, **asdict(replace(report, specs=()))}
    return _object({**_members({**run, "gate": _gate_to_json(report.gate)}), "specs": _array(specs)})


def _item_text(item: ItemResult) -> str:
    try:
        text = _text(result_data(item))
        text.encode("utf-8")
    except (TypeError, ValueError):
        return strict_text(result_to_json(item))
    return text


def report_to_json(report: RunReport) -> dict[str, Any]:
    """Turn a report into the data of :func:`report_text`."""
    return json.loads(report_text(report))  # type: ignore[no-any-return]


def _gate_to_json(gate: Gate) -> dict[str, Any]:
    return {
        "is_green": gate.is_green,
        "reasons": gate.reasons,
        "not_shown": [missing.base_practice for missing in gate.not_shown],
    }


def report_from_json(data: Mapping[str, Any]) -> RunReport:
    """Rebuild a report from :func:`report_text`.

    Raises
    ------
    MleError
        If the data has another format version or lacks something.
    """
    version = data.get("format_version")
    if version != FORMAT_VERSION:
        raise MleError(
            f"results.json has format version {version!r}; this version of pytest-mle reads {FORMAT_VERSION}"
        )
    try:
        specs = tuple(_spec_from_json(spec) for spec in data["specs"])
        fields = {name: data[name] for name in RunReport.__dataclass_fields__ if name in data}
        return RunReport(**{**fields, "specs": specs, "problems": tuple(data["problems"])})
    except (KeyError, TypeError, ValueError) as error:
        raise MleError(f"results.json is incomplete or was changed: {error!r}") from error


def _spec_from_json(data: Mapping[str, Any]) -> SpecReport:
    fields = {name: data[name] for name in SpecReport.__dataclass_fields__}
    return SpecReport(
        **{
            **fields,
            "project": Project(**data["project"]),
            "processes": tuple(data["processes"]),
            "base_practices": tuple(BasePractice(**practice) for practice in data["base_practices"]),
            "items": tuple(result_from_json(item) for item in data["items"]),
        }
    )


def strict_text(value: Any) -> str:
    """Write a value as strict JSON on one line; see :func:`report_text`."""
    try:
        text = _text(value)
        text.encode("utf-8")
    except (TypeError, ValueError):
        # Ten times slower than the encoder in C, and rare: NaN, an undecodable file name, a type that JSON lacks.
        text = _text(_strict(value))
    return text


def _strict(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {unicode_text(str(key)): _strict(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(one) for one in value]
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):  # numpy's scalars too
        return _strict_number(float(value))
    return unicode_text(str(value))  # text, and paths, dates and whatever else an option can hold


def _strict_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _members(data: Mapping[str, Any]) -> dict[str, str]:
    # The long lists stand at the end, behind what a person looks for first.
    return {name: strict_text(value) for name, value in data.items() if name not in ("specs", "items")}


_text = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode


def _object(members: Mapping[str, str]) -> str:
    return "{\n" + ",\n".join(f"{_text(name)}: {value}" for name, value in members.items()) + "\n}"


def _array(elements: Iterable[str]) -> str:
    return "[\n" + ",\n".join(elements) + "\n]"
