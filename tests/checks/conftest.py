"""How measurements are judged."""

from __future__ import annotations

import pytest

from pytest_mle.engine.judge import judge
from pytest_mle.spec.criteria import parse_criterion


@pytest.fixture(scope="session")
def verdict():
    """Return how criteria judge a measurement of a check."""

    def decide(check, measurement, *criteria):
        declared = check.__mle_check__.quantities
        parsed = [parse_criterion(text, declared[text.split()[0]]) for text in criteria]
        return judge(measurement, declared, parsed).verdict.name

    return decide


@pytest.fixture(scope="session")
def broken():
    """Return the names of the validity conditions that do not hold."""
    return lambda measurement: [condition.name for condition in measurement.validity if not condition.holds]
