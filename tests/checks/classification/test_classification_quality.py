"""Tests of the quality of classifiers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.metrics

from pytest_mle.checks.classification.classification_quality import classification_quality
from pytest_mle.checks.declaration import declaration_of
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.model import Detections
from pytest_mle.inputs.predictions import ClassificationPredictions, DetectionPredictions
from pytest_mle.records.quantity import Proportion
from tests.support.memory_dataset import MemoryDataset

NAMES = ("car", "person", "rider")
MODEL = SimpleNamespace(name="candidate", class_names=NAMES)


def _rng(seed=0):
    return np.random.default_rng(seed)


def _predictions(labels, probabilities, sequences=None, names=NAMES):
    dataset = MemoryDataset([None] * len(labels), labels=list(labels), class_names=names, sequences=sequences)
    return ClassificationPredictions(MODEL, dataset, np.asarray(probabilities, dtype=np.float32))


def _random(count=300, seed=0, right=0.8, sequences=None):
    rng = _rng(seed)
    labels = rng.integers(0, 3, count)
    shown = np.where(rng.random(count) < right, labels, rng.integers(0, 3, count))
    probabilities = rng.dirichlet(np.ones(3), count) * 0.3 + 0.7 * np.eye(3)[shown]
    return _predictions(labels, probabilities, sequences)


def test_values_are_those_of_scikit_learn():
    """Accuracy, balanced accuracy, macro precision, macro F1 and top-2 accuracy."""
    found = _random()
    labels = [found.dataset.label(i) for i in range(300)]
    predicted = found.probabilities.argmax(axis=1)
    quantities = classification_quality(found, _rng(), top_k=2).quantities
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(labels, predicted),
        "lowest_recall": sklearn.metrics.recall_score(labels, predicted, average=None).min(),
        "macro_precision": sklearn.metrics.precision_score(labels, predicted, average="macro"),
        "macro_f1": sklearn.metrics.f1_score(labels, predicted, average="macro"),
        "top_k_accuracy": sklearn.metrics.top_k_accuracy_score(labels, found.probabilities, k=2),
    }
    assert {name: quantity.value for name, quantity in quantities.items()} == pytest.approx(expected)
    assert set(declaration_of(classification_quality).quantities) == set(expected)


def test_independent_images_have_exact_bounds():
    """Without sequences accuracy is Clopper-Pearson over images."""
    measured = classification_quality(_random(), _rng())
    accuracy = measured.quantities["accuracy"]
    assert accuracy == Proportion(round(accuracy.value * 300), 300)
    assert measured.settings["independent_units"] == "300 images"


def test_bounds_contain_the_value_and_are_the_same_again():
    """Every quantity has bounds around it, and the same generator gives the same ones."""
    one, two = (classification_quality(_random(), _rng(5)).quantities for _ in range(2))
    for name, quantity in one.items():
        lower, upper = quantity.bounds(0.95)
        assert 0 <= lower <= quantity.value <= upper <= 1
        assert two[name].bounds(0.95) == (lower, upper)


def test_sequences_widen_the_bounds():
    """Frames that are right or wrong together say less than independent ones."""
    rng = _rng(1)
    labels = rng.integers(0, 3, 60).repeat(10)
    shown = np.where(rng.random(60) < 0.7, labels[::10], (labels[::10] + 1) % 3).repeat(10)
    probabilities = 0.1 + 0.7 * np.eye(3)[shown]
    widths = []
    for sequences in (None, np.arange(60).repeat(10).tolist()):
        lower, upper = (
            classification_quality(_predictions(labels, probabilities, sequences), _rng())
            .quantities["accuracy"]
            .bounds(0.95)
        )
        widths.append(upper - lower)
    assert widths[1] > 2 * widths[0]


def test_another_attribute_can_group_the_images():
    """``cluster`` names an image attribute; one that does not exist is an error."""
    found = _random(sequences=np.arange(100).repeat(3).tolist())
    assert classification_quality(found, _rng(), cluster="sequence").settings["independent_units"] == "100 sequences"
    with pytest.raises(InputError, match="no attribute 'drive'"):
        classification_quality(found, _rng(), cluster="drive")


def test_a_perfect_classifier_is_not_certain():
    """All right: the value is 1, the lower bound what the samples can exclude."""
    labels = np.arange(90) % 3
    measured = classification_quality(_predictions(labels, np.eye(3)[labels]), _rng())
    assert measured.quantities["accuracy"].bounds(0.95)[0] == pytest.approx(Proportion(90, 90).bounds(0.95)[0])
    for name in ("balanced_accuracy", "macro_f1", "macro_precision", "lowest_recall"):
        assert measured.quantities[name].value == 1
        assert measured.quantities[name].bounds(0.95)[0] == pytest.approx(Proportion(30, 30).bounds(0.95)[0])


def test_planted_errors_are_found_most_confident_first():
    """Each wrong sample is a finding with both class names; the surest mistake leads."""
    labels = np.zeros(40, dtype=int)
    probabilities = np.tile([0.9, 0.06, 0.04], (40, 1))
    probabilities[7], probabilities[31] = [0.2, 0.7, 0.1], [0.02, 0.0, 0.98]
    measured = classification_quality(_predictions(labels, probabilities), _rng())
    wrong, absent = measured.findings
    assert wrong.total == 2
    assert [str(finding) for finding in wrong.shown] == [
        "images/0031.png: car taken for rider with 98.0%",
        "images/0007.png: car taken for person with 70.0%",
    ]
    assert [finding.subject for finding in absent.shown] == ["person", "rider"]


def test_figures_show_the_confusion_and_the_recalls():
    """Rows of the matrix are true classes; recalls carry their bounds."""
    labels = np.array([0] * 20 + [1] * 20)
    shown = np.array([0] * 18 + [2] * 2 + [1] * 20)
    matrix, bars = classification_quality(_predictions(labels, np.eye(3)[shown]), _rng()).figures
    assert [row.y for row in matrix.series] == [(18, 0, 2), (0, 20, 0), (0, 0, 0)]
    assert bars.labels == ("car", "person")
    assert bars.series[0].y == (0.9, 1.0)
    assert bars.series[0].lower[1] == pytest.approx(0.05 ** (1 / 20))


def test_the_order_of_samples_does_not_matter():
    """Shuffled samples give the same values and nearly the same bounds."""
    found = _random()
    order = _rng(9).permutation(300)
    shuffled = _predictions(np.array([found.dataset.label(i) for i in range(300)])[order], found.probabilities[order])
    one, two = (classification_quality(each, _rng()).quantities for each in (found, shuffled))
    for name, quantity in one.items():
        assert two[name].value == pytest.approx(quantity.value)
        assert two[name].bounds(0.95) == pytest.approx(quantity.bounds(0.95), abs=0.01)


def test_too_few_samples_are_not_valid():
    """29 samples are one short of a valid measurement."""
    assert not classification_quality(_random(29), _rng()).validity[0].holds
    assert classification_quality(_random(30), _rng()).validity[0].holds


def test_no_samples_are_not_measurable():
    """An empty slice has no accuracy."""
    with pytest.raises(NotMeasurableError, match="holds no samples"):
        classification_quality(_predictions([], np.zeros((0, 3))), _rng())


@pytest.mark.parametrize("top_k", [0, 3, 5])
def test_a_top_k_that_is_always_right_is_refused(top_k):
    """The top 3 of 3 classes is a number that says nothing."""
    with pytest.raises(NotMeasurableError, match=r"top_k must lie in 1\.\.2 for 3 classes"):
        classification_quality(_random(), _rng(), top_k=top_k)


def test_a_label_that_the_model_does_not_know_is_an_error():
    """Class 3 of 3 means that data and model do not belong together."""
    with pytest.raises(InputError, match=r"images/0001\.png' is of class 3"):
        classification_quality(_predictions([0, 3], np.full((2, 3), 1 / 3), names=()), _rng())


def test_detections_are_refused():
    """A detector's predictions name the right check."""
    empty = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0), np.zeros(0))
    with pytest.raises(InputError, match="use detection_quality"):
        classification_quality(DetectionPredictions(MODEL, MemoryDataset([None], boxes=[]), empty), _rng())
