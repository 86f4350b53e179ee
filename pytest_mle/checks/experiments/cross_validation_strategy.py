"""Is it declared how training and validation data are told apart, and are the folds free of leaks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_mle.checks.declaration import check
from pytest_mle.checks.experiments.declared_values import why_no_hyperparameter
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.errors import InputError
from pytest_mle.inputs.datasets.table import read_table
from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from collections.abc import Hashable

    from pytest_mle.inputs.config import Config
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.project import Project
    from pytest_mle.records.quantity import Quantity

HOLD_OUT = ("hold_out", "train_val_split", "train_validation_test")
NUMBERED = (
    *("k_fold", "stratified_k_fold", "group_k_fold", "stratified_group_k_fold", "repeated_k_fold", "nested_k_fold"),
    "time_series_split",
)
UNNUMBERED = ("leave_one_out", "leave_one_group_out")

QUANTITIES = {
    "strategy_declared": exact("1", "higher", "1 if the config names a known strategy with what belongs to it."),
    "folds": exact("1", None, "Folds that the config declares; NaN for a hold-out."),
    "fold_count_mismatches": exact("{finding}", "lower", "1 if the data are in another number of folds than declared."),
    "samples_without_fold": exact("{sample}", "lower", "Samples that are in no fold."),
    "fold_group_overlap": exact("{group}", "lower", "Groups, sequences for instance, of which two folds have a part."),
    "small_dataset_without_k_fold": exact("1", "lower", "1 if the data set is small and the strategy is a hold-out."),
}


@check(quantities=QUANTITIES)
def cross_validation_strategy(
    config: Config,
    project: Project,
    dataset: Dataset | None = None,
    validation: Dataset | None = None,
    *,
    key: str = "cross_validation",
    small_dataset_limit: int = 10_000,
    group_by: str = "sequence",
    fold_attribute: str = "fold",
) -> Measurement:
    """Look for the declared strategy of validation, and for groups that are on both sides of a split.

    Frames of one drive are alike: a drive of which one fold has some frames and another the rest tells nothing about
    new drives. Of a hold-out, the two folds are the training and the validation data set. All quantities are exact.
    Automotive SPICE 4.0 asks for the approach to validation in MLE.3.BP1.

    Parameters
    ----------
    config
        The training configuration; ``cross_validation`` is a name, or ``strategy`` with ``folds`` and ``folds_file``.
    project
        Where ``folds_file`` is looked for: a CSV file with the columns ``image`` and ``fold``, and the groups if the
        data set's table does not have them.
    dataset
        The training data (``using: {dataset: train}``); its column ``fold`` serves in place of a ``folds_file``.
    validation
        The validation data of a hold-out, named in ``using: {validation: val}``.
    key
        Dotted name of the strategy.
    small_dataset_limit
        A data set with fewer samples is small.
    group_by
        Column of the groups.
    fold_attribute
        Column of the folds.

    Raises
    ------
    InputError
        The ``folds_file`` cannot be read or lacks a column.
    """
    strategy = _strategy(config, key)
    sides = _sides(strategy, config, key, project, dataset, validation, group_by, fold_attribute)
    shared = None if isinstance(sides, str) else sides.shared_groups()
    outside = [] if isinstance(sides, str) else sides.without_fold
    kinds = {
        "strategy_declared": strategy.defects,
        "fold_group_overlap": [
            Finding(f"is in {' and '.join(names)}", sides.place if isinstance(sides, _Sides) else None, subject=group)
            for group, names in (shared or {}).items()
        ],
        "samples_without_fold": [Finding("is in no fold", subject=one) for one in outside],
    }
    why = sides if isinstance(sides, str) else f"neither the data set nor the folds have a column {group_by!r}"
    quantities: dict[str, Quantity | float] = {
        "strategy_declared": int(not strategy.defects),
        "folds": unmeasured("the config declares no number of folds") if strategy.folds is None else strategy.folds,
        "fold_count_mismatches": _count_mismatch(strategy, sides),
        "samples_without_fold": unmeasured(sides) if isinstance(sides, str) else len(outside),
        "fold_group_overlap": unmeasured(why) if shared is None else len(shared),
        "small_dataset_without_k_fold": unmeasured("no data set is declared")
        if dataset is None
        else int(len(dataset) < small_dataset_limit and not strategy.is_cross_validation),
    }
    return Measurement(
        quantities=quantities,
        findings=tuple(Findings.collect(name, found) for name, found in kinds.items() if found),
        settings={
            "strategy": strategy.name,
            "group_by": group_by,
            "samples": None if dataset is None else len(dataset),
        },
    )


@dataclass(slots=True)
class _Strategy:
    """What the config declares."""

    name: str | None
    folds: int | None
    folds_file: str | None
    defects: list[Finding]

    @property
    def is_cross_validation(self) -> bool:
        return self.name in NUMBERED or self.name in UNNUMBERED


@dataclass(slots=True)
class _Sides:
    """Groups and samples by fold."""

    place: str
    groups: dict[str, set[Hashable]] = field(default_factory=lambda: defaultdict(set))
    without_fold: list[str] = field(default_factory=list)
    has_groups: bool = False

    def add(self, fold: Hashable, sample: str, group: Hashable) -> None:
        self.has_groups |= group is not None
        # A sample of which no group is known is a group of its own: it must not be in two folds either.
        self.groups[str(fold)].add(f"sample {sample}" if group is None else group)

    def shared_groups(self) -> dict[str, list[str]] | None:
        if not self.has_groups:
            return None
        folds: dict[Hashable, list[str]] = defaultdict(list)
        for fold, groups in self.groups.items():
            for group in groups:
                folds[group].append(fold)
        return {str(group): sorted(names) for group, names in sorted(folds.items(), key=str) if len(names) > 1}


def _strategy(config: Config, key: str) -> _Strategy:
    declared = config.get(key)
    options = declared if isinstance(declared, dict) else {"strategy": declared}
    said = options.get("strategy")
    folds = options.get("folds")
    name = _known(said)
    defects = []
    if key not in config:
        defects.append(_defect(config, key, "is not declared"))
    elif (reason := why_no_hyperparameter(said)) is not None:
        defects.append(_defect(config, f"{key}.strategy", reason))
    elif name is None:
        allowed = ", ".join((*HOLD_OUT, *NUMBERED, *UNNUMBERED))
        defects.append(_defect(config, f"{key}.strategy", f"is {said!r}, no known strategy. Allowed: {allowed}"))
    is_number = isinstance(folds, int) and not isinstance(folds, bool) and folds >= 2
    if name in NUMBERED and not is_number:
        defects.append(_defect(config, f"{key}.folds", f"is {folds!r}; {name} needs a number of folds from 2"))
    path = options.get("folds_file")
    return _Strategy(name, folds if is_number else None, path if isinstance(path, str) else None, defects)


def _known(said: Any) -> str | None:
    if not isinstance(said, str):
        return None
    letters = "".join(letter for letter in said.casefold() if letter.isalnum())
    return next((name for name in (*HOLD_OUT, *NUMBERED, *UNNUMBERED) if name.replace("_", "") == letters), None)


def _sides(
    strategy: _Strategy,
    config: Config,
    key: str,
    project: Project,
    dataset: Dataset | None,
    validation: Dataset | None,
    group_by: str,
    fold_attribute: str,
) -> _Sides | str:
    """Return what is in which fold, or why nobody knows."""
    if strategy.folds_file is not None:
        return _from_file(strategy.folds_file, config, key, project, dataset, group_by, fold_attribute)
    if dataset is None:
        return "no data set is declared whose folds could be compared"
    if strategy.is_cross_validation:
        if fold_attribute not in dataset.attribute_names:
            return f"data set {dataset.name} has no column {fold_attribute!r}, and the config names no folds_file"
        return _from_attributes(dataset, group_by, fold_attribute)
    if validation is None:
        return "no validation data set is declared. Name it in `using: {validation: ...}`"
    sides = _Sides(f"{dataset.name} and {validation.name}")
    for name, part in (("training data", dataset), ("validation data", validation)):
        for sample in (part.sample(index) for index in range(len(part))):
            sides.add(
                name, sample.id if part is validation else f"{part.name}/{sample.id}", sample.attributes.get(group_by)
            )
    return sides


def _from_file(
    declared: str,
    config: Config,
    key: str,
    project: Project,
    dataset: Dataset | None,
    group_by: str,
    fold_attribute: str,
) -> _Sides:
    location = config.location(f"{key}.folds_file")
    path = project.file(declared, location)
    if not path.is_file():
        raise InputError(f"there is no folds_file {declared}", location)
    table = read_table(path, declared, ("image", fold_attribute))
    groups = {}
    if dataset is not None:
        samples = [dataset.sample(index) for index in range(len(dataset))]
        groups = {sample.id: sample.attributes.get(group_by) for sample in samples}
    sides, seen = _Sides(declared), set()
    for row in table.rows:
        image, fold = str(row.cells["image"]), row.cells[fold_attribute]
        if fold is not None:
            seen.add(image)
            sides.add(fold, image, row.cells.get(group_by, groups.get(image)))
    sides.without_fold += [
        name for name in (groups or dict.fromkeys(str(r.cells["image"]) for r in table.rows)) if name not in seen
    ]
    return sides


def _from_attributes(dataset: Dataset, group_by: str, fold_attribute: str) -> _Sides:
    sides = _Sides(dataset.name)
    for sample in (dataset.sample(index) for index in range(len(dataset))):
        fold = sample.attributes.get(fold_attribute)
        if fold is None:
            sides.without_fold.append(sample.id)
        else:
            sides.add(fold, sample.id, sample.attributes.get(group_by))
    return sides


def _count_mismatch(strategy: _Strategy, sides: _Sides | str) -> Quantity | float:
    if strategy.folds is None:
        return unmeasured("the config declares no number of folds")
    if isinstance(sides, str):
        return unmeasured(sides)
    return int(len(sides.groups) != strategy.folds)


def _defect(config: Config, key: str, reason: str) -> Finding:
    place = config.location(key)
    return Finding(reason, place.path, place.line, key)
