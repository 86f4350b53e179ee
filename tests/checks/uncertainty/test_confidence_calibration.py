"""Tests of the check of calibration."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from scipy.stats import spearmanr

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.uncertainty.confidence_calibration import confidence_calibration
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.predictions import ClassificationPredictions
from tests.support.detection_scenes import LabelledDataset, SceneDataset, annotated, box_at, classified, detected, model
from tests.support.uncertain_classifier import sure_of

NAMES = set(declaration_of(confidence_calibration).quantities)


def _rng():
    return np.random.default_rng(0)


def _measured(found, **parameters):
    return confidence_calibration(found, _rng(), **parameters)


def test_values_are_those_of_scikit_learn_and_scipy():
    """Brier score and rank correlation; overconfidence is mean confidence less accuracy."""
    found = sure_of(400, lambda confidence: confidence - 0.1)
    confidence = found.probabilities.max(axis=1).astype(float)
    is_right = found.probabilities.argmax(axis=1) == [found.dataset.label(i) for i in range(400)]
    quantities = _measured(found).quantities
    assert set(quantities) == NAMES
    assert quantities["brier_score"].value == pytest.approx(
        sklearn.metrics.brier_score_loss(is_right, confidence), abs=1e-6
    )
    correlation = spearmanr(confidence, is_right).statistic
    assert quantities["confidence_accuracy_spearman"].value == pytest.approx(correlation, abs=1e-6)
    assert quantities["mean_overconfidence"].value == pytest.approx(confidence.mean() - is_right.mean(), abs=1e-6)
    assert quantities["predictions"] == 400


def test_an_overconfident_model_is_found(verdict):
    """20 points too sure is shown to be no good calibration; a calibrated model shows a small error."""
    good, bad = (
        _measured(sure_of(3000, accuracy))
        for accuracy in (lambda confidence: confidence, lambda confidence: confidence - 0.2)
    )
    criterion = "expected_calibration_error <= 0.05 at 95 % confidence"
    assert verdict(confidence_calibration, good, criterion) == "PASS"
    assert verdict(confidence_calibration, bad, criterion) == "FAIL"
    assert verdict(confidence_calibration, bad, "mean_overconfidence <= 10 % at 95 % confidence") == "FAIL"
    assert good.quantities["expected_calibration_error"].value < 2 * good.quantities["chance_calibration_error"]


def test_bounds_hold_the_value_and_are_the_same_again():
    """Each quantity lies inside its bounds, and the same generator gives the same ones."""
    found = sure_of(300, lambda confidence: confidence - 0.1)
    one, two = _measured(found).quantities, _measured(found).quantities
    for name in NAMES - {"chance_calibration_error", "predictions"}:
        lower, upper = one[name].bounds(0.95)
        assert lower <= one[name].value <= upper, name
        assert two[name].bounds(0.95) == (lower, upper)


def test_calibration_of_a_detector_by_hand(broken):
    """Of two scores, 0.9 is right each second time and 0.6 always: gaps of 0.4 and -0.4; ignored and unused boxes count not."""
    truth = annotated(box_at(0), box_at(100), box_at(300), ignore=[2])
    dataset = SceneDataset([truth] * 40)
    image = [(box_at(0), 0.9), (box_at(200), 0.9), (box_at(100), 0.6), (box_at(300), 0.95), (box_at(400), 0.1)]
    measured = _measured(detected(dataset, *[image] * 40), bins=2)
    quantities = measured.quantities
    assert quantities["predictions"] == 120
    assert quantities["expected_calibration_error"].value == pytest.approx(0.4, abs=1e-6)
    assert quantities["mean_overconfidence"].value == pytest.approx((2 * 0.4 - 0.4) / 3, abs=1e-6)
    assert broken(measured) == []
    assert measured.findings[0].total == 40


def test_reliability_diagram_shows_the_bins():
    """One point a bin at its mean confidence, with bounds around its accuracy."""
    (figure,) = _measured(sure_of(300, lambda confidence: confidence), bins=5).figures
    shown = figure.series[0]
    assert len(shown.x) == len(shown.y) == 5
    assert all(low <= one <= high for low, one, high in zip(shown.lower, shown.y, shown.upper, strict=True))


def test_most_confident_errors_come_first():
    """The findings name the images that were wrong, worst first."""
    (errors,) = _measured(sure_of(300, lambda confidence: confidence)).findings
    shares = [float(one.message.removeprefix("wrong with ").partition("%")[0]) for one in errors.shown]
    assert errors.total > 5
    assert shares == sorted(shares, reverse=True)


def test_without_an_error_there_is_no_correlation(verdict):
    """A model that is always right shows its calibration, but not that its confidence tells right from wrong."""
    measured = _measured(sure_of(300, np.ones_like))
    assert verdict(confidence_calibration, measured, "expected_calibration_error <= 0.5") == "PASS"
    assert verdict(confidence_calibration, measured, "confidence_accuracy_spearman > 0") == "INCONCLUSIVE"
    assert measured.quantities["confidence_accuracy_spearman"].method == "undefined: all predictions are right"


def test_constant_confidences_are_inconclusive(broken, verdict):
    """A confidence that is always the same tells nothing, however close it is to the accuracy."""
    labels = [0] * 180 + [1] * 20
    dataset = LabelledDataset(labels)
    measured = _measured(classified(dataset, [0] * 200))
    assert broken(measured) == ["confidences_differ"]
    assert verdict(confidence_calibration, measured, "expected_calibration_error <= 0.05") == "INCONCLUSIVE"


@pytest.mark.parametrize("count", [1, 149])
def test_few_images_are_inconclusive(count, broken, verdict):
    """15 bins need 150 images; one image neither crashes nor passes."""
    measured = _measured(sure_of(count, lambda confidence: confidence))
    assert "enough_predictions" in broken(measured)
    assert verdict(confidence_calibration, measured, "expected_calibration_error <= 1") == "INCONCLUSIVE"


def test_without_objects_a_detector_is_inconclusive(broken):
    """On background alone every detection is wrong by itself."""
    dataset = SceneDataset([annotated()] * 40)
    rng = _rng()
    images = [[(box_at(10 * i), float(score)) for i, score in enumerate(rng.uniform(0.4, 1, 5))] for _ in range(40)]
    assert broken(_measured(detected(dataset, *images))) == ["objects_to_find"]


def test_bad_data_are_refused():
    """NaN, no image, no detection, scores that are no probabilities and parameters without sense."""
    good = sure_of(200, lambda confidence: confidence)
    spoilt = good.probabilities.copy()
    spoilt[7] = np.nan
    with pytest.raises(InputError, match="finite"):
        _measured(ClassificationPredictions(good.model, good.dataset, spoilt))
    empty = LabelledDataset([])
    with pytest.raises(NotMeasurableError, match="no samples"):
        _measured(ClassificationPredictions(model("c", "classification"), empty, np.empty((0, 2), np.float32)))
    scene = SceneDataset([annotated(box_at(0))])
    with pytest.raises(NotMeasurableError, match="no detection"):
        _measured(detected(scene, [(box_at(0), 0.2)]))
    with pytest.raises(InputError, match=r"0000\.png.*0\.\.1, got 7"):
        _measured(detected(scene, [(box_at(0), 7.0)]))
    with pytest.raises(InputError, match="not finite"):
        _measured(detected(scene, [(box_at(0), float("nan"))]))
    with pytest.raises(InputError, match="bins"):
        _measured(good, bins=1)
    with pytest.raises(InputError, match="resamples"):
        _measured(good, resamples=100)
