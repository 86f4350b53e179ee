"""Tests of measured values and their bounds, against published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm
from scipy.stats import t as student_t

from pytest_mle.records.quantity import (
    Bounded,
    Exact,
    Percentile,
    PointEstimate,
    Proportion,
    Quantity,
    Resampled,
    as_quantity,
    clopper_pearson,
    estimate,
    exact,
    expanded_confidence,
)


def _upper(failures, trials, confidence=0.95):
    return Proportion(failures, trials).bounds(confidence)[1]


def _lower(successes, trials):
    return Proportion(successes, trials).bounds(0.95)[0]


@pytest.mark.parametrize(
    ("limit", "confidence", "needed"),
    [
        (0.01, 0.90, 230),
        (0.01, 0.95, 299),
        (0.01, 0.99, 459),
        (0.005, 0.90, 460),
        (0.005, 0.95, 598),
        (0.005, 0.99, 919),
        (0.001, 0.90, 2302),
        (0.001, 0.95, 2995),
        (0.001, 0.99, 4603),
        (0.0001, 0.90, 23_025),
        (0.0001, 0.95, 29_956),
        (0.0001, 0.99, 46_050),
    ],
)
def test_zero_failure_sample_sizes(limit, confidence, needed):
    """Without a failure, exactly ln(1 - c) / ln(1 - p) samples show a rate of at most p."""
    assert _upper(0, needed, confidence) <= limit < _upper(0, needed - 1, confidence)


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [(0.01, [299, 473, 628, 773, 913, 1049]), (0.001, [2995, 4742, 6294, 7752, 9151, 10_511])],
)
def test_sample_sizes_with_failures(limit, sizes):
    """With 0 to 5 failures the published sizes show the limit and one sample fewer does not."""
    for failures, needed in enumerate(sizes):
        assert _upper(failures, needed) <= limit < _upper(failures, needed - 1)


def test_most_failures_that_show_a_limit():
    """Of 25,000 objects 223 misses show 1 %, 16 show 0.1 %, and one more does not."""
    assert _upper(223, 25_000) <= 0.01 < _upper(224, 25_000)
    assert _upper(16, 25_000) <= 0.001 < _upper(17, 25_000)


@pytest.mark.parametrize(
    ("failures", "trials", "bound"),
    [(200, 25_000, 0.0090), (64, 8000, 0.0098), (8, 1000, 0.0144), (0, 1000, 0.0030), (0, 10_000, 0.0003)],
)
def test_published_upper_bounds(failures, trials, bound):
    """0.8 % of misses holds at 25,000 objects, barely at 8,000 and not at 1,000."""
    assert _upper(failures, trials) == pytest.approx(bound, abs=5e-5)


@pytest.mark.parametrize(
    ("successes", "trials", "bound"),
    [(23_775, 25_000, 0.9487), (23_950, 25_000, 0.9559), (821, 1000, 0.7999), (4105, 5000, 0.812)],
)
def test_published_lower_bounds(successes, trials, bound):
    """The case study's 95.1 %, 95.8 % and 82.1 % at their sample sizes."""
    assert _lower(successes, trials) == pytest.approx(bound, abs=2e-4)


@given(
    st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95, 0.99])
)
def test_bounds_are_those_of_scipy(counts, confidence):
    """One-sided Clopper-Pearson equals scipy's exact binomial test."""
    successes, trials = counts
    lower, upper = Proportion(successes, trials).bounds(confidence)
    low = binomtest(successes, trials, alternative="greater").proportion_ci(confidence, "exact").low
    high = binomtest(successes, trials, alternative="less").proportion_ci(confidence, "exact").high
    assert lower == pytest.approx(low, abs=1e-9)
    assert upper == pytest.approx(high, abs=1e-9)
    assert lower <= successes / trials <= upper


def test_effective_size_widens_the_bounds():
    """25,000 frames worth 814 have the bounds of 814, around the rate of all."""
    quantity = Proportion(23_750, 25_000, effective_trials=814.0)
    assert quantity.value == 0.95
    assert quantity.n == 25_000
    assert quantity.bounds(0.95) == pytest.approx(clopper_pearson(0.95 * 814, 814, 0.95))
    assert quantity.bounds(0.95)[0] < Proportion(23_750, 25_000).bounds(0.95)[0]
    assert "814.0 effective units" in quantity.method


@pytest.mark.parametrize(
    ("successes", "trials", "effective"),
    [(0, 0, None), (1, 0, None), (3, 2, None), (-1, 5, None), (1, 5, 0), (1, 5, 6)],
)
def test_impossible_counts_are_refused(successes, trials, effective):
    """No rate comes out of nothing."""
    with pytest.raises(ValueError, match=r"must lie in|at least one trial"):
        Proportion(successes, trials, effective)


@pytest.mark.parametrize(("probability", "needed"), [(0.5, 5), (0.95, 59), (0.99, 299)])
def test_samples_that_bound_a_percentile(probability, needed):
    """59 samples bound p95 from above at 95 %, 299 bound p99; one fewer bounds nothing."""
    samples = np.arange(1.0, needed + 1)
    assert Percentile(samples, probability).bounds(0.95)[1] == needed
    assert Percentile(samples[:-1], probability).bounds(0.95)[1] == math.inf


@pytest.mark.parametrize(("probability", "order"), [(0.95, 962), (0.99, 996)])
def test_published_order_statistics(probability, order):
    """Of 1000 samples the 962nd bounds p95 and the 996th p99."""
    rng = np.random.default_rng(0)
    samples = rng.permutation(np.arange(1.0, 1001))
    assert Percentile(samples, probability).bounds(0.95)[1] == order


@given(st.integers(1, 600), st.sampled_from([0.05, 0.5, 0.9, 0.95, 0.99]), st.sampled_from([0.9, 0.95, 0.99]))
def test_order_statistics_cover_and_are_not_wasteful(n, probability, confidence):
    """The chosen ranks have at least the confidence by the binomial distribution, and the next ones have not."""
    lower, upper = Percentile(np.arange(1.0, n + 1), probability).bounds(confidence)
    if math.isfinite(upper):
        # P(X_(k) >= quantile) = P(fewer than k samples lie below it)
        assert binom.cdf(upper - 1, n, probability) >= confidence - 1e-12
        assert upper == 1 or binom.cdf(upper - 2, n, probability) < confidence
    else:
        assert binom.cdf(n - 1, n, probability) < confidence
    if math.isfinite(lower):
        assert binom.sf(lower - 1, n, probability) >= confidence - 1e-12
        assert lower == n or binom.sf(lower, n, probability) < confidence


def test_blocks_widen_the_bounds_of_a_percentile():
    """1000 samples in blocks of ten are worth a hundred, and 580 in tens are too few for p95."""
    samples = np.arange(1.0, 1001)
    single, blocks = Percentile(samples, 0.95), Percentile(samples, 0.95, block=10)
    hundred = Percentile(np.arange(10.0, 1001, 10), 0.95)
    assert blocks.bounds(0.95)[1] == hundred.bounds(0.95)[1]
    assert blocks.bounds(0.95)[0] <= hundred.bounds(0.95)[0] < single.bounds(0.95)[0]
    assert Percentile(samples[:580], 0.95, block=10).bounds(0.95)[1] == math.inf
    assert single.value == 950
    assert blocks.method == "order statistics over blocks of 10"


def test_the_bound_of_a_percentile_covers_correlated_samples():
    """With repeated values in blocks, the block bound covers p95 in 95 of 100 cases; the naive one does not."""
    rng = np.random.default_rng(1)
    covered = {1: 0, 10: 0}
    for _ in range(400):
        samples = np.repeat(rng.exponential(size=100), 10)
        for block in covered:
            covered[block] += Percentile(samples, 0.95, block).bounds(0.95)[1] >= -math.log(0.05)
    assert covered[10] >= 0.93 * 400
    assert covered[1] < 0.85 * 400


@pytest.mark.parametrize(
    ("samples", "probability", "block"), [([], 0.5, 1), ([1.0], 0.0, 1), ([1.0], 1.0, 1), ([1.0], 0.5, 0)]
)
def test_impossible_percentiles_are_refused(samples, probability, block):
    """No percentile of nothing, and no maximum as a percentile."""
    with pytest.raises(ValueError, match=r"at least one sample|probability|block"):
        Percentile(np.array(samples), probability, block)


def test_percentile_bootstrap():
    """The bounds are the quantiles of the resamples, farther out for 40 clusters than for very many."""
    quantity = Resampled(0.5, np.linspace(0, 1, 1001), 40, "sequences")
    level = norm.cdf(math.sqrt(40 / 39) * student_t.ppf(0.95, 39))
    assert 0.955 < level < 0.957
    assert quantity.bounds(0.95) == pytest.approx((1 - level, level))
    assert quantity.method == "expanded percentile bootstrap, 1001 resamples of 40 sequences"
    assert Resampled(0.5, np.linspace(0, 1, 1001), 10**6).bounds(0.95) == pytest.approx((0.05, 0.95), abs=1e-5)


@pytest.mark.parametrize(("units", "level"), [(5, 0.9914), (10, 0.9733), (20, 0.9620), (100, 0.9525)])
def test_expanded_levels(units, level):
    """The fewer the units, the farther out the quantile that stands for 95 %."""
    assert expanded_confidence(0.95, units) == pytest.approx(level, abs=1e-4)


def _bootstrap_coverage(clusters, draw, truth, repeats=1500):
    """Return how often the lower bound at 95 % of a mean lies below the truth, and a plain percentile does."""
    rng = np.random.default_rng(2)
    expanded = plain = 0
    for _ in range(repeats):
        scores = draw(rng, clusters)
        means = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=1000) @ scores / clusters
        expanded += Resampled(float(scores.mean()), means, clusters).bounds(0.95)[0] <= truth
        plain += np.quantile(means, 0.05) <= truth
    return expanded / repeats, plain / repeats


def test_the_bootstrap_bound_covers_with_few_clusters():
    """At eight clusters the lower bound of a mean holds in 94 of 100 data sets, the plain percentile's in 92."""
    expanded, plain = _bootstrap_coverage(8, lambda rng, clusters: rng.normal(size=clusters), 0)
    assert expanded >= 0.94
    assert plain < 0.93


def test_the_bootstrap_bound_covers_for_skewed_scores():
    """Scores near 1 with a tail of bad ones, as mAP has them: at 30 clusters the lower bound holds in 93 of 100."""
    expanded, plain = _bootstrap_coverage(30, lambda rng, clusters: rng.beta(8, 2, clusters), 0.8)
    assert expanded >= 0.93
    assert plain < expanded


def test_too_few_resamples_or_clusters_bound_nothing():
    """One cluster, or less than one resample expected beyond the quantile, gives no bound instead of a near one."""
    resamples = np.linspace(0, 1, 1001)
    assert Resampled(0.5, resamples, 1).bounds(0.95) is None
    assert Resampled(0.5, resamples, 2).bounds(0.95) is None
    assert Resampled(0.5, resamples, 40).bounds(0.9999) is None
    assert Resampled(0.5, resamples[:20], 40).bounds(0.95) is None


def test_resamples_that_all_agree_claim_no_certainty():
    """Without an error the bootstrap says 100 % exactly; the bound is the fallback's, or there is none."""
    same = np.ones(1000)
    assert Resampled(1.0, same, 40).bounds(0.95) is None
    assert Resampled(1.0, same, 40, fallback=Proportion(40, 40)).bounds(0.95) == Proportion(40, 40).bounds(0.95)
    assert Resampled(1.0, np.empty(0), 40).bounds(0.95) is None


def test_resamples_that_are_not_finite_show_nothing():
    """One NaN among the resamples takes the interval away."""
    assert Resampled(0.5, np.array([0.4, np.nan, 0.6]), 3).bounds(0.95) is None


def test_values_without_sampling_error():
    """An exact value is its own bound, a point estimate has none, a formula gives its own."""
    assert Exact(3.0).bounds(0.95) == (3.0, 3.0)
    assert PointEstimate(3.0).bounds(0.95) is None
    assert Bounded(1.0, lambda c: (1 - c, 1 + c)).bounds(0.5) == (0.5, 1.5)


def test_plain_numbers_become_what_was_declared():
    """A number is exact or an estimate without interval, as declared; numpy's numbers too; a boolean is none."""
    assert as_quantity(3, exact("1")) == Exact(3.0)
    assert as_quantity(np.float32(0.5), estimate("1")) == PointEstimate(0.5)
    assert isinstance(as_quantity(Proportion(1, 2), estimate("1")), Quantity)
    for wrong in (True, "3", None):
        with pytest.raises(TypeError):
            as_quantity(wrong, exact("1"))
