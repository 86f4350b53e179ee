"""Accuracy under projected gradient descent with random starts and restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.checks.declaration import check
from pytest_mle.checks.robustness.evaluation import (
    LARGE_EPSILON,
    QUANTITIES,
    attacked,
    attacked_with_large_epsilon,
    falls_to_chance,
    fooled_images,
    labelled_images,
    quantities,
    refused_as_input,
    require_epsilon,
    validity,
)
from pytest_mle.errors import InputError
from pytest_mle.records.finding import ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.progress import no_progress
from pytest_mle.records.quantity import estimate, exact

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import DifferentiableModel
    from pytest_mle.records.progress import Progress

TOLERANCE = 0.01
"""By how much FGSM may leave fewer images right than PGD does, as a share of the sample."""


@check(
    quantities={
        "pgd_accuracy": estimate("1", "higher", "share of images that are right before and after all attacks"),
        **QUANTITIES,
        "fgsm_pgd_accuracy_difference": exact("1", "higher", "on the sample; below 0 PGD is the weaker attack"),
        "accuracy_at_large_epsilon": exact("1", "lower", "on the sample, where an attack may change all of an image"),
    }
)
def adversarial_pgd(
    model: DifferentiableModel,
    dataset: Dataset,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    *,
    epsilon: float = 0.01,
    step_size: float | None = None,
    steps: int = 10,
    restarts: int = 5,
) -> Measurement:
    """Measure a classifier's accuracy under projected gradient descent (Madry et al. 2018, section 2.1).

    As in :func:`~pytest_mle.checks.robustness.adversarial_fgsm.adversarial_fgsm`, in several steps from several random
    starts; an image is right if it is right after each of them.

    Validity: as there, and on up to 200 of the images FGSM with the same epsilon must not leave fewer right than PGD
    does, by more than 1 % of them (Carlini et al. 2019, On evaluating adversarial robustness, section 3.2).

    Parameters
    ----------
    model, dataset
        A classifier through which gradients flow, and images with one class each.
    rng
        For the starts and the intervals.
    epsilon
        Largest change of a pixel, with pixels in 0..1.
    step_size
        Of one step; a quarter of epsilon if not given.
    steps, restarts
        How many steps from how many random starts. The steps together must reach from the image to epsilon.

    Raises
    ------
    InputError
        If the model or the data set is not made for classification, or a parameter makes no attack.
    NotMeasurableError
        If there is no image.
    """
    from pytest_mle.checks.robustness.attacks import fgsm_attack, pgd_attack

    require_epsilon(epsilon)
    step = epsilon / 4 if step_size is None else step_size
    with refused_as_input():
        strong = pgd_attack(epsilon=epsilon, step_size=step, steps=steps, restarts=restarts)
    if step * steps < epsilon * (1 - 1e-9):  # three thirds are not always one
        raise InputError(f"{steps} steps of {step:g} do not reach epsilon = {epsilon:g}: that is a weaker attack")
    images = labelled_images(model, dataset)
    outcome = attacked(images, strong, epsilon=epsilon, rng=rng, indices=images.everything, progress=progress)
    weak = attacked(images, fgsm_attack(epsilon), epsilon=epsilon, rng=rng, indices=images.sample)
    large = attacked_with_large_epsilon(images, rng)
    comparison = _not_weaker(weak.correct_adversarial, outcome.correct_adversarial[images.sample])
    return Measurement(
        quantities={
            **quantities(images, outcome, "pgd_accuracy"),
            "fgsm_pgd_accuracy_difference": comparison[0],
            "accuracy_at_large_epsilon": float(large.correct_adversarial.mean()),
        },
        findings=fooled_images(images, outcome),
        validity=(*validity(images, outcome), comparison[1], falls_to_chance(images, large)),
        settings={
            "attack": "PGD",
            "norm": "linf",
            "epsilon": epsilon,
            "step_size": step,
            "steps": steps,
            "restarts": restarts,
            "start": "uniform in the ball",
            "input_range": [0, 1],
            "large_epsilon": LARGE_EPSILON,
            "sample": len(images.sample),
        },
    )


def _not_weaker(by_fgsm: NDArray[np.bool_], by_pgd: NDArray[np.bool_]) -> tuple[float, ValidityCondition]:
    """Return how many more images FGSM leaves right, as a share, and the condition that it is not too few."""
    fgsm, pgd = float(by_fgsm.mean()), float(by_pgd.mean())
    # Shares of 200 are no round binary numbers, and exactly the tolerance is allowed.
    holds = fgsm - pgd >= -TOLERANCE - 1e-9
    detail = f"of {len(by_fgsm)} images FGSM leaves {fgsm:.1%} right and PGD {pgd:.1%}"
    return fgsm - pgd, ValidityCondition("pgd_not_weaker_than_fgsm", holds, detail)
