"""Accuracy under the fast gradient sign method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.robustness.evaluation import (
    accuracy,
    attacked,
    broken_samples,
    require_classification,
    validity,
)
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.progress import no_progress
from pytest_mle.records.quantity import estimate, exact

if TYPE_CHECKING:
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import DifferentiableModel
    from pytest_mle.records.progress import Progress


@check(
    quantities={
        "fgsm_accuracy": estimate("1", "higher", "share of images that are right before and after the attack"),
        "clean_accuracy": estimate("1", "higher", "share of images that are right without an attack"),
        "absolute_accuracy_drop": estimate("1", "lower", "clean accuracy less accuracy under attack"),
        "max_perturbation": exact("1", None, "largest change of a pixel that was measured, pixels in 0..1"),
        "inputs_out_of_range": exact("{image}", "lower", "images with pixels outside 0..1 before the attack"),
        "attacked_images": exact("{image}", None, "images that were evaluated"),
    }
)
def adversarial_fgsm(
    model: DifferentiableModel,
    dataset: Dataset,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    *,
    epsilon: float = 0.01,
    maximum_zero_gradient_share: float = 0.05,
) -> Measurement:
    """Measure a classifier's accuracy under the fast gradient sign method (Goodfellow et al. 2015, section 4).

    The attack works on images in 0..1 after resizing; mean and standard deviation are applied inside the model, in
    evaluation mode. An image counts as right only if it is right before and after the attack. Bounds are those of
    a rate over sequences.

    Parameters
    ----------
    model, dataset
        A classifier through which gradients flow, and images with one class each.
    rng
        For the intervals; the attack itself leaves nothing to chance.
    epsilon
        Largest change of a pixel, with pixels in 0..1 (0.01 is 2.55 grey levels).
    maximum_zero_gradient_share
        Validity: more images without gradient than this are a sign of gradient masking.

    Raises
    ------
    InputError
        If the model or the data set is not made for classification.
    """
    from pytest_mle.checks.robustness.attacks import fgsm_attack

    require_classification(model, dataset)
    outcome = attacked(
        model, dataset, fgsm_attack(epsilon), epsilon=epsilon, rng=rng, indices=range(len(dataset)), progress=progress
    )
    lost = outcome.correct_clean & ~outcome.correct_adversarial
    return Measurement(
        quantities={
            "fgsm_accuracy": accuracy(outcome.correct_adversarial, dataset, rng),
            "clean_accuracy": accuracy(outcome.correct_clean, dataset, rng),
            "absolute_accuracy_drop": accuracy(lost, dataset, rng),
            "max_perturbation": float(np.nan_to_num(outcome.max_perturbation)),
            "inputs_out_of_range": outcome.inputs_out_of_range,
            "attacked_images": outcome.n,
        },
        findings=broken_samples(outcome, dataset, "fooled_images"),
        validity=validity(outcome, maximum_zero_gradient_share),
        settings={"attack": "FGSM", "norm": "linf", "epsilon": epsilon, "input_range": [0, 1]},
    )
