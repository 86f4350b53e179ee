"""Accuracy under the fast gradient sign method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.checks.declaration import check
from pytest_mle.checks.robustness.evaluation import (
    QUANTITIES,
    attacked,
    attacked_with_large_epsilon,
    falls_to_chance,
    fooled_images,
    labelled_images,
    quantities,
    require_epsilon,
    validity,
)
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.progress import no_progress
from pytest_mle.records.quantity import estimate

if TYPE_CHECKING:
    import numpy as np

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import DifferentiableModel
    from pytest_mle.records.progress import Progress


@check(
    quantities={
        "fgsm_accuracy": estimate("1", "higher", "share of images that are right before and after the attack"),
        **QUANTITIES,
    }
)
def adversarial_fgsm(
    model: DifferentiableModel,
    dataset: Dataset,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    *,
    epsilon: float = 0.01,
) -> Measurement:
    """Measure a classifier's accuracy under the fast gradient sign method (Goodfellow et al. 2015, section 4).

    The attack works on images in 0..1 after resizing; mean and standard deviation are applied inside the model, in
    evaluation mode. An image counts as right only if it is right before and after the attack. Bounds are those of
    a rate over sequences.

    Validity: at least 30 images of two classes, all in 0..1; finite logits; something changed, by no more than epsilon;
    a gradient for 95 % of the attacked images; and projected gradient descent with epsilon 0.5 on up to 200 of the
    images leaves no more right than chance, else the gradients lead nowhere (Carlini et al. 2019, On evaluating
    adversarial robustness, section 3.2).

    Parameters
    ----------
    model, dataset
        A classifier through which gradients flow, and images with one class each.
    rng
        For the intervals and the start of the validity attack; the attack itself leaves nothing to chance.
    epsilon
        Largest change of a pixel, with pixels in 0..1 (0.01 is 2.55 grey levels).

    Raises
    ------
    InputError
        If the model or the data set is not made for classification, or epsilon is not in 0..1.
    NotMeasurableError
        If there is no image.
    """
    from pytest_mle.checks.robustness.attacks import fgsm_attack

    require_epsilon(epsilon)
    images = labelled_images(model, dataset)
    outcome = attacked(
        images, fgsm_attack(epsilon), epsilon=epsilon, rng=rng, indices=images.everything, progress=progress
    )
    large = attacked_with_large_epsilon(images, rng)
    return Measurement(
        quantities=quantities(images, outcome, "fgsm_accuracy"),
        findings=fooled_images(images, outcome),
        validity=(*validity(images, outcome), falls_to_chance(images, large)),
        settings={"attack": "FGSM", "norm": "linf", "epsilon": epsilon, "input_range": [0, 1]},
    )
