"""Load a spec: read, overlay, override, validate; every problem in one pass, each with its line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import CollectedSpecError, Location, SpecError, closest
from pytest_mle.spec.adoption import read_adoptions
from pytest_mle.spec.base_practices import read_base_practices
from pytest_mle.spec.fields import read_confidence, read_fields
from pytest_mle.spec.input_entries import read_defaults, read_inputs
from pytest_mle.spec.interpolation import Interpolation
from pytest_mle.spec.items import Surroundings, plan_item, practice_of
from pytest_mle.spec.model import Policy, Project, Spec
from pytest_mle.spec.overlay import Layers
from pytest_mle.spec.override import apply_overrides
from pytest_mle.spec.problems import Problems
from pytest_mle.spec.requirements import read_requirements
from pytest_mle.spec.source_files import SourceFiles, display_path
from pytest_mle.spec.validate import Checks, Declared
from pytest_mle.yaml_with_lines import LocatedList, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pytest_mle.records.check import CheckDeclaration
    from pytest_mle.spec.model import BasePractice, PlannedItem
    from pytest_mle.spec.overlay import Effective


def load_spec(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str],
    find_check: Callable[[str], CheckDeclaration | None],
    known_checks: Sequence[str],
) -> Spec:
    """Read a spec with everything that it extends into the plan of a run.

    Parameters
    ----------
    path
        The spec.
    overrides
        Texts of ``--mle-set``: ``a.b.c=value``.
    environment
        For ``${NAME}``.
    find_check
        Name of a check to its declaration; None for a name that may be a fixture of the project.
    known_checks
        Names that ``find_check`` knows.

    Raises
    ------
    CollectedSpecError
        With everything that is wrong, sorted by file and line.
    """
    problems = Problems()
    interpolation = Interpolation(environment, problems)
    files = SourceFiles()
    try:
        effective = Layers(files, interpolation, problems).read(path)
    except CollectedSpecError:
        raise
    except SpecError as error:
        raise CollectedSpecError([error]) from error
    applied = apply_overrides(effective, overrides, problems)
    spec = _plan(effective, path, interpolation, Checks(find_check, known_checks), problems)
    order = list(files.digests)
    problems.raise_if_any(lambda shown: order.index(shown) if shown in files.digests else -1)
    return replace(spec, files=files.digests, overrides={**interpolation.used, **applied})


def _plan(effective: Effective, path: Path, interpolation: Interpolation, checks: Checks, problems: Problems) -> Spec:
    project, policy = _read_project(effective, path, problems), _read_policy(effective, problems)
    practices, titles = read_base_practices(effective, problems)
    inputs = read_inputs(effective.sections, interpolation, problems)
    defaults = read_defaults(effective.sections, inputs, problems)
    requirements = read_requirements(effective.requirements, checks, problems)
    around = Surroundings(
        project=project,
        policy=policy,
        practices=practices,
        requirements=requirements,
        checks=checks,
        declared=Declared(inputs, defaults, bool(requirements)),
        adopted=read_adoptions(effective, problems),
        checklist_files=frozenset(effective.checklist_files),
        checklist_items=tuple(name for name, source in effective.items.items() if source.checklist is not None),
        left_out=frozenset(effective.left_out),
        interpolation=interpolation,
        problems=problems,
    )
    claimed = _claimed(effective, practices, problems)
    items = _plan_items(effective, claimed, around)
    if not items and not problems:
        problems.add(Location(display_path(path)), _why_no_items(effective))
    return Spec(
        path=path,
        root=path.parent.resolve(),
        project=project,
        policy=policy,
        processes=_processes(claimed, items, titles),
        base_practices=practices,
        process_titles=titles,
        inputs=inputs,
        defaults=defaults,
        requirements={name: source.requirement for name, source in requirements.items()},
        items=tuple(items),
    )


def _why_no_items(effective: Effective) -> str:
    if effective.items:
        return "no item is left: none of the extended checklist belongs to the claimed processes"
    return "the spec has no items, so nothing would be tested. List items, or extend a checklist: extends: aspice-mle"


def _read_project(effective: Effective, path: Path, problems: Problems) -> Project:
    good: dict[str, Any] = {}
    if "project" in effective.sections:
        place = effective.sections.place("project")
        good = read_fields(effective.sections["project"], "project", "project", place, problems)
    return Project(good.get("name", path.resolve().parent.name or path.stem), good.get("version"), good.get("asil"))


def _read_policy(effective: Effective, problems: Problems) -> Policy:
    if "policy" not in effective.sections:
        return Policy()
    good = read_fields(effective.sections["policy"], "policy", "policy", effective.sections.place("policy"), problems)
    confidence = read_confidence(good["confidence"]) if "confidence" in good else None
    return Policy(good.get("seed", 0), confidence, good.get("images", "blurred"))


def _claimed(effective: Effective, practices: Mapping[str, BasePractice], problems: Problems) -> tuple[str, ...] | None:
    """Return ``processes``, or None if the project leaves it to its items."""
    listed = effective.sections.get("processes")
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        problems.add(effective.sections.place("processes"), f"processes must be a list of texts, got {kind_of(listed)}")
        return None
    known = {practice.process for practice in practices.values()}
    for index, name in enumerate(listed):
        if name not in known:
            problems.add(_place_in(listed, index), f"unknown process {name!r}. {closest(name, sorted(known))}")
    return tuple(dict.fromkeys(listed))


def _place_in(listed: list[Any], index: int) -> Location | None:
    return listed.place(index) if isinstance(listed, LocatedList) else None


def _plan_items(effective: Effective, claimed: tuple[str, ...] | None, around: Surroundings) -> list[PlannedItem]:
    planned: list[PlannedItem] = []
    for source in effective.items.values():
        practice = practice_of(source, around.practices)
        # `processes: []` claims none: a partial checklist, judged by its items alone.
        if claimed and practice is not None and practice.process not in claimed:
            if source.is_addressed:
                around.problems.add(
                    source.mapping.place("id"),
                    f"item {source.mapping['id']} belongs to {practice.process}, which `processes` does not claim "
                    f"({', '.join(claimed)}). Add it there, or leave the item out",
                )
            continue
        planned += plan_item(source, around)
    return planned


def _processes(
    claimed: tuple[str, ...] | None, items: Sequence[PlannedItem], titles: Mapping[str, str]
) -> tuple[str, ...]:
    if claimed is not None:
        return claimed
    used = {item.process for item in items}
    return tuple(process for process in titles if process in used)
