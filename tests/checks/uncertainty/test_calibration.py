"""Tests of calibration errors and their bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.detection.ground_truth import Clusters
from pytest_mle.checks.uncertainty.calibration import Calibration, ReliabilityBins, bins_of
from pytest_mle.checks.uncertainty.confidences import Confidences


def _confidences(values, is_hit, cluster=None):
    values = np.asarray(values, dtype=float)
    cluster = np.arange(len(values)) if cluster is None else np.asarray(cluster)
    return Confidences(
        values, np.asarray(is_hit, dtype=bool), np.arange(len(values)), Clusters(cluster, "images"), "images"
    )


def _ece_of_guo(confidence, is_hit, bins):
    """Guo et al. 2017, equation 3, bin by bin: sum over m of |B_m| / n |acc(B_m) - conf(B_m)|."""
    total = 0.0
    for number in range(1, bins + 1):
        inside = [i for i, one in enumerate(confidence) if (number - 1) / bins < one <= number / bins]
        if inside:
            accuracy = sum(is_hit[i] for i in inside) / len(inside)
            mean = sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


def _ece_of_nixon(confidence, is_hit, ranges):
    """Nixon et al. 2019, section 3: R ranges of floor(N / R) sorted predictions; mean over them of |acc - conf|."""
    order = sorted(range(len(confidence)), key=lambda i: confidence[i])
    size = len(order) // ranges
    total = 0.0
    for number in range(ranges):
        inside = order[number * size : (number + 1) * size]
        total += abs(sum(is_hit[i] for i in inside) - sum(confidence[i] for i in inside)) / size
    return total / ranges


def _random(count=300, seed=0):
    rng = np.random.default_rng(seed)
    confidence = 0.2 + 0.8 * rng.random(count)
    return confidence, rng.random(count) < confidence**1.5


def test_expected_calibration_error_is_that_of_the_papers():
    """Equal width as Guo et al. define it, equal mass as Nixon et al. do."""
    confidence, is_hit = _random()
    wide = ReliabilityBins.of(confidence, is_hit, bins_of(confidence, 15, "equal_width"))
    assert wide.expected_calibration_error == pytest.approx(_ece_of_guo(confidence, is_hit, 15), abs=1e-12)
    even = ReliabilityBins.of(confidence, is_hit, bins_of(confidence, 15, "equal_mass"))
    assert even.expected_calibration_error == pytest.approx(_ece_of_nixon(confidence, is_hit, 15), abs=1e-12)
    assert even.counts.tolist() == [20] * 15


def test_calibration_errors_by_hand():
    """Two bins: half right at 90 % is a gap of 0.4, three of four right at 70 % one of 0.05."""
    confidence = np.array([0.9, 0.9, 0.7, 0.7, 0.7, 0.7])
    is_hit = np.array([True, False, True, True, True, False])
    found = ReliabilityBins.of(confidence, is_hit, bins_of(confidence, 2, "equal_mass"))
    assert found.gaps == pytest.approx([-0.05, 0.4])
    assert found.expected_calibration_error == pytest.approx((2 * 0.4 + 4 * 0.05) / 6)
    assert found.maximum_calibration_error == pytest.approx(0.4)


@given(st.lists(st.integers(0, 10), min_size=1, max_size=60), st.integers(2, 15), st.randoms())
@settings(deadline=None)
def test_the_order_of_samples_decides_nothing(tenths, bins, shuffler):
    """Equal confidences share a bin, so shuffling changes no bin, and bins are filled from 0 without gaps."""
    confidence = np.array(tenths) / 10
    found = bins_of(confidence, bins, "equal_mass")
    order = list(range(len(tenths)))
    shuffler.shuffle(order)
    assert (bins_of(confidence[order], bins, "equal_mass") == found[order]).all()
    assert set(found.tolist()) == set(range(found.max() + 1))
    assert found.max() < bins


def test_no_error_is_no_proof_of_calibration():
    """100 right predictions at 99.9 % leave room for the errors that 100 images cannot exclude."""
    rng = np.random.default_rng(0)
    found = _confidences(0.998 + 0.002 * rng.random(100), np.ones(100))
    error = Calibration.of(found, bins_of(found.values, 10, "equal_mass"), rng, 1000).expected_calibration_error()
    lower, upper = error.bounds(0.95)
    assert error.value == pytest.approx(0.001, abs=3e-4)
    assert lower == 0
    assert upper >= 1 - 0.05 ** (1 / 100)


def test_calibrated_by_chance_is_what_calibration_shows():
    """The expected calibration error of calibrated models has the mean that is predicted for them."""
    rng = np.random.default_rng(1)
    confidence = 0.5 + 0.5 * rng.random(300)
    bin_of = bins_of(confidence, 15, "equal_mass")
    shown = [
        ReliabilityBins.of(confidence, rng.random(300) < confidence, bin_of).expected_calibration_error
        for _ in range(500)
    ]
    found = Calibration.of(_confidences(confidence, rng.random(300) < confidence), bin_of, rng, 2000)
    assert found.chance_calibration_error == pytest.approx(np.mean(shown), rel=0.05)


def test_few_clusters_have_no_interval():
    """19 sequences are too few for a bootstrap; the value stands without bounds."""
    confidence, is_hit = _random(190)
    found = _confidences(confidence, is_hit, np.arange(190) % 19)
    calibration = Calibration.of(found, bins_of(confidence, 5, "equal_mass"), np.random.default_rng(0), 1000)
    for quantity in (
        calibration.expected_calibration_error(),
        calibration.brier_score(),
        calibration.mean_overconfidence(),
    ):
        assert np.isfinite(quantity.value)
        assert quantity.bounds(0.95) is None


CONFIDENCE = {
    "spread": lambda rng, count: 0.5 + 0.5 * rng.beta(3, 1, count),
    "sure": lambda rng, count: 0.5 + 0.5 * rng.beta(8, 0.2, count),
}
ACCURACY = {
    "calibrated": lambda confidence: confidence,
    "10 points overconfident": lambda confidence: confidence - 0.1 * (confidence > 0.55),
    "three times the errors": lambda confidence: np.clip(1 - 3 * (1 - confidence), 0, 1),
    "too low and too high": lambda confidence: np.clip(confidence + 0.05 * np.sin(20 * confidence), 0, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spread", "accuracy", "clusters", "per_cluster"),
    [
        ("spread", "calibrated", 200, 1),
        ("spread", "10 points overconfident", 60, 10),
        ("spread", "too low and too high", 200, 1),
        ("sure", "three times the errors", 200, 1),
    ],
)
def test_bounds_cover_the_true_errors(spread, accuracy, clusters, per_cluster):
    """Each one-sided 95 % bound holds in at least 93 % of 2000 simulated data sets, frames of sequences included."""
    from scipy.stats import norm

    rng = np.random.default_rng(4)
    everyone = np.sort(CONFIDENCE[spread](rng, 100_000))
    gap = everyone - ACCURACY[accuracy](everyone)
    brier = float((gap**2 + ACCURACY[accuracy](everyone) * (1 - ACCURACY[accuracy](everyone))).mean())
    count = clusters * per_cluster
    cluster = np.repeat(np.arange(clusters), per_cluster)
    held = np.zeros((4, 2))
    for _ in range(2000):
        confidence = CONFIDENCE[spread](rng, count)
        shared = np.sqrt(0.3) * rng.standard_normal(clusters)[cluster] + np.sqrt(0.7) * rng.standard_normal(count)
        alike = shared if per_cluster > 1 else rng.standard_normal(count)
        found = _confidences(confidence, norm.cdf(alike) < ACCURACY[accuracy](confidence), cluster)
        bin_of = bins_of(confidence, 15, "equal_mass")
        # What these bins would show with endless data.
        highest = [confidence[bin_of == number].max() for number in range(14)]
        bin_of_all = np.searchsorted(highest, everyone, side="left")
        sums, counts = np.bincount(bin_of_all, weights=gap), np.bincount(bin_of_all)
        calibration = Calibration.of(found, bin_of, rng, 1000)
        for row, (quantity, truth) in enumerate(
            (
                (calibration.expected_calibration_error(), np.abs(sums).sum() / len(everyone)),
                (calibration.maximum_calibration_error(), np.abs(sums / counts).max()),
                (calibration.brier_score(), brier),
                (calibration.mean_overconfidence(), gap.mean()),
            )
        ):
            lower, upper = quantity.bounds(0.95)
            held[row] += (lower <= truth, truth <= upper)
    assert (held / 2000 >= 0.93).all(), held / 2000
