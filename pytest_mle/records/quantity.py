"""Named measured values: exact ones, and estimates that know their one-sided confidence bounds.

A check returns the richest form it has (counts, resamples, raw samples), and the judge asks it for the bound at the
confidence that the spec demands. So no check needs to know a confidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["exact", "estimate"]
Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class QuantityDeclaration:
    """What a check promises to measure.

    Parameters
    ----------
    unit
        Name in the closed unit table: ``1``, ``s``, ``By``, ``Hz``, ``m``, ``px``, ``{sample}``, ``FLOP``, ...
    kind
        ``exact`` for a count or census, ``estimate`` for a value with sampling uncertainty.
    better
        The better direction, or None where neither is.
    description
        One sentence for the docs.
    """

    unit: str
    kind: Kind
    better: Better | None = None
    description: str = ""


def exact(unit: str, better: Better | None = None, description: str = "") -> QuantityDeclaration:
    """Declare a quantity without sampling uncertainty."""
    return QuantityDeclaration(unit, "exact", better, description)


def estimate(unit: str, better: Better | None = None, description: str = "") -> QuantityDeclaration:
    """Declare a quantity that is estimated from a sample."""
    return QuantityDeclaration(unit, "estimate", better, description)


@runtime_checkable
class Quantity(Protocol):
    """A measured value."""

    @property
    def value(self) -> float:
        """The point value, in the declared unit."""
        ...

    @property
    def n(self) -> int | None:
        """How many (independent) units it rests on."""
        ...

    @property
    def method(self) -> str:
        """How the bounds are made, for the report."""
        ...

    def bounds(self, confidence: float) -> tuple[float, float] | None:
        """Return one-sided lower and upper bounds, each at ``confidence``; None if there is no interval."""
        ...


@dataclass(frozen=True, slots=True)
class Exact:
    """A count or census: the bounds are the value."""

    value: float
    n: int | None = None
    method: str = "exact"

    def bounds(self, confidence: float) -> tuple[float, float]:  # noqa: ARG002  an exact value has no uncertainty
        """Return the value twice."""
        return self.value, self.value


@dataclass(frozen=True, slots=True)
class PointEstimate:
    """An estimate without interval; under a confidence it shows nothing."""

    value: float
    n: int | None = None
    method: str = "point value only"

    def bounds(self, confidence: float) -> None:  # noqa: ARG002  there is nothing to ask
        """Return None."""
        return


@dataclass(frozen=True, slots=True)
class Proportion:
    """A rate over independent units with Clopper-Pearson bounds (Clopper and Pearson 1934).

    Parameters
    ----------
    successes, trials
        Counts; ``trials`` must be positive and not below ``successes``.
    effective_trials
        Effective sample size where the units are not independent (objects of one frame, frames of one sequence);
        the bounds are then those of the same rate over that many units. Fractions are allowed (beta quantiles).
    """

    successes: int
    trials: int
    effective_trials: float | None = None

    def __post_init__(self) -> None:
        if self.trials <= 0:
            raise ValueError(f"a proportion needs at least one trial, got {self.trials}")
        if not 0 <= self.successes <= self.trials:
            raise ValueError(f"successes must lie in 0..{self.trials}, got {self.successes}")
        if self.effective_trials is not None and not 0 < self.effective_trials <= self.trials:
            raise ValueError(f"effective_trials must lie in (0, {self.trials}], got {self.effective_trials}")

    @property
    def value(self) -> float:
        """Successes by trials."""
        return self.successes / self.trials

    @property
    def n(self) -> int:
        """Number of trials."""
        return self.trials

    @property
    def method(self) -> str:
        """Name of the interval, with the effective size where it was used."""
        if self.effective_trials is None:
            return "Clopper-Pearson"
        return f"Clopper-Pearson over {self.effective_trials:.1f} effective units"

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Return the exact one-sided bounds."""
        trials = float(self.trials) if self.effective_trials is None else self.effective_trials
        successes = self.value * trials
        return clopper_pearson(successes, trials, confidence)


def clopper_pearson(successes: float, trials: float, confidence: float) -> tuple[float, float]:
    """Return one-sided Clopper-Pearson lower and upper bounds, each at ``confidence``."""
    from scipy.special import betaincinv

    alpha = 1.0 - confidence
    lower = 0.0 if successes <= 0 else float(betaincinv(successes, trials - successes + 1, alpha))
    upper = 1.0 if successes >= trials else float(betaincinv(successes + 1, trials - successes, 1 - alpha))
    return lower, upper


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """An estimate with expanded percentile-bootstrap bounds (Efron 1979, Hesterberg 2015).

    Resampling ``n`` clusters shows ``(n - 1) / n`` of the variance, and its quantiles are normal ones where Student's t
    reaches farther; so the quantile is taken at :func:`expanded_confidence`. Where less than one resample is expected
    beyond that quantile, there is no bound: take more resamples. Skewness is not corrected: for a mean of scores near 1
    (beta distributed, 8 and 2) the lower bound at 95 % held in 93.9 % of simulated sets of 30 clusters, and in 92.2 %
    with a heavier tail (3 and 0.5).

    Parameters
    ----------
    value
        The value on the sample itself.
    resamples
        Values on the resamples, shape ``(resample,)``; at least 1000 for a bound at 95 %.
    n
        How many independent clusters were resampled.
    unit_name
        What was resampled, for the report: ``sequences``, ``images``.
    fallback
        Bounds for the degenerate case that no error (or only errors) was observed, where every resample equals the
        value and the percentile bound would claim certainty; usually a :class:`Proportion` over the clusters.
    """

    value: float
    resamples: NDArray[np.floating]
    n: int
    unit_name: str = "clusters"
    fallback: Proportion | None = None

    @property
    def method(self) -> str:
        """Name of the interval."""
        if self._is_degenerate:
            return "exact bound over clusters" if self.fallback is not None else "point value only"
        return f"expanded percentile bootstrap, {len(self.resamples)} resamples of {self.n} {self.unit_name}"

    @property
    def _is_degenerate(self) -> bool:
        return len(self.resamples) == 0 or float(self.resamples.min()) == float(self.resamples.max())

    def bounds(self, confidence: float) -> tuple[float, float] | None:
        """Return the expanded percentile bounds, the fallback's where all resamples agree, or None.

        None stands for no bounds: no fallback, one cluster, values that are not finite, or too few resamples.
        """
        import numpy as np

        if not np.isfinite(self.resamples).all():
            return None
        if self._is_degenerate:
            return None if self.fallback is None else self.fallback.bounds(confidence)
        if self.n < 2:  # one cluster resampled is always itself
            return None
        expanded = expanded_confidence(confidence, self.n)
        if (1 - expanded) * len(self.resamples) < 1:
            return None
        lower, upper = np.quantile(self.resamples, [1 - expanded, expanded])
        return float(lower), float(upper)


def expanded_confidence(confidence: float, units: int) -> float:
    """Return the level whose bootstrap quantile is as far out for ``units`` units as Student's t makes it.

    ``Phi(sqrt(n / (n - 1)) t)`` with t the quantile of n - 1 degrees of freedom (Hesterberg 2015, What teachers should
    know about the bootstrap, section 5.3); ``units`` must be at least 2.
    """
    from scipy.special import ndtr, stdtrit

    return float(ndtr(math.sqrt(units / (units - 1)) * stdtrit(units - 1, confidence)))


@dataclass(frozen=True, slots=True, eq=False)
class Percentile:
    """A quantile of measured samples with distribution-free bounds from order statistics.

    The upper bound is the smallest order statistic ``k`` with ``P(Binomial(n, p) < k) >= confidence`` (David and
    Nagaraja, Order Statistics, 3rd ed., 7.1); with fewer samples than that needs, it is infinite.

    Parameters
    ----------
    samples
        Raw samples in the declared unit, shape ``(sample,)``.
    probability
        0.95 for p95.
    block
        Measurements that follow each other are alike: every ``block`` samples count as one independent unit.
    """

    samples: NDArray[np.floating]
    probability: float
    block: int = 1

    def __post_init__(self) -> None:
        if len(self.samples) == 0:
            raise ValueError("a percentile needs at least one sample")
        if not 0 < self.probability < 1:
            raise ValueError(f"probability must lie between 0 and 1, got {self.probability}")
        if self.block < 1:
            raise ValueError(f"block must be at least 1, got {self.block}")

    @property
    def value(self) -> float:
        """The sample quantile (the smallest sample with at least ``probability`` of all at or below it)."""
        import numpy as np

        return float(np.quantile(self.samples, self.probability, method="inverted_cdf"))

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.samples)

    @property
    def method(self) -> str:
        """Name of the interval."""
        return "order statistics" if self.block == 1 else f"order statistics over blocks of {self.block}"

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Return distribution-free bounds; infinite where there are too few samples."""
        import numpy as np
        from scipy.special import bdtr

        ordered = np.sort(self.samples)
        samples, units = len(ordered), max(1, len(ordered) // self.block)
        below = bdtr(np.arange(units), units, self.probability)  # P(Binomial <= k) for k = 0..units-1
        enough = np.flatnonzero(below >= confidence)
        small = np.flatnonzero(below <= 1 - confidence)
        # Order statistic k of the units stands for the samples from (k - 1) / units to k / units of all: the last of
        # them bounds from above, the first from below. Whole numbers, because 7 / 25 * 25 is more than 7.
        upper = ordered[-(-(int(enough[0]) + 1) * samples // units) - 1] if len(enough) else math.inf
        lower = ordered[int(small[-1]) * samples // units] if len(small) else -math.inf
        return float(lower), float(upper)


@dataclass(frozen=True, slots=True, eq=False)
class Bounded:
    """An estimate whose bounds come from a formula of its own (DKW for Kolmogorov-Smirnov, a normal mean, ...)."""

    value: float
    bound: Callable[[float], tuple[float, float]] = field(repr=False)
    n: int | None = None
    method: str = "analytic bound"

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Return what the formula gives."""
        return self.bound(confidence)


def as_quantity(value: Quantity | float, declaration: QuantityDeclaration) -> Quantity:
    """Wrap a plain number: exact if it was declared so, else an estimate without interval."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        if isinstance(value, Quantity):
            return value
        number = getattr(value, "item", None)
        if number is None:
            raise TypeError(f"expected a number or a quantity, got {type(value).__name__}")
        return as_quantity(number(), declaration)
    return Exact(float(value)) if declaration.kind == "exact" else PointEstimate(float(value))
