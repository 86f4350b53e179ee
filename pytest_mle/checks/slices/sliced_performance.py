"""How a model performs in every slice of its test set, named or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.classification.class_intervals import lowest_rate
from pytest_mle.checks.cluster_intervals import ClusterCounts, share_over_effective_size
from pytest_mle.checks.declaration import check
from pytest_mle.checks.deployment.paired_outcomes import ClassifiedImages, outcomes_of
from pytest_mle.checks.detection.detection_findings import missed_at_operating_point
from pytest_mle.checks.detection.detection_metrics import Protocol, match_predictions
from pytest_mle.checks.detection.ground_truth import image_clusters
from pytest_mle.checks.experiments.unmeasured import unmeasured
from pytest_mle.checks.slices.partition import Partition, partition_by
from pytest_mle.checks.slices.weak_slices import Outcomes, search_weak_slices, too_small
from pytest_mle.errors import InputError, NotMeasurableError, closest
from pytest_mle.inputs.datasets.yolo import BOX_PROPERTIES
from pytest_mle.inputs.predictions import ClassificationPredictions
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import Bounded, estimate, exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from pytest_mle.checks.slices.weak_slices import Searched
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.records.quantity import Quantity

MOST_SLICES = 100
MOST_BARS = 50
SHOWN_CONFIDENCE = 0.95


@check(
    quantities={
        "performance": estimate("1", "higher", "share of all objects found (recall), or of all images right"),
        "lowest_slice_performance": estimate("1", "higher", "performance in the worst of the named slices"),
        "slices_below_target": exact("{slice}", "lower", "named slices that are not shown, at 95 %, to reach `target`"),
        "weak_slices": exact("{slice}", "lower", "slices, named or not, that are shown to be worse than the rest"),
        "slices": exact("{slice}", "higher", "named slices that are large enough"),
        "small_slices": exact("{slice}", "lower", "named slices that are too small: nothing is known of them"),
        "searched_slices": exact("{slice}", "higher", "slices that were compared with the rest"),
    }
)
def sliced_performance(
    predictions: Predictions,
    *,
    slices_by: tuple[str | tuple[str, str], ...] = (),
    ranges: dict[str, list[float]] | None = None,
    target: float | None = None,
    minimum_slice: int = 30,
    search: bool = True,
    search_pairs: bool = True,
    significance: float = 0.05,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.5,
    sequence: str | None = None,
) -> Measurement:
    """Measure performance in slices of the test set, and search for slices that nobody named.

    Performance is recall of a detector at its operating point, over objects, and accuracy of a classifier, over images.
    Slices are the values of attributes of images (weather) and objects (distance, occlusion, ``box_height_px``,
    ``box_area_px``), ranges of numbers, and pairs of two attributes. Samples without a value are a slice of their own.

    A named slice that is too small shows nothing, so ``lowest_slice_performance`` and ``slices_below_target`` then have
    no value: it is never passed over. No weak slice found is no proof that there is none; that every slice is good is
    shown by ``lowest_slice_performance`` at a confidence.

    Parameters
    ----------
    predictions
        One forward pass, shared with the other checks.
    slices_by
        Attributes to slice by, and pairs of two as a list: ``[weather, distance_m, [weather, lighting]]``. Every
        combination of a named pair counts, those without any sample too.
    ranges
        Limits of ranges by attribute: ``{distance_m: [0, 20, 50]}``. Default: four ranges of equal size for numbers
        with more than 10 values.
    target
        Performance that each slice shall be shown to reach, in 0..1.
    minimum_slice
        Objects (images of a classifier) that a slice needs, from at least two sequences.
    search, search_pairs
        Whether to look for weak slices of all attributes, and of all pairs of two.
    significance
        Chance, at most, of calling any slice weak that is none.
    score_threshold, iou_threshold
        Operating point of a detector.
    sequence
        Attribute of images that groups what is not independent. Default: the data set's sequences.

    Raises
    ------
    NotMeasurableError
        There is nothing to find.
    InputError
        An attribute that neither images nor objects have, or that has more than 100 values; parameters that make no
        sense.

    Notes
    -----
    Shares have Clopper-Pearson bounds over effective units. The lowest of the lower bounds needs no correction to show
    that all slices are good; the upper bound of the worst has Bonferroni's. Weak slices: Fisher's exact test over
    effective units against the rest, with Holm's correction for all slices compared; a pair must be worse than the rest
    of both its slices. The test is cautious: in 500 simulated test sets of 2000 images without a weak slice,
    independent or in sequences of 10, one was found in less than 1 %; a slice of 30 % of the images that was worse by
    22 points was found in all.
    """
    _check_parameters(target, minimum_slice, significance, ranges)
    units = _units(predictions, Protocol(score_threshold, iou_threshold), sequence)
    if not len(units.outcomes.is_wrong):
        raise NotMeasurableError(f"data set {predictions.dataset.name!r} has no {units.noun} to slice")
    partitions = _Partitions(units, ranges or {})
    named = _named_slices(partitions, slices_by)
    small = {name: reason for name, one in named.items() if (reason := units.too_small(one, minimum_slice))}
    rates = {name: units.performance(one) for name, one in named.items() if name not in small}
    overall = units.performance(np.arange(len(units.outcomes.is_wrong)))
    attributes = units.searched_attributes() if search else _flat(slices_by)
    searched = search_weak_slices(
        units.outcomes, list(partitions.all_of(attributes)), minimum_slice=minimum_slice, pairs=search_pairs
    )
    weak = [one for one in searched if one.p_value <= significance]
    missed_target = [name for name, rate in rates.items() if target is not None and not _reaches(rate, target)]
    problem = _problem(named, small)
    return Measurement(
        {
            "performance": overall,
            "lowest_slice_performance": problem or _lowest(rates),
            "slices_below_target": unmeasured("no target: name one in `with: {target: ...}`")
            if target is None
            else problem or len(missed_target),
            "weak_slices": len(weak) if searched else unmeasured("no slice is large enough to be compared"),
            "slices": len(rates),
            "small_slices": len(small),
            "searched_slices": len(searched),
        },
        findings=(
            Findings.collect("weak_slices", (_weak(units, one) for one in weak)),
            Findings.collect("slices_below_target", (_slice(units, name, rates[name]) for name in missed_target)),
            Findings.collect("small_slices", (Finding(reason, subject=name) for name, reason in small.items())),
            Findings.collect(
                "slices", (_slice(units, name, rates[name]) for name in sorted(rates, key=_by_bound(rates)))
            ),
        ),
        figures=_figures(units, rates | {one.name: units.performance(one.units) for one in weak}, overall, target),
        settings={
            "metric": units.metric,
            "slices_by": [one if isinstance(one, str) else list(one) for one in slices_by],
            "searched": list(attributes),
            "not_searched": sorted(set(units.values) - set(attributes)),
            "minimum_slice": minimum_slice,
            "significance": significance,
            "score_threshold": score_threshold,
            "iou_threshold": iou_threshold,
            "cluster_by": sequence or "sequence of the data set",
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Units:
    """What is right or wrong, and the attributes of each."""

    outcomes: Outcomes
    values: Mapping[str, Sequence[Any]]
    noun: str
    metric: str

    def counts(self, units: NDArray[np.int64]) -> ClusterCounts:
        errors = self.outcomes.errors(units)
        return ClusterCounts(errors.units - errors.events, errors.units)

    def performance(self, units: NDArray[np.int64]) -> Quantity:
        return share_over_effective_size(self.counts(units))

    def too_small(self, units: NDArray[np.int64], minimum_slice: int) -> str | None:
        return too_small(self.outcomes.errors(units), minimum_slice, self.noun)

    def searched_attributes(self) -> tuple[str, ...]:
        """Return the attributes that make slices: neither names of samples nor always the same."""
        return tuple(
            name for name, values in self.values.items() if 1 < len(partition_by(name, values).names) <= MOST_SLICES
        )


def _check_parameters(target: Any, minimum_slice: int, significance: float, ranges: Any) -> None:
    if target is not None and not (isinstance(target, (int, float)) and 0 <= target <= 1):
        raise InputError(f"target must be a number in 0..1, such as 0.9, got {target!r}")
    if ranges is not None and not isinstance(ranges, dict):
        raise InputError(f"ranges must give limits by attribute, such as {{distance_m: [0, 20, 50]}}, got {ranges!r}")
    if minimum_slice < 1:
        raise InputError(f"minimum_slice must be at least 1, got {minimum_slice}")
    if not 0 < significance < 1:
        raise InputError(f"significance must lie between 0 and 1, got {significance}")


def _units(predictions: Predictions, protocol: Protocol, sequence: str | None) -> _Units:
    dataset = predictions.dataset
    cluster = image_clusters(dataset, sequence).of_image
    if isinstance(predictions, ClassificationPredictions):
        outcomes = outcomes_of(predictions, "accuracy", protocol)
        assert isinstance(outcomes, ClassifiedImages)
        images = np.arange(len(dataset))
        return _Units(Outcomes(~outcomes.correct, cluster), _image_values(dataset, images), "images", "accuracy")
    matched = match_predictions(predictions, protocol)
    counted = np.flatnonzero(~matched.operating_table.truth_ignored)
    images = matched.truth.image_index[counted]
    wrong = missed_at_operating_point(matched)[counted]
    of_images, of_objects = _image_values(dataset, images), _object_values(dataset, matched.truth.boxes, counted)
    both = sorted(of_images.keys() & of_objects.keys())
    if both:
        raise InputError(f"both images and objects have an attribute {both[0]!r}: rename one of the columns")
    return _Units(Outcomes(wrong, cluster[images]), of_images | of_objects, "objects", "recall")


def _image_values(dataset: Dataset, images: NDArray[np.int64]) -> dict[str, list[Any]]:
    attributes = [dataset.sample(index).attributes for index in range(len(dataset))]
    return {name: [attributes[image].get(name) for image in images.tolist()] for name in dataset.attribute_names}


def _object_values(
    dataset: Dataset, boxes: NDArray[np.float64], counted: NDArray[np.int64]
) -> dict[str, Sequence[Any]]:
    sides = boxes[counted, 2:] - boxes[counted, :2]
    properties = dict(zip(BOX_PROPERTIES, (sides[:, 1].tolist(), sides.prod(axis=1).tolist()), strict=True))
    if not dataset.object_attribute_names:
        return {**properties}
    rows: list[Mapping[str, Any]] = []
    for index in range(len(dataset)):
        objects = dataset.objects(index)
        rows += objects.attributes or [{}] * len(objects.labels)
    return properties | {
        name: [rows[row].get(name) for row in counted.tolist()] for name in dataset.object_attribute_names
    }


class _Partitions:
    """Partitions by attribute, made once."""

    def __init__(self, units: _Units, ranges: Mapping[str, Sequence[float]]) -> None:
        self._units = units
        self._ranges = ranges
        self._made: dict[str, Partition] = {}
        for attribute in ranges:
            self.of(attribute)

    def of(self, attribute: str) -> Partition:
        values = self._units.values.get(attribute)
        if values is None:
            hint = closest(attribute, tuple(self._units.values))
            raise InputError(f"there is no attribute {attribute!r} of images or objects. {hint}")
        if attribute not in self._made:
            self._made[attribute] = partition_by(attribute, values, edges=self._ranges.get(attribute))
        return self._made[attribute]

    def all_of(self, attributes: Sequence[str]) -> Iterator[Partition]:
        yield from (self.of(attribute) for attribute in attributes)


def _flat(slices_by: Sequence[str | Sequence[str]]) -> tuple[str, ...]:
    names = (name for one in slices_by for name in ([one] if isinstance(one, str) else one))
    return tuple(dict.fromkeys(names))


def _named_slices(partitions: _Partitions, slices_by: Sequence[str | Sequence[str]]) -> dict[str, NDArray[np.int64]]:
    if isinstance(slices_by, str):
        raise InputError(f"slices_by must be a list of attributes: write [{slices_by}]")
    named: dict[str, NDArray[np.int64]] = {}
    for entry in slices_by:
        attributes = [entry] if isinstance(entry, str) else list(entry)
        if not 1 <= len(set(attributes)) == len(attributes) <= 2:
            raise InputError(f"slices_by: an entry is an attribute or a pair of two, got {attributes}")
        partition = partitions.of(attributes[0])
        for other in attributes[1:]:
            partition = partition.crossed_with(partitions.of(other))
        if len(partition.names) > MOST_SLICES:
            what = " and ".join(attributes)
            raise InputError(
                f"slices_by: {what} make {len(partition.names)} slices, at most {MOST_SLICES} can be named"
            )
        named |= {name: np.flatnonzero(partition.cell == number) for number, name in enumerate(partition.names)}
    return named


def _problem(named: Mapping[str, Any], small: Mapping[str, str]) -> Quantity | None:
    """Say why the named slices as a whole show nothing, or return None."""
    if not named:
        return unmeasured("no slice is named: `with: {slices_by: [...]}`")
    if small:
        shown = "; ".join(f"{name}: {reason}" for name, reason in list(small.items())[:3])
        return unmeasured(f"{len(small)} of {len(named)} slices are too small: {shown}")
    return None


def _lowest(rates: Mapping[str, Quantity]) -> Bounded:
    lowest = lowest_rate(list(rates.values()))
    return replace(lowest, method=f"lowest of the bounds of {len(rates)} slices")


def _reaches(rate: Quantity, target: float) -> bool:
    bounds = rate.bounds(SHOWN_CONFIDENCE)
    return bounds is not None and bounds[0] >= target


def _shown_bounds(rate: Quantity) -> tuple[float, float]:
    return rate.bounds(SHOWN_CONFIDENCE) or (float("nan"), float("nan"))


def _by_bound(rates: Mapping[str, Quantity]) -> Any:
    return lambda name: (_shown_bounds(rates[name])[0], name)


def _slice(units: _Units, name: str, rate: Quantity) -> Finding:
    lower = _shown_bounds(rate)[0]
    message = f"{units.metric} {rate.value:.1%} of {rate.n} {units.noun}, at least {lower:.1%}"
    return Finding(message, subject=name)


def _weak(units: _Units, found: Searched) -> Finding:
    rate = units.performance(found.units)
    is_rest = np.ones(len(units.outcomes.is_wrong), dtype=np.bool_)
    is_rest[found.units] = False
    rest = units.performance(np.flatnonzero(is_rest))
    message = (
        f"{units.metric} {rate.value:.1%} of {rate.n} {units.noun}, at most {_shown_bounds(rate)[1]:.1%}; "
        f"{rest.value:.1%} of the other {rest.n} (p = {found.p_value:.2g} after Holm)"
    )
    return Finding(message, subject=found.name)


def _figures(
    units: _Units, rates: Mapping[str, Quantity], overall: Quantity, target: float | None
) -> tuple[Figure, ...]:
    names = sorted(rates, key=_by_bound(rates))[:MOST_BARS]
    if not names:
        return ()
    bounds = [_shown_bounds(rates[name]) for name in names]
    return (
        Figure(
            "bars",
            f"{units.metric.capitalize()} by slice with one-sided {SHOWN_CONFIDENCE:.0%} bounds",
            series=(
                Series(
                    units.metric,
                    tuple(rates[name].value for name in names),
                    lower=tuple(low for low, _ in bounds),
                    upper=tuple(high for _, high in bounds),
                ),
            ),
            labels=tuple(names),
            y_label=units.metric,
            marks=(("all", overall.value), *(() if target is None else (("target", target),))),
        ),
    )
