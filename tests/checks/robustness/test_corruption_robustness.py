"""Tests of the check of corrupted images."""

from __future__ import annotations

import inspect
import typing

import numpy as np
import pytest

pytest.importorskip("cv2")

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.robustness.corruption_dataset import CorruptedImages
from pytest_mle.checks.robustness.corruption_robustness import corruption_robustness
from pytest_mle.checks.robustness.corruptions import CORRUPTIONS, parameters_of
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.model import Detections
from pytest_mle.inputs.prediction_pass import predict_dataset
from pytest_mle.inputs.predictions import DetectionPredictions
from tests.support.memory_dataset import MemoryDataset


class ByBrightness:
    """Tells bright images from dark ones by their mean; counts the images that it was given."""

    name, task, class_names, files, batch_size = "bright", "classification", ("dark", "bright"), (), 16
    digest = "1" * 64

    def __init__(self):
        self.seen = 0

    def predict(self, images):
        """Return how bright the images are."""
        self.seen += len(images)
        bright = np.array([image.mean() / 255 for image in images], np.float32)
        return np.stack([1 - bright, bright], axis=1)


class BrightSpots:
    """Finds the one bright square of an image."""

    name, task, class_names, files, batch_size = "spots", "detection", ("spot",), (), 16
    digest = "2" * 64

    def predict(self, images):
        """Return the box around what is brighter than 150, if anything is."""
        rows = []
        for index, image in enumerate(images):
            y, x = np.nonzero(image[:, :, 0] > 150)
            if len(y):
                rows.append((index, (x.min(), y.min(), x.max() + 1, y.max() + 1)))
        return Detections(
            np.array([box for _, box in rows], np.float32).reshape(-1, 4),
            np.full(len(rows), 0.9, np.float32),
            np.zeros(len(rows), np.int64),
            np.array([index for index, _ in rows], np.int64),
        )


def _images(count=100, low=60, high=190):
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    return [
        rng.integers(0, 40, (16, 16, 3)).astype(np.uint8) + (high if one else low) for one in labels
    ], labels.tolist()


def _classified(count=100, *, model=None, low=60, high=190, **options):
    images, labels = _images(count, low, high)
    dataset = MemoryDataset(images, labels=labels, class_names=ByBrightness.class_names, **options)
    return predict_dataset(model or ByBrightness(), dataset)


def _spots(count=60, *, background=40):
    images, boxes = [], []
    for index in range(count):
        image = np.full((40, 60, 3), background, np.uint8)
        left = 5 + index % 30
        image[10:20, left : left + 12] = 200
        images.append(image)
        boxes.append(([[left, 10, left + 12, 20]], [0]))
    return predict_dataset(BrightSpots(), MemoryDataset(images, boxes=boxes, class_names=("spot",)))


def _measured(found, seed=0, **parameters):
    return corruption_robustness(found, np.random.default_rng(seed), **parameters)


def test_drop_of_a_classifier_by_hand(verdict):
    """At 60 % of the light all bright images become dark ones: half of them right, a drop of 50 points and of 50 %."""
    measured = _measured(_classified(), corruption="brightness", factor=0.5)
    quantities = measured.quantities
    assert set(quantities) == set(declaration_of(corruption_robustness).quantities)
    assert quantities["clean_accuracy"].value == 1
    assert quantities["corrupted_accuracy"].value == 0.5
    assert quantities["absolute_drop"].value == quantities["relative_drop"].value == 0.5
    assert quantities["images"] == 100
    assert quantities["unchanged_images"] == 0
    assert measured.findings[0].total == 50
    assert verdict(corruption_robustness, measured, "relative_drop < 10 % at 95 % confidence") == "FAIL"
    assert verdict(corruption_robustness, measured, "absolute_drop <= 55 pp at 95 % confidence") == "INCONCLUSIVE"


def test_relative_drop_is_by_the_clean_accuracy():
    """80 % right before and 50 % after is a drop of 30 points, and of 37.5 %."""
    images, labels = _images()
    labels = [1 - one if index % 10 == 1 or index % 10 == 0 else one for index, one in enumerate(labels)]
    dataset = MemoryDataset(images, labels=labels, class_names=ByBrightness.class_names)
    quantities = _measured(predict_dataset(ByBrightness(), dataset), corruption="brightness", factor=0.3).quantities
    assert quantities["clean_accuracy"].value == pytest.approx(0.8)
    assert quantities["absolute_drop"].value == pytest.approx(0.3)
    assert quantities["relative_drop"].value == pytest.approx(0.375)


def test_a_robust_classifier_passes(verdict):
    """Noise of 0.05 changes no mean, and 100 images without any change of prediction show less than 3 % loss."""
    measured = _measured(_classified(), corruption="gaussian_noise", sigma=0.05)
    assert measured.quantities["relative_drop"].value == 0
    assert measured.quantities["relative_drop"].bounds(0.95)[1] == pytest.approx(1 - 0.05 ** (1 / 100))
    assert verdict(corruption_robustness, measured, "relative_drop < 10 % at 95 % confidence") == "PASS"


def test_drop_of_a_detector(verdict):
    """Spots that become too dark are no longer found: mAP at 0.5 falls from 1 to 0."""
    dark = _measured(_spots(), corruption="brightness", factor=0.7)
    assert dark.quantities["clean_accuracy"].value == 1
    assert dark.quantities["corrupted_accuracy"].value == 0
    assert verdict(corruption_robustness, dark, "relative_drop < 10 % at 95 % confidence") == "FAIL"
    faint = _measured(_spots(), corruption="brightness", factor=0.9, metric="recall")
    assert verdict(corruption_robustness, faint, "relative_drop < 10 % at 95 % confidence") == "PASS"
    assert dark.settings["metric"] == "map_50"
    assert faint.settings["metric"] == "recall"


def test_seeds_are_averaged():
    """Three draws give the mean of the accuracies under each of them."""
    found = _classified(high=110)
    three = _measured(found, 5, corruption="salt_pepper", share=0.9, seeds=3)
    rng = np.random.default_rng(5)
    labels = np.array([found.dataset.label(index) for index in range(100)])
    single = []
    for _ in range(3):
        seen = CorruptedImages(found.dataset, "salt_pepper", {"share": 0.9}, int(rng.integers(2**63)))
        single.append((predict_dataset(found.model, seen).probabilities.argmax(axis=1) == labels).mean())
    assert len(set(single)) > 1
    assert three.quantities["corrupted_accuracy"].value == pytest.approx(np.mean(single))


def test_clean_images_are_not_predicted_again():
    """One forward pass an image and seed: the clean predictions are the shared ones."""
    model = ByBrightness()
    found = _classified(model=model)
    model.seen = 0
    done = []
    corruption_robustness(
        found, np.random.default_rng(0), lambda count, total: done.append((count, total)), corruption="defocus", seeds=2
    )
    assert model.seen == 200
    assert done[-1] == (200, 200)


def test_a_slice_sees_the_same_corrupted_images():
    """The random numbers of an image are its own, whatever stands beside it."""
    images, labels = _images(20)
    whole = MemoryDataset(images, labels=labels)
    part = MemoryDataset(images, labels=labels, indices=[3, 17])
    seen, some = (CorruptedImages(one, "gaussian_noise", {"sigma": 0.1}, 7) for one in (whole, part))
    assert (some.image(1) == seen.image(17)).all()
    assert np.isnan(some.change[0])
    assert some.change[1] == pytest.approx(np.abs(seen.image(17).astype(int) - images[17]).mean() / 255)


def test_bounds_are_the_same_again_and_hold_the_value():
    """The same generator gives the same images and bounds."""
    found = _classified(high=110)
    one, two = (_measured(found, 3, corruption="salt_pepper", share=0.8).quantities for _ in range(2))
    for name in ("relative_drop", "absolute_drop", "clean_accuracy", "corrupted_accuracy"):
        lower, upper = one[name].bounds(0.95)
        assert lower <= one[name].value <= upper
        assert two[name].bounds(0.95) == (lower, upper)


def test_sequences_widen_the_bounds():
    """Frames of one sequence that fail together say less than independent ones."""
    images, labels = _images(200)
    dim = [image // 2 if (index // 10) % 4 == 0 else image for index, image in enumerate(images)]
    widths = []
    for sequences in (None, np.arange(200) // 5):
        dataset = MemoryDataset(dim, labels=labels, class_names=ByBrightness.class_names, sequences=sequences)
        found = predict_dataset(ByBrightness(), dataset)
        lower, upper = _measured(found, corruption="brightness", factor=0.8).quantities["clean_accuracy"].bounds(0.95)
        widths.append(upper - lower)
    assert widths[1] > 1.2 * widths[0]


def test_a_corruption_that_changes_nothing_is_inconclusive(broken, verdict):
    """A factor of 1 leaves every image as it was: nothing was tested."""
    measured = _measured(_classified(), corruption="brightness", factor=1.0)
    assert broken(measured) == ["images_were_changed"]
    assert verdict(corruption_robustness, measured, "relative_drop < 10 %") == "INCONCLUSIVE"


def test_a_model_that_recognises_nothing_loses_nothing(broken, verdict):
    """Half right of two classes is chance, so no drop of it is a sign of robustness."""
    measured = _measured(_classified(low=10, high=20), corruption="gaussian_noise")
    assert measured.quantities["clean_accuracy"].value == 0.5
    assert broken(measured) == ["clean_accuracy_above_chance"]
    assert verdict(corruption_robustness, measured, "relative_drop < 10 %") == "INCONCLUSIVE"


def test_one_image_and_background_alone_are_inconclusive(broken, verdict):
    """Neither crashes, neither is a nice number."""
    assert "enough_images" in broken(_measured(_classified(1), corruption="fog"))
    image = np.zeros((20, 20, 3), np.uint8)
    empty = MemoryDataset([image] * 40, boxes=[([], [])] * 40, class_names=("spot",))
    nothing = Detections(
        np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64)
    )
    measured = _measured(DetectionPredictions(BrightSpots(), empty, nothing), corruption="fog")
    assert broken(measured) == ["something_to_find"]
    assert verdict(corruption_robustness, measured, "relative_drop < 10 %") == "INCONCLUSIVE"


def test_parameters_of_other_corruptions_are_refused():
    """A sigma for JPEG would silently test the default quality."""
    found = _classified(40)
    with pytest.raises(InputError, match=r"jpeg has no sigma, got sigma = 0\.1; it takes quality"):
        _measured(found, corruption="jpeg", sigma=0.1)
    with pytest.raises(InputError, match=r"quality must lie in 1\.\.100, got 200"):
        _measured(found, corruption="jpeg", quality=200)
    with pytest.raises(InputError, match="seeds"):
        _measured(found, corruption="jpeg", seeds=0)
    with pytest.raises(InputError, match="resamples"):
        _measured(found, corruption="jpeg", resamples=10)
    with pytest.raises(InputError, match="metric"):
        _measured(found, corruption="jpeg", metric="map_50")


def test_an_empty_data_set_is_refused():
    """There is no accuracy of no images."""
    from pytest_mle.inputs.predictions import ClassificationPredictions

    empty = ClassificationPredictions(ByBrightness(), MemoryDataset([], labels=[]), np.empty((0, 2), np.float32))
    with pytest.raises(NotMeasurableError, match="no samples"):
        _measured(empty, corruption="fog")


def test_the_check_offers_every_corruption_and_parameter():
    """What `with:` may hold is what the corruptions take, and the effective values are recorded."""
    declared = inspect.signature(corruption_robustness).parameters
    offered = typing.get_args(eval(declared["corruption"].annotation, vars(typing)))
    assert set(offered) == set(CORRUPTIONS)
    assert {parameter for name in CORRUPTIONS for parameter in parameters_of(name)} <= set(declared)
    settings = _measured(_classified(40), corruption="fog", visibility_m=30).settings
    assert settings["visibility_m"] == 30
    assert settings["horizon"] == parameters_of("fog")["horizon"]
