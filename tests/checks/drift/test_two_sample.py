"""Drift comparisons equal the plain formulas, find planted drift, and raise no alarm about correlated frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ks_2samp, norm

from pytest_mle.checks.drift import two_sample
from pytest_mle.checks.drift.two_sample import (
    TooFewSamplesError,
    holm,
    ks_bounds,
    ks_grouped,
    ks_two_sample,
    median_bandwidth,
    mmd_two_sample,
    mmd_unbiased,
    standardise,
)
from pytest_mle.errors import NotMeasurableError


def plain_mmd(first: np.ndarray, second: np.ndarray, bandwidth: float) -> float:
    """Return equation 3 of Gretton et al. 2012, pair by pair."""

    def kernel(left: np.ndarray, right: np.ndarray) -> float:
        return math.exp(-((left - right) ** 2).sum() / (2 * bandwidth**2))

    n, m = len(first), len(second)
    within = sum(kernel(first[i], first[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within += sum(kernel(second[i], second[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within - 2 * sum(kernel(a, b) for a in first for b in second) / (n * m)


def sequences(
    rng: np.random.Generator, count: int, frames: int, correlation: float, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return standard normal frames whose correlation inside a sequence is given, and their sequences."""
    common = rng.normal(shift, math.sqrt(correlation), size=(count, 1))
    own = rng.normal(0, math.sqrt(1 - correlation), size=(count, frames))
    return (common + own).ravel(), np.repeat(np.arange(count), frames)


def test_ks_by_hand() -> None:
    """After 1, 2 the reference is at 2/3 and the current data at 0; ties count at the end of their run."""
    result = ks_two_sample([1, 2, 3], [3, 4], minimum_samples=1)
    assert result.effect == pytest.approx(2 / 3)
    assert ks_two_sample([1, 1, 2, 2], [1, 2, 2, 2], minimum_samples=1).effect == pytest.approx(1 / 4)
    assert ks_two_sample([0, 0], [1, 1], minimum_samples=1).effect == 1


@pytest.mark.parametrize(("n", "m"), [(2, 1), (30, 40), (200, 31), (1000, 1000), (20_000, 9000)])
@pytest.mark.parametrize("values", ["continuous", "bytes"])
def test_ks_equals_scipy(n: int, m: int, values: str) -> None:
    """D and p are scipy's, with and without ties."""
    rng = np.random.default_rng(n + m)
    first, second = rng.normal(size=n), rng.normal(0.05, 1.1, size=m)
    if values == "bytes":
        first, second = (np.clip(np.rint(part * 20 + 100), 0, 255).astype(np.uint8) for part in (first, second))
    own = ks_two_sample(first, second, minimum_samples=1)
    expected = ks_2samp(first, second, method="asymp")
    assert own.effect == pytest.approx(expected.statistic, abs=1e-12)
    assert own.p_value == pytest.approx(expected.pvalue, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    first=arrays(np.float64, st.integers(2, 40), elements=st.integers(-5, 5)),
    second=arrays(np.float64, st.integers(1, 40), elements=st.integers(-5, 5)),
    seed=st.integers(0, 1000),
)
def test_ks_properties(first: np.ndarray, second: np.ndarray, seed: int) -> None:
    """D is symmetric, in 0..1, scipy's, 0 for the same data, and blind to order and monotone transforms."""
    own = ks_two_sample(first, second, minimum_samples=1)
    assert own.effect == pytest.approx(ks_2samp(first, second, method="asymp").statistic, abs=1e-12)
    assert 0 <= own.effect <= 1
    assert 0 <= own.p_value <= 1
    assert ks_two_sample(second, first, minimum_samples=1).effect == own.effect
    assert ks_two_sample(first, first, minimum_samples=1).effect == 0
    shuffled = np.random.default_rng(seed).permutation(first)
    assert ks_two_sample(np.exp(shuffled), np.exp(second), minimum_samples=1).effect == own.effect


def test_ks_bounds_by_hand() -> None:
    """With n = m = 200 and 95 %, Hoeffding adds sqrt(ln 20 / 200), and two DKW bands take sqrt(ln 80 / 100)."""
    lower, upper = ks_bounds(0.5, 200, 200, 0.95)
    assert upper == pytest.approx(0.5 + math.sqrt(math.log(20) / 200))
    assert lower == pytest.approx(0.5 - math.sqrt(math.log(80) / 100))
    assert ks_bounds(0.99, 30, 30, 0.95)[1] == 1
    assert ks_bounds(0.01, 30, 30, 0.95)[0] == 0


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_ks_bounds_cover_the_truth(shift: float) -> None:
    """Each bound is on the wrong side of the true D in at most 5 % of 300 repetitions (and the noise of 300)."""
    rng = np.random.default_rng(5)
    truth = 2 * norm.cdf(shift / 2) - 1
    bounds = np.array([ks_two_sample(rng.normal(size=80), rng.normal(shift, size=60)).bounds(0.95) for _ in range(300)])
    assert (bounds[:, 0] > truth).mean() <= 0.07
    assert (bounds[:, 1] < truth).mean() <= 0.07
    assert (bounds[:, 1] - bounds[:, 0]).mean() < 0.7


def test_a_tiny_shift_in_a_fleet_is_significant_and_small() -> None:
    """Half a grey level in 200,000 images has a tiny p-value, and an effect shown to be small (trap G2)."""
    rng = np.random.default_rng(0)
    reference = rng.normal(100, 20, 200_000)
    current = rng.normal(100.5, 20, 200_000)
    result = ks_two_sample(reference, current)
    assert result.p_value < 1e-6
    assert result.bounds(0.95)[1] < 0.03


def test_eight_images_are_too_few() -> None:
    """Eight images do not show the absence of drift; that is neither green nor an error (trap G2)."""
    rng = np.random.default_rng(0)
    many, few = rng.normal(size=(500, 3)), rng.normal(0.5, size=(8, 3))
    with pytest.raises(TooFewSamplesError, match="the current data have 8 samples; at least 30"):
        ks_two_sample(many[:, 0], few[:, 0])
    with pytest.raises(NotMeasurableError, match="8 samples"):
        mmd_two_sample(few, many, rng=rng)
    with pytest.raises(TooFewSamplesError, match="come from 3 sequences; at least 10"):
        ks_grouped(
            many[:, 0],
            many[:90, 0],
            reference_groups=np.arange(500) // 10,
            current_groups=np.arange(90) // 30,
            rng=rng,
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_empty_are_errors(bad: float) -> None:
    """NaN or empty production data, which scipy turns into p = nan and so no drift, are errors (trap G3)."""
    rng = np.random.default_rng(0)
    good = rng.normal(size=(50, 2))
    broken = good.copy()
    broken[3, 1] = bad
    with pytest.raises(ValueError, match=r"the current data have 1 of 50 values that are NaN or infinite"):
        ks_two_sample(good[:, 1], broken[:, 1])
    with pytest.raises(ValueError, match="the reference data have 1 of 100 values"):
        mmd_two_sample(broken, good, rng=rng)
    with pytest.raises(ValueError, match="the current data are empty"):
        ks_two_sample(good[:, 0], [])
    with pytest.raises(ValueError, match="the current data are empty"):
        mmd_two_sample(good, np.empty((0, 2)), rng=rng)
    with pytest.raises(ValueError, match="the reference data have"):
        standardise(broken, good)
    with pytest.raises(ValueError, match="got NaN"):
        mmd_two_sample(good, good, rng=rng, reference_groups=np.full(50, np.nan))


def test_wrong_shapes_are_errors() -> None:
    """Shapes, groups, bandwidths and counts that do not fit are named."""
    rng = np.random.default_rng(0)
    good = rng.normal(size=(50, 2))
    with pytest.raises(ValueError, match=r"must have shape \(sample,\)"):
        ks_two_sample(good, good)
    with pytest.raises(ValueError, match=r"must have shape \(sample, feature\)"):
        mmd_unbiased(good[:, 0], good[:, 0], 1.0)
    with pytest.raises(ValueError, match="same features, got 2 and 1"):
        mmd_unbiased(good, good[:, :1], 1.0)
    with pytest.raises(ValueError, match="bandwidth must be positive"):
        mmd_unbiased(good, good, 0.0)
    with pytest.raises(TooFewSamplesError, match="1 samples"):
        mmd_unbiased(good[:1], good, 1.0)
    with pytest.raises(ValueError, match=r"current_groups must have shape \(50,\)"):
        mmd_two_sample(good, good, rng=rng, current_groups=[1, 2])
    with pytest.raises(ValueError, match="permutations must be at least 1"):
        mmd_two_sample(good, good, rng=rng, permutations=0)
    with pytest.raises(ValueError, match="confidence must lie between"):
        ks_two_sample(good[:, 0], good[:, 1]).bounds(95)


def test_holm_by_published_examples() -> None:
    """Wikipedia's four hypotheses, and the fifteen of Benjamini and Hochberg 1995, of which three are rejected."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    infarction = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1.0,
    ]
    adjusted = holm(infarction)
    assert adjusted[:4] == pytest.approx([0.0015, 0.0056, 0.0247, 0.114])
    assert (adjusted < 0.05).sum() == 3
    assert adjusted[-1] == 1


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1)), st.integers(0, 1000))
def test_holm_properties(p_values: np.ndarray, seed: int) -> None:
    """Adjusting never lowers, never leaves 0..1, keeps the order, and follows a reordering."""
    adjusted = holm(p_values)
    assert (adjusted >= p_values).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0).all()
    order = np.random.default_rng(seed).permutation(len(p_values))
    assert np.array_equal(holm(p_values[order]), adjusted[order])


@pytest.mark.parametrize("bad", [[], [0.5, math.nan], [1.2], [-0.1], [[0.1]]])
def test_holm_refuses_what_is_no_probability(bad: list[float]) -> None:
    """NaN would sort to the end and look harmless."""
    with pytest.raises(ValueError, match="p_values must"):
        holm(bad)


def test_mmd_by_hand() -> None:
    """Two points at 0 and two at 1 with bandwidth 1: 1 + 1 - 2 exp(-1/2)."""
    assert mmd_unbiased([[0.0], [0.0]], [[1.0], [1.0]], 1.0) == pytest.approx(2 - 2 * math.exp(-0.5), abs=1e-12)


@pytest.mark.parametrize("block_bytes", [1, 700, 2**25])
def test_mmd_equals_the_plain_formula(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocked product gives the pair by pair sum to 1e-9, whatever the size of the blocks."""
    monkeypatch.setattr(two_sample, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(4)
    first, second = rng.normal(3, size=(25, 3)), rng.normal(3.4, size=(18, 3))
    assert mmd_unbiased(first, second, 1.3) == pytest.approx(plain_mmd(first, second, 1.3), abs=1e-9)


@pytest.mark.parametrize("block_bytes", [1, 3000, 2**25])
@pytest.mark.parametrize("is_grouped", [False, True])
def test_permutations_and_resamples_equal_the_plain_formula(
    block_bytes: int, is_grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Effect, p-value and every resample are those of a loop over pairs of different units."""
    monkeypatch.setattr(two_sample, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(34, 2)), rng.normal(0.5, size=(31, 2))
    groups = [
        np.sort(rng.integers(0, 11, len(part))) if is_grouped else np.arange(len(part)) for part in (first, second)
    ]
    counts = [np.unique(part, return_counts=True)[1] for part in groups]
    arguments = {"reference_groups": groups[0], "current_groups": groups[1]} if is_grouped else {}
    result = mmd_two_sample(
        first, second, rng=np.random.default_rng(9), bandwidth=0.8, permutations=19, resamples=7, **arguments
    )
    pooled = np.concatenate([first, second])
    kernel = np.exp(-((pooled[:, None] - pooled) ** 2).sum(axis=2) / (2 * 0.8**2))
    sizes, split = np.concatenate(counts), len(counts[0])
    unit = np.repeat(np.arange(len(sizes)), sizes)
    kernel[unit[:, None] == unit] = 0
    pairs = (unit[:, None] != unit).astype(float)

    def effect(first_weights: np.ndarray, second_weights: np.ndarray) -> float:
        u, v = first_weights[unit].astype(float), second_weights[unit].astype(float)
        return (
            u @ kernel @ u / (u @ pairs @ u)
            + v @ kernel @ v / (v @ pairs @ v)
            - 2 * (u @ kernel @ v) / (u.sum() * v.sum())
        )

    drawn = np.random.default_rng(9)
    sides = np.tile(np.arange(len(sizes)) < split, (20, 1))
    sides[1:] = drawn.permuted(sides[1:], axis=1)
    expected = np.array([effect(side, ~side) for side in sides])
    assert result.effect == pytest.approx(expected[0], abs=1e-9)
    assert result.p_value == pytest.approx((1 + (expected[1:] >= expected[0]).sum()) / 20)
    copies = [drawn.multinomial(size, np.full(size, 1 / size), size=7) for size in (split, len(sizes) - split)]
    resamples = [
        effect(np.r_[left, np.zeros_like(right)], np.r_[np.zeros_like(left), right])
        for left, right in zip(*copies, strict=True)
    ]
    assert result.resamples == pytest.approx(resamples, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 20), m=st.integers(2, 20))
def test_mmd_properties(seed: int, n: int, m: int) -> None:
    """The estimate is symmetric, at most 2, blind to order and to a common shift."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(n, 2)), rng.normal(1, size=(m, 2))
    value = mmd_unbiased(first, second, 0.9)
    assert value <= 2
    assert mmd_unbiased(second, first, 0.9) == pytest.approx(value, abs=1e-12)
    assert mmd_unbiased(first[::-1] + 100, rng.permutation(second) + 100, 0.9) == pytest.approx(value, abs=1e-9)


def test_mmd_is_unbiased() -> None:
    """Without drift the estimate is 0 on average; with a known one it is the closed form for normal samples."""
    rng = np.random.default_rng(8)
    for shift in (0.0, 1.0):
        values = [mmd_unbiased(rng.normal(size=(30, 1)), rng.normal(shift, size=(25, 1)), 1.0) for _ in range(400)]
        truth = 2 / math.sqrt(3) * (1 - math.exp(-(shift**2) / 6))
        assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / 20)


def test_mmd_finds_a_change_that_no_single_feature_shows() -> None:
    """Two features that become correlated keep their own distributions: KS is blind, MMD is not."""
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(400, 2))
    common = rng.normal(size=(400, 1))
    current = 0.9 * np.hstack([common, common]) + math.sqrt(1 - 0.81) * rng.normal(size=(400, 2))
    assert min(holm([ks_two_sample(reference[:, i], current[:, i]).p_value for i in range(2)])) > 0.05
    result = mmd_two_sample(reference, current, rng=rng, permutations=199, resamples=200)
    assert result.p_value == 1 / 200
    assert result.bounds(0.95)[0] > 0


def test_same_seed_same_result_and_subsample_size() -> None:
    """The result depends on data and seed alone, and a large side is reduced to the limit."""
    rng = np.random.default_rng(0)
    reference, current = rng.normal(size=(300, 2)), rng.normal(size=(120, 2))
    results = [
        mmd_two_sample(
            reference, current, rng=np.random.default_rng(seed), permutations=50, resamples=20, maximum_samples=150
        )
        for seed in (1, 1, 2)
    ]
    assert results[0].n_reference == 150
    assert results[0].n_current == 120
    assert results[0].effect == results[1].effect
    assert np.array_equal(results[0].resamples, results[1].resamples)
    assert results[0].effect != results[2].effect


def test_p_value_counts_the_observed_division() -> None:
    """No p-value is smaller than 1 / (1 + permutations), and identical samples have p = 1."""
    rng = np.random.default_rng(0)
    far = mmd_two_sample(rng.normal(size=(40, 1)), rng.normal(9, size=(40, 1)), rng=rng, permutations=99, resamples=0)
    assert far.p_value == 0.01
    same = np.zeros((40, 1))
    assert mmd_two_sample(same, same, rng=rng, permutations=99, resamples=0).p_value == 1
    assert far.bounds(0.95) == (-math.inf, math.inf)


def test_correlated_frames_raise_no_false_alarm() -> None:
    """Frames with correlation 0.95 and no drift: plain tests cry wolf, those over sequences keep 5 % (trap G4)."""
    rng = np.random.default_rng(1)
    repetitions = 200
    alarms = dict.fromkeys(("ks", "ks_grouped", "mmd_grouped", "ks_shown", "mmd_shown"), 0)
    for _ in range(repetitions):
        reference, first = sequences(rng, 15, 20, 0.95)
        current, second = sequences(rng, 12, 20, 0.95)
        groups = {"reference_groups": first, "current_groups": second}
        ks = ks_grouped(reference, current, **groups, rng=rng, permutations=99, resamples=200)
        mmd = mmd_two_sample(
            reference[:, None], current[:, None], **groups, rng=rng, bandwidth=1.0, permutations=99, resamples=200
        )
        alarms["ks"] += ks_two_sample(reference, current).p_value <= 0.05
        alarms["ks_grouped"] += ks.p_value <= 0.05
        alarms["mmd_grouped"] += mmd.p_value <= 0.05
        alarms["ks_shown"] += ks.bounds(0.95)[0] > 0
        alarms["mmd_shown"] += mmd.bounds(0.95)[0] > 0
    shares = {name: count / repetitions for name, count in alarms.items()}
    assert shares.pop("ks") > 0.8
    assert max(shares.values()) <= 0.1  # 5 % and three standard errors of 200 repetitions


@pytest.mark.parametrize("shift", [0.3, 1.0])
def test_grouped_bounds_cover_the_truth(shift: float) -> None:
    """With sequences of correlation 0.5 both bounds of D and MMD miss the truth about once in twenty."""
    rng = np.random.default_rng(2)
    true_d = 2 * norm.cdf(shift / 2) - 1
    true_mmd = 2 / math.sqrt(3) * (1 - math.exp(-(shift**2) / 6))
    misses = np.zeros(4)
    repetitions = 150
    for _ in range(repetitions):
        reference, first = sequences(rng, 15, 20, 0.5)
        current, second = sequences(rng, 12, 20, 0.5, shift)
        groups = {"reference_groups": first, "current_groups": second}
        ks = ks_grouped(reference, current, **groups, rng=rng, permutations=1, resamples=300).bounds(0.95)
        mmd = mmd_two_sample(
            reference[:, None], current[:, None], **groups, rng=rng, bandwidth=1.0, permutations=1, resamples=300
        ).bounds(0.95)
        misses += [ks[0] > true_d, ks[1] < true_d, mmd[0] > true_mmd, mmd[1] < true_mmd]
    assert (misses / repetitions <= 0.11).all()  # 5 % and three standard errors


def test_grouped_drift_is_found() -> None:
    """A shift of the sequences by twice their spread is found by both tests."""
    rng = np.random.default_rng(3)
    reference, first = sequences(rng, 15, 10, 0.9)
    current, second = sequences(rng, 15, 10, 0.9, shift=2)
    groups = {"reference_groups": first, "current_groups": [f"drive {number}" for number in second]}
    ks = ks_grouped(reference, current, **groups, rng=rng, permutations=199)
    assert ks.effect == pytest.approx(ks_two_sample(reference, current).effect, abs=1e-12)
    assert ks.p_value <= 0.01
    assert ks.method == "bootstrap, 1000 resamples of 15+15 units"
    assert ks_two_sample(reference, current).method == "Hoeffding (upper) and DKW (lower) bounds"
    assert ks.bounds(0.95)[0] > 0.1
    assert mmd_two_sample(reference[:, None], current[:, None], **groups, rng=rng).p_value <= 0.01


def test_order_of_samples_does_not_matter() -> None:
    """Frames of a sequence need not stand together."""
    rng = np.random.default_rng(3)
    reference, first = sequences(rng, 15, 10, 0.5)
    current, second = sequences(rng, 12, 10, 0.5, shift=1)
    order = rng.permutation(len(reference))
    results = [
        (
            ks_grouped(values, current, reference_groups=labels, current_groups=second, rng=np.random.default_rng(1)),
            mmd_two_sample(
                values[:, None],
                current[:, None],
                reference_groups=labels,
                current_groups=second,
                bandwidth=1.0,
                rng=np.random.default_rng(1),
            ),
        )
        for values, labels in ((reference, first), (reference[order], first[order]))
    ]
    for one, other in zip(*results, strict=True):
        assert one.effect == pytest.approx(other.effect, abs=1e-12)
        assert one.p_value == other.p_value
        assert one.resamples == pytest.approx(other.resamples, abs=1e-12)


def test_bandwidth_is_the_median_distance_of_the_reference() -> None:
    """Points at 0, 1 and 3 have the distances 1, 2 and 3; repeated and constant samples do not make it 0."""
    assert median_bandwidth([[0.0], [1.0], [3.0]]) == pytest.approx(2)
    assert median_bandwidth([[5.0], [5.0], [5.0], [7.0]]) == pytest.approx(2)
    assert median_bandwidth([[5e-9], [5e-9], [7e-9]]) == pytest.approx(2e-9)
    assert median_bandwidth(np.full((50, 2), 3.3)) == 1.0
    assert median_bandwidth(np.arange(5000.0)[:, None]) == pytest.approx(5000 * (1 - math.sqrt(0.5)), rel=0.01)


def test_standardise_by_the_reference() -> None:
    """The reference gets mean 0 and deviation 1, the current data the same shift and scale; constants are named."""
    reference = np.array([[1.0, 0.1], [3.0, 0.1], [5.0, 0.1]])
    first, second, is_constant = standardise(reference, [[7.0, 0.6]])
    assert is_constant.tolist() == [False, True]
    assert first[:, 0] == pytest.approx(np.array([-1, 0, 1]) * math.sqrt(1.5))
    assert second[0] == pytest.approx([4 / math.sqrt(8 / 3), 0.5])


def test_constant_features_compare() -> None:
    """A feature that is constant on both sides is no drift; one that moved is, in every test."""
    rng = np.random.default_rng(0)
    still, moved = np.full(50, 0.1), np.full(50, 0.2)
    assert ks_two_sample(still, still).p_value == 1
    assert ks_two_sample(still, moved).effect == 1
    result = mmd_two_sample(still[:, None], moved[:, None], rng=rng, permutations=99)
    assert result.p_value == 0.01
    assert np.isfinite(result.bounds(0.95)).all()
