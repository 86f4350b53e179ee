"""Tests of the check of unknown inputs."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.uncertainty.auroc import ScoredUnits
from pytest_mle.checks.uncertainty.ood_detection import _Sides, ood_detection
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.model import Detections
from pytest_mle.inputs.prediction_pass import predict_dataset
from pytest_mle.inputs.predictions import ClassificationPredictions
from tests.support.memory_dataset import MemoryDataset


class ByColour:
    """Tells red from green; the features are the mean colours, the logits their difference."""

    name, task, class_names, files, batch_size = "colours", "classification", ("red", "green"), (), 16
    digest = "3" * 64

    def prepare(self, images):
        """Return mean colours."""
        return np.array([image.mean(axis=(0, 1)) / 255 for image in images], np.float32)

    def forward(self, prepared):
        """Return outputs by name."""
        return {"logits": 10 * prepared[:, :2], "colour": prepared}

    def logits(self, images):
        """Return logits as torch."""
        return 10 * images[:, :2]

    def predict(self, images):
        """Return probabilities."""
        powers = np.exp(10 * self.prepare(images)[:, :2].astype(np.float64))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


class Boxes:
    """A detector that is as sure as the image is bright; nothing in black ones."""

    name, task, class_names, files, batch_size = "boxes", "detection", ("thing",), (), 16
    digest = "4" * 64

    def predict(self, images):
        """Return one box an image that is not black."""
        scores = np.array([image.mean() / 255 for image in images], np.float32)
        found = np.flatnonzero(scores > 0)
        boxes = np.tile(np.array([0, 0, 2, 2], np.float32), (len(found), 1))
        return Detections(boxes, scores[found], np.zeros(len(found), np.int64), found)


def _colours(count, colours, seed=0, spread=25.0, **options):
    """Return images of the colours in turn, with noise."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % len(colours)).tolist()
    images = [
        np.clip(np.array(colours[one]) + rng.normal(0, spread, 3) + rng.normal(0, 2, (4, 4, 3)), 0, 255).astype(
            np.uint8
        )
        for one in labels
    ]
    return MemoryDataset(images, labels=labels, class_names=("red", "green")[: len(colours)], **options)


RED, GREEN, YELLOW = (200, 40, 40), (40, 200, 40), (120, 120, 200)


@pytest.fixture(scope="module")
def known():
    """The model on 120 red and green images."""
    return predict_dataset(ByColour(), _colours(120, [RED, GREEN]))


@pytest.fixture(scope="module")
def yellow():
    """60 images of a colour that the model does not know, without its classes."""
    return _colours(60, [YELLOW], seed=1, name="yellow")


def test_values_are_those_of_scikit_learn(known, yellow, verdict):
    """Area and false positive rate of the maximum softmax probability."""
    quantities = (measured := ood_detection(known, yellow)).quantities
    scores = np.concatenate(
        (known.probabilities.max(axis=1), ByColour().predict([yellow.image(i) for i in range(60)]).max(axis=1))
    )
    labels = [1] * 120 + [0] * 60
    false, true, thresholds = sklearn.metrics.roc_curve(labels, scores, drop_intermediate=False)
    first = np.argmax(true >= 0.95)
    assert set(quantities) == set(declaration_of(ood_detection).quantities)
    assert quantities["ood_auroc"].value == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores), abs=1e-6)
    assert quantities["false_positive_rate_at_95_tpr"].value == pytest.approx(false[first], abs=1e-6)
    assert quantities["threshold_at_95_tpr"].value == pytest.approx(thresholds[first], abs=1e-6)
    assert (quantities["ood_n"], quantities["in_distribution_n"]) == (60, 120)
    assert measured.findings[0].total == round(false[first] * 60)
    assert verdict(ood_detection, measured, "ood_n >= 1", "ood_auroc >= 0.9 at 95 % confidence") == "PASS"


def test_an_unknown_image_at_the_threshold_is_taken_for_known():
    """Known scores 1 to 100: 95 of them reach 6, and so does one of four unknown ones."""
    known, unknown = np.arange(1.0, 101), np.array([5.0, 6.0, 5.9, 1.0])
    sides = _Sides(ScoredUnits(known, np.arange(100)), ScoredUnits(unknown, np.arange(100, 104)), "images")
    assert sides.threshold().value == 6
    assert sides.false_positive_rate().value == 0.25


def test_images_of_the_same_kind_cannot_be_told(known, verdict):
    """Other red and green ones are no unknown inputs: the area is about a half."""
    measured = ood_detection(known, _colours(120, [RED, GREEN], seed=5))
    assert verdict(ood_detection, measured, "ood_auroc >= 0.9 at 95 % confidence") == "FAIL"
    assert measured.quantities["ood_auroc"].value == pytest.approx(0.5, abs=0.1)
    assert measured.quantities["false_positive_rate_at_95_tpr"].value == pytest.approx(0.95, abs=0.06)


@pytest.mark.torch
def test_energy_of_logits(known, yellow):
    """Log-sum-exp of the logits, which are high for both colours and low for none."""
    pytest.importorskip("torch")
    blue = _colours(60, [(30, 30, 220)], seed=2)
    measured = ood_detection(known, blue, score="energy")
    energy = [
        np.logaddexp(*(10 * ByColour().prepare([one.image(i)])[0, :2].astype(float)))
        for one in (known.dataset, blue)
        for i in range(len(one))
    ]
    expected = sklearn.metrics.roc_auc_score([1] * 120 + [0] * 60, energy)
    assert measured.quantities["ood_auroc"].value == pytest.approx(expected, abs=1e-6)
    assert expected > 0.9


@pytest.mark.parametrize("score", ["mahalanobis", "nearest_neighbours"])
def test_features_tell_what_the_output_cannot(score, known, verdict):
    """Blue inside of red is invisible to the logits and plain in the features."""
    violet = _colours(60, [(200, 40, 200)], seed=3)
    reference = _colours(100, [RED, GREEN], seed=9)
    by_output = ood_detection(known, violet).quantities["ood_auroc"].value
    measured = ood_detection(known, violet, reference=reference, score=score, features="colour", neighbours=10)
    assert by_output < 0.7
    assert verdict(ood_detection, measured, "ood_auroc >= 0.9 at 95 % confidence") == "PASS"


def test_detector_by_its_highest_score(verdict):
    """Bright known scenes and dark unknown ones, some without any detection."""
    bright = MemoryDataset(
        [np.full((4, 4, 3), 150 + i, np.uint8) for i in range(40)],
        boxes=[([[0, 0, 2, 2]], [0])] * 40,
        class_names=("thing",),
    )
    dark = MemoryDataset([np.full((4, 4, 3), max(0, i - 20), np.uint8) for i in range(40)], labels=[0] * 40)
    measured = ood_detection(predict_dataset(Boxes(), bright), dark)
    assert measured.settings["score"] == "max_detection_score"
    assert measured.quantities["ood_auroc"].value == 1
    assert verdict(ood_detection, measured, "ood_auroc >= 0.9 at 95 % confidence") == "PASS"
    assert verdict(ood_detection, measured, "ood_auroc >= 0.99 at 95 % confidence") == "INCONCLUSIVE"


def test_the_same_images_in_both_sets_are_inconclusive(known, broken, verdict):
    """The default binding gives the test set twice; one shared image is enough to say so."""
    measured = ood_detection(known, known.dataset)
    assert broken(measured) == ["data_are_different"]
    assert verdict(ood_detection, measured, "ood_n >= 1") == "INCONCLUSIVE"
    mixed = MemoryDataset(
        [*(_colours(50, [YELLOW]).image(i) for i in range(50)), known.dataset.image(3)], labels=[0] * 51
    )
    assert broken(ood_detection(known, mixed)) == ["data_are_different"]


def test_a_reference_of_test_images_is_inconclusive(known, yellow, broken):
    """Distances to themselves would make the known images look familiar."""
    measured = ood_detection(known, yellow, reference=known.dataset, score="mahalanobis", features="colour")
    assert broken(measured) == ["reference_is_not_the_test"]


def test_constant_scores_and_one_image_are_inconclusive(known, yellow, broken):
    """Neither crashes; constant scores are no area of a half."""
    flat = ClassificationPredictions(known.model, known.dataset, np.full((120, 2), 0.5, np.float32))
    grey = MemoryDataset([np.full((4, 4, 3), 50 + i, np.uint8) for i in range(40)], labels=[0] * 40)
    assert broken(ood_detection(flat, grey)) == ["scores_differ"]
    assert broken(ood_detection(known, _colours(1, [YELLOW]))) == ["enough_unknown_images"]
    one = predict_dataset(ByColour(), _colours(1, [RED, GREEN], seed=4))
    assert "enough_known_images" in broken(ood_detection(one, yellow))


def test_bad_data_and_parameters_are_refused(known, yellow):
    """An empty side, NaN, scores and features that the model does not have."""
    with pytest.raises(NotMeasurableError, match="'yellow' holds no samples"):
        ood_detection(known, _colours(0, [YELLOW], name="yellow"))

    class Broken(ByColour):
        """A model without numbers."""

        def predict(self, images):
            """Fail."""
            return super().predict(images) * np.nan

    with pytest.raises(InputError, match="not finite"):
        ood_detection(ClassificationPredictions(Broken(), known.dataset, known.probabilities), yellow)
    with pytest.raises(InputError, match="max_softmax"):
        ood_detection(known, yellow, score="max_detection_score")
    with pytest.raises(InputError, match=r"using: \{reference: train\}"):
        ood_detection(known, yellow, score="mahalanobis", features="colour")
    reference = _colours(20, [RED, GREEN], seed=9)
    with pytest.raises(InputError, match="features"):
        ood_detection(known, yellow, reference=reference, score="mahalanobis")
    with pytest.raises(InputError, match="no output 'color', only logits, colour"):
        ood_detection(known, yellow, reference=reference, score="mahalanobis", features="color")
    with pytest.raises(InputError, match=r"neighbours must lie in 1\.\.20"):
        ood_detection(known, yellow, reference=reference, score="nearest_neighbours", features="colour")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "per_cluster", "shift"), [(100, 1, 2.0), (300, 1, 3.5), (300, 5, 2.0), (40, 1, 2.0)]
)
def test_bounds_cover_the_true_false_positive_rate(images, per_cluster, shift):
    """Each one-sided 95 % bound holds in at least 93 % of 2000 simulated data sets, though the threshold is found too."""
    from scipy.stats import norm

    rng = np.random.default_rng(6)
    truth = norm.sf(norm.ppf(0.05) + shift)
    cluster = np.repeat(np.arange(images // per_cluster), per_cluster)

    def scores(mean):
        shared = rng.standard_normal(images // per_cluster)[cluster]
        own = rng.standard_normal(images)
        return mean + (own if per_cluster == 1 else np.sqrt(0.4) * shared + np.sqrt(0.6) * own)

    held = np.zeros(2)
    for _ in range(2000):
        sides = _Sides(ScoredUnits(scores(shift), cluster), ScoredUnits(scores(0.0), cluster + images), "images")
        lower, upper = sides.false_positive_rate().bounds(0.95)
        held += (lower <= truth, truth <= upper)
    assert (held / 2000 >= 0.93).all(), held / 2000
