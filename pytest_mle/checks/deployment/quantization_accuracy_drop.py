"""What quantization, pruning or conversion costs in accuracy, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.cluster_intervals import (
    ClusterCounts,
    ClusteredScore,
    clustered_score,
    share_over_effective_size,
)
from pytest_mle.checks.declaration import check
from pytest_mle.checks.deployment.paired_outcomes import METRICS, outcomes_of
from pytest_mle.checks.detection.detection_findings import path_for_reports
from pytest_mle.checks.detection.detection_metrics import Protocol
from pytest_mle.checks.detection.ground_truth import Clusters, image_clusters
from pytest_mle.checks.detection.resampling import draw_cluster_weights
from pytest_mle.errors import InputError, closest
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import CAP, Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import Bounded, PointEstimate, estimate, exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_mle.checks.deployment.paired_outcomes import Outcomes
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.records.quantity import Quantity

FEWEST_RESAMPLES = 1000
MOST_SLICES = 100
MISSING = "(missing)"


@check(
    quantities={
        "absolute_accuracy_drop": estimate("1", "lower", "accuracy of the reference minus that of the candidate"),
        "relative_accuracy_drop": estimate("1", "lower", "absolute drop by the accuracy of the reference"),
        "absolute_worst_slice_drop": estimate("1", "lower", "largest absolute drop of any slice that is large enough"),
        "reference_accuracy": estimate("1", "higher", "accuracy of the reference by the chosen metric"),
        "candidate_accuracy": estimate("1", "higher", "accuracy of the candidate by the chosen metric"),
        "discordant_share": estimate(
            "1",
            "lower",
            "share of the images on which the two are not equally right, for detectors at the operating point",
        ),
        "images": exact("{image}", "higher", "images that both models saw"),
        "slices": exact("{slice}", "higher", "slices that are large enough to be compared"),
        "small_slices": exact("{slice}", "lower", "slices too small to be compared: nothing is known of them"),
    }
)
def quantization_accuracy_drop(
    reference: Predictions,
    candidate: Predictions,
    rng: np.random.Generator,
    *,
    metric: str | None = None,
    slices_by: tuple[str, ...] = (),
    minimum_slice: int = 30,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.5,
    max_detections: int = 100,
    resamples: int = 2000,
    sequence: str | None = None,
) -> Measurement:
    """Measure how much accuracy a candidate (quantized, pruned, converted) loses against its reference.

    Both models are compared on the same images, so that what makes an image hard cancels out. Bind them with
    ``using: {reference: float_model, candidate: deployed}``.

    Parameters
    ----------
    metric
        What accuracy means: ``map_50``, ``map_50_95``, ``recall`` or ``f1`` of a detector (default ``map_50``),
        ``accuracy`` of a classifier.
    slices_by
        Attributes of images with few values (weather, lighting); each value is a slice, images without one form the
        slice ``(missing)``.
    minimum_slice
        A slice with fewer images is counted in ``small_slices`` and never as fine.
    score_threshold, iou_threshold
        Operating point, for ``recall`` and ``f1``.
    max_detections
        Best scored detections that count per image and class.
    resamples
        Bootstrap resamples, at least 1000.
    sequence
        Attribute of images that groups what is not independent. Default: the data set's sequences.

    Raises
    ------
    InputError
        Models of different tasks, an unknown metric or attribute, or parameters that make no sense.

    Notes
    -----
    Bounds are a paired percentile bootstrap: each resample of sequences is evaluated for both models. With fewer than
    20 sequences there is no interval. Where the models differ in fewer than 10 sequences, bounds are widened by the
    sequences with a difference that Clopper-Pearson cannot exclude: two models without any difference in n sequences
    show, at 95 % confidence, a drop below 1 - 0.05 ** (1 / n) and not of 0 (this needs no 20 sequences).

    The worst slice has the largest upper bound of any slice, which needs no correction to show that every slice is
    fine, and the largest lower bound at a confidence corrected for the number of slices (Bonferroni), since it was
    looked for. Without ``slices_by``, or if all slices are too small, it is NaN.
    """
    task = reference.dataset.task
    chosen = metric or METRICS[task][0]
    _check_parameters(resamples, minimum_slice)
    protocol = Protocol(score_threshold, iou_threshold, None, max_detections)
    images = len(candidate.dataset)
    validity = _pairing(reference, candidate)
    settings = {
        "metric": chosen,
        "slices_by": list(slices_by),
        "minimum_slice": minimum_slice,
        "resamples": resamples,
        "cluster_by": sequence or "sequence of the data set",
        **(protocol.settings() if task == "detection" else {}),
    }
    outcomes = _Pair(outcomes_of(reference, chosen, protocol), outcomes_of(candidate, chosen, protocol))
    if not all(condition.holds for condition in validity):
        return Measurement({"images": images}, validity=tuple(validity), settings=settings)
    units = outcomes.reference.units
    validity.append(ValidityCondition("something_to_find", units > 0, f"{units} objects or images"))
    if units == 0:
        return Measurement({"images": images}, validity=tuple(validity), settings=settings)

    dataset = reference.dataset
    clusters = image_clusters(dataset, sequence)
    whole = _compare(outcomes, clusters, rng, resamples)
    validity.append(_better_than_chance(whole.reference.value, dataset))
    slices = _slices(dataset, slices_by)
    compared: dict[str, _Comparison] = {}
    small: dict[str, str] = {}
    for name, positions in slices.items():
        part = outcomes.restricted_to(positions)
        reason = _too_small(len(positions), part.reference.units, minimum_slice)
        if reason:
            small[name] = reason
        else:
            compared[name] = _compare(part, clusters.restricted_to(positions), rng, resamples)
    return Measurement(
        {
            "absolute_accuracy_drop": whole.drop,
            "relative_accuracy_drop": whole.relative_drop,
            "absolute_worst_slice_drop": _worst(compared),
            "reference_accuracy": whole.reference,
            "candidate_accuracy": whole.candidate,
            "discordant_share": _discordant_share(outcomes, clusters),
            "images": images,
            "slices": len(compared),
            "small_slices": len(small),
        },
        findings=(
            _slice_findings(compared),
            Findings.collect("small_slices", (Finding(reason, subject=name) for name, reason in small.items())),
            _worse_images(outcomes, dataset),
        ),
        validity=tuple(validity),
        figures=(_figure(chosen, {"all": whole, **compared}),),
        settings=settings | {"clusters": clusters.count},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """Outcomes of both models on the same images."""

    reference: Outcomes
    candidate: Outcomes

    def restricted_to(self, images: NDArray[np.int64]) -> _Pair:
        return _Pair(self.reference.restricted_to(images), self.candidate.restricted_to(images))

    def differ(self) -> NDArray[np.bool_]:
        return self.reference.differ_from(self.candidate)


@dataclass(frozen=True, slots=True, eq=False)
class _Comparison:
    """Accuracy of both models and its drop."""

    reference: Quantity
    candidate: Quantity
    drop: Quantity
    relative_drop: Quantity
    images: int


def _check_parameters(resamples: int, minimum_slice: int) -> None:
    if resamples < FEWEST_RESAMPLES:
        raise InputError(f"resamples must be at least {FEWEST_RESAMPLES} for a bound at 95 %, got {resamples}")
    if minimum_slice < 1:
        raise InputError(f"minimum_slice must be at least 1, got {minimum_slice}")


def _pairing(reference: Predictions, candidate: Predictions) -> list[ValidityCondition]:
    """Say whether two different models saw the same images."""
    if type(reference) is not type(candidate):
        raise InputError(
            f"model {reference.model.name!r} is for {reference.model.task} and model {candidate.model.name!r} for "
            f"{candidate.model.task}: only models of one task can be compared"
        )
    difference = _difference(reference.dataset, candidate.dataset)
    is_same_model = reference.model is candidate.model or reference.model.digest == candidate.model.digest
    names = f"{reference.model.name!r} and {candidate.model.name!r}"
    return [
        ValidityCondition("same_images", not difference, difference or "same images in the same order"),
        # The default binding gives the same model twice, and a model loses nothing against itself.
        ValidityCondition(
            "two_models",
            not is_same_model,
            f"{names} are the same model: bind two with `using: {{reference: ..., candidate: ...}}`"
            if is_same_model
            else names,
        ),
    ]


def _difference(reference: Dataset, candidate: Dataset) -> str:
    if reference is candidate:
        return ""
    if len(reference) != len(candidate):
        return f"{len(reference)} and {len(candidate)} images"
    for index in range(len(reference)):
        ids = reference.sample(index).id, candidate.sample(index).id
        if ids[0] != ids[1]:
            return f"image {index} is {ids[0]} for one model and {ids[1]} for the other"
    return "" if reference.digest == candidate.digest else "images of the same names with other contents or labels"


def _better_than_chance(accuracy: float, dataset: Dataset) -> ValidityCondition:
    """Require a reference that has something to lose."""
    chance = 1 / max(len(dataset.class_names), 1) if dataset.task == "classification" else 0.0
    return ValidityCondition(
        "reference_better_than_chance",
        bool(accuracy > chance),
        f"the reference reaches {100 * accuracy:.1f} %, chance is {100 * chance:.1f} %",
    )


def _compare(pair: _Pair, clusters: Clusters, rng: np.random.Generator, resamples: int) -> _Comparison:
    weights = _weights(clusters.count, rng, resamples)
    reference, candidate = (one.scores(clusters.of_image, weights) for one in (pair.reference, pair.candidate))
    sizes = clusters.sums(np.ones(len(clusters.of_image)))

    def counts(images: NDArray[np.bool_]) -> ClusterCounts:
        return ClusterCounts(clusters.sums(images), sizes)

    def quantity(values: NDArray[Any], errors: ClusterCounts, hits: ClusterCounts, **scale: float) -> Quantity:
        return clustered_score(ClusteredScore(float(values[0]), values[1:], errors, hits, **scale), clusters.noun)

    accuracies = []
    for outcomes, values in ((pair.reference, reference), (pair.candidate, candidate)):
        lowered, raised = outcomes.lowered_and_raised()
        accuracies.append(quantity(values, counts(lowered), counts(raised)))
    drop = reference - candidate
    relative = np.divide(drop, reference, out=np.full(len(drop), np.nan), where=reference > 0)
    step = 1 / float(reference[0]) if reference[0] > 0 else 1.0
    differing = counts(pair.differ())
    return _Comparison(
        accuracies[0],
        accuracies[1],
        drop=quantity(drop, differing, differing, lowest=-1.0),
        relative_drop=quantity(relative, differing, differing, lowest=-step, step=step),
        images=len(clusters.of_image),
    )


def _weights(clusters: int, rng: np.random.Generator, resamples: int) -> NDArray[Any]:
    """Return how often each cluster counts ``(row, cluster)``: once each in the first row, then as drawn."""
    whole = np.ones((1, clusters), dtype=np.uint8)
    return whole if clusters < 2 else np.concatenate((whole, draw_cluster_weights(rng, clusters, resamples)))


def _discordant_share(pair: _Pair, clusters: Clusters) -> Quantity:
    discordant = pair.reference.discordant_with(pair.candidate)
    counts = ClusterCounts(clusters.sums(discordant), clusters.sums(np.ones(len(discordant))))
    return share_over_effective_size(counts)


def _slices(dataset: Dataset, attributes: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Return the positions of the images of each slice, by ``attribute=value``."""
    if isinstance(attributes, str):
        raise InputError(f"slices_by must be a list of attributes: write [{attributes}]")
    slices: dict[str, NDArray[np.int64]] = {}
    for attribute in attributes:
        if attribute not in dataset.attribute_names:
            hint = closest(attribute, dataset.attribute_names)
            raise InputError(
                f"slices_by: the images of data set {dataset.name!r} have no attribute {attribute!r}. {hint}"
            )
        positions: dict[str, list[int]] = {}
        for index in range(len(dataset)):
            value = dataset.sample(index).attributes.get(attribute)
            positions.setdefault(MISSING if value is None else str(value), []).append(index)
        if len(positions) > MOST_SLICES:
            raise InputError(
                f"slices_by: attribute {attribute!r} has {len(positions)} values, at most {MOST_SLICES} make slices"
            )
        slices |= {f"{attribute}={value}": np.array(positions[value]) for value in sorted(positions)}
    return slices


def _too_small(images: int, units: int, minimum_slice: int) -> str:
    if images < minimum_slice:
        return f"{images} images, at least {minimum_slice} are needed"
    return "" if units else f"nothing to find in its {images} images"


def _worst(compared: dict[str, _Comparison]) -> Quantity:
    if not compared:
        return PointEstimate(float("nan"), 0, "no slice was compared")
    drops = [one.drop for one in compared.values()]

    def bound(confidence: float) -> tuple[float, float]:
        upper = [bounds[1] if (bounds := drop.bounds(confidence)) else 1.0 for drop in drops]
        corrected = 1 - (1 - confidence) / len(drops)
        lower = [bounds[0] if (bounds := drop.bounds(corrected)) else -1.0 for drop in drops]
        return max(lower), max(upper)

    worst = max(drops, key=lambda drop: drop.value)
    return Bounded(worst.value, bound, worst.n, f"largest bound of {len(drops)} slices, the lower one by Bonferroni")


def _slice_findings(compared: dict[str, _Comparison]) -> Findings:
    worst_first = sorted(compared.items(), key=lambda item: (-item[1].drop.value, item[0]))
    return Findings.collect("slices", (Finding(_described(one), subject=name) for name, one in worst_first))


def _described(comparison: _Comparison) -> str:
    before, after = 100 * comparison.reference.value, 100 * comparison.candidate.value
    return f"drop of {before - after:.2f} pp ({before:.1f} % to {after:.1f} %) on {comparison.images} images"


def _worse_images(pair: _Pair, dataset: Dataset) -> Findings:
    """List the images on which the candidate makes more errors than the reference."""
    before, after = pair.reference.losses(), pair.candidate.losses()
    worse = np.flatnonzero(after > before)
    first = worse[np.argsort((before - after)[worse], kind="stable")[:CAP]].tolist()
    shown = tuple(
        Finding(f"{before[index]:.0f} errors became {after[index]:.0f}", path=path_for_reports(dataset, index))
        for index in first
    )
    return Findings("worse_images", len(worse), shown)


def _figure(metric: str, comparisons: dict[str, _Comparison]) -> Figure:
    return Figure(
        "bars",
        f"{metric} of reference and candidate",
        series=(
            Series("reference", tuple(float(one.reference.value) for one in comparisons.values())),
            Series("candidate", tuple(float(one.candidate.value) for one in comparisons.values())),
        ),
        labels=tuple(f"{name} (n={one.images})" for name, one in comparisons.items()),
        y_label=metric,
    )
