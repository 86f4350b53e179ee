"""Whether a model is right as often as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pytest_mle.checks.cluster_intervals import share_over_effective_size
from pytest_mle.checks.declaration import check
from pytest_mle.checks.detection.detection_findings import path_for_reports
from pytest_mle.checks.uncertainty.auroc import ScoredUnits, clustered_auroc
from pytest_mle.checks.uncertainty.calibration import Calibration, ReliabilityBins, bins_of
from pytest_mle.checks.uncertainty.confidences import confidences_of
from pytest_mle.errors import InputError
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import CAP, Finding, Findings
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import Bounded, PointEstimate, estimate, exact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.checks.uncertainty.confidences import Confidences
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.records.quantity import Quantity

FEWEST_RESAMPLES = 1000
# With fewer, the gap of a bin is little but chance.
MINIMUM_PER_BIN = 10
MOST_BINS = 100
DISPLAY_CONFIDENCE = 0.95


@check(
    quantities={
        "expected_calibration_error": estimate("1", "lower", "mean absolute gap of confidence and accuracy over bins"),
        "maximum_calibration_error": estimate("1", "lower", "largest gap of confidence and accuracy of a bin"),
        "brier_score": estimate("1", "lower", "mean squared difference of confidence and hit (1) or miss (0)"),
        "mean_overconfidence": estimate("1", "lower", "mean confidence less accuracy; below 0 is underconfident"),
        "confidence_accuracy_spearman": estimate("1", "higher", "rank correlation of confidence and being right"),
        "chance_calibration_error": exact("1", None, "what perfect calibration would show here, by chance alone"),
        "predictions": exact("1", "higher", "predictions of a classifier, or detections that were used"),
    }
)
def confidence_calibration(
    predictions: Predictions,
    rng: np.random.Generator,
    *,
    bins: int = 15,
    binning: Literal["equal_mass", "equal_width"] = "equal_mass",
    score_threshold: float = 0.3,
    iou_threshold: float = 0.5,
    resamples: int = 2000,
    sequence: str | None = None,
) -> Measurement:
    """Measure whether a model is right as often as its confidence says, on its most probable class.

    A classifier's confidence is its largest probability. A detector's is the score of a detection, which is right if it
    is matched with an annotated object (the detection's precision; missed objects have no score and are not seen here).

    The expected calibration error of bins is too high for few predictions: a perfectly calibrated model shows
    ``chance_calibration_error``. It is too low in that gaps inside a bin cancel, which no number of data mends: it is a
    statement about these bins.

    Parameters
    ----------
    bins
        Number of bins; equal confidences share one, so there may be fewer.
    binning
        ``equal_mass``: as many predictions in each bin; ``equal_width``: as in Guo et al.
    score_threshold
        For detectors: detections with a lower score are left out, since a flood of those that no one uses would drown
        the others.
    iou_threshold
        For detectors: overlap from which a detection is right.
    resamples
        Bootstrap resamples, at least 1000.
    sequence
        Attribute of images that groups what is not independent. Default: the data set's sequences.

    Raises
    ------
    InputError
        For a confidence that is not in 0..1, data that do not fit the model, or a parameter that makes no sense.
    NotMeasurableError
        Without images or detections.

    Notes
    -----
    Guo et al. 2017, On calibration of modern neural networks (equations 3 and 5). Bins of equal mass: Nixon et al.
    2019, Measuring calibration in deep learning. The Brier score is that of the most probable class (Brier 1950 adds up
    all of them).

    Bounds are over sequences. Simulated (60 to 1000 clusters, calibrated to 10 points overconfident), the upper bounds
    at 95 % hold in 94 % to 100 % of data sets, that of the expected calibration error in 97 % or more since resampling
    is biased upward twice; its lower bound is far below the value where gaps are larger than chance makes them (it
    holds in 96 % or more). No interval with fewer than 20 sequences. The rank correlation has the bounds of the area
    under the ROC curve that tells hits from misses, of which it is a multiple. It is undefined without any error.
    """
    _check_parameters(bins, resamples)
    found = confidences_of(predictions, score_threshold=score_threshold, iou_threshold=iou_threshold, sequence=sequence)
    bin_of = bins_of(found.values, bins, binning)
    calibration = Calibration.of(found, bin_of, rng, resamples)
    return Measurement(
        {
            "expected_calibration_error": calibration.expected_calibration_error(),
            "maximum_calibration_error": calibration.maximum_calibration_error(),
            "brier_score": calibration.brier_score(),
            "mean_overconfidence": calibration.mean_overconfidence(),
            "confidence_accuracy_spearman": rank_correlation(found),
            "chance_calibration_error": calibration.chance_calibration_error,
            "predictions": len(found),
        },
        findings=(_confident_errors(found, predictions.dataset),),
        validity=found.validity(MINIMUM_PER_BIN * bins),
        figures=(_reliability_diagram(found, bin_of),),
        settings={
            "bins": bins,
            "filled_bins": len(np.unique(bin_of)),
            "binning": binning,
            "resamples": resamples,
            "independent_units": f"{found.clusters.count} {found.clusters.noun}",
        }
        | ({} if found.objects is None else {"score_threshold": score_threshold, "iou_threshold": iou_threshold}),
    )


def rank_correlation(found: Confidences) -> Quantity:
    """Return Spearman's correlation of confidence and being right, ties sharing their mean rank.

    With a variable of two values it is ``sqrt(hits misses) (2 A - 1) / (2 s)`` for the area A under the ROC curve and
    the standard deviation s of the ranks.
    """
    from scipy.stats import rankdata

    hits, misses = int(found.is_hit.sum()), int((~found.is_hit).sum())
    spread = float(rankdata(found.values).std())
    if not hits or not misses or not spread:
        reason = "undefined: all confidences are equal" if not spread else "undefined: all predictions are "
        return PointEstimate(float("nan"), len(found), reason + ("" if not spread else "right" if hits else "wrong"))
    hit, miss = (ScoredUnits(found.values[part], found.cluster[part]) for part in (found.is_hit, ~found.is_hit))
    area = clustered_auroc(hit, miss, found.clusters.noun)
    scale = np.sqrt(hits * misses) / (2 * spread)
    value = float(scale * (2 * area.value - 1))
    if area.bounds(DISPLAY_CONFIDENCE) is None:
        return PointEstimate(value, len(found), area.method)

    def bounds(confidence: float) -> tuple[float, float]:
        lower, upper = (float(scale * (2 * one - 1)) for one in area.bounds(confidence) or (0.0, 1.0))
        return max(-1.0, lower), min(1.0, upper)

    return Bounded(value, bounds, len(found), area.method)


def _check_parameters(bins: int, resamples: int) -> None:
    if not 2 <= bins <= MOST_BINS:
        raise InputError(f"bins must lie in 2..{MOST_BINS}, got {bins}; 10 to 20 are usual")
    if resamples < FEWEST_RESAMPLES:
        raise InputError(f"resamples must be at least {FEWEST_RESAMPLES} for a bound at 95 %, got {resamples}")


def _confident_errors(found: Confidences, dataset: Dataset) -> Findings:
    """List the wrong predictions, the most confident first."""
    wrong = np.flatnonzero(~found.is_hit)
    first = wrong[np.argsort(-found.values[wrong], kind="stable")[:CAP]].tolist()
    shown = tuple(
        Finding(
            f"wrong with {found.values[unit]:.1%} confidence", path=path_for_reports(dataset, int(found.image[unit]))
        )
        for unit in first
    )
    return Findings("confident_errors", len(wrong), shown)


def _reliability_diagram(found: Confidences, bin_of: NDArray[np.int64]) -> Figure:
    reliability = ReliabilityBins.of(found.values, found.is_hit, bin_of)
    rates = [
        share_over_effective_size(part.counts(part.is_hit))
        for number in np.unique(bin_of).tolist()
        for part in [found.restricted_to(bin_of == number)]
    ]
    bounds = [rate.bounds(DISPLAY_CONFIDENCE) or (0.0, 1.0) for rate in rates]
    ends = (0.0, 1.0)
    return Figure(
        "line",
        f"Reliability with one-sided {DISPLAY_CONFIDENCE:.0%} bounds",
        series=(
            Series(
                "model",
                tuple(reliability.accuracy.tolist()),
                x=tuple(reliability.confidence.tolist()),
                lower=tuple(low for low, _ in bounds),
                upper=tuple(high for _, high in bounds),
            ),
            Series("perfect calibration", ends, x=ends),
        ),
        x_label="confidence",
        y_label="accuracy" if found.objects is None else "precision",
    )
