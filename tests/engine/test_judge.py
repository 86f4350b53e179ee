"""Judging: three-valued on one-sided bounds, and red wherever a number is missing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_mle.engine.judge import judge
from pytest_mle.errors import CheckError
from pytest_mle.records.finding import ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import Exact, PointEstimate, Proportion, Resampled, estimate, exact
from pytest_mle.records.verdict import Verdict
from pytest_mle.spec.criteria import parse_criterion
from pytest_mle.spec.model import Criterion

DECLARED = {"rate": estimate("1"), "errors": exact("{finding}")}


def criterion(op=">=", bound=0.8, quantity="rate", confidence=0.95, **keys):
    """Return a criterion on `rate` at 95 %."""
    return Criterion(f"{quantity} {op} {bound}", quantity, op, bound, confidence=confidence, **keys)


def verdict_of(quantities, *criteria, **keys):
    """Judge quantities by criteria."""
    return judge(Measurement({"errors": 0, **quantities}, **keys), DECLARED, criteria).verdict


@pytest.mark.parametrize(
    ("successes", "trials", "op", "bound", "verdict"),
    [
        # Numbers of the handbook's case, re-judged: FGSM 82.1 % shows 80 % at 5000 samples but not at 1000.
        (821, 1000, ">=", 0.80, Verdict.INCONCLUSIVE),
        (4105, 5000, ">=", 0.80, Verdict.PASS),
        (23775, 25000, ">=", 0.95, Verdict.INCONCLUSIVE),
        (23950, 25000, ">=", 0.95, Verdict.PASS),
        (700, 1000, ">=", 0.80, Verdict.FAIL),
        (223, 25000, "<=", 0.01, Verdict.PASS),
        (224, 25000, "<=", 0.01, Verdict.INCONCLUSIVE),
        (299 - 299, 299, "<=", 0.01, Verdict.PASS),
        (0, 298, "<=", 0.01, Verdict.INCONCLUSIVE),
        (500, 1000, "<=", 0.01, Verdict.FAIL),
    ],
)
def test_one_sided_bounds_decide(successes, trials, op, bound, verdict):
    """A target is met only if the conservative 95 % bound meets it, and violated only if the other one does."""
    assert verdict_of({"rate": Proportion(successes, trials)}, criterion(op, bound)) is verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.5, Verdict.PASS), (0.1, Verdict.FAIL), (0.41, Verdict.INCONCLUSIVE)])
def test_range_needs_both_bounds(value, verdict):
    """`in a..b` holds if both bounds lie inside and is violated if the whole interval lies outside."""
    rate = Resampled(value, np.linspace(value - 0.05, value + 0.05, 1001), n=50)
    assert verdict_of({"rate": rate}, criterion("in", 0.4, upper=0.6)) is verdict


def test_estimate_without_interval_shows_nothing_at_a_confidence():
    """A bare number cannot be judged at a confidence, but by its point value."""
    assert verdict_of({"rate": PointEstimate(0.99)}, criterion()) is Verdict.INCONCLUSIVE
    assert verdict_of({"rate": PointEstimate(0.99)}, criterion(by_point_value=True)) is Verdict.PASS
    assert verdict_of({"rate": PointEstimate(0.99)}, criterion(confidence=None)) is Verdict.PASS


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_value_that_is_not_finite_is_inconclusive(value):
    """NaN and infinity are never good enough, in either direction."""
    for op in (">=", "<="):
        assert verdict_of({"rate": PointEstimate(value)}, criterion(op, confidence=None)) is Verdict.INCONCLUSIVE


def test_broken_validity_condition_is_inconclusive():
    """Outside its validity conditions a measurement neither passes nor fails."""
    broken = (ValidityCondition("enough samples", holds=False, detail="3 of 20"),)
    for successes in (0, 1000):
        assert verdict_of({"rate": Proportion(successes, 1000)}, criterion(), validity=broken) is Verdict.INCONCLUSIVE


def test_quantity_may_be_missing_only_with_a_reason():
    """A declared quantity that is kept back is a broken check, unless a validity condition explains it."""
    with pytest.raises(CheckError, match="declares rate"):
        judge(Measurement({"errors": 0}), DECLARED, [criterion()])
    broken = (ValidityCondition("enough samples", holds=False),)
    assert judge(Measurement({"errors": 0}, validity=broken), DECLARED, [criterion()]).verdict is Verdict.INCONCLUSIVE


def test_quantity_that_a_loose_check_did_not_return_is_inconclusive():
    """A check without declarations that returns something else than the criterion asks for shows nothing."""
    assert judge(Measurement({"other": 1}), None, [criterion()]).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("value", ["1", None, True, [1]])
def test_value_that_is_no_number_breaks_the_check(value):
    """Text, None, booleans and lists are no quantities."""
    with pytest.raises(CheckError, match="errors"):
        judge(Measurement({"rate": Proportion(1, 2), "errors": value}), DECLARED, [criterion()])


def test_no_criterion_is_pending():
    """Without an `accept` criterion there is nothing to pass; advice alone does not replace it."""
    assert verdict_of({"rate": Proportion(1, 2)}) is Verdict.PENDING
    assert verdict_of({"rate": Proportion(1, 2)}, criterion(bound=0.0, is_advisory=True)) is Verdict.PENDING


def test_advice_warns():
    """A breached or undecidable `advise` criterion is a warning, and never more."""
    advice = criterion(bound=0.99, is_advisory=True)
    gate = criterion("==", 0, "errors", None)
    assert verdict_of({"rate": Proportion(1, 2)}, gate, advice) is Verdict.WARNING
    assert verdict_of({"rate": Proportion(1, 2), "errors": 1}, gate, advice) is Verdict.FAIL


def test_all_criteria_must_hold():
    """FAIL beats INCONCLUSIVE beats PASS."""
    inconclusive, failed, passed = criterion(bound=0.81), criterion(bound=0.99), criterion(bound=0.5)
    rate = {"rate": Proportion(821, 1000)}
    assert verdict_of(rate, passed, inconclusive) is Verdict.INCONCLUSIVE
    assert verdict_of(rate, passed, inconclusive, failed) is Verdict.FAIL


def test_reason_says_what_decided():
    """The reason holds the criterion, the value, the deciding bound; n stands beside it."""
    decided = judge(Measurement({"rate": Proportion(821, 1000), "errors": 0}), DECLARED, [criterion()]).criteria[0]
    assert decided.reason.startswith("rate >= 0.8: rate is 0.821, 95 % lower bound 0.79")
    assert decided.n == 1000
    assert "Clopper-Pearson" in decided.decided_by


def test_rate_against_a_bound_above_one_is_an_error():
    """`rate <= 5` of a check that declares nothing has lost its %: it would hold for ever."""
    with pytest.raises(CheckError, match="rate is a rate and cannot exceed 100 %"):
        judge(Measurement({"rate": Proportion(99, 100)}), None, [parse_criterion("rate <= 5")])


def test_what_was_not_measured_says_why():
    """NaN with a reason is INCONCLUSIVE for that reason."""
    measured = Measurement({"missed": Exact(float("nan"), method="nobody said how many")})
    decided = judge(measured, {"missed": exact("1")}, [parse_criterion("missed == 0", exact("1"))]).criteria[0]
    assert decided.verdict is Verdict.INCONCLUSIVE
    assert decided.reason == "missed == 0: missed was not measured: nobody said how many"
