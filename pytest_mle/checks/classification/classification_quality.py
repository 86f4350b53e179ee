"""How well a classifier recognises its classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.classification.class_intervals import (
    ClassCounts,
    average_over_classes,
    class_recalls,
    lowest_rate,
)
from pytest_mle.checks.classification.metrics import (
    balanced_accuracy,
    confusion_matrix,
    counts_per_cluster,
    macro_f1,
    macro_precision,
    top_k_hits,
)
from pytest_mle.checks.declaration import check
from pytest_mle.checks.detection.detection_findings import path_for_reports
from pytest_mle.checks.detection.ground_truth import image_clusters
from pytest_mle.checks.intervals import bootstrap_totals, cluster_rate
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.predictions import ClassificationPredictions
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import Finding, Findings, ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import estimate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.records.quantity import Quantity

    Integers = NDArray[np.int64]

RESAMPLES = 2000
# Fewer say nothing that a single lucky or unlucky sample would not change.
MINIMUM_SAMPLES = 30
# A larger matrix cannot be read.
MAX_FIGURE_CLASSES = 50
DISPLAY_CONFIDENCE = 0.95


@check(
    quantities={
        "accuracy": estimate("1", "higher", "Share of samples whose most probable class is the true one."),
        "balanced_accuracy": estimate("1", "higher", "Mean recall over the classes that have samples."),
        "lowest_recall": estimate("1", "higher", "Recall of the class that is recognised worst."),
        "macro_precision": estimate("1", "higher", "Mean precision over classes."),
        "macro_f1": estimate("1", "higher", "Mean F1 over classes."),
        "top_k_accuracy": estimate("1", "higher", "Share of samples whose true class is among the k most probable."),
    }
)
def classification_quality(
    predictions: ClassificationPredictions,
    rng: np.random.Generator,
    *,
    top_k: int = 1,
    cluster: str | None = None,
) -> Measurement:
    """Measure accuracy, per-class recall, precision and F1 of a classifier.

    Bounds respect that frames of one sequence are alike: rates have Clopper-Pearson bounds over the effective number
    of images, averages over classes a percentile bootstrap over sequences. All quantities lie in 0..1 and are better
    when higher. Averages are over the classes that occur, as scikit-learn's; classes without samples are named in the
    findings.

    Parameters
    ----------
    top_k
        k of ``top_k_accuracy``; ties count against the model.
    cluster
        Image attribute whose equal values belong together; without it the data set's sequences.

    Raises
    ------
    NotMeasurableError
        Without samples, or if ``top_k`` is not below the number of classes, where it would always be right.
    InputError
        For predictions of a detector, labels outside the model's classes, or an unknown attribute.
    """
    from scipy.sparse import hstack

    labels = _labels(predictions)
    probabilities = predictions.probabilities
    class_count = probabilities.shape[1]
    if not 1 <= top_k < class_count:
        raise NotMeasurableError(f"top_k must lie in 1..{class_count - 1} for {class_count} classes, got {top_k}")
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    groups = image_clusters(predictions.dataset, cluster)
    is_hit, is_near = labels == predicted, top_k_hits(probabilities, labels, top_k)
    shape = (groups.count, class_count)
    hits = counts_per_cluster(labels[is_hit], groups.of_image[is_hit], shape)
    truths = counts_per_cluster(labels, groups.of_image, shape)
    taken = counts_per_cluster(predicted, groups.of_image, shape)
    right, near, samples = (groups.sums(each.astype(np.float64)) for each in (is_hit, is_near, np.ones(len(labels))))
    totals = bootstrap_totals(hstack((hits, truths, taken)), rng, RESAMPLES)
    resampled = np.split(totals, 3, axis=1)
    whole = [table.sum(axis=0) for table in (hits, truths, taken)]
    counts = ClassCounts(hits, truths, groups.noun)
    per_class = class_recalls(counts)
    names = _class_names(predictions, class_count)
    return Measurement(
        quantities={
            "accuracy": cluster_rate(right, samples),
            "balanced_accuracy": average_over_classes(
                float(balanced_accuracy(*whole[:2])), balanced_accuracy(*resampled[:2]), counts
            ),
            "lowest_recall": lowest_rate(list(per_class.values())),
            "macro_precision": average_over_classes(
                float(macro_precision(*whole)), macro_precision(*resampled), counts
            ),
            "macro_f1": average_over_classes(float(macro_f1(*whole)), macro_f1(*resampled), counts),
            "top_k_accuracy": cluster_rate(near, samples),
        },
        findings=(
            Findings.collect("misclassified", _errors(predictions, labels, predicted, names)),
            Findings.collect("class without samples", _absent(whole[1], names)),
        ),
        validity=(
            ValidityCondition(
                "enough_samples",
                len(labels) >= MINIMUM_SAMPLES,
                f"{len(labels)} samples, at least {MINIMUM_SAMPLES} are needed",
            ),
        ),
        figures=_figures(labels, predicted, per_class, names),
        settings={
            "top_k": top_k,
            "resamples": RESAMPLES,
            "independent_units": f"{groups.count} {groups.noun}",
        },
    )


def _labels(predictions: ClassificationPredictions) -> Integers:
    dataset = predictions.dataset
    if not isinstance(predictions, ClassificationPredictions):
        raise InputError(f"model {predictions.model.name!r} is a detector; use detection_quality")
    if len(dataset) == 0:
        raise NotMeasurableError(f"data set {dataset.name!r} holds no samples")
    labels = np.array([dataset.label(index) for index in range(len(dataset))], dtype=np.int64)
    class_count = predictions.probabilities.shape[1]
    is_unknown = (labels < 0) | (labels >= class_count)
    if is_unknown.any():
        index = int(is_unknown.argmax())
        raise InputError(
            f"sample {dataset.sample(index).id!r} is of class {labels[index]}, but model {predictions.model.name!r} "
            f"knows {class_count} classes"
        )
    return labels


def _class_names(predictions: ClassificationPredictions, class_count: int) -> list[str]:
    for names in (predictions.dataset.class_names, predictions.model.class_names):
        if len(names) == class_count:
            return list(names)
    return [str(number) for number in range(class_count)]


def _errors(
    predictions: ClassificationPredictions, labels: Integers, predicted: Integers, names: list[str]
) -> Iterator[Finding]:
    """Yield the misclassified samples, the most confident errors first."""
    dataset: Dataset = predictions.dataset
    confidence = predictions.probabilities.max(axis=1)
    wrong = np.flatnonzero(labels != predicted)
    for index in wrong[np.argsort(-confidence[wrong], kind="stable")].tolist():
        message = f"{names[labels[index]]} taken for {names[predicted[index]]} with {confidence[index]:.1%}"
        yield Finding(message, path=path_for_reports(dataset, index))


def _absent(truths: NDArray[np.float64], names: list[str]) -> Iterator[Finding]:
    for number in np.flatnonzero(truths == 0).tolist():
        yield Finding("no samples, so its recall is unknown", subject=names[number])


def _figures(
    labels: Integers, predicted: Integers, per_class: Mapping[int, Quantity], names: list[str]
) -> tuple[Figure, ...]:
    if len(names) > MAX_FIGURE_CLASSES:
        return ()
    matrix = confusion_matrix(labels, predicted, len(names))
    bounds = [rate.bounds(DISPLAY_CONFIDENCE) or (rate.value, rate.value) for rate in per_class.values()]
    return (
        Figure(
            "matrix",
            "Confusion matrix",
            series=tuple(Series(name, tuple(map(float, row))) for name, row in zip(names, matrix, strict=True)),
            labels=tuple(names),
            x_label="predicted class",
            y_label="true class",
        ),
        Figure(
            "bars",
            f"Recall per class with one-sided {DISPLAY_CONFIDENCE:.0%} bounds",
            series=(
                Series(
                    "recall",
                    tuple(rate.value for rate in per_class.values()),
                    lower=tuple(low for low, _ in bounds),
                    upper=tuple(high for _, high in bounds),
                ),
            ),
            labels=tuple(names[number] for number in per_class),
            y_label="recall",
        ),
    )
