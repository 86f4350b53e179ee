"""A series of a log as a line of a figure, with no more points than can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.records.figure import Series

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_POINTS = 1000


def curve(name: str, positions: NDArray[np.generic], values: NDArray[np.float64]) -> Series:
    """Return a line through the finite values.

    Beyond :data:`MOST_POINTS` values it goes through the means of as many stretches, with the smallest and largest
    value of each as its band, so that a single spike stays visible.
    """
    finite = np.isfinite(values)
    x, y = positions[finite].astype(np.float64), values[finite]
    if len(y) <= MOST_POINTS:
        return Series(name, tuple(y.tolist()), x=tuple(x.tolist()))
    starts = np.linspace(0, len(y), MOST_POINTS, endpoint=False).astype(np.int64)
    sizes = np.diff(np.append(starts, len(y)))
    means = np.add.reduceat(y, starts) / sizes
    return Series(
        name,
        tuple(means.tolist()),
        x=tuple((np.add.reduceat(x, starts) / sizes).tolist()),
        lower=tuple(np.minimum.reduceat(y, starts).tolist()),
        upper=tuple(np.maximum.reduceat(y, starts).tolist()),
    )
