"""Accuracy under any attack that an installed torchattacks has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mle.checks.declaration import check
from pytest_mle.checks.robustness.evaluation import (
    QUANTITIES,
    attacked,
    fooled_images,
    labelled_images,
    quantities,
    refused_as_input,
    validity,
)
from pytest_mle.errors import InputError
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.progress import no_progress
from pytest_mle.records.quantity import estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import DifferentiableModel
    from pytest_mle.records.progress import Progress


BOUNDS = ("eps", "max_epsilon")
"""What torchattacks calls the bound of a perturbation."""


@check(
    quantities={
        "adversarial_accuracy": estimate("1", "higher", "share of images that are right before and after the attack"),
        **QUANTITIES,
    }
)
def adversarial_attack(
    model: DifferentiableModel,
    dataset: Dataset,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    *,
    attack: str,
    parameters: dict[str, Any] | None = None,
    epsilon: float | None = None,
) -> Measurement:
    """Measure a classifier's accuracy under an attack of torchattacks, named as there (``APGD``, ``CW``, ``Square``).

    torchattacks is not installed with any extra: ``pip install --no-deps torchattacks``.

    Validity: at least 30 images of two classes, all in 0..1; finite logits; something changed, by no more than epsilon.
    Whether the gradients mean anything is not asked, because some attacks need none; ``adversarial_pgd`` tells.

    Parameters
    ----------
    model, dataset
        A classifier through which gradients flow, and images with one class each.
    rng
        For the attack's random choices and the intervals.
    attack
        Class name in torchattacks.
    parameters
        Its arguments, in its own words (``{eps: 0.01, steps: 20}``); its defaults serve for the others.
    epsilon
        The attack's ``eps``, where it has one: its bound in its own norm. No pixel may change by more, whatever the
        norm. For an attack without ``eps``, only the changes are held against it afterwards.

    Raises
    ------
    MissingExtraError
        If torchattacks is not installed.
    InputError
        If it has no such attack or parameter, epsilon contradicts ``parameters``, or the model or the data set is not
        made for classification.
    NotMeasurableError
        If there is no image.
    """
    from pytest_mle.checks.robustness.attacks import named_attack, named_attack_parameters

    if epsilon is not None and not epsilon > 0:
        raise InputError(f"epsilon must be positive, got {epsilon}")
    with refused_as_input():
        used = _with_epsilon(attack, named_attack_parameters(attack, **(parameters or {})), parameters or {}, epsilon)
        chosen = named_attack(attack, **used)
    bound = next((used[key] for key in BOUNDS if used.get(key) is not None), epsilon)
    images = labelled_images(model, dataset)
    outcome = attacked(images, chosen, epsilon=bound, rng=rng, indices=images.everything, progress=progress)
    return Measurement(
        quantities=quantities(images, outcome, "adversarial_accuracy"),
        findings=fooled_images(images, outcome),
        validity=validity(images, outcome),
        settings={"attack": f"torchattacks {attack}", "parameters": used, "epsilon": bound, "input_range": [0, 1]},
    )


def _with_epsilon(
    attack: str, used: Mapping[str, Any], given: Mapping[str, Any], epsilon: float | None
) -> dict[str, Any]:
    """Return the attack's parameters with epsilon as its bound; an attack weaker than epsilon would look strong."""
    key = next((key for key in BOUNDS if key in used), None)
    if epsilon is None or key is None:
        return dict(used)
    if key in given and given[key] != epsilon:
        raise InputError(f"epsilon is {epsilon:g}, but parameters.{key} of {attack} is {given[key]}: write one of them")
    return {**used, key: epsilon}
