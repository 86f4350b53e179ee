"""Tests of the check of rejected predictions."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.uncertainty.selective_prediction import selective_prediction
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.predictions import ClassificationPredictions
from tests.support.detection_scenes import LabelledDataset, SceneDataset, annotated, box_at, classified, detected, model
from tests.support.uncertain_classifier import sure_of


def _measured(found, **parameters):
    return selective_prediction(found, np.random.default_rng(0), **parameters)


def _calibrated(count=1000, **options):
    return sure_of(count, lambda confidence: confidence, **options)


def _facts(found):
    confidence = found.probabilities.max(axis=1)
    labels = [found.dataset.label(index) for index in range(len(found.dataset))]
    return confidence, found.probabilities.argmax(axis=1) != labels


def test_risk_and_coverage_at_a_threshold():
    """They are the shares that one counts, with Clopper-Pearson bounds of independent images."""
    found = _calibrated()
    confidence, is_wrong = _facts(found)
    measured = _measured(found, threshold=0.7)
    quantities = measured.quantities
    accepted = confidence >= 0.7
    assert set(quantities) == set(declaration_of(selective_prediction).quantities)
    assert quantities["coverage"].value == accepted.mean()
    assert quantities["selective_risk"].value == is_wrong[accepted].mean()
    assert quantities["selective_risk"].method == "Clopper-Pearson"
    assert quantities["threshold"] == 0.7
    assert quantities["predictions"] == 1000
    assert measured.figures[0].marks == (("threshold", accepted.mean()),)


def test_a_confidence_that_knows_errors_lowers_the_risk(verdict):
    """Rejecting the unsure half helps a calibrated model, and not one that errs as often when it is sure."""
    good, bad = (
        _measured(one, threshold=0.9) for one in (_calibrated(), sure_of(1000, lambda c: np.full_like(c, 0.7)))
    )
    criterion = "selective_risk <= 10 % at 95 % confidence"
    assert verdict(selective_prediction, good, criterion) == "PASS"
    assert verdict(selective_prediction, bad, criterion) == "FAIL"
    assert good.quantities["aurc"].value < 0.2 < bad.quantities["aurc"].value


def test_a_threshold_is_chosen_on_other_sequences(verdict):
    """One half chooses, the other half shows the risk; half of the images are left to measure on."""
    found = _calibrated(2000, sequences=np.arange(2000) // 4)
    measured = _measured(found, target_risk=0.1)
    assert measured.quantities["predictions"] == 1000
    assert 0.8 < measured.quantities["threshold"] < 0.92
    assert verdict(selective_prediction, measured, "selective_risk <= 12 %", "coverage >= 12 %") == "PASS"
    assert measured.settings["threshold_from"] == "one half of the sequences"


def test_no_threshold_is_safe_enough(broken, verdict):
    """A risk that 1000 images cannot show is inconclusive, not the risk of some threshold."""
    measured = _measured(_calibrated(), target_risk=0.0001)
    assert broken(measured) == ["threshold_found"]
    assert verdict(selective_prediction, measured, "selective_risk <= 5 %") == "INCONCLUSIVE"


def _flagged(found, flags):
    attributes = [{} if flag is None else {"flagged": flag} for flag in flags]
    labels = [found.dataset.label(index) for index in range(len(found.dataset))]
    return ClassificationPredictions(found.model, LabelledDataset(labels, attributes=attributes), found.probabilities)


def test_unflagged_images_of_low_confidence_are_found(verdict):
    """One flag that is false and one that is missing are two images that nobody looks at."""
    found = _calibrated(200)
    confidence, _ = _facts(found)
    flags = ["true" if one < 0.7 else 0 for one in confidence]
    measured = _measured(_flagged(found, flags), threshold=0.7, flagged_by="flagged")
    assert verdict(selective_prediction, measured, "low_confidence_unflagged == 0") == "PASS"
    first, second = np.flatnonzero(confidence < 0.7)[:2].tolist()
    flags[first], flags[second] = False, None
    measured = _measured(_flagged(found, flags), threshold=0.7, flagged_by="flagged")
    assert verdict(selective_prediction, measured, "low_confidence_unflagged == 0") == "FAIL"
    assert [one.path for one in measured.findings[0].shown] == [f"{first:04}.png", f"{second:04}.png"]


def test_without_a_record_nobody_knows_what_is_flagged(verdict):
    """It is not counted as 0."""
    measured = _measured(_calibrated(), threshold=0.7)
    assert verdict(selective_prediction, measured, "low_confidence_unflagged == 0") == "INCONCLUSIVE"
    assert "flagged_by" in measured.quantities["low_confidence_unflagged"].method


def test_detections_by_hand(broken):
    """At 0.8, one detection an image is used, and it is a false alarm in a quarter of the images."""
    dataset = SceneDataset([annotated(box_at(0))] * 40)
    good, bad = [(box_at(0), 0.9), (box_at(100), 0.5)], [(box_at(100), 0.9), (box_at(0), 0.5)]
    measured = _measured(detected(dataset, *([good] * 30 + [bad] * 10)), threshold=0.8)
    assert measured.quantities["selective_risk"].value == 0.25
    assert measured.quantities["coverage"].value == 0.5
    assert broken(measured) == []


def test_everything_rejected_has_no_risk(verdict):
    """No prediction is used, so none is wrong; that is not a risk of 0."""
    measured = _measured(_calibrated(), threshold=0.9999999)
    assert verdict(selective_prediction, measured, "selective_risk <= 5 %") == "INCONCLUSIVE"
    assert measured.quantities["coverage"].value == 0


def test_constant_confidences_and_few_images_are_inconclusive(broken):
    """A confidence that is always the same rejects all or nothing; one image shows nothing."""
    assert broken(_measured(classified(LabelledDataset([0] * 40), [0] * 40), threshold=0.5)) == ["confidences_differ"]
    assert broken(_measured(_calibrated(1), threshold=0.5)) == ["enough_predictions", "confidences_differ"]
    assert "threshold_found" in broken(_measured(_calibrated(1), target_risk=0.1))


def test_bad_data_and_parameters_are_refused():
    """NaN, no image, neither or both of threshold and target, values outside 0..1, flags that are no flags."""
    found = _calibrated(100)
    spoilt = found.probabilities.copy()
    spoilt[3] = np.nan
    with pytest.raises(InputError, match="finite"):
        _measured(ClassificationPredictions(found.model, found.dataset, spoilt), threshold=0.7)
    empty = ClassificationPredictions(model("c", "classification"), LabelledDataset([]), np.empty((0, 2), np.float32))
    with pytest.raises(NotMeasurableError, match="no samples"):
        _measured(empty, threshold=0.7)
    for parameters in ({}, {"threshold": 0.7, "target_risk": 0.1}, {"threshold": 1.5}, {"target_risk": 0.0}):
        with pytest.raises(InputError, match=r"threshold|target_risk"):
            _measured(found, **parameters)
    with pytest.raises(InputError, match="score_threshold"):
        _measured(detected(SceneDataset([annotated(box_at(0))]), [(box_at(0), 0.9)]), threshold=0.2)
    with pytest.raises(InputError, match="no attribute 'flaged'"):
        _measured(_flagged(found, [True] * 100), threshold=0.7, flagged_by="flaged")
    with pytest.raises(InputError, match="flagged = 'maybe'"):
        _measured(_flagged(found, ["maybe"] * 100), threshold=0.7, flagged_by="flagged")
