"""A quantity that was not measured says why: a count of nothing must not read as zero."""

from __future__ import annotations

import math

from pytest_mle.records.quantity import Exact


def unmeasured(reason: str) -> Exact:
    """Return a quantity without a number; a criterion on it is INCONCLUSIVE and shows the reason."""
    return Exact(math.nan, method=reason)
