"""Any attack of torchattacks serves, inside the bound that the spec names, and one that changes nothing shows nothing."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.robustness.adversarial_attack import adversarial_attack
from pytest_mle.checks.robustness.adversarial_fgsm import adversarial_fgsm
from pytest_mle.errors import InputError, MissingExtraError, NotMeasurableError

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")


def rng(seed=0):
    """Return a generator."""
    return np.random.default_rng(seed)


def value(measured, name):
    """Return a point value."""
    found = measured.quantities[name]
    return getattr(found, "value", found)


@pytest.fixture
def few(digits):
    """Return a hundred digits."""
    pytest.importorskip("torchattacks")
    return digits.dataset(range(100))


def test_fgsm_by_its_name_is_fgsm(digits, few, verdict, broken):
    """Both checks measure the same accuracy."""
    measured = adversarial_attack(digits.model(), few, rng(), attack="FGSM", parameters={"eps": 0.1})
    own = adversarial_fgsm(digits.model(), few, rng(), epsilon=0.1)
    assert broken(measured) == []
    assert measured.quantities["adversarial_accuracy"] == own.quantities["fgsm_accuracy"]
    assert measured.quantities["absolute_accuracy_drop"] == own.quantities["absolute_accuracy_drop"]
    assert [finding.path for finding in measured.findings[0].shown] == [
        finding.path for finding in own.findings[0].shown
    ]
    assert set(measured.quantities) == set(declaration_of(adversarial_attack).quantities)
    assert verdict(adversarial_attack, measured, "adversarial_accuracy >= 99 %") == "FAIL"


def test_epsilon_is_the_attacks_bound(digits, few):
    """Epsilon reaches the attack, whose own default would be a weaker one, and is recorded with its other parameters."""
    measured = adversarial_attack(digits.model(), few, rng(), attack="PGD", epsilon=0.1)
    assert value(measured, "max_perturbation") == pytest.approx(0.1, abs=1e-6)
    assert measured.settings["epsilon"] == 0.1
    assert measured.settings["parameters"] == {"eps": 0.1, "alpha": 2 / 255, "steps": 10, "random_start": True}


def test_without_epsilon_the_default_of_the_attack_is_the_bound(digits, few, broken):
    """What torchattacks takes by default is held against the changes, and recorded."""
    measured = adversarial_attack(digits.model(), few, rng(), attack="MIFGSM")
    assert measured.settings["epsilon"] == 8 / 255
    assert value(measured, "max_perturbation") == pytest.approx(8 / 255, abs=1e-6)
    assert broken(measured) == []


def test_two_bounds_are_a_contradiction(digits, few):
    """Epsilon beside another eps would report one bound and attack with the other."""
    with pytest.raises(InputError, match=r"epsilon is 0\.1, but parameters\.eps of PGD is 0\.01: write one of them"):
        adversarial_attack(digits.model(), few, rng(), attack="PGD", parameters={"eps": 0.01}, epsilon=0.1)


@pytest.mark.parametrize(
    ("attack", "parameters"), [("VANILA", {}), ("FGSM", {"eps": 0}), ("FGSM", {"eps": 0.0})], ids=str
)
def test_an_attack_that_changes_nothing_shows_nothing(digits, few, verdict, broken, attack, parameters):
    """An attack without strength leaves everything right, and gets no verdict."""
    measured = adversarial_attack(digits.model(), few, rng(), attack=attack, parameters=parameters)
    assert value(measured, "absolute_accuracy_drop") == 0
    assert broken(measured) == ["perturbation_within_epsilon"]
    assert verdict(adversarial_attack, measured, "absolute_accuracy_drop <= 5 pp") == "INCONCLUSIVE"


def test_an_attack_without_a_bound_of_its_own_is_held_against_epsilon(digits, few, broken):
    """DeepFool changes pixels as far as it needs: without epsilon that is right, with a small one it is found."""
    some, parameters = digits.dataset(range(30)), {"steps": 10}
    free = adversarial_attack(digits.model(), some, rng(), attack="DeepFool", parameters=parameters)
    assert free.settings["epsilon"] is None
    assert value(free, "adversarial_accuracy") <= value(free, "clean_accuracy") - 0.2
    assert broken(free) == []
    bounded = adversarial_attack(digits.model(), some, rng(), attack="DeepFool", parameters=parameters, epsilon=0.01)
    assert broken(bounded) == ["perturbation_within_epsilon"]


@pytest.mark.parametrize("attack", ["APGDT", "FAB", "Square"])
def test_other_attacks_stay_inside_their_bound(digits, few, broken, attack):
    """Targeted, minimal and black-box attacks run, know how many classes there are, and fool something."""
    parameters = {"Square": {"n_queries": 200}, "FAB": {"steps": 3}, "APGDT": {"steps": 5}}[attack]
    measured = adversarial_attack(digits.model(), few, rng(), attack=attack, parameters=parameters, epsilon=0.1)
    assert broken(measured) == []
    assert value(measured, "adversarial_accuracy") < value(measured, "clean_accuracy")
    assert "n_classes" not in measured.settings["parameters"]


def test_same_seed_same_result(digits, few):
    """The random starts of torchattacks come from the generator, and torch's own one is left alone."""
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one, two = (adversarial_attack(digits.model(), few, rng(1), attack="PGD", epsilon=0.08) for _ in range(2))
    assert one.quantities == two.quantities
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_model_left_in_training_mode_is_evaluated(digits, few):
    """Dropout is off for the attack, and on again afterwards (trap E2)."""
    model = digits.model()
    model.module.train()
    measured = adversarial_attack(model, few, rng(), attack="FGSM", epsilon=0.1)
    expected = adversarial_attack(digits.model(), few, rng(), attack="FGSM", epsilon=0.1)
    assert measured.quantities == expected.quantities
    assert model.module.training


def test_images_out_of_range_never_reach_torchattacks(digits, few, verdict, broken):
    """Normalised images, which torchattacks would clamp without a word, are counted and give no verdict (trap E1)."""
    measured = adversarial_attack(digits.model(scale=4, shift=-2), few, rng(), attack="PGD", epsilon=0.1)
    assert value(measured, "inputs_out_of_range") == 100
    assert {"inputs_in_range", "perturbation_within_epsilon"} <= set(broken(measured))
    assert verdict(adversarial_attack, measured, "adversarial_accuracy >= 0 %") == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attack": "PGDD"}, r"has no attack 'PGDD'\. Did you mean 'PGD"),
        ({"attack": "MultiAttack"}, "has no attack 'MultiAttack'"),
        ({"attack": "PGD", "parameters": {"epss": 0.1}}, r"has no parameter 'epss'\. Did you mean 'eps'"),
        ({"attack": "PGD", "parameters": {"model": 1}}, "has no parameter 'model'"),
        ({"attack": "PGD", "epsilon": 0}, "epsilon must be positive, got 0"),
    ],
)
def test_what_torchattacks_does_not_have_is_refused(digits, few, options, message):
    """The error names the closest, before anything is attacked."""
    with pytest.raises(InputError, match=message):
        adversarial_attack(digits.model(), few, rng(), **options)


def test_missing_torchattacks_names_the_command(digits, monkeypatch):
    """Without torchattacks the error says how to install it without its pins."""
    monkeypatch.setitem(sys.modules, "torchattacks", None)
    with pytest.raises(MissingExtraError, match="pip install --no-deps torchattacks"):
        adversarial_attack(digits.model(), digits.dataset(), rng(), attack="PGD")


def test_no_image_is_not_measurable(digits, few):
    """An empty data set has no accuracy."""
    with pytest.raises(NotMeasurableError, match="'digits' has no image"):
        adversarial_attack(digits.model(), digits.dataset([]), rng(), attack="PGD")
