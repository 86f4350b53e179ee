"""Accuracy under any attack that an installed torchattacks has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.robustness.evaluation import (
    accuracy,
    attacked,
    broken_samples,
    require_classification,
    validity,
)
from pytest_mle.errors import InputError
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.progress import no_progress
from pytest_mle.records.quantity import estimate, exact

if TYPE_CHECKING:
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import DifferentiableModel
    from pytest_mle.records.progress import Progress


@check(
    quantities={
        "adversarial_accuracy": estimate("1", "higher", "share of images that are right before and after the attack"),
        "clean_accuracy": estimate("1", "higher", "share of images that are right without an attack"),
        "absolute_accuracy_drop": estimate("1", "lower", "clean accuracy less accuracy under attack"),
        "max_perturbation": exact("1", None, "largest change of a pixel that was measured, pixels in 0..1"),
        "inputs_out_of_range": exact("{image}", "lower", "images with pixels outside 0..1 before the attack"),
        "attacked_images": exact("{image}", None, "images that were evaluated"),
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
    """Measure a classifier's accuracy under an attack of torchattacks, by its name there (``APGD``, ``CW``, ``Square``).

    torchattacks is not installed with any extra: ``pip install --no-deps torchattacks``.

    Parameters
    ----------
    model, dataset
        A classifier through which gradients flow, and images with one class each.
    rng
        For the attack's random choices and the intervals.
    attack
        Class name in torchattacks.
    parameters
        Its arguments, in its own words (``{eps: 0.01, steps: 20}``).
    epsilon
        Bound that the perturbation is held against afterwards; ``parameters.eps`` if not given, none for attacks
        without such a bound.

    Raises
    ------
    MissingExtraError
        If torchattacks is not installed.
    InputError
        If it has no such attack, or the model or the data set is not made for classification.
    """
    from pytest_mle.checks.robustness.attacks import named_attack

    require_classification(model, dataset)
    given = dict(parameters or {})
    bound = epsilon if epsilon is not None else given.get("eps")
    try:
        chosen = named_attack(attack, **given)
    except ValueError as error:
        raise InputError(str(error)) from error
    outcome = attacked(model, dataset, chosen, epsilon=bound, rng=rng, indices=range(len(dataset)), progress=progress)
    lost = outcome.correct_clean & ~outcome.correct_adversarial
    return Measurement(
        quantities={
            "adversarial_accuracy": accuracy(outcome.correct_adversarial, dataset, rng),
            "clean_accuracy": accuracy(outcome.correct_clean, dataset, rng),
            "absolute_accuracy_drop": accuracy(lost, dataset, rng),
            "max_perturbation": float(np.nan_to_num(outcome.max_perturbation)),
            "inputs_out_of_range": outcome.inputs_out_of_range,
            "attacked_images": outcome.n,
        },
        findings=broken_samples(outcome, dataset, "fooled_images"),
        validity=validity(outcome, maximum_zero_gradient_share=1.0),
        settings={"attack": f"torchattacks {attack}", "parameters": given, "input_range": [0, 1]},
    )
