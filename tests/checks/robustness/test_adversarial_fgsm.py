"""Accuracy under FGSM is that of torchattacks, and every way to make it look better than it is is refused."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.robustness.adversarial_fgsm import adversarial_fgsm
from pytest_mle.checks.robustness.evaluation import labelled_images
from pytest_mle.engine.store import require_differentiable
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.datasets import open_dataset
from pytest_mle.inputs.models import open_model
from pytest_mle.records.quantity import Proportion
from tests.support.memory_dataset import MemoryDataset
from tests.support.onnx_files import save_linear_classifier

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.support.torch_classifier import ModuleClassifier  # noqa: E402

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PREPROCESS = {"resize": "stretch", "size": [8, 8], "color": "gray"}


def rng(seed=0):
    """Return a generator."""
    return np.random.default_rng(seed)


def value(measured, name):
    """Return a point value."""
    found = measured.quantities[name]
    return getattr(found, "value", found)


def everything(digits):
    """Return the test images as the network takes them, and their classes."""
    images = torch.from_numpy(digits.images[:, None, :, :, 0].astype(np.float32) / 255)
    return images, torch.tensor(digits.labels)


class Spoilt(nn.Module):
    """A network behind a function of its images."""

    def __init__(self, network, function):
        super().__init__()
        self.network, self.function = network, function

    def forward(self, images):
        """Return the network's logits."""
        return self.network(self.function(images))


def stepped(images):
    """Quantise: no gradient comes back from it, but it is asked for."""
    return (images * 4).round() / 4 + 0 * images


def reversed_gradient(images):
    """Leave the images as they are, and turn the sign of their gradient."""
    return 2 * images.detach() - images


def test_accuracy_is_that_of_torchattacks(digits):
    """The images that survive are those that torchattacks' FGSM leaves right, of those that were right."""
    torchattacks = pytest.importorskip("torchattacks")
    images, labels = everything(digits)
    with torch.no_grad():
        right = digits.network(images).argmax(1) == labels
    attacked = torchattacks.FGSM(digits.network, eps=0.1)(images, labels)
    with torch.no_grad():
        survived = right & (digits.network(attacked).argmax(1) == labels)
    measured = adversarial_fgsm(digits.model(), digits.dataset(), rng(), epsilon=0.1)
    assert measured.quantities["fgsm_accuracy"] == Proportion(int(survived.sum()), 397)
    assert 0.2 < value(measured, "fgsm_accuracy") < 0.9


def test_clean_accuracy_and_drop_stand_beside_it(digits):
    """Clean accuracy is that of the predictions; it falls by the images that the attack fools (trap E6)."""
    measured = adversarial_fgsm(digits.model(), digits.dataset(), rng(), epsilon=0.1)
    predicted = digits.model().predict(list(digits.images)).argmax(axis=1)
    clean = int((predicted == digits.labels).sum())
    assert measured.quantities["clean_accuracy"] == Proportion(clean, 397)
    assert clean > 0.9 * 397
    fooled = clean - measured.quantities["fgsm_accuracy"].successes
    assert measured.quantities["absolute_accuracy_drop"] == Proportion(fooled, 397)
    assert measured.findings[0].total == fooled
    assert value(measured, "max_perturbation") == pytest.approx(0.1, abs=1e-6)
    assert set(measured.quantities) == set(declaration_of(adversarial_fgsm).quantities)
    assert measured.settings["epsilon"] == 0.1


def test_an_honest_network_passes_and_fails_by_its_accuracy(digits, verdict, broken):
    """All validity conditions hold, so the criteria decide."""
    small = adversarial_fgsm(digits.model(), digits.dataset(), rng(), epsilon=0.01)
    large = adversarial_fgsm(digits.model(), digits.dataset(), rng(), epsilon=0.15)
    assert broken(small) == broken(large) == []
    assert verdict(adversarial_fgsm, small, "fgsm_accuracy >= 80 % at 95 % confidence") == "PASS"
    assert verdict(adversarial_fgsm, large, "fgsm_accuracy >= 80 % at 95 % confidence") == "FAIL"
    assert verdict(adversarial_fgsm, large, "absolute_accuracy_drop <= 10 pp") == "FAIL"


def right(digits):
    """Return which test images are right without an attack."""
    return digits.model().predict(list(digits.images)).argmax(axis=1) == digits.labels


def test_few_images_show_nothing_although_the_point_value_passes(digits, verdict):
    """85 % of 40 images are above 80 %, and do not show it at 95 % confidence (trap E6)."""
    dataset = digits.dataset()
    whole = adversarial_fgsm(digits.model(), dataset, rng(), epsilon=0.1)
    fooled = {finding.path for finding in whole.findings[0].shown}
    lost = [index for index in range(397) if dataset.sample(index).id in fooled]
    # The findings are capped, so that only images before the last one shown are known to survive.
    robust = [index for index in np.flatnonzero(right(digits)) if index < lost[-1] and index not in lost]
    measured = adversarial_fgsm(digits.model(), digits.dataset(robust[:34] + lost[:6]), rng(), epsilon=0.1)
    assert value(measured, "fgsm_accuracy") == 0.85
    assert verdict(adversarial_fgsm, measured, "fgsm_accuracy >= 80 %") == "PASS"
    assert verdict(adversarial_fgsm, measured, "fgsm_accuracy >= 80 % at 95 % confidence") == "INCONCLUSIVE"


@pytest.mark.parametrize("spoilt", [{"scale": 2, "shift": -1}, {"scale": 255}], ids=["normalised", "bytes"])
def test_images_out_of_range_are_counted_and_inconclusive(digits, verdict, broken, spoilt):
    """A model that prepares normalised images or bytes gets no verdict, whatever the criterion (trap E1)."""
    measured = adversarial_fgsm(digits.model(**spoilt), digits.dataset(), rng())
    assert value(measured, "inputs_out_of_range") == 397
    assert "inputs_in_range" in broken(measured)
    assert "max_perturbation" not in measured.quantities
    for criterion in ("fgsm_accuracy >= 0 %", "absolute_accuracy_drop <= 100 pp", "max_perturbation <= 0.0101"):
        assert verdict(adversarial_fgsm, measured, criterion) == "INCONCLUSIVE"


def test_a_model_left_in_training_mode_is_evaluated(digits):
    """Dropout and batch statistics are off for the attack, and back as they were (trap E2)."""
    expected = adversarial_fgsm(digits.model(), digits.dataset(), rng(), epsilon=0.1).quantities
    model = digits.model()
    model.module.train()
    measured = adversarial_fgsm(model, digits.dataset(), rng(), epsilon=0.1).quantities
    assert measured["fgsm_accuracy"] == expected["fgsm_accuracy"]
    assert measured["clean_accuracy"] == expected["clean_accuracy"]
    assert model.module.training


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_every_image_counts_once(digits, batch_size):
    """A last batch that is smaller changes neither count nor accuracy (trap E3)."""
    chosen = range(60)
    measured = adversarial_fgsm(digits.model(batch_size=batch_size), digits.dataset(chosen), rng(), epsilon=0.1)
    expected = adversarial_fgsm(digits.model(), digits.dataset(chosen), rng(), epsilon=0.1)
    assert value(measured, "attacked_images") == 60
    assert measured.quantities["fgsm_accuracy"] == expected.quantities["fgsm_accuracy"]


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda network: Spoilt(network, stepped), "gradients_flow"),
        (lambda network: nn.Sequential(network, Times(1e5)), "gradients_flow"),
        (lambda network: Spoilt(network, reversed_gradient), "large_epsilon_leaves_chance"),
    ],
    ids=["quantised", "saturated", "reversed"],
)
def test_masked_gradients_are_no_robustness(digits, verdict, broken, spoil, found):
    """A network that hides its gradient looks robust and gets no verdict (trap E4)."""
    model = digits.model()
    model.module = spoil(model.module)
    measured = adversarial_fgsm(model, digits.dataset(), rng(), epsilon=0.1)
    honest = adversarial_fgsm(digits.model(), digits.dataset(), rng(), epsilon=0.1)
    assert value(measured, "fgsm_accuracy") > value(honest, "fgsm_accuracy")
    assert found in broken(measured)
    assert verdict(adversarial_fgsm, measured, "fgsm_accuracy >= 10 %") == "INCONCLUSIVE"


class Times(nn.Module):
    """Logits so large that the softmax has no gradient left."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, logits):
        """Return them larger."""
        return logits * self.factor


def test_chance_is_known_without_the_models_class_names(digits, broken):
    """A model that names no classes does not make chance 100 %."""
    model = digits.model(class_names=())
    model.module = Spoilt(model.module, reversed_gradient)
    dataset = digits.dataset(class_names=())
    measured = adversarial_fgsm(model, dataset, rng(), epsilon=0.1)
    assert "large_epsilon_leaves_chance" in broken(measured)
    honest = adversarial_fgsm(digits.model(class_names=()), dataset, rng(), epsilon=0.1)
    assert broken(honest) == []
    assert honest.findings[0].shown[0].message.startswith("class ")


def test_labels_tell_how_many_classes_there_are_at_least(digits):
    """Without any names, ten digits are ten classes, not the two that every classifier has."""
    images = labelled_images(digits.model(class_names=()), digits.dataset(class_names=()))
    assert images.class_count == 10
    assert labelled_images(digits.model(), digits.dataset([0])).class_count == 10
    zeros = digits.dataset([index for index, label in enumerate(digits.labels) if label == 0], class_names=())
    assert labelled_images(digits.model(class_names=()), zeros).class_count == 2


def test_logits_that_are_not_finite_are_wrong(digits, broken):
    """A network that puts out NaN is right about nothing, and says so."""
    model = digits.model()
    model.module = nn.Sequential(model.module, Times(float("nan")))
    measured = adversarial_fgsm(model, digits.dataset(), rng())
    assert value(measured, "clean_accuracy") == value(measured, "fgsm_accuracy") == 0
    assert "logits_finite" in broken(measured)


def test_a_network_that_is_always_wrong_is_not_green(digits, verdict, broken):
    """Without an image to attack there is no drop, and no verdict either."""
    chosen = np.flatnonzero(right(digits))
    wrong = [(digits.labels[index] + 1) % 10 for index in chosen]
    dataset = MemoryDataset([digits.images[index] for index in chosen], labels=wrong, class_names=NAMES)
    measured = adversarial_fgsm(digits.model(), dataset, rng())
    assert value(measured, "absolute_accuracy_drop") == 0
    assert broken(measured) == ["perturbation_within_epsilon", "gradients_flow"]
    assert verdict(adversarial_fgsm, measured, "absolute_accuracy_drop <= 10 pp") == "INCONCLUSIVE"


def test_same_seed_same_result(digits):
    """Values and bounds are those of the seed, with sequences too."""
    dataset = digits.dataset(sequences=[f"drive {i // 4}" for i in range(397)])
    one, two = (adversarial_fgsm(digits.model(), dataset, rng(4), epsilon=0.1).quantities for _ in range(2))
    for name in ("fgsm_accuracy", "clean_accuracy", "absolute_accuracy_drop"):
        assert one[name].value == two[name].value
        assert one[name].bounds(0.95) == two[name].bounds(0.95)


def test_the_order_of_images_does_not_matter(digits):
    """Shuffled images give the same rates."""
    order = rng(3).permutation(397)
    one = adversarial_fgsm(digits.model(), digits.dataset(), rng(), epsilon=0.1).quantities
    two = adversarial_fgsm(digits.model(), digits.dataset(order), rng(), epsilon=0.1).quantities
    assert {name: one[name] for name in ("fgsm_accuracy", "clean_accuracy", "absolute_accuracy_drop")} == {
        name: two[name] for name in ("fgsm_accuracy", "clean_accuracy", "absolute_accuracy_drop")
    }


@pytest.mark.parametrize("kind", [str, int])
def test_sequences_widen_the_bounds(digits, kind):
    """Twenty copies of an image are worth one of it, however sequences are named."""
    chosen = np.repeat(np.arange(60), 20)
    copies = MemoryDataset(
        [digits.images[index] for index in chosen],
        labels=[digits.labels[index] for index in chosen],
        class_names=NAMES,
        sequences=[kind(index) for index in chosen],
    )
    measured = adversarial_fgsm(digits.model(), copies, rng(), epsilon=0.1).quantities["fgsm_accuracy"]
    once = adversarial_fgsm(digits.model(), digits.dataset(range(60)), rng(), epsilon=0.1).quantities["fgsm_accuracy"]
    assert measured.value == once.value
    assert measured.bounds(0.95) == pytest.approx(once.bounds(0.95), abs=0.03)


def test_one_class_shows_nothing(digits, verdict, broken):
    """A model that always says this class would be right under any attack."""
    always = ModuleClassifier(AlwaysThree(), class_names=NAMES)
    threes = digits.dataset([index for index, label in enumerate(digits.labels) if label == 3])
    measured = adversarial_fgsm(always, threes, rng(), epsilon=0.1)
    assert value(measured, "fgsm_accuracy") == 1
    assert "several_classes" in broken(measured)
    assert verdict(adversarial_fgsm, measured, "fgsm_accuracy >= 80 %") == "INCONCLUSIVE"


class AlwaysThree(nn.Module):
    """A model that depends on its images, but hardly."""

    def forward(self, images):
        """Return logits whose largest is always the same one."""
        logits = images.flatten(1)[:, :10]
        return logits + 5 * nn.functional.one_hot(torch.tensor(3), 10)


@pytest.mark.parametrize("count", [1, 2, 29])
def test_few_images_are_not_valid(digits, verdict, broken, count):
    """One image that survives is no accuracy of 100 %."""
    robust = np.flatnonzero(right(digits))
    measured = adversarial_fgsm(digits.model(), digits.dataset(robust[:count]), rng(), epsilon=0.0001)
    assert value(measured, "fgsm_accuracy") == 1
    assert "enough_images" in broken(measured)
    assert verdict(adversarial_fgsm, measured, "fgsm_accuracy >= 80 %") == "INCONCLUSIVE"


def test_no_image_is_not_measurable(digits):
    """An empty data set has no accuracy."""
    with pytest.raises(NotMeasurableError, match="'digits' has no image"):
        adversarial_fgsm(digits.model(), digits.dataset([]), rng())


def test_a_detector_or_boxes_are_refused(digits):
    """The check says that it needs a classifier and images with one class each (trap E5)."""
    detector = digits.model(name="detector")
    detector.task = "detection"
    with pytest.raises(InputError, match="model 'detector' is made for detection; this attack needs a classifier"):
        adversarial_fgsm(detector, digits.dataset(), rng())
    with pytest.raises(InputError, match="data set 'boxes' is made for detection"):
        adversarial_fgsm(digits.model(), MemoryDataset([None], boxes=[], name="boxes"), rng())


def test_a_model_without_gradients_names_those_that_have_some(tmp_path):
    """An ONNX model is refused before the check is called."""
    save_linear_classifier(tmp_path / "model.onnx", size=(8, 8))
    model = open_model(
        "deployed",
        {
            "path": "model.onnx",
            "task": "classification",
            "preprocess": {"resize": "stretch", "size": [8, 8]},
            "output": {"layout": "probabilities"},
        },
        tmp_path,
    )
    with pytest.raises(InputError, match=r"model 'deployed' gives no gradients\. White-box attacks need a TorchScript"):
        require_differentiable(model)


def test_a_label_that_the_model_does_not_know_is_an_error(digits):
    """Class 12 of 10 means that data and model do not belong together."""
    dataset = MemoryDataset(list(digits.images[:40]), labels=[12] * 40)
    with pytest.raises(InputError, match=r"labels must lie in 0\.\.9, got 12\.\.12"):
        adversarial_fgsm(digits.model(), dataset, rng())


def test_logits_without_gradient_are_an_error(digits):
    """A model that cuts the gradient cannot be attacked."""
    model = digits.model()
    model.module = Spoilt(model.module, torch.Tensor.detach)
    with pytest.raises(InputError, match="no gradient to attack with"):
        adversarial_fgsm(model, digits.dataset(), rng())


@pytest.mark.parametrize("epsilon", [0, -0.1, 8, float("nan")])
def test_an_epsilon_that_attacks_nothing_is_refused(digits, epsilon):
    """Epsilon 0 would make every model robust, and 8 is meant in grey levels."""
    with pytest.raises(InputError, match=r"epsilon must be above 0 and at most 1, for pixels in 0\.\.1"):
        adversarial_fgsm(digits.model(), digits.dataset(), rng(), epsilon=epsilon)


def test_progress_counts_images(digits):
    """The listener hears of each batch of the attack."""
    heard = []
    adversarial_fgsm(digits.model(), digits.dataset(range(100)), rng(), lambda done, total: heard.append((done, total)))
    assert heard == [(64, 100), (100, 100)]


def declared(tmp_path, digits, layout):
    """Write the network as TorchScript or weights, declare it with mean and standard deviation, and open it."""
    normalised = nn.Sequential(Denormalised(), digits.network).eval()
    options = {
        "task": "classification",
        "preprocess": {**PREPROCESS, "mean": [0.3], "std": [0.5]},
        "output": {"layout": "logits"},
        "classes": list(NAMES),
        "batch_size": 50,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer PyTorch wants torch.export
        script = torch.jit.script(normalised)
        torch.jit.save(torch.jit.freeze(script) if layout == "frozen" else script, tmp_path / "model.pt")
    return open_model("candidate", {**options, "path": "model.pt"}, tmp_path)


class Denormalised(nn.Module):
    """Undo mean 0.3 and standard deviation 0.5, because the network was trained without them."""

    def forward(self, images):
        """Return images in 0..1."""
        return images * 0.5 + 0.3


@pytest.mark.parametrize("layout", ["scripted", "frozen"])
def test_files_as_a_spec_declares_them(digits, tmp_path, broken, layout):
    """A TorchScript file with mean and std, and a folder of images, give what the network in memory gives."""
    for index in range(80):
        folder = tmp_path / "data" / NAMES[digits.labels[index]]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index:03}.png"), digits.images[index])
    options = {"path": "data", "format": "imagefolder", "classes": list(NAMES)}
    dataset = open_dataset("crops", options, tmp_path)
    model = require_differentiable(declared(tmp_path, digits, layout))
    if layout == "scripted":
        model.network.module.train()
    measured = adversarial_fgsm(model, dataset, rng(), epsilon=0.1)
    expected = adversarial_fgsm(digits.model(), digits.dataset(range(80)), rng(), epsilon=0.1)
    assert broken(measured) == []
    assert measured.quantities["fgsm_accuracy"] == expected.quantities["fgsm_accuracy"]
    assert measured.quantities["clean_accuracy"] == expected.quantities["clean_accuracy"]
    assert measured.findings[0].shown[0].path.endswith(".png")
