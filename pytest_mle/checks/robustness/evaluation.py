"""What the adversarial checks share: batches of a classification data set, accuracies with intervals, validity."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.detection.detection_findings import path_for_reports
from pytest_mle.checks.intervals import cluster_rate
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.records.finding import Finding, Findings, ValidityCondition
from pytest_mle.records.progress import no_progress
from pytest_mle.records.quantity import estimate, exact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pytest_mle.checks.robustness.attacks import Attack, AttackOutcome
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import DifferentiableModel
    from pytest_mle.records.progress import Progress
    from pytest_mle.records.quantity import Quantity

    Indices = NDArray[np.int64]

QUANTITIES = {
    "clean_accuracy": estimate("1", "higher", "share of images that are right without an attack"),
    "absolute_accuracy_drop": estimate("1", "lower", "clean accuracy less accuracy under attack"),
    "max_perturbation": exact("1", None, "largest change of a pixel that was measured, pixels in 0..1"),
    "inputs_out_of_range": exact("{image}", "lower", "images with pixels outside 0..1 before the attack"),
    "attacked_images": exact("{image}", None, "images that were evaluated"),
}
"""What every attack measures besides the accuracy under it."""

MINIMUM_IMAGES = 30
MAXIMUM_ZERO_GRADIENT_SHARE = 0.05
"""More attacked images without a gradient than this are a sign of masking (Athalye et al. 2018)."""

SAMPLE_SIZE = 200
"""Images on which further attacks tell whether the gradients mean anything."""

LARGE_EPSILON = 0.5
"""Any image can be made the same grey with it, so no model can be right more often than by chance."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImages:
    """A classifier with a data set that has been found fit for it, and the data set's labels, ``(image,)``."""

    model: DifferentiableModel
    dataset: Dataset
    labels: Indices

    @property
    def class_count(self) -> int:
        """How many classes there are at least; the more there are, the lower chance is."""
        known = (len(self.model.class_names), len(self.dataset.class_names), int(self.labels.max()) + 1)
        return max(2, *known)

    @property
    def everything(self) -> Indices:
        """Indices of all images."""
        return np.arange(len(self.labels))

    @property
    def sample(self) -> Indices:
        """Indices of at most :data:`SAMPLE_SIZE` images, evenly spread."""
        return evenly_spaced(len(self.labels), SAMPLE_SIZE)


def labelled_images(model: DifferentiableModel, dataset: Dataset) -> LabelledImages:
    """Return a classifier with the data to attack it on.

    Raises
    ------
    InputError
        If the model or the data have no classes to mistake.
    NotMeasurableError
        If there is no image.
    """
    for what, task in ((f"model {model.name!r}", model.task), (f"data set {dataset.name!r}", dataset.task)):
        if task != "classification":
            raise InputError(
                f"{what} is made for {task}; this attack needs a classifier and images with one class each"
            )
    if len(dataset) == 0:
        raise NotMeasurableError(f"the data set {dataset.name!r} has no image")
    labels = np.array([dataset.label(index) for index in range(len(dataset))], dtype=np.int64)
    return LabelledImages(model, dataset, labels)


def evenly_spaced(count: int, wanted: int) -> Indices:
    """Return at most ``wanted`` indices of ``count``, spread over all of them."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))


def require_epsilon(epsilon: float) -> None:
    """Raise an error for a bound that allows no change, or is not meant for pixels in 0..1."""
    if not 0 < epsilon <= 1:
        raise InputError(
            f"epsilon must be above 0 and at most 1, for pixels in 0..1 (8 grey levels are 0.0314), got {epsilon}"
        )


@contextmanager
def refused_as_input() -> Iterator[None]:
    """Turn what an attack refuses (parameters, labels, logits) into the error that a user sees."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


def attacked(
    images: LabelledImages,
    attack: Attack,
    *,
    epsilon: float | None,
    rng: np.random.Generator,
    indices: Indices,
    progress: Progress = no_progress,
) -> AttackOutcome:
    """Attack the images with the given indices, batch by batch.

    Raises
    ------
    InputError
        If labels are no classes of the model, or its logits are not differentiable.
    """
    from pytest_mle.checks.robustness.attacks import attack_batches

    model = images.model
    with refused_as_input():
        return attack_batches(
            model.logits,
            _batches(images, indices, progress),
            attack,
            epsilon=epsilon,
            rng=rng,
            module=_module(model),
            device=model.device,
        )


def attacked_with_large_epsilon(images: LabelledImages, rng: np.random.Generator) -> AttackOutcome:
    """Attack the sample with a bound in which everything can be fooled, if the gradients lead anywhere."""
    from pytest_mle.checks.robustness.attacks import pgd_attack

    unbounded = pgd_attack(epsilon=LARGE_EPSILON, step_size=LARGE_EPSILON / 4, steps=10)
    return attacked(images, unbounded, epsilon=LARGE_EPSILON, rng=rng, indices=images.sample)


def accuracy(correct: NDArray[np.bool_], dataset: Dataset) -> Quantity:
    """Return the share of correct images, with bounds over the sequences that they come from."""
    _, cluster = np.unique(dataset.sequence_ids(), return_inverse=True)
    return cluster_rate(np.bincount(cluster, weights=correct), np.bincount(cluster))


def quantities(images: LabelledImages, outcome: AttackOutcome, name: str) -> dict[str, Quantity | float]:
    """Return :data:`QUANTITIES` and, under ``name``, the accuracy under attack.

    Where nothing was attacked there is no perturbation; a validity condition says so.
    """
    lost = outcome.correct_clean & ~outcome.correct_adversarial
    measured: dict[str, Quantity | float] = {
        name: accuracy(outcome.correct_adversarial, images.dataset),
        "clean_accuracy": accuracy(outcome.correct_clean, images.dataset),
        "absolute_accuracy_drop": accuracy(lost, images.dataset),
        "inputs_out_of_range": outcome.inputs_out_of_range,
        "attacked_images": outcome.n,
    }
    if np.isfinite(outcome.max_perturbation):
        measured["max_perturbation"] = outcome.max_perturbation
    return measured


def validity(images: LabelledImages, outcome: AttackOutcome) -> tuple[ValidityCondition, ...]:
    """Return the conditions of any attack; those of the gradients only where it tells of them."""
    present = len(np.unique(images.labels))
    conditions = [
        ValidityCondition(
            "enough_images", outcome.n >= MINIMUM_IMAGES, f"{outcome.n} images, at least {MINIMUM_IMAGES} are needed"
        ),
        ValidityCondition(
            "several_classes",
            present > 1,
            f"images of {present} class; a model that gives every image this class would be right under any attack",
        ),
        ValidityCondition(
            "inputs_in_range",
            outcome.inputs_out_of_range == 0,
            f"{outcome.inputs_out_of_range} of {outcome.n} images have pixels outside 0..1 or not finite: "
            "prepare them without mean and std, which belong into the logits",
        ),
        ValidityCondition(
            "logits_finite",
            outcome.nonfinite_logits == 0,
            f"{outcome.nonfinite_logits} of {outcome.n} images give logits that are not finite",
        ),
        _perturbation(outcome),
    ]
    if outcome.zero_gradient_share is not None:
        conditions.append(
            ValidityCondition(
                "gradients_flow",
                outcome.zero_gradient_share <= MAXIMUM_ZERO_GRADIENT_SHARE,
                "nothing was attacked"
                if np.isnan(outcome.zero_gradient_share)
                else f"{outcome.zero_gradient_share:.1%} of the attacked images have no gradient: a sign of masking",
            )
        )
    return tuple(conditions)


def falls_to_chance(images: LabelledImages, outcome: AttackOutcome) -> ValidityCondition:
    """Return the condition that an attack with :data:`LARGE_EPSILON` leaves no more right than chance does."""
    remaining = float(outcome.correct_adversarial.mean())
    return ValidityCondition(
        "large_epsilon_leaves_chance",
        remaining <= 1 / images.class_count,
        f"{remaining:.1%} of {outcome.n} images stay right at epsilon {LARGE_EPSILON:g}; chance is 1 of "
        f"{images.class_count}. Above it, the gradients lead nowhere",
    )


def fooled_images(images: LabelledImages, outcome: AttackOutcome) -> tuple[Findings, ...]:
    """List the images that were right before the attack and wrong after it."""
    fooled = np.flatnonzero(outcome.correct_clean & ~outcome.correct_adversarial)
    if not len(fooled):
        return ()
    names = images.dataset.class_names or images.model.class_names
    found = (
        Finding(
            f"{names[label] if label < len(names) else f'class {label}'} is no longer recognised",
            path=path_for_reports(images.dataset, int(index)),
        )
        for index, label in zip(fooled, images.labels[fooled].tolist(), strict=True)
    )
    return (Findings.collect("fooled_images", found),)


def _perturbation(outcome: AttackOutcome) -> ValidityCondition:
    if np.isnan(outcome.max_perturbation):
        detail = "no image could be attacked: none is right without an attack, or pixels are not finite"
    elif outcome.max_perturbation == 0:
        detail = "no pixel was changed"
    else:
        allowed = "without a bound" if outcome.epsilon is None else f"allowed {outcome.epsilon:g}"
        detail = f"largest change of a pixel {outcome.max_perturbation:.6g}, {allowed}"
    holds = outcome.is_within_bound and outcome.max_perturbation > 0
    return ValidityCondition("perturbation_within_epsilon", holds, detail)


def _batches(images: LabelledImages, indices: Indices, progress: Progress) -> Iterator[tuple[Any, Any]]:
    size = images.model.batch_size
    for start in range(0, len(indices), size):
        chosen = indices[start : start + size]
        yield (
            images.model.prepare([images.dataset.image(index) for index in chosen.tolist()]),
            images.labels[chosen],
        )
        progress(start + len(chosen), len(indices))


def _module(model: DifferentiableModel) -> Any:
    """Return the module behind a model, which the attack puts into evaluation mode; None if it shows none."""
    for holder in (model, getattr(model, "network", None)):
        module = getattr(holder, "module", None)
        if module is not None:
            return module
    return None
