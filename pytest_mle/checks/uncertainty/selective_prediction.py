"""What rejecting uncertain predictions leaves: how much, and how often it is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.cluster_intervals import share_over_effective_size
from pytest_mle.checks.declaration import check
from pytest_mle.checks.detection.detection_findings import path_for_reports
from pytest_mle.checks.uncertainty.confidences import confidences_of
from pytest_mle.checks.uncertainty.risk_coverage import clustered_area, lowest_threshold, risk_coverage_curve
from pytest_mle.errors import InputError, closest
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import Exact, PointEstimate, estimate, exact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mle.checks.uncertainty.confidences import Confidences
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.predictions import Predictions
    from pytest_mle.records.quantity import Quantity

FEWEST_RESAMPLES = 1000
MINIMUM_PREDICTIONS = 30
MOST_CURVE_POINTS = 200
YES, NO = frozenset({"true", "yes", "1", "1.0"}), frozenset({"false", "no", "0", "0.0", "", "none"})


@check(
    quantities={
        "selective_risk": estimate("1", "lower", "share of errors among the predictions that are not rejected"),
        "coverage": estimate("1", "higher", "share of the predictions that are not rejected"),
        "aurc": estimate("1", "lower", "area under the risk-coverage curve: mean risk over all coverages"),
        "threshold": exact("1", None, "confidence from which a prediction is used, as given or as chosen"),
        "low_confidence_unflagged": exact(
            "{image}", "lower", "images below the threshold that the system did not flag, by its own record"
        ),
        "predictions": exact("1", "higher", "predictions that risk and coverage were measured on"),
    }
)
def selective_prediction(
    predictions: Predictions,
    rng: np.random.Generator,
    *,
    threshold: float | None = None,
    target_risk: float | None = None,
    flagged_by: str | None = None,
    score_threshold: float = 0.3,
    iou_threshold: float = 0.5,
    resamples: int = 2000,
    sequence: str | None = None,
) -> Measurement:
    """Measure risk and coverage when predictions below a threshold of confidence are rejected.

    A classifier's confidence is its largest probability. A detector's is the score of a detection: risk is then the
    share of false alarms, and missed objects are not seen here.

    Give ``threshold`` (the one that the system uses), or ``target_risk``: then one half of the sequences chooses the
    lowest threshold whose risk is shown, at 95 % confidence, to be at most the target, and risk and coverage are
    measured on the other half, because a threshold looks better on the data that it was chosen on.

    Parameters
    ----------
    threshold
        Confidence from which a prediction is used.
    target_risk
        Share of errors among the used predictions that a threshold is wanted for.
    flagged_by
        Attribute of images that says what the system flagged (true or false, 1 or 0), for a classifier. Without such a
        record nobody knows whether low confidence is acted upon, and ``low_confidence_unflagged`` is not measured; an
        image without a value was not flagged.
    score_threshold
        For detectors: detections with a lower score are left out.
    iou_threshold
        For detectors: overlap from which a detection is right.
    resamples
        Bootstrap resamples of ``aurc``, at least 1000.
    sequence
        Attribute of images that groups what is not independent. Default: the data set's sequences.

    Raises
    ------
    InputError
        For neither or both of ``threshold`` and ``target_risk``, data that do not fit the model, an unknown attribute.
    NotMeasurableError
        Without images or detections.

    Notes
    -----
    El-Yaniv and Wiener 2010; Geifman et al. 2019 (area, equation 2). Risk and coverage have Clopper-Pearson bounds over
    the effective number of predictions. The area has a percentile bootstrap over sequences, not narrower than the exact
    bounds of as many trials; its bounds at 95 % held in 94 % or more of simulated data sets.
    """
    _check_parameters(
        threshold, target_risk, resamples, score_threshold if predictions.dataset.task == "detection" else 0
    )
    found = confidences_of(predictions, score_threshold=score_threshold, iou_threshold=iou_threshold, sequence=sequence)
    choice = _Choice(found, threshold) if target_risk is None else _chosen_on_half(found, target_risk, rng)
    flags = _unflagged(found, predictions.dataset, flagged_by, choice.threshold)
    quantities: dict[str, Quantity | float] = {
        "aurc": clustered_area(found, rng, resamples),
        "low_confidence_unflagged": flags[0],
        "predictions": len(choice.measured_on),
    }
    if choice.threshold is not None:
        accepted = choice.measured_on.values >= choice.threshold
        quantities |= {"threshold": choice.threshold, **_at_threshold(choice.measured_on, accepted)}
    return Measurement(
        quantities,
        findings=flags[1],
        validity=(*found.validity(MINIMUM_PREDICTIONS), choice.is_found(target_risk)),
        figures=(_figure(found, choice.threshold),),
        settings={
            "threshold_from": "the item" if target_risk is None else "one half of the sequences",
            "target_risk": target_risk,
            "flagged_by": flagged_by,
            "resamples": resamples,
            "independent_units": f"{found.clusters.count} {found.clusters.noun}",
        }
        | ({} if found.objects is None else {"score_threshold": score_threshold, "iou_threshold": iou_threshold}),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """A threshold, None if none is safe enough, and the predictions to measure its risk on."""

    measured_on: Confidences
    threshold: float | None

    def is_found(self, target_risk: float | None) -> ValidityCondition:
        """Return the condition that there is a threshold."""
        detail = "given by the item" if target_risk is None else f"chosen on one half: {self.threshold}"
        if self.threshold is None:
            detail = f"no threshold is shown to keep the risk at {target_risk:.3g} on one half of the sequences"
        return ValidityCondition("threshold_found", self.threshold is not None, detail)


def _check_parameters(
    threshold: float | None, target_risk: float | None, resamples: int, score_threshold: float
) -> None:
    if (threshold is None) == (target_risk is None):
        raise InputError(
            "give either threshold (the confidence from which the system uses a prediction) or target_risk (to have "
            f"one chosen), got threshold = {threshold} and target_risk = {target_risk}"
        )
    for name, value in (("threshold", threshold), ("target_risk", target_risk)):
        if value is not None and not 0 < value < 1:
            raise InputError(f"{name} must lie between 0 and 1, got {value}")
    if threshold is not None and threshold < score_threshold:
        raise InputError(
            f"threshold {threshold:g} is below score_threshold {score_threshold:g}, under which detections are left "
            "out: lower score_threshold"
        )
    if resamples < FEWEST_RESAMPLES:
        raise InputError(f"resamples must be at least {FEWEST_RESAMPLES} for a bound at 95 %, got {resamples}")


def _chosen_on_half(found: Confidences, target_risk: float, rng: np.random.Generator) -> _Choice:
    is_chosen_on = np.zeros(found.clusters.count, dtype=np.bool_)
    is_chosen_on[rng.permutation(found.clusters.count)[: found.clusters.count // 2]] = True
    first = is_chosen_on[found.cluster]
    threshold = lowest_threshold(found.restricted_to(first), target_risk) if first.any() else None
    return _Choice(found.restricted_to(~first), threshold)


def _at_threshold(found: Confidences, accepted: NDArray[np.bool_]) -> dict[str, Quantity]:
    used = found.restricted_to(accepted)
    risk = (
        share_over_effective_size(used.counts(~used.is_hit))
        if len(used)
        else PointEstimate(float("nan"), 0, "every prediction is rejected")
    )
    return {"selective_risk": risk, "coverage": share_over_effective_size(found.counts(accepted))}


def _unflagged(
    found: Confidences, dataset: Dataset, flagged_by: str | None, threshold: float | None
) -> tuple[Quantity, tuple[Findings, ...]]:
    """Count the images of low confidence that the system's own record does not show as flagged."""
    reason = ""
    if flagged_by is None:
        reason = "no record of what the system flagged; name the attribute of images that has it in flagged_by"
    elif found.objects is not None:
        reason = "flags of images are compared with the confidence of a classifier"
    elif threshold is None:
        reason = "no threshold was found"
    elif flagged_by not in dataset.attribute_names:
        hint = closest(flagged_by, dataset.attribute_names)
        raise InputError(
            f"flagged_by: the images of data set {dataset.name!r} have no attribute {flagged_by!r}. {hint}"
        )
    if reason or threshold is None or flagged_by is None:
        return Exact(float("nan"), method=reason), ()
    low = found.image[found.values < threshold].tolist()
    missed = [index for index in low if not _is_flagged(dataset, index, flagged_by)]
    shown = (Finding("confidence below the threshold, not flagged", path=path_for_reports(dataset, i)) for i in missed)
    return Exact(len(missed), len(low)), (Findings.collect("low_confidence_unflagged", shown),)


def _is_flagged(dataset: Dataset, index: int, attribute: str) -> bool:
    sample = dataset.sample(index)
    value: Any = sample.attributes.get(attribute)
    text = str(value).strip().lower()
    if text in YES or text in NO:
        return text in YES
    raise InputError(f"flagged_by: image {sample.id!r} has {attribute} = {value!r}; true or false is needed")


def _figure(found: Confidences, threshold: float | None) -> Figure:
    _, coverage, risk = risk_coverage_curve(found)
    shown = np.unique(np.linspace(0, len(risk) - 1, min(len(risk), MOST_CURVE_POINTS)).round().astype(np.int64))
    marks = () if threshold is None else (("threshold", float((found.values >= threshold).mean())),)
    return Figure(
        "line",
        "Risk over coverage",
        series=(Series("model", tuple(risk[shown].tolist()), x=tuple(coverage[shown].tolist())),),
        x_label="coverage",
        y_label="selective risk",
        marks=marks,
    )
