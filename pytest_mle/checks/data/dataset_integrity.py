"""Are the files of a data set whole, labelled and distinct."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_mle.checks.data.duplicates import exact_duplicates, near_duplicates
from pytest_mle.checks.data.image_scan import ImageScan, scan_images
from pytest_mle.checks.data.label_scan import LabelScan, LineDefect, scan_label_file
from pytest_mle.checks.declaration import check
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.datasets.label_files import HasYoloLabels, ShowsPaths
from pytest_mle.inputs.decoder_processes import where_images_are_decoded
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.progress import Progress, no_progress
from pytest_mle.records.quantity import Exact, exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_mle.checks.data.near_duplicates import NearPairs
    from pytest_mle.inputs.dataset import Dataset, Sample

QUANTITIES = {
    "images_checked": exact("{image}", "higher", "Images looked at."),
    "objects": exact("{object}", None, "Label lines that say a box; in classification one an image."),
    "corrupt_images": exact("{image}", "lower", "Unreadable, empty, truncated, damaged or no image at all."),
    "corrupt_share": exact("1", "lower", "Corrupt images by all images."),
    "zero_byte_images": exact("{image}", "lower", "Corrupt images whose file has no bytes."),
    "wrong_extensions": exact("{image}", "lower", "Images whose content is of another format than their name says."),
    "undersized_images": exact("{image}", "lower", "Images with a side shorter than minimum_side."),
    "flat_images": exact("{image}", "lower", "Images of nearly one grey level; they are left out of near duplicates."),
    "checksum_mismatches": exact("{image}", "lower", "Images whose SHA-256 is not the one the metadata states."),
    "count_mismatch": exact("{image}", "lower", "Difference between the images there are and expected_images."),
    "missing_labels": exact("{image}", "lower", "Images without label file."),
    "missing_label_share": exact("1", "lower", "Images without label file by all images."),
    "orphan_labels": exact("{file}", "lower", "Label files without image."),
    "background_images": exact("{image}", None, "Images whose label file declares that there is no object."),
    "annotation_errors": exact(
        "{finding}", "lower", "Label lines that are wrong in any way, and contradictory labels."
    ),
    "annotation_error_share": exact("1", "lower", "Annotation errors by label lines; in classification by images."),
    "unparsable_label_lines": exact("{finding}", "lower", "Annotation errors that say no box at all."),
    "object_count_mismatches": exact(
        "{image}", "lower", "Images with another number of objects than the metadata says."
    ),
    "exact_duplicates": exact("{image}", "lower", "Images that have the same bytes as an earlier one."),
    "exact_duplicate_share": exact("1", "lower", "Exact duplicates by all images."),
    "near_duplicate_pairs": exact("{finding}", "lower", "Pairs of images that look alike but differ in their bytes."),
}


@check(quantities=QUANTITIES)
def dataset_integrity(
    dataset: Dataset,
    progress: Progress = no_progress,
    *,
    near_duplicate_distance: int = 6,
    mirrored_duplicates: bool = False,
    minimum_side: int = 32,
    minimum_box_side: float = 1.0,
    box_tolerance: float = 0.001,
    expected_images: int | None = None,
    checksum_attribute: str = "sha256",
    object_count_attribute: str = "object_count",
) -> Measurement:
    """Count defective files, labels and duplicates in one pass over the whole data set (a census, so all exact).

    Every image is read, decoded and hashed once. Damage inside compressed JPEG data that still decodes is only seen by
    a checksum; with simplejpeg installed, damage that makes the decoder complain is seen too (``settings`` says which).

    Parameters
    ----------
    dataset
        Raw files: nothing in it needs to be readable.
    progress
        Told after every few images.
    near_duplicate_distance
        Perceptual hashes that differ in at most so many of 64 bits are near duplicates, 0 to 12.
    mirrored_duplicates
        Whether an image that looks like another one flipped left to right is a near duplicate.
    minimum_side
        Pixels that each side of an image must have.
    minimum_box_side
        Pixels that each side of a box must have.
    box_tolerance
        How far a box may leave the image, as a share of its side (rounding).
    expected_images
        How many images there must be; without it, ``count_mismatch`` is not measured (NaN).
    checksum_attribute, object_count_attribute
        Columns of the metadata that state an image's SHA-256 and its number of objects (0 tells a background image
        from a forgotten one); where there is no such column, the quantity is not measured (NaN).

    Raises
    ------
    NotMeasurableError
        The data set has no image.
    MissingExtraError
        There is no image decoder.
    """
    if len(dataset) == 0:
        raise NotMeasurableError(f"data set {dataset.name} has no image")
    samples = [dataset.sample(index) for index in range(len(dataset))]
    images = scan_images([sample.path for sample in samples], progress)
    labels = _scan_labels(dataset, images, box_tolerance, minimum_box_side)
    census = _Census(dataset, samples, images, labels)
    near = near_duplicates(images, distance=near_duplicate_distance, mirrored=mirrored_duplicates)
    findings = (
        *census.image_findings(minimum_side),
        *census.label_findings(),
        census.exact_duplicates(),
        census.near_duplicates(near),
    )
    checksums = census.checksum_mismatches(checksum_attribute)
    object_counts = census.object_count_mismatches(object_count_attribute)
    all_findings = (*findings, *(found for found in (checksums, object_counts) if found is not None))
    counts = {found.kind: found.total for found in all_findings}
    images_checked = len(samples)
    objects = sum(len(label.boxes) for label in labels) if dataset.task == "detection" else images_checked
    annotations = objects + counts["unparsable_label_lines"]
    quantities = {
        "images_checked": images_checked,
        "objects": objects,
        "background_images": sum(label.is_background for label in labels),
        "count_mismatch": _not_measured("the item's `with:` gives no expected_images")
        if expected_images is None
        else abs(images_checked - expected_images),
        "checksum_mismatches": _not_measured(f"the metadata has no column {checksum_attribute}"),
        "object_count_mismatches": _not_measured(f"the metadata has no column {object_count_attribute}"),
        **counts,
        "corrupt_share": counts["corrupt_images"] / images_checked,
        "missing_label_share": counts["missing_labels"] / images_checked,
        "exact_duplicate_share": counts["exact_duplicates"] / images_checked,
        "annotation_error_share": min(1.0, counts["annotation_errors"] / annotations)
        if annotations
        else _not_measured("there is no label line"),
    }
    return Measurement(
        quantities=quantities,
        findings=tuple(found for found in all_findings if found.total),
        figures=_figures(dataset, counts, labels),
        settings={
            "near_duplicate_distance": near_duplicate_distance,
            "mirrored_duplicates": mirrored_duplicates,
            "minimum_side": minimum_side,
            "minimum_box_side": minimum_box_side,
            "box_tolerance": box_tolerance,
            "jpeg_decoder": _jpeg_decoder(),
            "images_decoded": where_images_are_decoded(),
        },
    )


def _not_measured(why: str) -> Exact:
    return Exact(math.nan, method=why)


def _scan_labels(
    dataset: Dataset, images: Sequence[ImageScan], box_tolerance: float, minimum_box_side: float
) -> list[LabelScan]:
    if dataset.task != "detection":
        return []
    if not isinstance(dataset, HasYoloLabels):
        return [_scan_by_reading(dataset, index) for index in range(len(dataset))]
    return [
        scan_label_file(
            dataset.label_path(index),
            len(dataset.class_names),
            size=None if image.defect is not None else (image.width, image.height),
            box_tolerance=box_tolerance,
            minimum_box_side=minimum_box_side,
        )
        for index, image in enumerate(images)
    ]


def _scan_by_reading(dataset: Dataset, index: int) -> LabelScan:
    """Judge annotations of another format by whether they can be read."""
    from pytest_mle.inputs.datasets.yolo_label import LabelLine

    try:
        objects = dataset.objects(index)
    except InputError as error:
        return LabelScan(defects=(LineDefect(None, str(error), is_unparsable=True),))
    return LabelScan(tuple(LabelLine(int(label), 0, 0, 0, 0) for label in objects.labels))


@dataclass(frozen=True, slots=True)
class _Census:
    """What was scanned, turned into findings."""

    dataset: Dataset
    samples: Sequence[Sample]
    images: Sequence[ImageScan]
    labels: Sequence[LabelScan]

    def image_findings(self, minimum_side: int) -> Iterator[Findings]:
        """Judge each image by itself."""
        scanned = list(zip(self.samples, self.images, strict=True))
        corrupt = (self._of(sample, image.defect) for sample, image in scanned if image.defect is not None)
        empty = (self._of(sample, "the file has no bytes") for sample, image in scanned if image.is_empty)
        renamed = (self._of(sample, image.wrong_suffix) for sample, image in scanned if image.wrong_suffix is not None)
        small = (
            self._of(sample, f"{image.width} x {image.height} px, each side must have {minimum_side}")
            for sample, image in scanned
            if image.defect is None and min(image.width, image.height) < minimum_side
        )
        flat = (self._of(sample, "nearly one grey level") for sample, image in scanned if image.is_flat)
        yield Findings.collect("corrupt_images", corrupt)
        yield Findings.collect("zero_byte_images", empty)
        yield Findings.collect("wrong_extensions", renamed)
        yield Findings.collect("undersized_images", small)
        yield Findings.collect("flat_images", flat)

    def label_findings(self) -> Iterator[Findings]:
        """Judge labels: missing ones, orphans, lines."""
        missing = [self._label(i, LineDefect(None, "missing")) for i, s in enumerate(self.labels) if s.is_missing]
        unparsable = [self._label(i, d) for i, s in enumerate(self.labels) for d in s.defects if d.is_unparsable]
        wrong = [self._label(i, d) for i, s in enumerate(self.labels) for d in s.defects]
        orphans = self.dataset.orphan_labels() if isinstance(self.dataset, HasYoloLabels) else ()
        yield Findings.collect("missing_labels", missing)
        yield Findings.collect("orphan_labels", (Finding("no image has this label", self._shown(p)) for p in orphans))
        yield Findings.collect("unparsable_label_lines", unparsable)
        yield Findings.collect("annotation_errors", [*wrong, *self._shared_labels(), *self._contradictory_classes()])

    def exact_duplicates(self) -> Findings:
        """List each image whose bytes an earlier one has."""
        groups = exact_duplicates(self.images)
        return Findings.collect(
            "exact_duplicates",
            (
                self._of(self.samples[copied], f"the same bytes as {self.samples[group[0]].id}")
                for group in groups
                for copied in group[1:]
            ),
        )

    def near_duplicates(self, near: NearPairs) -> Findings:
        """List the closest pairs."""
        shown = tuple(
            self._of(self.samples[right], f"looks like {self.samples[left].id} ({bits} of 64 bits differ)")
            for left, right, bits in near.closest
        )
        return Findings("near_duplicate_pairs", near.total, shown)

    def checksum_mismatches(self, attribute: str) -> Findings | None:
        """Compare SHA-256 with the metadata; None if it states none."""
        if attribute not in self.dataset.attribute_names:
            return None
        scanned = zip(self.samples, self.images, strict=True)
        stated = ((sample, image.sha256, str(sample.attributes.get(attribute) or "")) for sample, image in scanned)
        return Findings.collect(
            "checksum_mismatches",
            (
                self._of(sample, f"SHA-256 is {found or 'unknown'}, the metadata says {expected or 'nothing'}")
                for sample, found, expected in stated
                if found != expected.lower()
            ),
        )

    def object_count_mismatches(self, attribute: str) -> Findings | None:
        """Compare the number of label lines with the metadata; None if it states none."""
        if attribute not in self.dataset.attribute_names or self.dataset.task != "detection":
            return None
        counted = zip(self.samples, self.labels, strict=True)
        stated = ((sample, len(label.boxes), sample.attributes.get(attribute)) for sample, label in counted)
        return Findings.collect(
            "object_count_mismatches",
            (
                self._of(sample, f"{found} labelled objects, the metadata says {'nothing' if said is None else said}")
                for sample, found, said in stated
                if found != said
            ),
        )

    def _shared_labels(self) -> Iterator[Finding]:
        """Find images that differ in their suffix only: one label file cannot be true for two."""
        if not isinstance(self.dataset, HasYoloLabels):
            return
        first: dict[Any, Sample] = {}
        for index, sample in enumerate(self.samples):
            owner = first.setdefault(self.dataset.label_path(index), sample)
            if owner is not sample:
                yield self._of(sample, f"shares its label file with {owner.id}")

    def _contradictory_classes(self) -> Iterator[Finding]:
        if self.dataset.task != "classification":
            return
        names = self.dataset.class_names
        for group in exact_duplicates(self.images):
            first = self.dataset.label(group[0])
            for copied in group[1:]:
                label = self.dataset.label(copied)
                if label != first:
                    original = f"{self.samples[group[0]].id} is {names[first]}"
                    yield self._of(self.samples[copied], f"is {names[label]}, but the same image {original}")

    def _label(self, index: int, defect: LineDefect) -> Finding:
        if not isinstance(self.dataset, HasYoloLabels):
            return self._of(self.samples[index], defect.message)
        return Finding(defect.message, self._shown(self.dataset.label_path(index)), defect.line)

    def _of(self, sample: Sample, message: str) -> Finding:
        return Finding(message, self._shown(sample.path))

    def _shown(self, path: Any) -> str:
        return self.dataset.shown(path) if isinstance(self.dataset, ShowsPaths) else str(path)


def _figures(dataset: Dataset, counts: dict[str, int], labels: Sequence[LabelScan]) -> tuple[Figure, ...]:
    defects = Figure(
        kind="bars",
        title="Defects",
        series=(Series("defects", tuple(float(count) for count in counts.values())),),
        labels=tuple(counts),
        y_label="count",
    )
    if dataset.task == "detection":
        numbers = Counter(box.label for label in labels for box in label.boxes)
    else:
        numbers = Counter(dataset.label(index) for index in range(len(dataset)))
    classes = Figure(
        kind="bars",
        title="Objects per class",
        series=(Series("objects", tuple(float(numbers[n]) for n in range(len(dataset.class_names)))),),
        labels=dataset.class_names,
        y_label="count",
    )
    return defects, classes


def _jpeg_decoder() -> str:
    try:
        import simplejpeg
    except ImportError:
        return "OpenCV (damage inside a scan is not seen)"
    return f"simplejpeg {simplejpeg.__version__} (strict)"
