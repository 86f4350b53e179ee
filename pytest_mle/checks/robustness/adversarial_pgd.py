"""Accuracy under projected gradient descent with random starts and restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.robustness.evaluation import (
    accuracy,
    attacked,
    broken_samples,
    evenly_spaced,
    require_classification,
    validity,
)
from pytest_mle.records.finding import ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.progress import no_progress
from pytest_mle.records.quantity import estimate, exact

if TYPE_CHECKING:
    from pytest_mle.checks.robustness.attacks import AttackOutcome
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import DifferentiableModel
    from pytest_mle.records.progress import Progress


@check(
    quantities={
        "pgd_accuracy": estimate("1", "higher", "share of images that are right before and after all attacks"),
        "clean_accuracy": estimate("1", "higher", "share of images that are right without an attack"),
        "absolute_accuracy_drop": estimate("1", "lower", "clean accuracy less accuracy under attack"),
        "fgsm_accuracy_less_pgd_accuracy": exact(
            "1", "higher", "on the validity sample; below 0 PGD is the weaker one"
        ),
        "accuracy_at_large_epsilon": exact("1", "lower", "on the validity sample, where an attack may change all"),
        "max_perturbation": exact("1", None, "largest change of a pixel that was measured, pixels in 0..1"),
        "inputs_out_of_range": exact("{image}", "lower", "images with pixels outside 0..1 before the attack"),
        "attacked_images": exact("{image}", None, "images that were evaluated"),
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
    large_epsilon: float = 0.5,
    validity_images: int = 200,
    tolerance: float = 0.01,
    maximum_zero_gradient_share: float = 0.05,
) -> Measurement:
    """Measure a classifier's accuracy under projected gradient descent (Madry et al. 2018, section 2.1).

    As in :func:`adversarial_fgsm`, in several steps from several random starts; the worst start counts. On an evenly
    spaced sample two more attacks tell whether the gradients mean anything (Carlini et al. 2019, On evaluating
    adversarial robustness): FGSM must not be stronger, and at a large epsilon the accuracy must fall to chance.

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
        How many steps from how many random starts.
    large_epsilon, validity_images
        Bound and number of images of the validity attacks.
    tolerance
        By which FGSM may be stronger than PGD on the validity sample, as a share of it.
    maximum_zero_gradient_share
        As in :func:`adversarial_fgsm`.

    Raises
    ------
    InputError
        If the model or the data set is not made for classification.
    """
    from pytest_mle.checks.robustness.attacks import fgsm_attack, pgd_attack

    require_classification(model, dataset)
    step = epsilon / 4 if step_size is None else step_size
    everything = range(len(dataset))
    sample = evenly_spaced(len(dataset), validity_images)
    strong = pgd_attack(epsilon=epsilon, step_size=step, steps=steps, restarts=restarts)
    outcome = attacked(model, dataset, strong, epsilon=epsilon, rng=rng, indices=everything, progress=progress)
    weak = attacked(
        model, dataset, fgsm_attack(epsilon), epsilon=epsilon, rng=rng, indices=sample, progress=no_progress
    )
    unbounded = pgd_attack(epsilon=large_epsilon, step_size=large_epsilon / 4, steps=max(steps, 10))
    large = attacked(model, dataset, unbounded, epsilon=large_epsilon, rng=rng, indices=sample, progress=no_progress)
    gain = float(weak.correct_adversarial.mean() - outcome.correct_adversarial[sample].mean())
    remaining = float(large.correct_adversarial.mean())
    lost = outcome.correct_clean & ~outcome.correct_adversarial
    return Measurement(
        quantities={
            "pgd_accuracy": accuracy(outcome.correct_adversarial, dataset, rng),
            "clean_accuracy": accuracy(outcome.correct_clean, dataset, rng),
            "absolute_accuracy_drop": accuracy(lost, dataset, rng),
            "fgsm_accuracy_less_pgd_accuracy": gain,
            "accuracy_at_large_epsilon": remaining,
            "max_perturbation": float(np.nan_to_num(outcome.max_perturbation)),
            "inputs_out_of_range": outcome.inputs_out_of_range,
            "attacked_images": outcome.n,
        },
        findings=broken_samples(outcome, dataset, "fooled_images"),
        validity=(
            *validity(outcome, maximum_zero_gradient_share),
            ValidityCondition(
                "pgd_not_weaker_than_fgsm",
                gain >= -tolerance,
                f"FGSM leaves {weak.correct_adversarial.mean():.1%}, PGD "
                f"{outcome.correct_adversarial[sample].mean():.1%} right of {len(sample)}",
            ),
            _falls_to_chance(large, len(model.class_names), large_epsilon),
        ),
        settings={
            "attack": "PGD",
            "norm": "linf",
            "epsilon": epsilon,
            "step_size": step,
            "steps": steps,
            "restarts": restarts,
            "start": "uniform in the ball",
            "input_range": [0, 1],
            "validity_images": len(sample),
        },
    )


def _falls_to_chance(outcome: AttackOutcome, classes: int, epsilon: float) -> ValidityCondition:
    remaining = float(outcome.correct_adversarial.mean())
    return ValidityCondition(
        "accuracy_at_large_epsilon_at_chance",
        remaining <= 1 / max(classes, 1),
        f"{remaining:.1%} of {outcome.n} images stay right at epsilon {epsilon:g}; chance is 1 of {classes}. "
        "The gradients lead nowhere",
    )
