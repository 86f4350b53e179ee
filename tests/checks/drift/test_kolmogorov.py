"""The distribution of the Kolmogorov-Smirnov statistic is that of scipy.stats."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.special import smirnov
from scipy.stats import kstwo

from pytest_mle.checks.drift.kolmogorov import kolmogorov_survival


def test_one_and_two_samples_by_hand() -> None:
    """For one uniform sample P(D > d) = 2 (1 - d); at 1/2n or less, every sample is further off."""
    assert kolmogorov_survival(1, 0.7) == pytest.approx(0.6)
    assert kolmogorov_survival(2, 0.75) == pytest.approx(2 * 0.25**2)
    assert kolmogorov_survival(2, 0.25) == 1
    assert kolmogorov_survival(5, 1.0) == 0
    assert kolmogorov_survival(10**9, 0.6) == 0


@pytest.mark.parametrize("n", [1, 2, 3, 10, 50, 139, 140, 141, 200, 1000, 10_000, 10_001, 10**8])
def test_equals_scipy(n: int) -> None:
    """Each formula agrees with scipy to 1e-9 (where scipy doubles the tail to 1e-7), on both sides of its limits."""
    rng = np.random.default_rng(n)
    distances = np.concatenate(
        [
            rng.uniform(0, min(1, 19 / np.sqrt(n)), 10),
            rng.uniform(0.02, 3, 60 if n < 10**4 else 20) / np.sqrt(n),
            [0.5 if n < 1000 else 0.01, 1 / n],
        ]
    )
    own = [kolmogorov_survival(n, float(distance)) for distance in distances]
    assert np.abs(own - kstwo.sf(distances, n)).max() <= (1e-9 if n <= 10_000 else 1e-7)


def test_tail_is_accurate_relatively() -> None:
    """At n = 10,001 a probability of 4e-9 and one of 1e-17 are as small as the exact tail says."""
    for squared, tolerance in ((9.9, 1e-3), (10.1, 0.01), (20, 0.05)):
        distance = (squared / 10_001) ** 0.5
        assert kolmogorov_survival(10_001, distance) == pytest.approx(2 * smirnov(10_001, distance), rel=tolerance)


def test_bad_arguments_are_refused() -> None:
    """NaN and no samples have no probability."""
    with pytest.raises(ValueError, match="NaN"):
        kolmogorov_survival(10, float("nan"))
    with pytest.raises(ValueError, match="at least 1"):
        kolmogorov_survival(0, 0.1)


def test_scipy_stats_stays_out() -> None:
    """A comparison imports scipy.special at most: scipy.stats costs a second of processor time."""
    program = (
        "import sys, numpy as np\n"
        "from pytest_mle.checks.drift.two_sample import ks_two_sample\n"
        "assert 'scipy' not in sys.modules\n"
        "ks_two_sample(np.arange(100.0), np.arange(100.0) + 50)\n"
        "assert 'scipy.special' in sys.modules\n"
        "assert 'scipy.stats' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
