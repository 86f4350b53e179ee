"""How many independent trials a mean of values in 0..1 is worth, so that it gets exact bounds near 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_mle.records.quantity import Bounded, clopper_pearson

if TYPE_CHECKING:
    from numpy.typing import NDArray

NORMAL_95 = 1.6448536269514722


@dataclass(frozen=True, slots=True)
class BoundedMean:
    """A mean of values in 0..1 over clusters, or what behaves like one: a Brier score, an area under a ROC curve.

    Parameters
    ----------
    value
        The mean, in 0..1.
    variance
        Its variance as the clusters show it.
    clusters
        Number of clusters (of the smaller of two groups).
    worst_trials
        Trials that it is worth if each cluster is one unit: the largest variance that values in 0..1 can have.
    informative
        Number of clusters that tell how far the values scatter: those with an error.
    """

    value: float
    variance: float
    clusters: int
    worst_trials: float
    informative: int

    @property
    def effective_trials(self) -> float:
        """Independent Bernoulli trials of the same variance.

        A variance seen in few clusters is drawn towards the largest one possible: without any error it is that one, and
        the bound is the one of "no event in n clusters". It grows by Student's t as Korn and Graubard (1998) do.
        """
        from scipy.special import stdtrit

        chance, worst = self.value * (1 - self.value), 1 / self.worst_trials
        if chance <= 0:
            return self.worst_trials
        seen = self.variance / chance
        drawn = (self.informative * seen + worst) / (self.informative + 1)
        # At 95 %: the ratio hardly depends on the confidence.
        student = (float(stdtrit(self.clusters - 1, 0.95)) / NORMAL_95) ** 2
        return 1 / min(drawn * student, max(worst, seen))

    def quantity(self, n: int, noun: str) -> Bounded:
        """Return the mean with the bounds of Clopper and Pearson over the effective trials."""
        size = self.effective_trials
        return Bounded(
            self.value,
            lambda confidence: clopper_pearson(self.value * size, size, confidence),
            n=n,
            method=f"Clopper-Pearson over {size:.1f} effective trials from {self.clusters} {noun}",
        )


def worst_trials(cluster_sizes: NDArray[Any]) -> float:
    """Return how many units clusters of these sizes are worth if each is one unit; large ones count for more."""
    return float(cluster_sizes.sum() ** 2 / (cluster_sizes**2).sum())
