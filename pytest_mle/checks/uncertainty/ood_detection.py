"""Whether a model's own score tells unknown inputs from those that it was made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from pytest_mle.checks.cluster_intervals import ClusterCounts, share_over_effective_size
from pytest_mle.checks.declaration import check
from pytest_mle.checks.detection.detection_findings import path_for_reports
from pytest_mle.checks.detection.ground_truth import image_clusters
from pytest_mle.checks.uncertainty.auroc import ScoredUnits, clustered_auroc
from pytest_mle.checks.uncertainty.ood_scores import (
    class_distance,
    logits_of,
    negative_energy,
    neighbour_distance,
    network_output,
    output_confidence,
    predict_unlabelled,
    shared_images,
)
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import CAP, Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.progress import no_progress
from pytest_mle.records.quantity import Bounded, Percentile, estimate, exact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.records.progress import Progress
    from pytest_mle.records.quantity import Quantity

    Floats = NDArray[np.float64]

MINIMUM_IMAGES = 30
ACCEPTED_SHARE = 0.95
HISTOGRAM_BINS = 20
Score = Literal["max_softmax", "max_detection_score", "energy", "mahalanobis", "nearest_neighbours"]
FEATURE_SCORES = ("mahalanobis", "nearest_neighbours")


@check(
    quantities={
        "ood_auroc": estimate("1", "higher", "how often a known image scores higher than an unknown one"),
        "false_positive_rate_at_95_tpr": estimate(
            "1", "lower", "share of the unknown images taken for known at the threshold that accepts 95 % of the known"
        ),
        "threshold_at_95_tpr": estimate("1", None, "the score that 95 % of the known images reach"),
        "ood_n": exact("{image}", "higher", "unknown images"),
        "in_distribution_n": exact("{image}", "higher", "known images"),
    }
)
def ood_detection(
    predictions: Predictions,
    ood: Dataset,
    progress: Progress = no_progress,
    reference: Dataset | None = None,
    *,
    score: Literal["max_softmax", "max_detection_score", "energy", "mahalanobis", "nearest_neighbours"] | None = None,
    features: str | None = None,
    neighbours: int = 50,
    sequence: str | None = None,
) -> Measurement:
    """Measure how well a score tells images of an unknown kind from those of the test set.

    Bind the unknown images with ``using: {ood: fog}``; their labels are not looked at. Near and far ones belong into
    items of their own (``for_each``): a different camera alone makes them easy to tell.

    Validity: at least 30 images a side, no image on both, scores that are not all alike.

    Parameters
    ----------
    predictions, ood
        The model on the images that it was made for, and images of another kind for it.
    reference
        Images that the model knows, for ``mahalanobis`` and ``nearest_neighbours``: of the training set, not those
        of the test (``using: {reference: train}``).
    score
        ``max_softmax`` (default of a classifier): its largest probability; ``energy``: of its logits;
        ``max_detection_score`` (default of a detector): the highest score of an image, 0 without a detection;
        ``mahalanobis`` and ``nearest_neighbours``: distance of the features to those of the reference.
    features
        For these two: name of the network's output that holds the features.
    neighbours
        Which nearest neighbour counts.
    sequence
        Attribute of images that groups what is not independent; unknown images without it, and the default, go by the
        data set's sequences.

    Raises
    ------
    InputError
        For a score that the model cannot give, features or a reference that are missing.
    NotMeasurableError
        If either side is empty.

    Notes
    -----
    Known images are the positives, as in Hendrycks and Gimpel 2017. Energy: Liu et al. 2020; Mahalanobis: Lee et al.
    2018, of one layer and without their change of the input; nearest neighbours: Sun et al. 2022.

    Bounds are over sequences: of the area as of a mean of its variance (Obuchowski 1997), exact near 1; of the false
    positive rate those of Clopper and Pearson at the bounds of the threshold, each at half the error: the threshold was
    found on a sample, too. In simulations both held in 95 % of the data sets or more.
    """
    dataset = predictions.dataset
    for one in (dataset, ood):
        if len(one) == 0:
            raise NotMeasurableError(f"data set {one.name!r} holds no samples")
    chosen = _chosen_score(predictions, score)
    shared = shared_images(dataset, ood)
    conditions = [
        *(
            ValidityCondition(
                f"enough_{name}_images",
                len(one) >= MINIMUM_IMAGES,
                f"{len(one)} {name} images, at least {MINIMUM_IMAGES} are needed",
            )
            for name, one in (("known", dataset), ("unknown", ood))
        ),
        ValidityCondition(
            "data_are_different",
            not shared,
            f"{len(shared)} of {len(ood)} unknown images are known ones as well: is `using` bound to other data?",
        ),
    ]
    if reference is not None:
        trained_on = shared_images(reference, dataset)
        conditions.append(
            ValidityCondition(
                "reference_is_not_the_test",
                not trained_on,
                f"{len(trained_on)} of {len(dataset)} known images are in the reference as well",
            )
        )
    counts: dict[str, Quantity | float] = {"ood_n": len(ood), "in_distribution_n": len(dataset)}
    settings = {
        "score": chosen,
        "features": features,
        "neighbours": neighbours if chosen == "nearest_neighbours" else None,
    }
    if not all(condition.holds for condition in conditions):
        return Measurement(counts, validity=tuple(conditions), settings=settings)
    scorer = _Scorer(predictions, reference, chosen, features, neighbours, progress)
    known, unknown = scorer.scores(ood)
    distinct = len(np.unique(np.concatenate((known, unknown))))
    conditions.append(ValidityCondition("scores_differ", distinct > 1, f"{distinct} distinct scores of all images"))
    sides = _Sides.of((dataset, ood), (known, unknown), sequence)
    return Measurement(
        {
            "ood_auroc": clustered_auroc(sides.known, sides.unknown, sides.noun),
            "false_positive_rate_at_95_tpr": sides.false_positive_rate(),
            "threshold_at_95_tpr": sides.threshold(),
            **counts,
        },
        findings=(_accepted(ood, unknown, sides.threshold().value),),
        validity=tuple(conditions),
        figures=(_histogram(chosen, known, unknown, sides.threshold().value),),
        settings=settings,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Scorer:
    predictions: Predictions
    reference: Dataset | None
    score: str
    features: str | None
    neighbours: int
    progress: Progress

    def scores(self, ood: Dataset) -> tuple[Floats, Floats]:
        """Return the score of each known and of each unknown image; higher is more familiar."""
        model, dataset = self.predictions.model, self.predictions.dataset
        if self.score in FEATURE_SCORES:
            return self._feature_scores(ood)
        if self.score == "energy":
            known, unknown = (negative_energy(logits_of(model, one, self.progress)) for one in (dataset, ood))
            return known, unknown
        return output_confidence(self.predictions), output_confidence(predict_unlabelled(model, ood, self.progress))

    def _feature_scores(self, ood: Dataset) -> tuple[Floats, Floats]:
        reference, model = self.reference, self.predictions.model
        if reference is None or self.features is None:
            missing = "features (the network's output that holds them)" if reference else "using: {reference: train}"
            raise InputError(f"score: {self.score} needs {missing}")
        if self.score == "nearest_neighbours" and not 1 <= self.neighbours <= len(reference):
            raise InputError(f"neighbours must lie in 1..{len(reference)} for this reference, got {self.neighbours}")
        base, known, unknown = (
            network_output(model, one, self.features, self.progress)
            for one in (reference, self.predictions.dataset, ood)
        )
        if self.score == "nearest_neighbours":
            return neighbour_distance(known, base, self.neighbours), neighbour_distance(unknown, base, self.neighbours)
        labels = np.zeros(len(base), dtype=np.int64)
        if reference.task == "classification":
            labels = np.array([reference.label(index) for index in range(len(reference))], dtype=np.int64)
        return class_distance(known, base, labels), class_distance(unknown, base, labels)


@dataclass(frozen=True, slots=True, eq=False)
class _Sides:
    """Scores of known and unknown images with their clusters, numbered on."""

    known: ScoredUnits
    unknown: ScoredUnits
    noun: str

    @classmethod
    def of(cls, datasets: tuple[Dataset, Dataset], scores: tuple[Floats, Floats], sequence: str | None) -> _Sides:
        first = image_clusters(datasets[0], sequence)
        second = image_clusters(datasets[1], sequence if sequence in datasets[1].attribute_names else None)
        known = ScoredUnits(scores[0], first.of_image)
        return cls(known, ScoredUnits(scores[1], second.of_image + first.count), first.noun)

    def threshold(self) -> Bounded:
        """Return the highest score that 95 % of the known images reach, with bounds from order statistics."""
        ordered = np.sort(self.known.scores)
        value = float(ordered[len(ordered) - int(np.ceil(ACCEPTED_SHARE * len(ordered) - 1e-9))])
        below = share_over_effective_size(_counts(self.known, self.known.scores < value))
        size = getattr(below, "effective_trials", None) or len(ordered)
        order = Percentile(ordered, 1 - ACCEPTED_SHARE, block=int(np.ceil(len(ordered) / size)))
        return Bounded(value, order.bounds, len(ordered), order.method)

    def false_positive_rate(self) -> Quantity:
        """Return the share of unknown images that reach the threshold, whose own uncertainty counts as well."""
        threshold = self.threshold()

        def bounds(confidence: float) -> tuple[float, float]:
            half = (1 + confidence) / 2
            lowest, highest = threshold.bounds(half)
            return self._rate(highest).bounds(half)[0], self._rate(lowest).bounds(half)[1]  # type: ignore[index]

        count = len(self.unknown.scores)
        method = "Clopper-Pearson at order statistics of the threshold"
        return Bounded(self._rate(threshold.value).value, bounds, count, method)

    def _rate(self, threshold: float) -> Quantity:
        return share_over_effective_size(_counts(self.unknown, self.unknown.scores >= threshold))


def _counts(units: ScoredUnits, events: NDArray[np.bool_]) -> ClusterCounts:
    _, cluster = np.unique(units.clusters, return_inverse=True)
    flat = cluster.reshape(-1)
    return ClusterCounts(np.bincount(flat, weights=events).astype(np.float64), np.bincount(flat).astype(np.float64))


def _chosen_score(predictions: Predictions, score: str | None) -> str:
    """Return the score, and see that the model's task has it."""
    task = predictions.model.task
    own = "max_softmax" if task == "classification" else "max_detection_score"
    other = {"max_softmax", "energy", "max_detection_score"} - ({own, "energy"} if task == "classification" else {own})
    if score in other:
        raise InputError(f"model {predictions.model.name!r} is for {task} and has no {score}; use {own}")
    return score or own


def _accepted(ood: Dataset, scores: Floats, threshold: float) -> Findings:
    """List the unknown images that are taken for known ones, the most familiar first."""
    taken = np.flatnonzero(scores >= threshold)
    first = taken[np.argsort(-scores[taken], kind="stable")[:CAP]].tolist()
    shown = tuple(Finding(f"score {scores[index]:.4g}", path=path_for_reports(ood, index)) for index in first)
    return Findings("unknown_taken_for_known", len(taken), shown)


def _histogram(score: str, known: Floats, unknown: Floats, threshold: float) -> Figure:
    edges = np.histogram_bin_edges(np.concatenate((known, unknown)), bins=HISTOGRAM_BINS)
    return Figure(
        "histogram",
        f"Scores ({score}) of known and unknown images",
        series=tuple(
            Series(name, tuple((np.histogram(values, edges)[0] / len(values)).tolist()), x=tuple(edges[:-1].tolist()))
            for name, values in (("known", known), ("unknown", unknown))
        ),
        labels=tuple(f"{edge:.4g}" for edge in edges[:-1]),
        x_label="score",
        y_label="share of images",
        marks=(("95 % of the known", threshold),),
    )
