"""Whether the test set shares images, look-alikes or recordings with data that the model was made with."""

# ruff: noqa: PT028  a check whose name begins with test_ is no test: its optional inputs have defaults

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from pytest_mle.checks.data.duplicates import shared_images
from pytest_mle.checks.data.image_scan import scan_images
from pytest_mle.checks.declaration import check
from pytest_mle.checks.detection.detection_findings import path_for_reports
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.datasets.table import read_table
from pytest_mle.records.finding import CAP, Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.progress import no_progress
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_mle.checks.data.duplicates import SharedImages
    from pytest_mle.checks.data.image_scan import ImageScan
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.project import Project
    from pytest_mle.records.progress import Progress
    from pytest_mle.records.quantity import Quantity

QUANTITIES = {
    "exact_overlap": exact("{image}", "lower", "Test images whose bytes the training or validation data have too."),
    "near_duplicate_overlap": exact(
        "{finding}", "lower", "Pairs of a test image and one of training or validation that look alike."
    ),
    "calibration_overlap": exact(
        "{finding}", "lower", "Test images that the calibration data have too, and pairs that look alike."
    ),
    "group_overlap": exact("{group}", "lower", "Groups (sequences, drives) with images in the test set and elsewhere."),
    "samples_without_provenance": exact("{sample}", "lower", "Images, of all sets, of which a group is not known."),
    "flat_images": exact("{image}", "lower", "Images of nearly one grey level, whose look-alikes cannot be searched."),
    "images": exact("{image}", "higher", "Images of the test set."),
    "compared_images": exact("{image}", "higher", "Images of the other sets."),
    "test_set_evaluations": exact("{run}", "lower", "Evaluations on this test set that the project has recorded."),
}


@check(quantities=QUANTITIES)
def test_set_independence(
    test: Dataset,
    train: Dataset,
    project: Project,
    val: Dataset | None = None,
    calibration: Dataset | None = None,
    progress: Progress = no_progress,
    *,
    near_duplicate_distance: int = 6,
    group_by: tuple[str, ...] = ("sequence",),
    evaluations: str | None = None,
) -> Measurement:
    """Count what a test set has in common with the data that a model was trained, tuned and calibrated on.

    A census: all quantities are exact. What cannot be compared is never counted as independent: with an image that
    cannot be read or decoded, or a group that is not known, the quantity has no value and says why. What was found
    nevertheless stands in the findings, which name both files.

    Parameters
    ----------
    test, train, val, calibration
        The test set, and data that it must not share anything with: bind them with ``using: {test: test, train: train,
        val: val, calibration: calibration}``. Thresholds are data of ``val``, too.
    project
        Where ``evaluations`` is looked for.
    progress
        Told after every few images.
    near_duplicate_distance
        Perceptual hashes that differ in at most so many of 64 bits are near duplicates, 0 to 12. Flat images have none.
    group_by
        Attributes of images whose equal values tell images that are not independent: sequence, drive, place.
    evaluations
        A CSV file of the project with one row for each evaluation and a column ``test_set`` with the data set's name.

    Raises
    ------
    NotMeasurableError
        A data set has no image.
    InputError
        The same images are bound twice, ``group_by`` is empty or no list, ``evaluations`` does not exist or has no
        column ``test_set``.

    Notes
    -----
    Equal bytes by SHA-256; look-alikes by a DCT hash (Zauner 2010), which sees other encodings and small shifts, not
    mirror images or strong crops. Frames of one drive look different and are not independent: only groups tell.
    """
    others = {
        name: one for name, one in (("train", train), ("val", val), ("calibration", calibration)) if one is not None
    }
    sets = {"test": test, **others}
    _check_sets(sets)
    _check_attributes(group_by)
    scans = _scan(sets, progress)
    compared = {
        name: _Comparison(
            name, sets, scans, shared_images(scans["test"], scans[name], distance=near_duplicate_distance)
        )
        for name in others
    }
    fitted = [one for name, one in compared.items() if name != "calibration"]
    calibrated = compared.get("calibration")
    groups = _Groups(sets, tuple(group_by))
    without_provenance = list(groups.unknown())
    unreadable, undecodable = _uncomparable(sets, scans, list(others))
    quantities: dict[str, Quantity | float] = {
        "exact_overlap": _count(
            len({left for one in fitted for left, _ in one.shared.exact}), unreadable.without("calibration")
        ),
        "near_duplicate_overlap": _count(
            sum(one.shared.near.total for one in fitted), undecodable.without("calibration")
        ),
        "calibration_overlap": unmeasured("no calibration data: bind them with `using: {calibration: ...}`")
        if calibrated is None
        else _count(calibrated.total, undecodable.only("test", "calibration")),
        "group_overlap": groups.overlap(),
        "samples_without_provenance": len(without_provenance),
        "flat_images": sum(scan.is_flat for one in scans.values() for scan in one),
        "images": len(test),
        "compared_images": sum(len(one) for one in others.values()),
        "test_set_evaluations": _evaluations(project, evaluations, test.name),
    }
    findings = (
        Findings.collect("exact_overlap", (found for one in fitted for found in one.exact())),
        Findings(
            "near_duplicate_overlap",
            sum(one.shared.near.total for one in fitted),
            tuple(found for one in fitted for found in one.near())[:CAP],
        ),
        *([] if calibrated is None else [calibrated.findings()]),
        Findings.collect("group_overlap", groups.findings()),
        Findings.collect("samples_without_provenance", without_provenance),
        Findings.collect("not_compared", undecodable.findings()),
    )
    return Measurement(
        quantities,
        findings=tuple(found for found in findings if found.total),
        settings={
            "compared_with": {name: one.name for name, one in others.items()},
            "near_duplicate_distance": near_duplicate_distance,
            "group_by": list(group_by),
            "hash": "SHA-256 of the file",
        },
    )


# pytest takes every function with such a name for a test, wherever a project's test module imports it.
test_set_independence.__test__ = False  # type: ignore[attr-defined]


def _check_sets(sets: Mapping[str, Dataset]) -> None:
    """Refuse empty sets, and one that is bound twice: it would share everything with itself."""
    for one in sets.values():
        if len(one) == 0:
            raise NotMeasurableError(f"data set {one.name!r} has no image")
    paths = {name: {one.sample(index).path for index in range(len(one))} for name, one in sets.items()}
    for left, right in combinations(sets, 2):
        if sets[left] is sets[right] or paths[left] == paths[right]:
            raise InputError(
                f"{left!r} and {right!r} are the same images (data set {sets[right].name!r}): declare both under "
                f"inputs.datasets and bind them with `using: {{{left}: ..., {right}: ...}}`"
            )


def _check_attributes(group_by: Sequence[str]) -> None:
    if isinstance(group_by, str) or not group_by:
        raise InputError("group_by must be a list of attributes of images: write [sequence]")


def _scan(sets: Mapping[str, Dataset], progress: Progress) -> dict[str, list[ImageScan]]:
    total, before = sum(len(one) for one in sets.values()), 0
    scans: dict[str, list[ImageScan]] = {}
    for name, one in sets.items():
        paths = [one.sample(index).path for index in range(len(one))]
        scans[name] = scan_images(paths, lambda done, _, before=before: progress(before + done, total))
        before += len(one)
    return scans


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What the test set and another set have in common."""

    name: str
    sets: Mapping[str, Dataset]
    scans: Mapping[str, Sequence[ImageScan]]
    shared: SharedImages

    @property
    def total(self) -> int:
        return len(self.shared.exact) + self.shared.near.total

    def exact(self) -> Iterator[Finding]:
        for left, right in self.shared.exact:
            yield self._pair(left, right, "the same bytes as")

    def near(self) -> Iterator[Finding]:
        for left, right, bits in self.shared.near.closest:
            yield self._pair(left, right, "looks like", f", {bits} of 64 bits differ")

    def findings(self) -> Findings:
        shown = (*self.exact(), *self.near())
        return Findings(f"{self.name}_overlap", self.total, shown[:CAP])

    def _pair(self, left: int, right: int, verb: str, more: str = "") -> Finding:
        other = path_for_reports(self.sets[self.name], right)
        return Finding(f"{verb} {other} ({self.name}{more})", path=path_for_reports(self.sets["test"], left))


@dataclass(frozen=True, slots=True)
class _Uncomparable:
    """Images that could not be compared, by set: position and reason."""

    sets: Mapping[str, Dataset]
    images: Mapping[str, Mapping[int, str]]

    def without(self, *names: str) -> list[str]:
        return self.only(*(name for name in self.sets if name not in names))

    def only(self, *names: str) -> list[str]:
        """Say for each of these sets what is wrong with it."""
        return [
            f"{len(self.images[name])} of {len(self.sets[name])} images of {name} cannot be compared"
            for name in names
            if self.images[name]
        ]

    def findings(self) -> Iterator[Finding]:
        for name, images in self.images.items():
            for index, reason in images.items():
                yield Finding(f"{name}: {reason}", path=path_for_reports(self.sets[name], index))


def _uncomparable(
    sets: Mapping[str, Dataset], scans: Mapping[str, Sequence[ImageScan]], others: Sequence[str]
) -> tuple[_Uncomparable, _Uncomparable]:
    """Return the images without comparable bytes, and those that cannot be decoded either."""
    bytes_missing = {
        name: {i: str(scan.defect) for i, scan in enumerate(scans[name]) if scan.sha256 is None or scan.is_empty}
        for name in ("test", *others)
    }
    undecodable = {
        name: {i: scan.defect for i, scan in enumerate(scans[name]) if scan.defect is not None}
        for name in ("test", *others)
    }
    for name, found in undecodable.items():
        if not found and all(scan.is_flat for scan in scans[name]):
            found.update(dict.fromkeys(range(len(scans[name])), "nearly one grey level, as all images of this set"))
    return _Uncomparable(sets, bytes_missing), _Uncomparable(sets, undecodable)


def _count(number: int, problems: Sequence[str]) -> Quantity | float:
    return unmeasured("; ".join(problems)) if problems else number


@dataclass(frozen=True, slots=True)
class _Groups:
    """Which images come from the same sequence, drive or place."""

    sets: Mapping[str, Dataset]
    attributes: tuple[str, ...]

    def overlap(self) -> Quantity | float:
        """Count groups of the test set that are elsewhere, or say what is not known."""
        for attribute in self.attributes:
            for name, dataset in self.sets.items():
                if attribute not in dataset.attribute_names:
                    return unmeasured(f"the images of {name} (data set {dataset.name!r}) have no {attribute!r}")
        unknown = sum(1 for _ in self.unknown())
        if unknown:
            return unmeasured(f"of {unknown} images a group is not known: {', '.join(self.attributes)}")
        return sum(1 for _ in self._shared())

    def findings(self) -> Iterator[Finding]:
        for attribute, value, in_test, elsewhere in self._shared():
            first = path_for_reports(self.sets["test"], in_test[0])
            also = "; ".join(
                f"of {name}: {len(found)}, first {path_for_reports(self.sets[name], found[0])}"
                for name, found in elsewhere.items()
            )
            message = f"images of test: {len(in_test)}; {also}"
            yield Finding(message, path=first, subject=f"{attribute}={value}")

    def unknown(self) -> Iterator[Finding]:
        """Yield the images of which a group is not known."""
        for name, dataset in self.sets.items():
            for index in range(len(dataset)):
                attributes = dataset.sample(index).attributes
                lacking = [one for one in self.attributes if _group_name(attributes.get(one)) is None]
                if lacking:
                    yield Finding(f"{name}: no {', '.join(lacking)}", path=path_for_reports(dataset, index))

    def _shared(self) -> Iterator[tuple[str, str, list[int], dict[str, list[int]]]]:
        for attribute in self.attributes:
            members = {name: self._members(dataset, attribute) for name, dataset in self.sets.items()}
            for value, in_test in members["test"].items():
                elsewhere = {name: of[value] for name, of in members.items() if name != "test" and value in of}
                if elsewhere:
                    yield attribute, value, in_test, elsewhere

    @staticmethod
    def _members(dataset: Dataset, attribute: str) -> dict[str, list[int]]:
        members: dict[str, list[int]] = {}
        for index in range(len(dataset)):
            value = _group_name(dataset.sample(index).attributes.get(attribute))
            if value is not None:
                members.setdefault(value, []).append(index)
        return members


def _group_name(value: Any) -> str | None:
    """Return a group's name as text, the same for 7, 7.0 and "7", which differ between tables; None if unknown."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def _evaluations(project: Project, file: str | None, name: str) -> Quantity | float:
    if file is None:
        return unmeasured("no record of evaluations: name one in `with: {evaluations: ...}`")
    path = project.file(file)
    if not path.is_file():
        raise InputError(f"evaluations: {file} does not exist")
    table = read_table(path, file, ("test_set",))
    return sum(1 for row in table.rows if str(row.cells["test_set"]) == name)
