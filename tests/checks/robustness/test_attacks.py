"""The attacks do to the pixels what the papers and torchattacks do, and say when the result means nothing."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.errors import MissingExtraError

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from pytest_mle.checks.robustness.attacks import (  # noqa: E402
    attack_batches,
    fgsm,
    fgsm_attack,
    named_attack,
    pgd,
    pgd_attack,
    random_start,
    torch_generator,
    torchattacks_attack,
    undisturbed,
)


def small_network(seed: int = 0) -> nn.Sequential:
    """Return a convolutional network whose mode matters: it has batch normalisation and dropout."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(128, 4),
    )
    network[1].running_mean.uniform_(-0.3, 0.3)
    network[1].running_var.uniform_(0.1, 0.4)
    with torch.no_grad():
        network[-1].weight.mul_(4)
    return network.eval()


def images_and_predictions(model: nn.Module, count: int = 16, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random images and the classes that the model sees in them."""
    images = torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return images, model(images).argmax(1)


def brightness_logits(images: torch.Tensor) -> torch.Tensor:
    """Say class 1 where the image is brighter than one half on average."""
    mean = images.mean(dim=(1, 2, 3))
    return torch.stack([0.5 - mean, mean - 0.5], dim=1)


def grey(*values: float) -> torch.Tensor:
    """Return one 2 by 2 image of one channel for each grey value."""
    return torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()


def test_fgsm_by_hand() -> None:
    """A bright image is darkened and a dark one brightened by exactly epsilon, and black stays inside of 0..1."""
    adversarial = fgsm(brightness_logits, grey(0.7, 0.2, 1.0), torch.tensor([1, 0, 0]), 0.1)
    assert torch.allclose(adversarial, grey(0.6, 0.3, 1.0))


def test_pgd_by_hand() -> None:
    """Three steps of 0.04 reach 0.12 and are projected to 0.1."""
    adversarial = pgd(brightness_logits, grey(0.7), torch.tensor([1]), epsilon=0.1, step_size=0.04, steps=3)
    assert torch.allclose(adversarial, grey(0.6))
    two = pgd(brightness_logits, grey(0.7), torch.tensor([1]), epsilon=0.1, step_size=0.04, steps=2)
    assert torch.allclose(two, grey(0.62))


@pytest.mark.parametrize("epsilon", [0.01, 8 / 255])
def test_fgsm_equals_torchattacks(epsilon: float) -> None:
    """The images are those of torchattacks, on a model with a normalisation inside."""
    torchattacks = pytest.importorskip("torchattacks")
    model = small_network()
    images, labels = images_and_predictions(model)
    expected = torchattacks.FGSM(model, eps=epsilon)(images, labels)
    assert (fgsm(model, images, labels, epsilon) - expected).abs().max() <= 1e-6
    assert (expected - images).abs().max() > 0.9 * epsilon


def test_pgd_equals_torchattacks_from_the_same_start() -> None:
    """With the generator in the state that torchattacks finds, start and iterates are the same."""
    torchattacks = pytest.importorskip("torchattacks")
    model = small_network()
    images, labels = images_and_predictions(model)
    torch.manual_seed(7)
    expected = torchattacks.PGD(model, eps=0.05, alpha=0.0125, steps=10)(images, labels)
    start = random_start(images, 0.05, torch.Generator().manual_seed(7))
    own = pgd(model, images, labels, epsilon=0.05, step_size=0.0125, steps=10, start=start)
    assert (own - expected).abs().max() <= 1e-6
    from_images = torchattacks.PGD(model, eps=0.05, alpha=0.0125, steps=10, random_start=False)(images, labels)
    own = pgd(model, images, labels, epsilon=0.05, step_size=0.0125, steps=10)
    assert (own - from_images).abs().max() <= 1e-6


def test_named_attack_is_the_one_of_torchattacks() -> None:
    """The adapter gives what torchattacks gives, and leaves torch's global generator where it was."""
    torchattacks = pytest.importorskip("torchattacks")
    model = small_network()
    images, labels = images_and_predictions(model)
    rng = np.random.default_rng(3)
    torch.manual_seed(int(np.random.default_rng(3).integers(2**63)))
    expected = torchattacks.MIFGSM(model, eps=0.05, steps=5)(images, labels)
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    own = torchattacks_attack("MIFGSM", model, images, labels, rng=rng, eps=0.05, steps=5)
    assert torch.equal(own, expected)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_named_attack_gets_the_number_of_classes() -> None:
    """An attack that assumes ten classes is told that there are four."""
    pytest.importorskip("torchattacks")
    model = small_network()
    images, labels = images_and_predictions(model, count=4)
    adversarial = torchattacks_attack("APGDT", model, images, labels, eps=0.05, steps=3)
    assert (adversarial - images).abs().max() <= 0.05 + 1e-6
    assert (adversarial != images).any()


def test_unknown_attack_names_the_closest() -> None:
    """A misspelt attack or parameter is an error that helps."""
    pytest.importorskip("torchattacks")
    images, labels = grey(0.7), torch.tensor([1])
    with pytest.raises(ValueError, match=r"has no attack 'PGDD'. Did you mean 'PGD"):
        torchattacks_attack("PGDD", brightness_logits, images, labels)
    with pytest.raises(ValueError, match=r"has no parameter 'epss'. Did you mean 'eps'"):
        torchattacks_attack("PGD", brightness_logits, images, labels, epss=0.1)
    with pytest.raises(ValueError, match=r"has no attack 'LGV'"):
        named_attack("LGV")


def test_missing_torchattacks_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torchattacks the error says how to install it without its pins."""
    monkeypatch.setitem(sys.modules, "torchattacks", None)
    with pytest.raises(MissingExtraError, match="pip install --no-deps torchattacks"):
        named_attack("PGD")


@pytest.mark.parametrize("scale", [(2.0, -0.5), (255.0, 0.0)], ids=["normalised", "bytes"])
def test_images_out_of_range_are_counted_not_clamped(scale: tuple[float, float]) -> None:
    """Normalised and 0..255 images, which torchattacks changes beyond epsilon without a word, are found (trap E1)."""
    model = small_network()
    images, labels = images_and_predictions(model)
    wrong = images * scale[0] + scale[1]
    outcome = attack_batches(
        model, [(wrong, labels), (images, labels)], fgsm_attack(0.01), epsilon=0.01, rng=np.random.default_rng(0)
    )
    assert outcome.inputs_out_of_range == len(images)
    assert outcome.n == 2 * len(images)
    assert not outcome.correct_clean[: len(images)].any()
    assert outcome.correct_clean[len(images) :].all()
    assert outcome.is_within_bound
    with pytest.raises(ValueError, match=r"16 of 16 images have pixels outside of 0\.\.1"):
        fgsm(model, wrong, labels, 0.01)
    with pytest.raises(ValueError, match=r"outside of 0\.\.1"):
        torchattacks_attack("FGSM", model, wrong, labels)


def test_nan_image_is_counted() -> None:
    """One NaN pixel makes its sample unusable and no other; nothing usable at all is not within the bound."""
    images = grey(0.9, 0.9)
    images[0, 0, 0, 0] = torch.nan
    labels = torch.tensor([1, 1])
    outcome = attack_batches(
        brightness_logits, [(images, labels)], fgsm_attack(0.1), epsilon=0.1, rng=np.random.default_rng(0)
    )
    assert outcome.inputs_out_of_range == 1
    assert outcome.correct_adversarial.tolist() == [False, True]
    only_nan = attack_batches(
        brightness_logits, [(images[:1], labels[:1])], fgsm_attack(0.1), epsilon=0.1, rng=np.random.default_rng(0)
    )
    assert not only_nan.is_within_bound


def test_an_attack_that_leaves_its_bound_is_seen() -> None:
    """The largest change is measured, not believed."""

    def cheating(logits, images, labels, rng):
        return fgsm_attack(0.2)(logits, images, labels, rng)

    outcome = attack_batches(
        brightness_logits, [(grey(0.9), torch.tensor([1]))], cheating, epsilon=0.1, rng=np.random.default_rng(0)
    )
    assert outcome.max_perturbation == pytest.approx(0.2, abs=1e-6)
    assert not outcome.is_within_bound


@pytest.mark.parametrize("attack", [fgsm_attack(0.02), pgd_attack(epsilon=0.02, step_size=0.005, steps=3, restarts=2)])
def test_the_model_is_left_as_it_was(attack) -> None:
    """Modes of all parts, trainability, gradients and running statistics survive, and dropout is off meanwhile (E2)."""
    model = small_network()
    images, labels = images_and_predictions(model)
    expected = attack_batches(model, [(images, labels)], attack, epsilon=0.02, rng=np.random.default_rng(0))
    model.train()
    model[3].eval()
    model[0].weight.requires_grad = False
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    outcome = attack_batches(model, [(images, labels)], attack, epsilon=0.02, rng=np.random.default_rng(0))
    assert np.array_equal(outcome.correct_adversarial, expected.correct_adversarial)
    assert outcome.correct_clean.all()
    assert [part.training for part in model] == [True, True, True, False, True, True, True]
    assert model.training
    assert [parameter.requires_grad for parameter in model.parameters()] == [False] + [True] * 5
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_the_model_is_left_as_it_was_after_an_error() -> None:
    """A model that fails in the attack gets its mode back too."""
    model = small_network().train()
    with pytest.raises(RuntimeError):
        fgsm(model, torch.rand(2, 5, 12, 12), torch.tensor([0, 1]), 0.01)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_module_behind_a_function_is_put_into_evaluation_mode() -> None:
    """A closure hides its module; named explicitly, it is in evaluation mode and without parameter gradients."""
    model = small_network()
    images, labels = images_and_predictions(model)
    model.train()

    def logits(batch):
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
        return model(batch)

    outcome = attack_batches(
        logits, [(images, labels)], fgsm_attack(0.0), epsilon=0.0, rng=np.random.default_rng(0), module=model
    )
    assert outcome.correct_clean.all()
    assert model.training


def test_exported_module_that_refuses_eval_is_attacked() -> None:
    """A module out of torch.export raises on eval(); its mode is built in."""

    class Exported(nn.Module):
        def eval(self):
            raise NotImplementedError

        def forward(self, images):
            return brightness_logits(images)

    module = Exported()
    with undisturbed(module):
        assert module.training
    assert torch.allclose(fgsm(module, grey(0.7), torch.tensor([1]), 0.1), grey(0.6))


def test_frozen_script_without_a_mode_is_attacked() -> None:
    """Freezing takes a script's mode away; it is attacked as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer PyTorch wants torch.export
        script = torch.jit.script(small_network())
        frozen = torch.jit.freeze(script)
    assert not hasattr(frozen, "training")
    images, labels = images_and_predictions(small_network())
    assert torch.allclose(fgsm(frozen, images, labels, 0.1), fgsm(small_network(), images, labels, 0.1), atol=1e-6)


def test_samples_are_counted_as_they_come() -> None:
    """A last batch that is smaller counts by its samples, and what a loader dropped does not count (trap E3)."""
    images, labels = grey(0.9, 0.55, 0.9, 0.2, 0.9), torch.tensor([1, 1, 1, 1, 1])
    batches = zip(images.split(2), labels.split(2), strict=True)
    outcome = attack_batches(brightness_logits, batches, fgsm_attack(0.1), epsilon=0.1, rng=np.random.default_rng(0))
    assert outcome.correct_clean.tolist() == [True, True, True, False, True]
    assert outcome.correct_adversarial.tolist() == [True, False, True, False, True]


def test_misclassified_stays_misclassified() -> None:
    """A wrong image that the perturbation happens to put right is still no robust one."""

    def overshooting(images):
        # The gradient points away from the wrong side, and the step is far enough to come out on the right one.
        mean = images.mean(dim=(1, 2, 3))
        distance = (mean - 0.5) * 20
        return torch.stack([torch.sin(distance), torch.zeros_like(distance)], dim=1)

    images, labels = grey(0.5 - 0.05), torch.tensor([0])
    adversarial = fgsm(overshooting, images, labels, 0.2)
    assert overshooting(adversarial).argmax(1).item() == 0
    outcome = attack_batches(
        overshooting, [(images, labels)], fgsm_attack(0.2), epsilon=0.2, rng=np.random.default_rng(0)
    )
    assert outcome.correct_adversarial.tolist() == [False]


@pytest.mark.parametrize("attack", [fgsm_attack(0.1), pgd_attack(epsilon=0.1, step_size=0.1, steps=1)])
def test_nothing_to_attack_shows_no_bound(attack) -> None:
    """If the model is wrong everywhere, the outcome claims neither a bound nor healthy gradients."""
    outcome = attack_batches(
        brightness_logits, [(grey(0.2), torch.tensor([1]))], attack, epsilon=0.1, rng=np.random.default_rng(0)
    )
    assert not outcome.is_within_bound
    assert np.isnan(outcome.zero_gradient_share)
    assert not outcome.correct_adversarial.any()


def test_restarts_end_when_everything_is_fooled() -> None:
    """Two images that one step fools are not attacked by the other restarts: three passes in all."""
    calls = 0

    def logits(images):
        nonlocal calls
        calls += 1
        return brightness_logits(images)

    attack = pgd_attack(epsilon=0.3, step_size=0.6, steps=1, restarts=5)
    outcome = attack_batches(
        logits, [(grey(0.6, 0.4), torch.tensor([1, 0]))], attack, epsilon=0.3, rng=np.random.default_rng(0)
    )
    assert not outcome.correct_adversarial.any()
    assert calls == 3


def test_early_exit_does_not_change_the_outcome() -> None:
    """Samples that are already fooled are not attacked again, and every verdict and image is as without."""
    model = small_network().double()
    images, labels = images_and_predictions(model.float(), count=64)
    model, images = model.double(), images.double()
    labels = torch.where(torch.arange(64) % 7 == 0, (labels + 1) % 4, labels)
    seen: dict[bool, int] = {}
    outcomes = {}
    for early_exit in (True, False):
        count = 0

        def logits(batch):
            nonlocal count
            count += len(batch)
            return model(batch)

        attack = pgd_attack(epsilon=0.04, step_size=0.01, steps=4, restarts=4, early_exit=early_exit)
        outcomes[early_exit] = attack_batches(
            logits,
            zip(images.split(20), labels.split(20), strict=True),
            attack,
            epsilon=0.04,
            rng=np.random.default_rng(5),
            keep_images=64,
        )
        seen[early_exit] = count
    first, second = outcomes[True], outcomes[False]
    assert np.array_equal(first.correct_adversarial, second.correct_adversarial)
    assert 0 < first.correct_adversarial.sum() < first.correct_clean.sum()
    assert torch.allclose(first.adversarial_images, second.adversarial_images, atol=1e-12)
    assert first.zero_gradient_share == second.zero_gradient_share
    assert seen[True] < 0.9 * seen[False]


def test_restarts_are_the_worst_case() -> None:
    """More restarts from the same seed never help the model, and find what one start misses."""
    model = small_network()
    images, labels = images_and_predictions(model, count=200)

    def outcome(restarts: int) -> np.ndarray:
        attack = pgd_attack(epsilon=0.03, step_size=0.03, steps=1, restarts=restarts)
        return attack_batches(
            model, [(images, labels)], attack, epsilon=0.03, rng=np.random.default_rng(2)
        ).correct_adversarial

    one, many = outcome(1), outcome(20)
    assert many.sum() < one.sum()
    assert not (many & ~one).any()


def test_pgd_is_not_weaker_than_fgsm_and_large_epsilon_fools_everything() -> None:
    """The sanity that gradient masking breaks holds for a plain model (trap E4)."""
    model = small_network()
    images, labels = images_and_predictions(model, count=100)
    batches = [(images, labels)]
    rng = np.random.default_rng(0)
    single = attack_batches(model, batches, fgsm_attack(0.05), epsilon=0.05, rng=rng)
    steps = pgd_attack(epsilon=0.05, step_size=0.0125, steps=10, restarts=2)
    iterated = attack_batches(model, batches, steps, epsilon=0.05, rng=rng)
    assert iterated.correct_adversarial.mean() <= single.correct_adversarial.mean() < 1
    large = pgd_attack(epsilon=0.5, step_size=0.1, steps=10)
    assert attack_batches(model, batches, large, epsilon=0.5, rng=rng).correct_adversarial.mean() <= 0.25


@pytest.mark.parametrize("attack", [fgsm_attack(0.1), pgd_attack(epsilon=0.1, step_size=0.05, steps=2)])
def test_masked_gradient_shows(attack) -> None:
    """A step function in front of the model hides the gradient; the attack finds nothing, and says why."""

    def masked(images):
        return brightness_logits((images - images.detach()) * 0 + (images > 0.5).to(images.dtype))

    images, labels = grey(0.52, 0.9), torch.tensor([1, 1])
    outcome = attack_batches(masked, [(images, labels)], attack, epsilon=0.1, rng=np.random.default_rng(0))
    assert outcome.zero_gradient_share == 1
    honest = attack_batches(brightness_logits, [(images, labels)], attack, epsilon=0.1, rng=np.random.default_rng(0))
    assert honest.zero_gradient_share == 0
    assert honest.correct_adversarial.tolist() == [False, True]


def test_nan_logits_are_never_correct() -> None:
    """NaN wins every argmax; such a sample is counted and not correct."""

    def broken(images):
        return brightness_logits(images) + torch.where(images.mean(dim=(1, 2, 3)) > 0.8, torch.nan, 0.0)[:, None]

    images, labels = grey(0.9, 0.65), torch.tensor([0, 1])
    outcome = attack_batches(broken, [(images, labels)], fgsm_attack(0.1), epsilon=0.1, rng=np.random.default_rng(0))
    assert outcome.nonfinite_logits == 1
    assert outcome.correct_clean.tolist() == [False, True]


def test_model_without_gradient_is_refused() -> None:
    """A model outside of autograd cannot be attacked by gradient; saying it is robust would be false."""
    with pytest.raises(ValueError, match="no gradient to attack with"):
        fgsm(lambda images: brightness_logits(images.detach()), grey(0.7), torch.tensor([1]), 0.1)
    weight = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="no gradient to attack with"):
        fgsm(lambda images: weight.expand(len(images), 2), grey(0.7), torch.tensor([1]), 0.1)


def test_attack_works_in_inference_mode() -> None:
    """A caller in inference mode, whose images cannot require gradients, gets the same result."""
    with torch.inference_mode():
        adversarial = fgsm(brightness_logits, grey(0.7), torch.tensor([1]), 0.1)
        outcome = attack_batches(
            brightness_logits,
            [(grey(0.7), torch.tensor([1]))],
            pgd_attack(epsilon=0.3, step_size=0.1, steps=4),
            epsilon=0.3,
            rng=np.random.default_rng(0),
        )
    assert torch.allclose(adversarial, grey(0.6))
    assert outcome.correct_adversarial.tolist() == [False]


def test_arrays_are_taken_and_left_alone() -> None:
    """Read-only numpy batches work, and neither arrays nor tensors are changed by the attack."""
    array = grey(0.7, 0.9).numpy()
    array.flags.writeable = False
    labels = np.array([1, 1])
    before = array.copy()
    outcome = attack_batches(
        brightness_logits,
        [(array, labels)],
        pgd_attack(epsilon=0.3, step_size=0.1, steps=4),
        epsilon=0.3,
        rng=np.random.default_rng(0),
        keep_images=1,
    )
    assert np.array_equal(array, before)
    assert outcome.correct_adversarial.tolist() == [False, True]
    assert outcome.adversarial_images.shape == (1, 1, 2, 2)


def test_same_seed_same_outcome() -> None:
    """Starts come from the given generator alone."""
    images = torch.rand(4, 3, 5, 5)
    starts = [random_start(images, 0.1, torch_generator(np.random.default_rng(seed))) for seed in (1, 1, 2)]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_named_attack_streams() -> None:
    """An attack by name is evaluated like the built-in one, without saying anything about zero gradients."""
    pytest.importorskip("torchattacks")
    model = small_network()
    images, labels = images_and_predictions(model)
    rng = np.random.default_rng(0)
    named = attack_batches(model, [(images, labels)], named_attack("FGSM", eps=0.05), epsilon=0.05, rng=rng)
    own = attack_batches(model, [(images, labels)], fgsm_attack(0.05), epsilon=0.05, rng=rng)
    assert np.array_equal(named.correct_adversarial, own.correct_adversarial)
    assert 0 < own.correct_adversarial.sum() < own.n
    assert named.zero_gradient_share is None
    assert named.is_within_bound


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1]), "float32 or float64"),
        (torch.zeros(2, 1, 2), torch.tensor([0, 1]), "shape"),
        (torch.zeros(0, 1, 2, 2), torch.tensor([], dtype=torch.int64), "shape"),
        (torch.zeros(2, 1, 2, 2), torch.tensor([0]), "for 2 images"),
        (torch.zeros(2, 1, 2, 2), torch.tensor([0.0, 1.0]), "class indices"),
        (torch.zeros(2, 1, 2, 2), torch.tensor([0, 2]), "labels must lie in 0..1"),
        (torch.zeros(2, 1, 2, 2), torch.tensor([0, -100]), "labels must lie in 0..1"),
    ],
)
def test_bad_batches_are_refused(images: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    """Wrong types, shapes and labels, of which torch skips -100 silently, are errors."""
    with pytest.raises(ValueError, match=message):
        fgsm(brightness_logits, images, labels, 0.1)


def test_bad_parameters_are_refused() -> None:
    """Epsilon on the wrong scale, no steps, no restarts, a start outside of the ball, no batches: errors."""
    images, labels = grey(0.5), torch.tensor([1])
    with pytest.raises(ValueError, match=r"epsilon must lie in 0\.\.1"):
        fgsm(brightness_logits, images, labels, 8.0)
    with pytest.raises(ValueError, match=r"epsilon must lie in 0\.\.1"):
        fgsm_attack(float("nan"))
    with pytest.raises(ValueError, match="steps must be at least 1"):
        pgd(brightness_logits, images, labels, epsilon=0.1, step_size=0.1, steps=0)
    with pytest.raises(ValueError, match="step_size must be positive"):
        pgd_attack(epsilon=0.1, step_size=0, steps=1)
    with pytest.raises(ValueError, match="restarts must be at least 1"):
        pgd_attack(epsilon=0.1, step_size=0.1, steps=1, restarts=0)
    with pytest.raises(ValueError, match="further than epsilon"):
        pgd(brightness_logits, images, labels, epsilon=0.1, step_size=0.1, steps=1, start=images + 0.2)
    with pytest.raises(ValueError, match="start must have the shape"):
        pgd(brightness_logits, images, labels, epsilon=0.1, step_size=0.1, steps=1, start=images[0])
    with pytest.raises(ValueError, match="no sample to attack"):
        attack_batches(brightness_logits, [], fgsm_attack(0.1), epsilon=0.1, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 2 classes"):
        fgsm(lambda batch: batch.flatten(1)[:, :1], images, torch.tensor([0]), 0.1)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), epsilon=st.floats(0, 1), steps=st.integers(1, 3))
def test_iterates_stay_inside(seed: int, epsilon: float, steps: int) -> None:
    """Whatever the images and epsilon, the result lies in the ball and in 0..1, and order does not matter."""
    model = small_network()
    images, labels = images_and_predictions(model, count=4, seed=seed)
    start = random_start(images, epsilon, torch.Generator().manual_seed(seed))
    adversarial = pgd(model, images, labels, epsilon=epsilon, step_size=0.1, steps=steps, start=start)
    assert (adversarial - images).abs().max() <= epsilon + 1e-6
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    turned = pgd(
        model, images.flip(0), labels.flip(0), epsilon=epsilon, step_size=0.1, steps=steps, start=start.flip(0)
    )
    assert torch.allclose(turned.flip(0), adversarial, atol=1e-5)
