"""Classification metrics from counts: plain functions on arrays.

All take ``hits``, ``truths`` and ``predictions``, counts per class with shape ``(..., class)``: samples of the class
that were recognised, samples of the class, samples taken for the class. Leading axes are bootstrap resamples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


def confusion_matrix(labels: Integers, predicted: Integers, class_count: int) -> Integers:
    """Count samples by true class (row) and predicted class (column), ``(class, class)``."""
    cells = np.bincount(labels * class_count + predicted, minlength=class_count**2)
    return cells.reshape(class_count, class_count).astype(np.int64)


def recalls(hits: Floats, truths: Floats) -> Floats:
    """Return the recall of each class in 0..1, higher is better; NaN for a class without samples."""
    return _ratio(hits, truths)


def precisions(hits: Floats, truths: Floats, predictions: Floats) -> Floats:
    """Return the precision of each class in 0..1, higher is better.

    0 for a class with samples that was never predicted; NaN for a class that is neither in truth nor predicted.
    """
    found = _ratio(hits, predictions)
    return np.where((predictions == 0) & (truths > 0), 0.0, found)


def f1_scores(hits: Floats, truths: Floats, predictions: Floats) -> Floats:
    """Return the harmonic mean of precision and recall of each class; NaN where neither is defined."""
    return _ratio(2 * hits, truths + predictions)


def balanced_accuracy(hits: Floats, truths: Floats) -> Floats:
    """Return the mean recall over the classes that have samples, ``(...,)``."""
    return _mean_of_defined(recalls(hits, truths))


def macro_precision(hits: Floats, truths: Floats, predictions: Floats) -> Floats:
    """Return the mean precision over the classes that have samples or were predicted, as scikit-learn does."""
    return _mean_of_defined(precisions(hits, truths, predictions))


def macro_f1(hits: Floats, truths: Floats, predictions: Floats) -> Floats:
    """Return the mean F1 over the classes that have samples or were predicted, as scikit-learn does."""
    return _mean_of_defined(f1_scores(hits, truths, predictions))


def top_k_hits(probabilities: NDArray[np.floating], labels: Integers, k: int) -> NDArray[np.bool_]:
    """Say for each sample whether fewer than ``k`` other classes are at least as probable as the true one.

    Ties count against the model: one that gives all classes the same probability is never right.
    """
    true = probabilities[np.arange(len(labels)), labels]
    rivals = (probabilities >= true[:, np.newaxis]).sum(axis=1) - 1
    hits: NDArray[np.bool_] = rivals < k
    return hits


def counts_per_cluster(classes: Integers, clusters: Integers, shape: tuple[int, int]) -> Any:
    """Count samples by cluster and class: a sparse array ``(cluster, class)``.

    Sparse, because a thousand classes and fifty thousand independent images have nearly nothing but zeros.
    """
    from scipy.sparse import coo_array

    # Duplicates add up when the columns are compressed.
    return coo_array((np.ones(len(classes)), (clusters, classes)), shape=shape).tocsc()


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    undefined = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    found: Floats = np.divide(numerator, denominator, out=undefined, where=denominator > 0)
    return found


def _mean_of_defined(values: Floats) -> Floats:
    is_defined = np.isfinite(values)
    return _ratio(np.where(is_defined, values, 0.0).sum(axis=-1), is_defined.sum(axis=-1).astype(np.float64))
