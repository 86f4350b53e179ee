"""Whether a model's disagreement with itself tells where it errs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pytest_mle.checks.cluster_intervals import MINIMUM_CLUSTERS, ClusterCounts, share_over_effective_size
from pytest_mle.checks.declaration import check
from pytest_mle.checks.deployment.paired_outcomes import ClassifiedImages, outcomes_of
from pytest_mle.checks.detection.detection_findings import path_for_reports
from pytest_mle.checks.detection.detection_metrics import Protocol
from pytest_mle.checks.detection.ground_truth import image_clusters
from pytest_mle.checks.intervals import bootstrap_totals
from pytest_mle.checks.uncertainty.auroc import ScoredUnits, clustered_auroc
from pytest_mle.checks.uncertainty.members import Opinions, dropout_opinions
from pytest_mle.checks.uncertainty.ood_scores import predict_unlabelled, shared_images
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.predictions import ClassificationPredictions
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import CAP, Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.progress import no_progress
from pytest_mle.records.quantity import PointEstimate, Resampled, estimate, exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_mle.checks.detection.ground_truth import Clusters
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.records.progress import Progress
    from pytest_mle.records.quantity import Quantity

    Floats = NDArray[np.float64]

MINIMUM_IMAGES = 30
MOST_PASSES = 1000
RESAMPLES = 2000


@check(
    quantities={
        "members": exact("1", "higher", "members of the ensemble, or passes with dropout"),
        "uncertainty_error_auroc": estimate(
            "1", "higher", "how often a wrong prediction is more uncertain than a right one"
        ),
        "ood_uncertainty_ratio": estimate("1", "higher", "mean uncertainty of unknown images by that of known ones"),
        "mean_uncertainty": estimate("1", None, "mean uncertainty by the chosen score"),
        "accuracy": estimate("1", "higher", "share of right predictions, whose errors are looked for"),
        "images": exact("{image}", "higher", "images of the test set"),
    }
)
def epistemic_uncertainty(
    predictions: Predictions,
    dataset: Dataset,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    ood: Dataset | None = None,
    member_2: Predictions | None = None,
    member_3: Predictions | None = None,
    member_4: Predictions | None = None,
    member_5: Predictions | None = None,
    member_6: Predictions | None = None,
    member_7: Predictions | None = None,
    member_8: Predictions | None = None,
    member_9: Predictions | None = None,
    member_10: Predictions | None = None,
    *,
    score: Literal["mutual_information", "predictive_entropy", "variance"] = "mutual_information",
    passes: int = 20,
    sequence: str | None = None,
) -> Measurement:
    """Measure whether the disagreement of an ensemble, or of passes with dropout, tells where a classifier errs.

    An ensemble is several models: ``using: {predictions: seed_1, member_2: seed_2, member_3: seed_3}``; its prediction
    is the mean of theirs. Without other members it is Monte Carlo dropout: the model's dropout layers alone are
    switched on, batch normalisation stays in evaluation mode, and the errors are those of the model as it is used.

    Validity: at least 30 images, members (or passes) that are not all the same, no unknown image that is a known one.

    Parameters
    ----------
    predictions, dataset
        The model, or the first member, on the test set.
    ood
        Images of an unknown kind, whose uncertainty is compared: ``using: {ood: fog}``; without them
        ``ood_uncertainty_ratio`` is not measured.
    member_2, member_3, member_4, member_5, member_6, member_7, member_8, member_9, member_10
        Further members of an ensemble, on the same images.
    score
        ``mutual_information``: disagreement of the members; ``predictive_entropy``: of their mean, noise in the data
        included; ``variance`` of the probabilities.
    passes
        Passes with dropout, at least 2.
    sequence
        Attribute of images that groups what is not independent. Default: the data set's sequences.

    Raises
    ------
    InputError
        For detectors, members of other classes, a model without dropout layers, parameters that make no sense.
    NotMeasurableError
        Without images.

    Notes
    -----
    Gal and Ghahramani 2016 (dropout); Lakshminarayanan et al. 2017 (ensembles); Houlsby et al. 2011 (mutual
    information). Dropout by ``functional.dropout`` inside of a ``forward`` cannot be switched on from outside.

    The area under the ROC curve, wrong predictions against right ones, has the bounds of a mean of its variance over
    sequences (Obuchowski 1997); the ratio a percentile bootstrap, without interval below 20 sequences a side. Without
    any error, or without a right prediction, the area is undefined.
    """
    others = [member_2, member_3, member_4, member_5, member_6, member_7, member_8, member_9, member_10]
    members = _checked_members([predictions, *(one for one in others if one is not None)], passes)
    seed = int(rng.integers(2**63))
    opinions = _opinions(members, dataset, passes, seed, progress)
    used = members[0] if len(members) == 1 else _mean_prediction(members[0], opinions)
    outcomes = outcomes_of(used, "accuracy", Protocol())
    assert isinstance(outcomes, ClassifiedImages)
    correct, uncertainty = outcomes.correct, opinions.uncertainty(score)
    clusters = image_clusters(dataset, sequence)
    wrong, right = (ScoredUnits(uncertainty[part], clusters.of_image[part]) for part in (~correct, correct))
    conditions = [_enough(len(dataset)), _differ(members, opinions)]
    unknown: Floats | None = None
    ratio: Quantity = PointEstimate(float("nan"), 0, "no unknown images; bind them with using: {ood: ...}")
    if ood is not None:
        unknown = _unknown_uncertainty(members, ood, score, passes, seed, progress)
        conditions.append(_different(dataset, ood))
        ratio = _ratio((unknown, _clusters_of(ood, sequence)), (uncertainty, clusters), rng)
    counts = ClusterCounts(clusters.sums(correct), clusters.sums(np.ones(len(correct))))
    return Measurement(
        {
            "members": opinions.members,
            "uncertainty_error_auroc": clustered_auroc(wrong, right, clusters.noun),
            "ood_uncertainty_ratio": ratio,
            "mean_uncertainty": float(uncertainty.mean()),
            "accuracy": share_over_effective_size(counts),
            "images": len(dataset),
        },
        findings=(_hidden_errors(dataset, correct, uncertainty),),
        validity=tuple(conditions),
        figures=(_figure(score, uncertainty, correct, unknown),),
        settings={
            "method": "Monte Carlo dropout" if len(members) == 1 else "ensemble",
            "members": [one.model.name for one in members],
            "passes": passes if len(members) == 1 else None,
            "score": score,
            "independent_units": f"{clusters.count} {clusters.noun}",
        },
    )


def _checked_members(members: Sequence[Predictions], passes: int) -> list[ClassificationPredictions]:
    """Return the members if their probabilities can be compared."""
    found = []
    for one in members:
        if not isinstance(one, ClassificationPredictions):
            raise InputError(
                f"model {one.model.name!r} is a detector: boxes of several members are not matched with each other here"
            )
        if len(one.dataset) == 0:
            raise NotMeasurableError(f"data set {one.dataset.name!r} holds no samples")
        if one.probabilities.shape != members[0].probabilities.shape:  # type: ignore[union-attr]
            raise InputError(
                f"model {one.model.name!r} gives probabilities {list(one.probabilities.shape)} and model "
                f"{members[0].model.name!r} {list(members[0].probabilities.shape)}: members need the same "  # type: ignore[union-attr]
                "images and classes"
            )
        found.append(one)
    if not 2 <= passes <= MOST_PASSES:
        raise InputError(f"passes must lie in 2..{MOST_PASSES}, got {passes}")
    return found


def _opinions(
    members: Sequence[ClassificationPredictions], dataset: Dataset, passes: int, seed: int, progress: Progress
) -> Opinions:
    if len(members) == 1:
        return dropout_opinions(members[0].model, dataset, passes, seed, progress)
    return Opinions.of(np.stack([one.probabilities for one in members]))


def _mean_prediction(first: ClassificationPredictions, opinions: Opinions) -> ClassificationPredictions:
    return ClassificationPredictions(first.model, first.dataset, opinions.mean.astype(np.float32))


def _unknown_uncertainty(
    members: Sequence[ClassificationPredictions], ood: Dataset, score: str, passes: int, seed: int, progress: Progress
) -> Floats:
    if len(ood) == 0:
        raise NotMeasurableError(f"data set {ood.name!r} holds no samples")
    if len(members) == 1:
        return dropout_opinions(members[0].model, ood, passes, seed, progress).uncertainty(score)
    found = [predict_unlabelled(one.model, ood, progress) for one in members]
    return Opinions.of(
        np.stack([one.probabilities for one in found if isinstance(one, ClassificationPredictions)])
    ).uncertainty(score)


def _enough(images: int) -> ValidityCondition:
    return ValidityCondition(
        "enough_images", images >= MINIMUM_IMAGES, f"{images} images, at least {MINIMUM_IMAGES} are needed"
    )


def _differ(members: Sequence[ClassificationPredictions], opinions: Opinions) -> ValidityCondition:
    distinct = len({one.model.digest for one in members})
    if distinct < len(members):
        detail = f"{distinct} different models among {len(members)} members"
    else:
        detail = "the members disagree" if opinions.variance.any() else "all members say the same of every image"
    return ValidityCondition("members_differ", distinct == len(members) and bool(opinions.variance.any()), detail)


def _different(dataset: Dataset, ood: Dataset) -> ValidityCondition:
    shared = shared_images(dataset, ood)
    return ValidityCondition(
        "data_are_different",
        not shared,
        f"{len(shared)} of {len(ood)} unknown images are known ones as well: is `using` bound to other data?",
    )


def _clusters_of(ood: Dataset, sequence: str | None) -> Clusters:
    return image_clusters(ood, sequence if sequence in ood.attribute_names else None)


def _ratio(unknown: tuple[Floats, Clusters], known: tuple[Floats, Clusters], rng: np.random.Generator) -> Quantity:
    """Return the ratio of two means with a percentile bootstrap over the clusters of both sides."""
    base = float(known[0].mean())
    smaller = min(unknown[1].count, known[1].count)
    if base <= 0:
        return PointEstimate(float("nan"), smaller, "undefined: no known image is uncertain at all")
    value = float(unknown[0].mean()) / base
    if smaller < MINIMUM_CLUSTERS:
        noun = known[1].noun
        return PointEstimate(
            value, smaller, f"no interval: {smaller} {noun} on one side, {MINIMUM_CLUSTERS} are needed"
        )
    means = []
    for values, clusters in (unknown, known):
        table = np.stack([clusters.sums(values), clusters.sums(np.ones(len(values)))], axis=1)
        totals = bootstrap_totals(table, rng, RESAMPLES)
        means.append(totals[:, 0] / totals[:, 1])
    return Resampled(value, means[0] / np.maximum(means[1], np.finfo(float).tiny), smaller, known[1].noun)


def _hidden_errors(dataset: Dataset, correct: NDArray[np.bool_], uncertainty: Floats) -> Findings:
    """List the wrong predictions, those that look most certain first."""
    wrong = np.flatnonzero(~correct)
    first = wrong[np.argsort(uncertainty[wrong], kind="stable")[:CAP]].tolist()
    shown = tuple(
        Finding(f"wrong with an uncertainty of {uncertainty[index]:.3g}", path=path_for_reports(dataset, index))
        for index in first
    )
    return Findings("errors_by_certainty", len(wrong), shown)


def _figure(score: str, uncertainty: Floats, correct: NDArray[np.bool_], unknown: Floats | None) -> Figure:
    groups = {"right": uncertainty[correct], "wrong": uncertainty[~correct]}
    if unknown is not None:
        groups["unknown"] = unknown
    shown = {name: float(values.mean()) for name, values in groups.items() if len(values)}
    return Figure(
        "bars",
        f"Mean uncertainty ({score.replace('_', ' ')})",
        series=(Series(score, tuple(shown.values())),),
        labels=tuple(shown),
        y_label=score,
    )
