"""Adversarial attacks in image space, and their evaluation batch by batch.

Everything here works on a differentiable function ``logits(images) -> (sample, class)`` of images in 0..1; mean and
standard deviation are applied inside of it. So epsilon means the same for every model, and clamping to 0..1 is right.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.nn import functional

from pytest_mle.errors import MissingExtraError, closest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Logits = Callable[[torch.Tensor], torch.Tensor]

TOLERANCE = 1e-6
"""Rounding of float32 images: allowed outside of 0..1 before an attack, and beyond epsilon after it."""


@dataclass(frozen=True, slots=True, eq=False)
class AttackOutcome:
    """What an attack did to a data set; samples stand in the order of the batches.

    Parameters
    ----------
    epsilon
        Bound of the perturbation (largest absolute change of a pixel), or None if the attack has another one.
    correct_clean
        ``(sample,)``: the unperturbed image is classified as its label.
    correct_adversarial
        ``(sample,)``: the unperturbed image and all its attacked versions are classified as the label. So it is never
        true where ``correct_clean`` is false: an unperturbed image lies inside every bound.
    max_perturbation
        Largest absolute change of a pixel that was measured, NaN if nothing was attacked.
    inputs_out_of_range
        Samples with a pixel outside of 0..1 or not finite. They are not attacked, and count as not correct.
    nonfinite_logits
        Samples with a logit that is not finite, before or after the attack. They count as not correct.
    zero_gradient_share
        Share of the attacked samples whose first gradient gives no direction (all zero or not finite), a sign of
        gradient masking (Athalye et al. 2018); NaN if nothing was attacked, None if the attack does not tell.
    adversarial_images
        The first attacked images, ``(kept, channel, height, width)``, or None if none were to be kept.
    """

    epsilon: float | None
    correct_clean: NDArray[np.bool_]
    correct_adversarial: NDArray[np.bool_]
    max_perturbation: float
    inputs_out_of_range: int
    nonfinite_logits: int
    zero_gradient_share: float | None
    adversarial_images: torch.Tensor | None = None

    @property
    def n(self) -> int:
        """Number of samples that came out of the batches."""
        return len(self.correct_clean)

    @property
    def is_within_bound(self) -> bool:
        """Say whether something was attacked and no pixel changed by more than epsilon (plus rounding)."""
        limit = math.inf if self.epsilon is None else self.epsilon + TOLERANCE
        return self.max_perturbation <= limit


@dataclass(frozen=True, slots=True, eq=False)
class AttackedBatch:
    """What an attack did to one batch; all tensors are ``(sample, ...)``.

    ``has_zero_gradient`` is None where the attack does not tell, and false for samples that were not attacked.
    """

    adversarial: torch.Tensor
    correct_clean: torch.Tensor
    correct_adversarial: torch.Tensor
    nonfinite_logits: torch.Tensor
    has_zero_gradient: torch.Tensor | None


class Attack(Protocol):
    """An attack on one batch, as :func:`attack_batches` calls it."""

    def __call__(
        self, logits: Logits, images: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator
    ) -> AttackedBatch:
        """Attack images in 0..1 that are already on the right device."""
        ...


def fgsm(logits: Logits, images: torch.Tensor, labels: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Perturb images with the fast gradient sign method.

    ``clip(images + epsilon * sign(gradient of the cross-entropy), 0, 1)``: Goodfellow et al. 2015, section 4.

    Parameters
    ----------
    logits
        Differentiable function of images in 0..1; a module is switched to evaluation mode for the attack.
    images
        ``(sample, channel, height, width)``, float32 or float64, in 0..1.
    labels
        ``(sample,)`` class indices.
    epsilon
        Largest absolute change of a pixel, 0..1.

    Returns
    -------
    torch.Tensor
        The perturbed images, detached.

    Raises
    ------
    ValueError
        If images are not in 0..1, labels are no classes, or the logits are not differentiable.
    """
    _require_epsilon(epsilon)
    _require_batch(images, labels)
    _require_range(images)
    with undisturbed(logits):
        images, labels = _ordinary(images, labels)
        _, gradient = _input_gradient(logits, images, labels)
        return _fgsm_step(images, gradient, epsilon)


def pgd(
    logits: Logits,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    epsilon: float,
    step_size: float,
    steps: int,
    start: torch.Tensor | None = None,
) -> torch.Tensor:
    """Perturb images with projected gradient descent in the largest-change (Linf) ball.

    Each step adds ``step_size * sign(gradient of the cross-entropy)``, then projects into the ball of radius epsilon
    around the images and into 0..1: Madry et al. 2018, section 2.1. The last iterate is returned, as torchattacks does.

    Parameters
    ----------
    logits, images, labels
        As in :func:`fgsm`.
    epsilon
        Largest absolute change of a pixel, 0..1.
    step_size
        Change of a pixel by one step, positive.
    steps
        Number of steps, at least 1.
    start
        Where to start, inside the ball, e.g. from :func:`random_start`; by default the images themselves.

    Returns
    -------
    torch.Tensor
        The perturbed images, detached.

    Raises
    ------
    ValueError
        As in :func:`fgsm`, and if the start lies outside of the ball or of 0..1.
    """
    _require_epsilon(epsilon)
    _require_steps(step_size, steps)
    _require_batch(images, labels)
    _require_range(images)
    if start is not None:
        _require_start(images, start, epsilon)
    with undisturbed(logits):
        images, labels = _ordinary(images, labels)
        return _pgd(logits, images, labels, epsilon=epsilon, step_size=step_size, steps=steps, start=start)[0]


def random_start(images: torch.Tensor, epsilon: float, generator: torch.Generator) -> torch.Tensor:
    """Draw a start for :func:`pgd`, uniform in the ball of radius epsilon, clamped to 0..1.

    The generator must live on the device of the images; the same seed gives the same start on the same kind of device.
    """
    start = torch.empty_like(images).uniform_(-epsilon, epsilon, generator=generator)
    return start.add_(images).clamp_(0, 1)


def torch_generator(rng: np.random.Generator, device: torch.device | str = "cpu") -> torch.Generator:
    """Make a torch generator whose seed is drawn from a numpy generator."""
    return torch.Generator(device=device).manual_seed(int(rng.integers(2**63)))


def torchattacks_attack(
    name: str,
    logits: Logits,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    rng: np.random.Generator | None = None,
    **parameters: Any,
) -> torch.Tensor:
    """Perturb images with any attack of the installed torchattacks, by its name there (``"APGD"``, ``"CW"``, ...).

    Parameters
    ----------
    name
        Name of the attack class.
    logits, images, labels
        As in :func:`fgsm`. torchattacks clamps images that are out of range without a word; here they are refused.
    rng
        Source of the seed of torch's global generators, which torchattacks draws from and which are left as they were;
        by default a fixed seed.
    parameters
        Keyword parameters of the attack class. ``n_classes`` is filled in where the attack wants it.

    Returns
    -------
    torch.Tensor
        The perturbed images, detached.

    Raises
    ------
    MissingExtraError
        If torchattacks is not installed.
    ValueError
        If the attack or a parameter does not exist there, and as in :func:`fgsm`.
    """
    attack_class = _torchattacks_class(name)
    accepted = _accepted_parameters(name, parameters)
    _require_batch(images, labels)
    _require_range(images)
    devices = [images.device] if images.device.type == "cuda" else []
    seed = 0 if rng is None else int(rng.integers(2**63))
    with undisturbed(logits), torch.random.fork_rng(devices=devices), torch.enable_grad():
        torch.manual_seed(seed)
        images, labels = _ordinary(images, labels)
        if "n_classes" in accepted and "n_classes" not in parameters:
            parameters["n_classes"] = _logits_without_gradient(logits, images[:1], labels[:1]).shape[1]
        attack = attack_class(_LogitsModule(logits, images.device), **parameters)
        adversarial: torch.Tensor = attack(images, labels)
    return adversarial.detach()


def fgsm_attack(epsilon: float) -> Attack:
    """Return :func:`fgsm` for :func:`attack_batches`; one forward and backward pass, and one forward pass, a batch."""
    _require_epsilon(epsilon)

    def attack(
        logits: Logits,
        images: torch.Tensor,
        labels: torch.Tensor,
        rng: np.random.Generator,  # noqa: ARG001  nothing is left to chance here
    ) -> AttackedBatch:
        # The pass that gives the gradient also gives the clean prediction, so no image is predicted twice.
        outputs, gradient = _input_gradient(logits, images, labels)
        correct_clean = _is_correct(outputs, labels)
        nonfinite = _is_nonfinite(outputs)
        has_zero_gradient = _has_no_direction(gradient) & correct_clean
        adversarial = _fgsm_step(images, gradient, epsilon)
        outputs = _logits_without_gradient(logits, adversarial, labels)
        return AttackedBatch(
            adversarial=adversarial,
            correct_clean=correct_clean,
            correct_adversarial=correct_clean & _is_correct(outputs, labels),
            nonfinite_logits=nonfinite | _is_nonfinite(outputs),
            has_zero_gradient=has_zero_gradient,
        )

    return attack


def pgd_attack(*, epsilon: float, step_size: float, steps: int, restarts: int = 1, early_exit: bool = True) -> Attack:
    """Return :func:`pgd` from random starts for :func:`attack_batches`, the worst case over the restarts.

    Parameters
    ----------
    epsilon, step_size, steps
        As in :func:`pgd`.
    restarts
        How many random starts, at least 1.
    early_exit
        Do not attack again what is already misclassified. The starts of the other samples are the same with and without
        it, and so is the outcome, up to the rounding of a network on a batch of another size.
    """
    _require_epsilon(epsilon)
    _require_steps(step_size, steps)
    if restarts < 1:
        raise ValueError(f"restarts must be at least 1, got {restarts}")

    def attack(logits: Logits, images: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator) -> AttackedBatch:
        outputs = _logits_without_gradient(logits, images, labels)
        correct_clean = _is_correct(outputs, labels)
        correct = correct_clean.clone()
        nonfinite = _is_nonfinite(outputs)
        has_zero_gradient = torch.zeros_like(correct)
        adversarial = images.clone()
        # One generator a restart: the starts of a restart do not depend on how far the earlier ones came.
        generators = [torch_generator(rng, images.device) for _ in range(restarts)]
        for restart, generator in enumerate(generators):
            chosen = correct.nonzero()[:, 0] if early_exit else torch.arange(len(images), device=images.device)
            if not len(chosen):
                break
            start = random_start(images, epsilon, generator)
            attacked, no_direction = _pgd(
                logits,
                images[chosen],
                labels[chosen],
                epsilon=epsilon,
                step_size=step_size,
                steps=steps,
                start=start[chosen],
            )
            outputs = _logits_without_gradient(logits, attacked, labels[chosen])
            if restart == 0:
                has_zero_gradient[chosen] = no_direction
            still_correct = correct[chosen]
            adversarial[chosen[still_correct]] = attacked[still_correct]
            nonfinite[chosen] |= _is_nonfinite(outputs) & still_correct
            correct[chosen] &= _is_correct(outputs, labels[chosen])
        return AttackedBatch(
            adversarial=adversarial,
            correct_clean=correct_clean,
            correct_adversarial=correct,
            nonfinite_logits=nonfinite,
            has_zero_gradient=has_zero_gradient & correct_clean,
        )

    return attack


def named_attack_parameters(name: str, **parameters: Any) -> dict[str, Any]:
    """Return all parameters that an attack of torchattacks will have: those given, and its defaults.

    ``n_classes`` is missing unless it was given, because it comes from the model.

    Raises
    ------
    MissingExtraError
        If torchattacks is not installed.
    ValueError
        If the attack or a parameter does not exist there.
    """
    accepted = _accepted_parameters(name, parameters)
    defaults = {
        key: parameter.default
        for key, parameter in accepted.items()
        if parameter.default is not parameter.empty and key != "n_classes"
    }
    return {**defaults, **parameters}


def named_attack(name: str, **parameters: Any) -> Attack:
    """Return :func:`torchattacks_attack` for :func:`attack_batches`; misclassified images are not attacked."""
    _accepted_parameters(name, parameters)

    def attack(logits: Logits, images: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator) -> AttackedBatch:
        outputs = _logits_without_gradient(logits, images, labels)
        correct_clean = _is_correct(outputs, labels)
        correct = correct_clean.clone()
        nonfinite = _is_nonfinite(outputs)
        adversarial = images.clone()
        chosen = correct.nonzero()[:, 0]
        if len(chosen):
            attacked = torchattacks_attack(name, logits, images[chosen], labels[chosen], rng=rng, **parameters)
            outputs = _logits_without_gradient(logits, attacked, labels[chosen])
            adversarial[chosen] = attacked
            nonfinite[chosen] |= _is_nonfinite(outputs)
            correct[chosen] &= _is_correct(outputs, labels[chosen])
        return AttackedBatch(
            adversarial=adversarial,
            correct_clean=correct_clean,
            correct_adversarial=correct,
            nonfinite_logits=nonfinite,
            has_zero_gradient=None,
        )

    return attack


def attack_batches(
    logits: Logits,
    batches: Iterable[tuple[ArrayLike | torch.Tensor, ArrayLike | torch.Tensor]],
    attack: Attack,
    *,
    epsilon: float | None,
    rng: np.random.Generator,
    module: torch.nn.Module | None = None,
    device: torch.device | str | None = None,
    keep_images: int = 0,
) -> AttackOutcome:
    """Attack one batch after the other and keep only what was decided about each sample.

    Parameters
    ----------
    logits
        As in :func:`fgsm`.
    batches
        Pairs of images ``(sample, channel, height, width)`` in 0..1 and labels ``(sample,)``, arrays or tensors. The
        samples that come are the samples that count, whatever a loader drops.
    attack
        :func:`fgsm_attack`, :func:`pgd_attack`, :func:`named_attack` or one's own.
    epsilon
        The bound that the perturbation is held against afterwards, or None if it has another one.
    rng
        Source of every random start.
    module
        The module behind ``logits`` where that is not a module itself: it is switched to evaluation mode and its
        parameters need no gradient for the time of the attack; afterwards it is as before.
    device
        Where to attack; by default where the images are.
    keep_images
        How many attacked images to keep for a figure.

    Returns
    -------
    AttackOutcome
        Better: more ``correct_adversarial``.

    Raises
    ------
    ValueError
        If there is no sample at all, shapes do not fit, labels are no classes or the logits are not differentiable.
    """
    parts: list[AttackedBatch] = []
    in_range: list[torch.Tensor] = []
    perturbations: list[float] = []
    kept: list[torch.Tensor] = []
    with undisturbed(logits if module is None else module):
        for pair in batches:
            images, labels = _as_tensors(*pair, device=device)
            _require_batch(images, labels)
            usable = _is_in_range(images)
            in_range.append(usable.cpu())
            if not usable.any():
                continue
            if not usable.all():
                images, labels = images[usable], labels[usable]
            images, labels = _ordinary(images, labels)
            part = attack(logits, images, labels, rng)
            if part.correct_clean.any():  # an unchanged image that nobody attacked shows no bound
                perturbations.append(float((part.adversarial - images).abs().max()))
            missing = keep_images - sum(map(len, kept))
            if missing > 0:
                kept.append(part.adversarial[:missing].cpu())
            parts.append(_verdicts_only(part))
    return _outcome(parts, in_range, epsilon, perturbations, torch.cat(kept) if kept else None)


@contextmanager
def undisturbed(logits: Logits | torch.nn.Module) -> Iterator[None]:
    """Put the module behind a function into evaluation mode, its parameters without gradient, and restore both after.

    torchattacks sets the whole module to training mode afterwards if its top was; here each part gets its own mode
    back. Inference mode is left for the time, because no gradient flows in it.
    """
    module = logits if isinstance(logits, torch.nn.Module) else getattr(logits, "__self__", None)
    modes: list[tuple[torch.nn.Module, bool]] = []
    trainable: list[torch.nn.Parameter] = []
    if isinstance(module, torch.nn.Module):
        # A frozen TorchScript module has no mode any more: it is in evaluation for good.
        modes = [(part, part.training) for part in module.modules() if hasattr(part, "training")]
        trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        if isinstance(module, torch.nn.Module) and any(was_training for _, was_training in modes):
            _switch_to_evaluation(module)
        for parameter in trainable:
            parameter.requires_grad = False
        with torch.inference_mode(mode=False):
            yield
    finally:
        for part, was_training in modes:
            if part.training is not was_training:
                part.training = was_training
        for parameter in trainable:
            parameter.requires_grad = True


def _switch_to_evaluation(module: torch.nn.Module) -> None:
    try:
        module.eval()
    except NotImplementedError:
        # A module out of torch.export has the mode it was exported in built in, and refuses to be asked.
        return


class _LogitsModule(torch.nn.Module):
    """The module that torchattacks demands around a function; the model itself stays out of its reach."""

    def __init__(self, logits: Logits, device: torch.device) -> None:
        super().__init__()
        self._logits = (logits,)  # a bare module would be registered, and then switched to training mode
        self._device = torch.nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._logits[0](images)


def _torchattacks_class(name: str) -> Callable[..., Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    try:
        import torchattacks
    except ImportError as error:
        raise MissingExtraError("torchattacks", "pip install --no-deps torchattacks") from error
    # Wrappers take other attacks or train the model: they are no attack on one model.
    known = [attack for attack in torchattacks.__all__ if attack not in torchattacks.__wrapper__]
    if name not in known:
        raise ValueError(f"torchattacks {torchattacks.__version__} has no attack {name!r}. {closest(name, known)}")
    found: Callable[..., Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = getattr(torchattacks, name)
    return found


def _accepted_parameters(name: str, given: Mapping[str, Any]) -> dict[str, inspect.Parameter]:
    accepted = dict(inspect.signature(_torchattacks_class(name)).parameters)
    accepted.pop("model", None)
    for key in given:
        if key not in accepted:
            raise ValueError(f"torchattacks {name} has no parameter {key!r}. {closest(key, list(accepted))}")
    return accepted


def _input_gradient(logits: Logits, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits and the gradient of the summed cross-entropy with respect to the images.

    The sum, not the mean as in torchattacks: a sample's gradient then does not depend on its batch.
    """
    with torch.enable_grad():
        variable = images.detach().requires_grad_()
        outputs = logits(variable)
        _require_logits(outputs, labels)
        loss = functional.cross_entropy(outputs, labels, reduction="sum")
        gradient = None
        if loss.requires_grad:
            (gradient,) = torch.autograd.grad(loss, variable, allow_unused=True)
    if gradient is None:
        raise ValueError("the logits do not depend on the images in a differentiable way: no gradient to attack with")
    return outputs.detach(), gradient


def _logits_without_gradient(logits: Logits, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        outputs = logits(images)
    _require_logits(outputs, labels)
    return outputs


def _fgsm_step(images: torch.Tensor, gradient: torch.Tensor, epsilon: float) -> torch.Tensor:
    return gradient.sign_().mul_(epsilon).add_(images).clamp_(0, 1)


def _pgd(
    logits: Logits,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    epsilon: float,
    step_size: float,
    steps: int,
    start: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the last iterate, and for which samples the first gradient gave no direction."""
    adversarial = images if start is None else start
    no_direction = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for step in range(steps):
        _, gradient = _input_gradient(logits, adversarial, labels)
        if step == 0:
            no_direction = _has_no_direction(gradient)
        delta = gradient.sign_().mul_(step_size).add_(adversarial).sub_(images).clamp_(-epsilon, epsilon)
        adversarial = delta.add_(images).clamp_(0, 1)
    return adversarial, no_direction


def _has_no_direction(gradient: torch.Tensor) -> torch.Tensor:
    # `not (x > 0)` is true for NaN as well, which sign() would turn into no step at all.
    return ~(gradient.flatten(1).abs().amax(dim=1) > 0)


def _is_correct(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (outputs.argmax(dim=1) == labels) & ~_is_nonfinite(outputs)


def _is_nonfinite(outputs: torch.Tensor) -> torch.Tensor:
    return ~outputs.isfinite().all(dim=1)


def _is_in_range(images: torch.Tensor) -> torch.Tensor:
    # NaN fails both comparisons. aminmax(dim=1) is one call and takes seven times as long on a CPU.
    pixels = images.flatten(1)
    return (pixels.amin(dim=1) >= -TOLERANCE) & (pixels.amax(dim=1) <= 1 + TOLERANCE)


def _as_tensors(
    images: ArrayLike | torch.Tensor, labels: ArrayLike | torch.Tensor, device: torch.device | str | None
) -> tuple[torch.Tensor, torch.Tensor]:
    image_tensor = (
        images if isinstance(images, torch.Tensor) else torch.from_numpy(np.require(images, requirements="W"))
    )
    where = image_tensor.device if device is None else torch.device(device)
    label_tensor = (
        labels if isinstance(labels, torch.Tensor) else torch.from_numpy(np.require(labels, requirements="W"))
    )
    return image_tensor.to(where), label_tensor.to(where)


def _ordinary(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tensors that can take part in a gradient: those made in inference mode cannot, their copies can."""
    labels = labels.long()
    return (images.clone() if images.is_inference() else images), (labels.clone() if labels.is_inference() else labels)


def _verdicts_only(part: AttackedBatch) -> AttackedBatch:
    zero = part.has_zero_gradient
    return AttackedBatch(
        adversarial=torch.empty(0),
        correct_clean=part.correct_clean.cpu(),
        correct_adversarial=part.correct_adversarial.cpu(),
        nonfinite_logits=part.nonfinite_logits.cpu(),
        has_zero_gradient=None if zero is None else zero.cpu(),
    )


def _outcome(
    parts: list[AttackedBatch],
    in_range: list[torch.Tensor],
    epsilon: float | None,
    perturbations: list[float],
    kept: torch.Tensor | None,
) -> AttackOutcome:
    usable = torch.cat(in_range) if in_range else torch.empty(0, dtype=torch.bool)
    if not len(usable):
        raise ValueError("there is no sample to attack: the batches were empty")
    clean = torch.zeros_like(usable)
    adversarial = torch.zeros_like(usable)
    if parts:
        clean[usable] = torch.cat([part.correct_clean for part in parts])
        adversarial[usable] = torch.cat([part.correct_adversarial for part in parts])
    zero = [part.has_zero_gradient for part in parts if part.has_zero_gradient is not None]
    share: float | None = None
    if len(zero) == len(parts):
        attacked = int(clean.sum())
        share = sum(int(flags.sum()) for flags in zero) / attacked if attacked else math.nan
    return AttackOutcome(
        epsilon=epsilon,
        correct_clean=clean.numpy(),
        correct_adversarial=adversarial.numpy(),
        # numpy's maximum keeps a NaN, Python's would lose it.
        max_perturbation=float(np.max(perturbations)) if perturbations else math.nan,
        inputs_out_of_range=int((~usable).sum()),
        nonfinite_logits=sum(int(part.nonfinite_logits.sum()) for part in parts),
        zero_gradient_share=share,
        adversarial_images=kept,
    )


def _require_epsilon(epsilon: float) -> None:
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon must lie in 0..1, the range of the images, got {epsilon}")


def _require_steps(step_size: float, steps: int) -> None:
    if not 0 < step_size < math.inf:
        raise ValueError(f"step_size must be positive, got {step_size}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")


def _require_batch(images: torch.Tensor, labels: torch.Tensor) -> None:
    if images.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"images must be float32 or float64 in 0..1, got {images.dtype}")
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(f"images must have shape (sample, channel, height, width), got {tuple(images.shape)}")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"labels must have shape ({len(images)},) for {len(images)} images, got {tuple(labels.shape)}")
    if labels.dtype.is_floating_point or labels.dtype is torch.bool:
        raise ValueError(f"labels must be class indices (integers), got {labels.dtype}")


def _require_range(images: torch.Tensor) -> None:
    outside = int((~_is_in_range(images)).sum())
    if outside:
        raise ValueError(
            f"{outside} of {len(images)} images have pixels outside of 0..1 or not finite. Attack images in 0..1 and "
            f"normalise inside of the logits function."
        )


def _require_start(images: torch.Tensor, start: torch.Tensor, epsilon: float) -> None:
    if start.shape != images.shape:
        raise ValueError(f"start must have the shape of the images, {tuple(images.shape)}, got {tuple(start.shape)}")
    _require_range(start)
    if not float((start - images).abs().max()) <= epsilon + TOLERANCE:
        raise ValueError(f"start lies further than epsilon = {epsilon} from the images")


def _require_logits(outputs: torch.Tensor, labels: torch.Tensor) -> None:
    if outputs.ndim != 2 or len(outputs) != len(labels) or outputs.shape[1] < 2:
        raise ValueError(
            f"logits must have shape ({len(labels)}, class) with at least 2 classes, got {tuple(outputs.shape)}"
        )
    # cross_entropy would skip a label of -100 without a word, and a CUDA device does not survive one out of range.
    low, high = labels.aminmax()
    if int(low) < 0 or int(high) >= outputs.shape[1]:
        raise ValueError(f"labels must lie in 0..{outputs.shape[1] - 1}, got {int(low)}..{int(high)}")
