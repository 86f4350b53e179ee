"""What the adversarial checks share: batches of a classification data set, accuracies with intervals, validity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.checks.intervals import cluster_rate
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.records.finding import Finding, Findings, ValidityCondition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pytest_mle.checks.robustness.attacks import Attack, AttackOutcome
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import DifferentiableModel
    from pytest_mle.records.progress import Progress
    from pytest_mle.records.quantity import Quantity


def require_classification(model: DifferentiableModel, dataset: Dataset) -> None:
    """Raise an error if the model or the data have no classes to mistake, or there is no sample."""
    for what, task in ((f"model {model.name!r}", model.task), (f"data set {dataset.name!r}", dataset.task)):
        if task != "classification":
            raise InputError(
                f"{what} is made for {task}; this attack needs a classifier and images with one class each"
            )
    if len(dataset) == 0:
        raise NotMeasurableError(f"the data set {dataset.name!r} has no sample")


def attacked(
    model: DifferentiableModel,
    dataset: Dataset,
    attack: Attack,
    *,
    epsilon: float | None,
    rng: np.random.Generator,
    indices: Sequence[int] | NDArray[np.int64],
    progress: Progress,
) -> AttackOutcome:
    """Attack the samples with the given indices, batch by batch."""
    from pytest_mle.checks.robustness.attacks import attack_batches

    return attack_batches(
        model.logits,
        _batches(model, dataset, indices, progress),
        attack,
        epsilon=epsilon,
        rng=rng,
        module=getattr(model, "module", None),
        device=model.device,
    )


def _batches(
    model: DifferentiableModel, dataset: Dataset, indices: Sequence[int] | NDArray[np.int64], progress: Progress
) -> Iterator[tuple[Any, Any]]:
    for start in range(0, len(indices), model.batch_size):
        chosen = [int(index) for index in indices[start : start + model.batch_size]]
        images = model.prepare([dataset.image(index) for index in chosen])
        yield images, np.array([dataset.label(index) for index in chosen])
        progress(start + len(chosen), len(indices))


def evenly_spaced(count: int, wanted: int) -> NDArray[np.int64]:
    """Return at most ``wanted`` indices of ``count``, spread over all of them."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))


def accuracy(correct: NDArray[np.bool_], dataset: Dataset, rng: np.random.Generator) -> Quantity:
    """Return the share of correct samples, with bounds over the sequences that they come from."""
    _, cluster = np.unique(dataset.sequence_ids(), return_inverse=True)
    return cluster_rate(np.bincount(cluster, weights=correct), np.bincount(cluster), rng, noun="sequences")


def validity(outcome: AttackOutcome, maximum_zero_gradient_share: float) -> tuple[ValidityCondition, ...]:
    """Return the conditions that hold for any attack inside a bound."""
    conditions = [
        ValidityCondition(
            "inputs_in_range",
            outcome.inputs_out_of_range == 0,
            f"{outcome.inputs_out_of_range} of {outcome.n} images have pixels outside 0..1 or not finite",
        ),
        ValidityCondition(
            "logits_finite",
            outcome.nonfinite_logits == 0,
            f"{outcome.nonfinite_logits} of {outcome.n} images give logits that are not finite",
        ),
        ValidityCondition(
            "perturbation_within_epsilon",
            outcome.is_within_bound,
            f"largest change of a pixel {outcome.max_perturbation:.6g}, allowed {outcome.epsilon}",
        ),
    ]
    if outcome.zero_gradient_share is not None:
        conditions.append(
            ValidityCondition(
                "gradients_flow",
                outcome.zero_gradient_share <= maximum_zero_gradient_share,
                f"{outcome.zero_gradient_share:.1%} of the attacked images have a zero gradient: a sign of masking",
            )
        )
    return tuple(conditions)


def broken_samples(outcome: AttackOutcome, dataset: Dataset, kind: str) -> tuple[Findings, ...]:
    """List the images that were right before the attack and wrong after it."""
    fooled = np.flatnonzero(outcome.correct_clean & ~outcome.correct_adversarial)
    if not len(fooled):
        return ()
    names = (
        Finding(f"{dataset.class_names[dataset.label(int(index))]} is no longer recognised", path=str(sample.path))
        for index in fooled
        for sample in [dataset.sample(int(index))]
    )
    return (Findings.collect(kind, names),)
