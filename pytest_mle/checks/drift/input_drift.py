"""Whether current images still look like the reference: per feature and all together, with bounds on the effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.drift.features import SCALAR_FEATURES, feature_names, image_features
from pytest_mle.checks.drift.two_sample import (
    holm,
    ks_grouped,
    ks_two_sample,
    mmd_two_sample,
    standardise,
)
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.progress import no_progress
from pytest_mle.records.quantity import Bounded, estimate, exact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.checks.drift.two_sample import TwoSampleResult
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.records.progress import Progress


@check(
    quantities={
        "features_drifted": exact(
            "1", "lower", "features that differ significantly (Holm) and by at least minimum_effect"
        ),
        "max_ks_distance": estimate("1", "lower", "largest Kolmogorov-Smirnov distance D of a feature"),
        "min_adjusted_p_value": exact("1", "higher", "smallest p-value of a feature, adjusted for their number (Holm)"),
        "mmd_squared": estimate("1", "lower", "squared maximum mean discrepancy of all features together"),
        "mmd_p_value": exact("1", "higher", "permutation p-value of it"),
        "nonfinite_features": exact("1", "lower", "feature values that are NaN or infinite"),
        "reference_images": exact("{image}", "higher", "images of the reference"),
        "current_images": exact("{image}", "higher", "images that were compared with it"),
    }
)
def input_drift(
    reference: Dataset,
    current: Dataset,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    *,
    significance: float = 0.05,
    minimum_effect: float = 0.1,
    minimum_images: int = 100,
    permutations: int = 500,
    resamples: int = 1000,
    maximum_images: int = 2000,
    layout_dimension: int = 48,
) -> Measurement:
    """Compare the images of two data sets: Kolmogorov-Smirnov a feature, maximum mean discrepancy over all.

    A feature has drifted if its p-value, adjusted by Holm, is below ``significance`` and its distance D is at least
    ``minimum_effect``: with many images any difference is significant. That nothing drifted is shown by an upper bound
    of the effect (``max_ks_distance <= 0.2 at 95 % confidence``), not by a large p-value. Frames of a sequence are
    permuted and resampled together. Sources: Gretton et al. 2012; Rabanser et al. 2019, Failing loudly.

    Parameters
    ----------
    reference, current
        What the model was made for, and what it sees now.
    rng
        For permutations, resamples and subsamples.
    significance, minimum_effect
        What counts as drift of a feature.
    minimum_images
        Validity: images needed on each side.
    permutations, resamples
        Of the permutation tests and of the bootstrap bounds.
    maximum_images
        A larger side is sampled for MMD, whose time grows with the square.
    layout_dimension
        How many components describe where light and dark lie in an image.
    """
    first = _features(reference, layout_dimension, progress, 0, len(reference) + len(current))
    second = _features(current, layout_dimension, progress, len(reference), len(reference) + len(current))
    counts = {
        "nonfinite_features": int((~np.isfinite(first)).sum() + (~np.isfinite(second)).sum()),
        "reference_images": len(first),
        "current_images": len(second),
    }
    conditions = (
        ValidityCondition(
            "enough_images",
            min(len(first), len(second)) >= minimum_images,
            f"{len(first)} reference and {len(second)} current images, {minimum_images} needed on each side",
        ),
        ValidityCondition(
            "features_finite",
            counts["nonfinite_features"] == 0,
            f"{counts['nonfinite_features']} values are not finite",
        ),
    )
    settings = {
        "features": list(feature_names(layout_dimension=layout_dimension)),
        "significance": significance,
        "minimum_effect": minimum_effect,
        "permutations": permutations,
        "correction": "Holm",
        "kernel": "RBF, median heuristic on the reference",
    }
    if not all(condition.holds for condition in conditions):
        return Measurement(quantities=counts, validity=conditions, settings=settings)
    groups = reference.sequence_ids(), current.sequence_ids()
    compared = [
        _compare(first[:, column], second[:, column], groups, rng, permutations, resamples)
        for column in range(len(SCALAR_FEATURES))
    ]
    adjusted = holm([one.p_value for one in compared])
    drifted = [
        place for place, one in enumerate(compared) if adjusted[place] < significance and one.effect >= minimum_effect
    ]
    scaled_first, scaled_second, _ = standardise(first, second)
    mmd = mmd_two_sample(
        scaled_first,
        scaled_second,
        rng=rng,
        reference_groups=groups[0] if _is_grouped(groups[0]) else None,
        current_groups=groups[1] if _is_grouped(groups[1]) else None,
        permutations=permutations,
        resamples=resamples,
        maximum_samples=maximum_images,
    )
    return Measurement(
        quantities={
            "features_drifted": len(drifted),
            "max_ks_distance": _largest(compared),
            "min_adjusted_p_value": float(min(adjusted)),
            "mmd_squared": Bounded(mmd.effect, mmd.bounds, mmd.n_current, mmd.method),
            "mmd_p_value": mmd.p_value,
            **counts,
        },
        findings=_findings(compared, adjusted, drifted),
        validity=conditions,
        figures=(
            Figure(
                kind="bars",
                title="Distance of each feature from the reference",
                labels=SCALAR_FEATURES,
                series=(Series("D", tuple(one.effect for one in compared)),),
                y_label="Kolmogorov-Smirnov D",
                marks=(("minimum effect", minimum_effect),),
            ),
        ),
        settings=settings,
    )


def _features(
    dataset: Dataset, layout_dimension: int, progress: Progress, done: int, total: int
) -> NDArray[np.float64]:
    rows = []
    for index in range(len(dataset)):
        rows.append(image_features(dataset.image(index), layout_dimension=layout_dimension))
        progress(done + index + 1, total)
    return np.array(rows).reshape(len(rows), len(feature_names(layout_dimension=layout_dimension)))


def _is_grouped(groups: NDArray[np.int64]) -> bool:
    return len(np.unique(groups)) < len(groups)


def _compare(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    groups: tuple[NDArray[np.int64], NDArray[np.int64]],
    rng: np.random.Generator,
    permutations: int,
    resamples: int,
) -> TwoSampleResult:
    if not _is_grouped(groups[0]) and not _is_grouped(groups[1]):
        return ks_two_sample(first, second)
    return ks_grouped(
        first,
        second,
        reference_groups=groups[0],
        current_groups=groups[1],
        rng=rng,
        permutations=permutations,
        resamples=resamples,
    )


def _largest(compared: list[TwoSampleResult]) -> Bounded:
    """Return the largest distance; its bounds hold for all features together (Bonferroni for the upper one)."""
    effect = max(one.effect for one in compared)
    number = len(compared)

    def bounds(confidence: float) -> tuple[float, float]:
        together = 1 - (1 - confidence) / number
        lower = max(one.bounds(together)[0] for one in compared)
        return lower, max(one.bounds(together)[1] for one in compared)

    return Bounded(effect, bounds, compared[0].n_current, f"{compared[0].method}, Bonferroni over {number} features")


def _findings(
    compared: list[TwoSampleResult], adjusted: NDArray[np.float64], drifted: list[int]
) -> tuple[Findings, ...]:
    if not drifted:
        return ()
    worst_first = sorted(drifted, key=lambda place: -compared[place].effect)
    return (
        Findings.collect(
            "features_drifted",
            (
                Finding(
                    f"D = {compared[place].effect:.3f}, adjusted p = {adjusted[place]:.2g}",
                    subject=SCALAR_FEATURES[place],
                )
                for place in worst_first
            ),
        ),
    )
