"""Accuracy under PGD is that of torchattacks from the same start, and an attack that is too weak is found out."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.robustness.adversarial_fgsm import adversarial_fgsm
from pytest_mle.checks.robustness.adversarial_pgd import adversarial_pgd
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.records.quantity import Proportion

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402


def rng(seed=0):
    """Return a generator."""
    return np.random.default_rng(seed)


def value(measured, name):
    """Return a point value."""
    found = measured.quantities[name]
    return getattr(found, "value", found)


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


def reversed_off_the_grid(images):
    """Reverse the gradient of images that are no whole grey levels, as all are after a random start."""
    levels = images.detach() * 255
    is_whole = ((levels - levels.round()).abs() < 1e-3).flatten(1).all(dim=1)[:, None, None, None]
    return torch.where(is_whole, images, reversed_gradient(images))


def spoilt(digits, function):
    """Return the model with something in front of its network."""
    model = digits.model()
    model.module = Spoilt(model.module, function)
    return model


def test_accuracy_is_that_of_torchattacks_from_the_same_start(digits):
    """One restart from torch's generator in the state that torchattacks finds leaves the same images right."""
    torchattacks = pytest.importorskip("torchattacks")
    images = torch.from_numpy(digits.images[:, None, :, :, 0].astype(np.float32) / 255)
    labels = torch.tensor(digits.labels)
    with torch.no_grad():
        right = digits.network(images).argmax(1) == labels
    torch.manual_seed(int(rng().integers(2**63)))
    attacked = torchattacks.PGD(digits.network, eps=0.08, alpha=0.02, steps=10)(images, labels)
    with torch.no_grad():
        survived = right & (digits.network(attacked).argmax(1) == labels)
    measured = adversarial_pgd(digits.model(batch_size=397), digits.dataset(), rng(), epsilon=0.08, restarts=1)
    assert measured.quantities["pgd_accuracy"] == Proportion(int(survived.sum()), 397)
    assert 0.1 < value(measured, "pgd_accuracy") < 0.95


def test_everything_is_measured_and_valid_for_an_honest_network(digits, verdict, broken):
    """All quantities are there, PGD is the stronger attack, and the criteria decide."""
    measured = adversarial_pgd(digits.model(), digits.dataset(), rng(), epsilon=0.08)
    single = adversarial_fgsm(digits.model(), digits.dataset(), rng(), epsilon=0.08)
    assert broken(measured) == []
    assert set(measured.quantities) == set(declaration_of(adversarial_pgd).quantities)
    assert value(measured, "pgd_accuracy") <= value(single, "fgsm_accuracy")
    assert value(measured, "clean_accuracy") == value(single, "clean_accuracy")
    lost = value(measured, "clean_accuracy") - value(measured, "pgd_accuracy")
    assert value(measured, "absolute_accuracy_drop") == pytest.approx(lost)
    assert value(measured, "fgsm_pgd_accuracy_difference") >= 0
    assert value(measured, "accuracy_at_large_epsilon") == 0
    assert value(measured, "max_perturbation") == pytest.approx(0.08, abs=1e-6)
    assert measured.settings["step_size"] == 0.02
    assert verdict(adversarial_pgd, measured, "pgd_accuracy >= 99 %") == "FAIL"
    assert verdict(adversarial_pgd, measured, "fgsm_pgd_accuracy_difference >= -1 pp") == "PASS"
    small = adversarial_pgd(digits.model(), digits.dataset(), rng(), epsilon=0.01)
    assert verdict(adversarial_pgd, small, "pgd_accuracy >= 80 % at 95 % confidence") == "PASS"


def test_more_restarts_find_more(digits):
    """The worst start counts; the first restarts of the same seed are the same."""
    accuracies = [
        value(
            adversarial_pgd(
                digits.model(batch_size=397),
                digits.dataset(),
                rng(2),
                epsilon=0.06,
                step_size=0.06,
                steps=1,
                restarts=n,
            ),
            "pgd_accuracy",
        )
        for n in (1, 20)
    ]
    assert accuracies[1] < accuracies[0]


@pytest.mark.parametrize(
    ("function", "found"),
    [(stepped, "gradients_flow"), (reversed_gradient, "large_epsilon_leaves_chance")],
    ids=["quantised", "reversed"],
)
def test_masked_gradients_are_no_robustness(digits, verdict, broken, function, found):
    """A network that hides its gradient stays right, and gets no verdict for it (trap E4)."""
    measured = adversarial_pgd(spoilt(digits, function), digits.dataset(), rng(), epsilon=0.1, restarts=2)
    assert found in broken(measured)
    assert "large_epsilon_leaves_chance" in broken(measured)
    assert value(measured, "accuracy_at_large_epsilon") > 0.1
    assert verdict(adversarial_pgd, measured, "pgd_accuracy >= 1 %") == "INCONCLUSIVE"


def test_pgd_weaker_than_fgsm_is_found(digits, verdict, broken):
    """Gradients that are wrong wherever PGD goes, and right where FGSM takes its only one, are masking (trap E4)."""
    measured = adversarial_pgd(spoilt(digits, reversed_off_the_grid), digits.dataset(), rng(), epsilon=0.1, restarts=2)
    assert value(measured, "fgsm_pgd_accuracy_difference") < -0.01
    assert "pgd_not_weaker_than_fgsm" in broken(measured)
    assert verdict(adversarial_pgd, measured, "pgd_accuracy >= 1 %") == "INCONCLUSIVE"


@pytest.mark.parametrize("wrong", [{"scale": 2, "shift": -1}, {"scale": 255}], ids=["normalised", "bytes"])
def test_images_out_of_range_are_counted_and_inconclusive(digits, verdict, broken, wrong):
    """A model that prepares normalised images or bytes gets no verdict (trap E1)."""
    measured = adversarial_pgd(digits.model(**wrong), digits.dataset(), rng(), restarts=1)
    assert value(measured, "inputs_out_of_range") == 397
    assert "inputs_in_range" in broken(measured)
    assert verdict(adversarial_pgd, measured, "pgd_accuracy >= 0 %") == "INCONCLUSIVE"


def test_a_model_left_in_training_mode_is_evaluated(digits):
    """Dropout and batch statistics are off for all attacks (trap E2)."""
    model = digits.model()
    model.module.train()
    measured = adversarial_pgd(model, digits.dataset(), rng(), epsilon=0.08, restarts=1).quantities
    expected = adversarial_pgd(digits.model(), digits.dataset(), rng(), epsilon=0.08, restarts=1).quantities
    for name in ("pgd_accuracy", "clean_accuracy", "fgsm_pgd_accuracy_difference", "accuracy_at_large_epsilon"):
        assert measured[name] == expected[name]
    assert model.module.training


def test_same_seed_same_result_in_any_order(digits):
    """The same seed gives the same; another order of the images, which moves the starts, next to the same."""
    model, order = digits.model(), rng(3).permutation(397)
    one, two = (adversarial_pgd(model, digits.dataset(), rng(), epsilon=0.08).quantities for _ in range(2))
    shuffled = adversarial_pgd(model, digits.dataset(order), rng(), epsilon=0.08).quantities
    other_seed = adversarial_pgd(model, digits.dataset(), rng(9), epsilon=0.08).quantities
    for name in ("pgd_accuracy", "clean_accuracy", "absolute_accuracy_drop"):
        assert one[name] == two[name]
        assert shuffled[name].value == pytest.approx(one[name].value, abs=4 / 397)
        assert other_seed[name].value == pytest.approx(one[name].value, abs=4 / 397)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epsilon": 0}, "epsilon must be above 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"restarts": 0}, "restarts must be at least 1, got 0"),
        ({"step_size": -0.1}, "step_size must be positive"),
        ({"step_size": float("nan")}, "step_size must be positive"),
        ({"step_size": 1e-6}, "10 steps of 1e-06 do not reach epsilon = 0.01: that is a weaker attack"),
    ],
)
def test_parameters_that_make_no_attack_are_refused(digits, parameters, message):
    """An attack that cannot reach epsilon would let any network look robust."""
    with pytest.raises(InputError, match=message):
        adversarial_pgd(digits.model(), digits.dataset(), rng(), **parameters)


def test_steps_that_just_reach_epsilon_are_taken_and_may_prove_too_weak(digits, broken):
    """Steps of a part of epsilon are taken whatever rounding says; from a random start they can be weaker than FGSM."""
    short = adversarial_pgd(digits.model(), digits.dataset(), rng(), epsilon=0.06, step_size=0.02, steps=3, restarts=1)
    enough = adversarial_pgd(digits.model(), digits.dataset(), rng(), epsilon=0.06, step_size=0.02, steps=9, restarts=1)
    assert broken(short) == ["pgd_not_weaker_than_fgsm"]
    assert broken(enough) == []
    assert 0.0003 * 10 < 0.003
    adversarial_pgd(digits.model(), digits.dataset(), rng(), epsilon=0.003, step_size=0.0003, steps=10, restarts=1)


def test_one_image_and_no_image(digits, broken):
    """One image is attacked, and shows nothing; none is not measurable."""
    measured = adversarial_pgd(digits.model(), digits.dataset([0]), rng(), restarts=1)
    assert value(measured, "attacked_images") == 1
    assert {"enough_images", "several_classes"} <= set(broken(measured))
    with pytest.raises(NotMeasurableError, match="'digits' has no image"):
        adversarial_pgd(digits.model(), digits.dataset([]), rng())
