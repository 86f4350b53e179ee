"""Tests of thinned curves."""

from __future__ import annotations

import numpy as np

from pytest_mle.checks.training.curve import MOST_POINTS, curve


def test_short_series_stay_as_they_are():
    """Values that are not finite are left out, the others keep their places."""
    line = curve("loss", np.array([1, 2, 3]), np.array([0.5, np.nan, 0.25]))

    assert (line.x, line.y, line.lower) == ((1.0, 3.0), (0.5, 0.25), None)


def test_long_series_keep_their_extremes():
    """A thinned line has the mean of each stretch, and its band holds every value."""
    values = np.arange(10_500.0)
    values[777] = -1e6

    line = curve("loss", np.arange(10_500), values)

    assert len(line.y) == len(line.x) == MOST_POINTS
    assert min(line.lower) == -1e6
    assert max(line.upper) == 10_499
    # Ten values in the first stretch: 0 to 9.
    assert (line.x[0], line.y[0]) == (4.5, 4.5)


def test_no_finite_value():
    """Nothing gives an empty line."""
    assert curve("loss", np.arange(3), np.full(3, np.nan)).y == ()
