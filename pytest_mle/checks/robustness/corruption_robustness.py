"""What a corruption of the images (weather, optics, sensor, transmission) costs in accuracy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from pytest_mle.checks.cluster_intervals import ClusterCounts, ClusteredScore, clustered_score
from pytest_mle.checks.declaration import check
from pytest_mle.checks.deployment.paired_outcomes import METRICS, outcomes_of
from pytest_mle.checks.detection.detection_findings import path_for_reports
from pytest_mle.checks.detection.detection_metrics import Protocol
from pytest_mle.checks.detection.ground_truth import image_clusters
from pytest_mle.checks.detection.resampling import draw_cluster_weights
from pytest_mle.checks.robustness.corruption_dataset import CorruptedImages
from pytest_mle.checks.robustness.corruptions import parameters_of
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.prediction_pass import predict_dataset
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import CAP, Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.progress import no_progress
from pytest_mle.records.quantity import estimate, exact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.checks.deployment.paired_outcomes import Outcomes
    from pytest_mle.checks.detection.ground_truth import Clusters
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.records.progress import Progress
    from pytest_mle.records.quantity import Quantity

FEWEST_RESAMPLES = 1000
MINIMUM_IMAGES = 30
MOST_SEEDS = 100
LARGEST_UNCHANGED_SHARE = 0.01
"""More images than this that look as before say that nothing was tested."""


@check(
    quantities={
        "relative_drop": estimate("1", "lower", "absolute drop by the accuracy on clean images"),
        "absolute_drop": estimate("1", "lower", "accuracy on clean images less that on corrupted ones"),
        "clean_accuracy": estimate("1", "higher", "accuracy on the images as they are, by the chosen metric"),
        "corrupted_accuracy": estimate("1", "higher", "accuracy on the corrupted images"),
        "mean_absolute_change": exact("1", None, "mean absolute change of a pixel by the corruption, pixels in 0..1"),
        "unchanged_images": exact("{image}", "lower", "images that look as before"),
        "images": exact("{image}", "higher", "images that were corrupted"),
    }
)
def corruption_robustness(
    predictions: Predictions,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    *,
    corruption: Literal[
        "gaussian_noise",
        "salt_pepper",
        "jpeg",
        "motion_blur",
        "defocus",
        "brightness",
        "contrast",
        "fog",
        "rain",
        "snow",
        "occlusion",
        "resolution",
        "dead_pixels",
        "lens_dirt",
    ],
    sigma: float | None = None,
    share: float | None = None,
    quality: int | None = None,
    length_px: float | None = None,
    angle_deg: float | None = None,
    radius_px: float | None = None,
    factor: float | None = None,
    visibility_m: float | None = None,
    horizon: float | None = None,
    nearest_m: float | None = None,
    farthest_m: float | None = None,
    streaks_per_mpx: float | None = None,
    flakes_per_mpx: float | None = None,
    spot_share: float | None = None,
    seeds: int = 1,
    metric: str | None = None,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.5,
    max_detections: int = 100,
    resamples: int = 2000,
    sequence: str | None = None,
) -> Measurement:
    """Measure how much accuracy a model loses when its images are corrupted.

    The same images are predicted as they are (by the predictions that all checks share) and corrupted, before any
    resizing and scaling of the model; what makes an image hard cancels out. Sweep with ``parametrize``, so that each
    value is judged: ``parametrize: {sigma: [0.02, 0.05]}``.

    Validity: at least 30 images, 99 % of which the corruption changed, and a clean accuracy above chance: a model that
    recognises nothing loses nothing.

    Parameters
    ----------
    corruption
        What happens to the images; see the parameters for its strength. Noise is clipped to the range of the pixels.
    sigma
        ``gaussian_noise``: standard deviation, with pixels in 0..1 (default 0.05).
    share
        Of the pixels that turn black or white in each image (``salt_pepper``, 0.01), in the same places of all images
        (``dead_pixels``, 0.001), of the area that a grey rectangle covers (``occlusion``, 0.1) or that dirt on the lens
        darkens (``lens_dirt``, 0.1).
    quality
        ``jpeg``: 1..100 (50).
    length_px, angle_deg
        ``motion_blur`` (9, 0) and ``rain`` (20, 80): path of a point while the shutter is open, in pixels of the image,
        and its direction, 0 along the rows, 90 upward.
    radius_px
        ``defocus`` (2): radius of the disc that a point becomes; ``snow`` (2): of a flake.
    factor
        ``brightness`` (0.5): of every value; ``contrast`` (0.5): of the distance from the mean; ``resolution`` (0.5):
        of both sides.
    visibility_m, horizon, nearest_m, farthest_m
        ``fog``: meteorological optical range (50), for a flat road from ``nearest_m`` (5) at the bottom row to
        ``farthest_m`` (150) at the ``horizon`` (0.45 of the height).
    streaks_per_mpx
        ``rain``: streaks in a million pixels (1000).
    flakes_per_mpx
        ``snow``: flakes in a million pixels (1000).
    spot_share
        ``lens_dirt``: area of one spot (0.01).
    seeds
        How often each image is corrupted with other random numbers; accuracies are the mean.
    metric
        What accuracy means: ``map_50``, ``map_50_95``, ``recall`` or ``f1`` of a detector (default ``map_50``),
        ``accuracy`` of a classifier.
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
        For a parameter that the corruption does not have or that is outside its range, or data that do not fit.
    NotMeasurableError
        Without images.

    Notes
    -----
    Hendrycks and Dietterich 2019, with physical parameters in place of five severities. The random numbers of an image
    depend on the item's seed and on the image alone. Rain, snow, fog and dirt are drawn, not rendered: a model that
    stands them may still fail in real ones, one that does not will hardly stand those.

    Bounds are a paired percentile bootstrap over sequences, as those of ``quantization_accuracy_drop``: none with fewer
    than 20 sequences, and widened where the two predictions differ in fewer than 10.
    """
    given = {
        "sigma": sigma,
        "share": share,
        "quality": quality,
        "length_px": length_px,
        "angle_deg": angle_deg,
        "radius_px": radius_px,
        "factor": factor,
        "visibility_m": visibility_m,
        "horizon": horizon,
        "nearest_m": nearest_m,
        "farthest_m": farthest_m,
        "streaks_per_mpx": streaks_per_mpx,
        "flakes_per_mpx": flakes_per_mpx,
        "spot_share": spot_share,
    }
    strength = _strength(corruption, {name: value for name, value in given.items() if value is not None})
    dataset = predictions.dataset
    _check_parameters(dataset, seeds, resamples)
    chosen = metric or METRICS[dataset.task][0]
    protocol = Protocol(score_threshold, iou_threshold, None, max_detections)
    clean = outcomes_of(predictions, chosen, protocol)
    settings = {
        "corruption": corruption,
        **strength,
        "metric": chosen,
        "seeds": seeds,
        "resamples": resamples,
        "cluster_by": sequence or "sequence of the data set",
        **(protocol.settings() if dataset.task == "detection" else {}),
    }
    something = ValidityCondition("something_to_find", clean.units > 0, f"{clean.units} objects or images")
    if not something.holds:
        return Measurement({"images": len(dataset)}, validity=(something,), settings=settings)
    found, change = [], np.zeros(len(dataset))
    for number in range(seeds):
        seen = CorruptedImages(dataset, corruption, strength, int(rng.integers(2**63)))
        predicted = _predicted(predictions, seen, progress, number, seeds)
        found.append(outcomes_of(predicted, chosen, protocol))
        change += seen.change / seeds
    compared = _compare(clean, found, image_clusters(dataset, sequence), rng, resamples)
    unchanged = int((change == 0).sum())
    return Measurement(
        {
            **compared,
            "mean_absolute_change": float(change.mean()),
            "unchanged_images": unchanged,
            "images": len(dataset),
        },
        findings=(_worse_images(clean, found, dataset),),
        validity=(something, *_validity(compared["clean_accuracy"].value, dataset, unchanged)),
        figures=(_figure(chosen, corruption, strength, compared),),
        settings=settings,
    )


def _strength(corruption: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the corruption, with its defaults for those that the item does not give."""
    known = parameters_of(corruption)
    for name, value in given.items():
        if name not in known:
            raise InputError(f"{corruption} has no {name}, got {name} = {value}; it takes {', '.join(known)}")
    return {**known, **given}


def _check_parameters(dataset: Dataset, seeds: int, resamples: int) -> None:
    if len(dataset) == 0:
        raise NotMeasurableError(f"data set {dataset.name!r} holds no samples")
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError(f"seeds must lie in 1..{MOST_SEEDS}, got {seeds}")
    if resamples < FEWEST_RESAMPLES:
        raise InputError(f"resamples must be at least {FEWEST_RESAMPLES} for a bound at 95 %, got {resamples}")


def _predicted(
    predictions: Predictions, seen: CorruptedImages, progress: Progress, number: int, seeds: int
) -> Predictions:
    """Predict the corrupted images; their annotations are those of the clean ones."""

    def report(done: int, total: int) -> None:
        progress(number * total + done, seeds * total)

    found = predict_dataset(predictions.model, cast("Dataset", seen), report)
    return replace(found, dataset=predictions.dataset)


def _compare(
    clean: Outcomes, corrupted: list[Outcomes], clusters: Clusters, rng: np.random.Generator, resamples: int
) -> dict[str, Quantity]:
    """Return the accuracies and drops, with bounds from the same resamples of clusters for clean and corrupted."""
    weights: NDArray[Any] = np.ones((1, clusters.count), dtype=np.uint8)
    if clusters.count > 1:
        weights = np.concatenate((weights, draw_cluster_weights(rng, clusters.count, resamples)))
    before = clean.scores(clusters.of_image, weights)
    after = np.mean([one.scores(clusters.of_image, weights) for one in corrupted], axis=0)
    sizes = clusters.sums(np.ones(len(clusters.of_image)))

    def quantity(
        values: NDArray[Any],
        images: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        lowest: float = 0.0,
        step: float = 1.0,
    ) -> Quantity:
        errors, hits = (ClusterCounts(clusters.sums(one), sizes) for one in images)
        score = ClusteredScore(float(values[0]), values[1:], errors, hits, lowest=lowest, step=step)
        return clustered_score(score, clusters.noun)

    drop = before - after
    relative = np.divide(drop, before, out=np.full(len(drop), np.nan), where=before > 0)
    step = 1 / float(before[0]) if before[0] > 0 else 1.0
    differing = np.logical_or.reduce([clean.differ_from(one) for one in corrupted])
    lowered, raised = zip(*(one.lowered_and_raised() for one in corrupted), strict=True)
    return {
        "relative_drop": quantity(relative, (differing, differing), lowest=-step, step=step),
        "absolute_drop": quantity(drop, (differing, differing), lowest=-1.0),
        "clean_accuracy": quantity(before, clean.lowered_and_raised()),
        "corrupted_accuracy": quantity(after, (np.logical_or.reduce(lowered), np.logical_or.reduce(raised))),
    }


def _validity(accuracy: float, dataset: Dataset, unchanged: int) -> tuple[ValidityCondition, ...]:
    images = len(dataset)
    chance = 1 / max(len(dataset.class_names), 2) if dataset.task == "classification" else 0.0
    return (
        ValidityCondition(
            "enough_images", images >= MINIMUM_IMAGES, f"{images} images, at least {MINIMUM_IMAGES} are needed"
        ),
        ValidityCondition(
            "images_were_changed",
            unchanged <= LARGEST_UNCHANGED_SHARE * images,
            f"the corruption left {unchanged} of {images} images as they were",
        ),
        ValidityCondition(
            "clean_accuracy_above_chance",
            bool(accuracy > chance),
            f"{100 * accuracy:.1f} % on clean images, chance is {100 * chance:.1f} %",
        ),
    )


def _worse_images(clean: Outcomes, corrupted: list[Outcomes], dataset: Dataset) -> Findings:
    """List the images on which the corruption adds errors, the most first."""
    before = clean.losses()
    after = np.mean([one.losses() for one in corrupted], axis=0)
    worse = np.flatnonzero(after > before)
    first = worse[np.argsort((before - after)[worse], kind="stable")[:CAP]].tolist()
    shown = tuple(
        Finding(f"{before[index]:.0f} errors became {after[index]:.3g}", path=path_for_reports(dataset, index))
        for index in first
    )
    return Findings("worse_images", len(worse), shown)


def _figure(metric: str, corruption: str, strength: dict[str, Any], compared: dict[str, Quantity]) -> Figure:
    both = [compared[name] for name in ("clean_accuracy", "corrupted_accuracy")]
    bounds = [one.bounds(0.95) or (one.value, one.value) for one in both]
    described = ", ".join(f"{name} {value:g}" for name, value in strength.items())
    return Figure(
        "bars",
        f"{metric} under {corruption} ({described}) with one-sided 95% bounds",
        series=(
            Series(
                metric,
                tuple(float(one.value) for one in both),
                lower=tuple(low for low, _ in bounds),
                upper=tuple(high for _, high in bounds),
            ),
        ),
        labels=("clean", corruption),
        y_label=metric,
    )
