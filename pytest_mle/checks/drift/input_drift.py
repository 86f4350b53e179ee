"""Whether current images still look like the reference: per feature and all together, with bounds on the effect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.drift.features import SCALAR_FEATURES, feature_names, image_features
from pytest_mle.checks.drift.two_sample import (
    MINIMUM_SAMPLES,
    holm,
    ks_grouped,
    ks_two_sample,
    mmd_two_sample,
    standardise,
)
from pytest_mle.errors import InputError
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

    Floats = NDArray[np.float64]
    Groups = tuple[NDArray[np.int64], NDArray[np.int64]]

TESTED_FEATURES = len(SCALAR_FEATURES) + 2
"""The first two of the layout are tested one by one as well: is the light above or below, to the left or the right?"""

FEWEST_RESAMPLES = 1000
LARGEST_SHARED_SHARE = 0.1
"""More images than this in both data sets hide a drift of the others."""


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

    Validity: at least ``minimum_images`` a side, finite features, and at most 10 % of the current images also in the
    reference.

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

    Raises
    ------
    InputError
        If a parameter would let no drift be seen, or an image is too small to be described.
    NotMeasurableError
        If a side has fewer than 10 sequences.
    """
    _require_parameters(significance, minimum_effect, permutations, resamples)
    if maximum_images < max(minimum_images, MINIMUM_SAMPLES):
        least = max(minimum_images, MINIMUM_SAMPLES)
        raise InputError(f"maximum_images must be at least {least}, got {maximum_images}")
    if not 2 <= layout_dimension <= 1023:
        raise InputError(f"layout_dimension must lie in 2..1023, got {layout_dimension}")
    total = len(reference) + len(current)
    first = _features(reference, layout_dimension, progress, 0, total)
    second = _features(current, layout_dimension, progress, len(reference), total)
    counts = {
        "nonfinite_features": int((~np.isfinite(first)).sum() + (~np.isfinite(second)).sum()),
        "reference_images": len(first),
        "current_images": len(second),
    }
    conditions = _conditions(first, second, minimum_images, counts["nonfinite_features"])
    names = feature_names(layout_dimension=layout_dimension)
    settings = {
        "features": list(names),
        "tested_one_by_one": list(names[:TESTED_FEATURES]),
        "significance": significance,
        "minimum_effect": minimum_effect,
        "permutations": permutations,
        "resamples": resamples,
        "maximum_images": maximum_images,
        "correction": "Holm",
        "kernel": "RBF, median heuristic on the reference",
    }
    if not all(condition.holds for condition in conditions):
        return Measurement(quantities=counts, validity=conditions, settings=settings)
    groups = reference.sequence_ids(), current.sequence_ids()
    compared = _compared(names, first, second, groups, rng, permutations, resamples)
    drifted = compared.drifted(significance, minimum_effect)
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
            "max_ks_distance": compared.largest(),
            "min_adjusted_p_value": float(compared.adjusted.min()),
            "mmd_squared": Bounded(mmd.effect, mmd.bounds, mmd.n_current, mmd.method),
            "mmd_p_value": mmd.p_value,
            **counts,
        },
        findings=compared.findings(drifted),
        validity=conditions,
        figures=(compared.figure(minimum_effect),),
        settings=settings,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """The features that are tested one by one, with their p-values adjusted for their number, ``(feature,)``."""

    names: tuple[str, ...]
    results: tuple[TwoSampleResult, ...]
    adjusted: Floats

    def drifted(self, significance: float, minimum_effect: float) -> list[int]:
        """Return the features that have drifted, the largest effect first."""
        found = [
            place
            for place, one in enumerate(self.results)
            if self.adjusted[place] < significance and one.effect >= minimum_effect
        ]
        return sorted(found, key=lambda place: -self.results[place].effect)

    def largest(self) -> Bounded:
        """Return the largest distance with bounds of the true largest one.

        Which feature truly differs most is no matter of chance, so its own upper bound holds, and the largest of all
        upper bounds is not below it: no correction. Which lower bound comes out largest is a matter of chance: analytic
        ones are corrected by Bonferroni; resampled ones come from the largest deviation of any feature in a resample.
        """
        widest = max(self.results, key=lambda one: one.effect)
        deviations = [one.deviations for one in self.results if one.deviations is not None]
        if deviations:
            widest = replace(widest, deviations=np.max(deviations, axis=0))

        def bounds(confidence: float) -> tuple[float, float]:
            upper = max(one.bounds(confidence)[1] for one in self.results)
            joint = confidence if deviations else 1 - (1 - confidence) / len(self.results)
            return widest.bounds(joint)[0], upper

        return Bounded(
            widest.effect, bounds, widest.n_current, f"{widest.method}, jointly for {len(self.results)} features"
        )

    def findings(self, drifted: list[int]) -> tuple[Findings, ...]:
        """Name the features that have drifted."""
        if not drifted:
            return ()
        found = (
            Finding(
                f"D = {self.results[place].effect:.3f}, adjusted p = {self.adjusted[place]:.2g}",
                subject=self.names[place],
            )
            for place in drifted
        )
        return (Findings.collect("features_drifted", found),)

    def figure(self, minimum_effect: float) -> Figure:
        """Show the distance of each feature."""
        return Figure(
            kind="bars",
            title="Distance of each feature from the reference",
            labels=self.names,
            series=(Series("D", tuple(one.effect for one in self.results)),),
            y_label="Kolmogorov-Smirnov D",
            marks=(("minimum effect", minimum_effect),),
        )


def _compared(
    names: tuple[str, ...],
    first: Floats,
    second: Floats,
    groups: Groups,
    rng: np.random.Generator,
    permutations: int,
    resamples: int,
) -> _Compared:
    # The same seed for all features: resample k is then the same sequences in each of them.
    seed = int(rng.integers(2**63))
    is_grouped = _is_grouped(groups[0]) or _is_grouped(groups[1])
    results = tuple(
        ks_grouped(
            first[:, column],
            second[:, column],
            reference_groups=groups[0],
            current_groups=groups[1],
            rng=np.random.default_rng(seed),
            permutations=permutations,
            resamples=resamples,
        )
        if is_grouped
        else ks_two_sample(first[:, column], second[:, column])
        for column in range(TESTED_FEATURES)
    )
    return _Compared(names[:TESTED_FEATURES], results, holm([one.p_value for one in results]))


def _features(dataset: Dataset, layout_dimension: int, progress: Progress, done: int, total: int) -> Floats:
    rows = []
    for index in range(len(dataset)):
        try:
            rows.append(image_features(dataset.image(index), layout_dimension=layout_dimension))
        except ValueError as error:
            raise InputError(f"data set {dataset.name!r}, image {dataset.sample(index).id!r}: {error}") from error
        progress(done + index + 1, total)
    return np.array(rows).reshape(len(rows), len(feature_names(layout_dimension=layout_dimension)))


def _conditions(first: Floats, second: Floats, minimum_images: int, nonfinite: int) -> tuple[ValidityCondition, ...]:
    shared = _shared_rows(first, second)
    return (
        ValidityCondition(
            "enough_images",
            len(first) > 0 and len(second) > 0 and min(len(first), len(second)) >= minimum_images,
            f"{len(first)} reference and {len(second)} current images, {minimum_images} needed on each side",
        ),
        ValidityCondition("features_finite", nonfinite == 0, f"{nonfinite} values are not finite"),
        ValidityCondition(
            "data_are_different",
            shared <= LARGEST_SHARED_SHARE * len(second),
            f"{shared} of {len(second)} current images are in the reference as well: is `using` bound to other data?",
        ),
    )


def _shared_rows(first: Floats, second: Floats) -> int:
    """Count the current images whose every feature is that of a reference image: they are the same image."""
    known = {row.tobytes() for row in first}
    return sum(row.tobytes() in known for row in second)


def _is_grouped(groups: NDArray[np.int64]) -> bool:
    return len(np.unique(groups)) < len(groups)


def _require_parameters(significance: float, minimum_effect: float, permutations: int, resamples: int) -> None:
    if not 0 < significance < 1:
        raise InputError(f"significance must lie between 0 and 1, got {significance}")
    if not 0 <= minimum_effect < 1:
        raise InputError(f"minimum_effect is a distance D in 0..1, got {minimum_effect}")
    if significance * (permutations + 1) <= TESTED_FEATURES:
        least = int(TESTED_FEATURES / significance) + 1
        raise InputError(
            f"{permutations} permutations cannot make one of {TESTED_FEATURES} features significant at "
            f"{significance:g}. Take at least {least}."
        )
    if resamples < FEWEST_RESAMPLES:
        raise InputError(f"resamples must be at least {FEWEST_RESAMPLES} for a bound at 95 %, got {resamples}")
