"""The grammar of criteria: what is read, what it becomes, and that writing and reading agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle.records.quantity import estimate, exact
from pytest_mle.spec.criteria import (
    CriterionError,
    format_criterion,
    parse_criterion,
    read_criterion,
    resolve_criterion,
)
from pytest_mle.spec.model import Criterion
from pytest_mle.spec.units import BASE_UNITS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("map_50 >= 90 %", ("map_50", ">=", 0.9, None, "1", None, False)),
        ("map_50>=90%", ("map_50", ">=", 0.9, None, "1", None, False)),
        ("  map_50   >=  90 %  ", ("map_50", ">=", 0.9, None, "1", None, False)),
        ("latency_p95 < 50 ms at 95 % confidence", ("latency_p95", "<", 0.05, None, "s", 0.95, False)),
        ("latency_p95 < 50ms at 99.9% confidence", ("latency_p95", "<", 0.05, None, "s", 0.999, False)),
        ("recall > 0.97 by point value", ("recall", ">", 0.97, None, "1", None, True)),
        ("corrupt_files == 0", ("corrupt_files", "==", 0.0, None, "1", None, False)),
        ("corrupt_files <= 3 files", ("corrupt_files", "<=", 3.0, None, "{file}", None, False)),
        ("share in 0.68..0.72", ("share", "in", 0.68, 0.72, "1", None, False)),
        ("share in 68 .. 72 % at 95 % confidence", ("share", "in", 0.68, 0.72, "1", 0.95, False)),
        ("slope <= -1e-7", ("slope", "<=", -1e-7, None, "1", None, False)),
        ("slope <= +.5", ("slope", "<=", 0.5, None, "1", None, False)),
        ("absolute_accuracy_drop <= 10 pp", ("absolute_accuracy_drop", "<=", 0.1, None, "1", None, False)),
        ("train.loss <= 3", ("train.loss", "<=", 3.0, None, "1", None, False)),
        ("failures <= 0.1 1/km", ("failures", "<=", 0.0001, None, "1/m", None, False)),
        ("parity in -1..1", ("parity", "in", -1.0, 1.0, "1", None, False)),
    ],
)
def test_a_criterion_is_read_into_base_units(text, expected):
    """Quantity, operator, bounds, unit, confidence and the point value clause are understood."""
    found = parse_criterion(text)
    fields = ("quantity", "op", "bound", "upper", "unit", "confidence", "by_point_value")
    assert tuple(getattr(found, name) for name in fields) == expected


def test_the_text_is_kept_as_written():
    """Reports quote the spec."""
    assert read_criterion("map_50  >=\n 90 %").text == "map_50 >= 90 %"


def test_policy_confidence_fills_in_for_estimates_only():
    """A census needs no confidence, an explicit one wins, and `by point value` asks for none."""

    def resolve(text, declaration):
        return resolve_criterion(read_criterion(text), declaration, policy_confidence=0.9).confidence

    assert resolve("share >= 90 %", estimate("1")) == 0.9
    assert resolve("share >= 90 %", None) == 0.9
    assert resolve("share >= 90 % at 95 % confidence", estimate("1")) == 0.95
    assert resolve("share >= 90 % by point value", estimate("1")) is None
    assert resolve("files == 0", exact("1")) is None
    assert resolve("files <= 0 at 95 % confidence", exact("1")) is None


def test_equality_is_for_exact_quantities():
    """An estimate that equals a number can never be shown."""
    assert parse_criterion("files == 0", exact("1")).op == "=="
    with pytest.raises(CriterionError, match="can never be shown"):
        parse_criterion("share == 1", estimate("1"))


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)


@st.composite
def criteria(draw):
    """Draw a criterion in base units, as the parser makes them."""
    op = draw(st.sampled_from(["<", "<=", ">", ">=", "==", "in"]))
    bounds = sorted(draw(st.lists(NUMBERS, min_size=2, max_size=2, unique=True)))
    by_point_value = draw(st.booleans())
    confidence = None if by_point_value else draw(st.none() | st.integers(500, 999).map(lambda n: n / 1000))
    unit = draw(st.sampled_from(sorted(BASE_UNITS)))
    return Criterion(
        text="",
        quantity=draw(st.sampled_from(["x", "value_p95", "accuracy_drop", "relative_change", "a.b_2"])),
        op=op,
        bound=bounds[0],
        upper=bounds[1] if op == "in" else None,
        unit=unit,
        confidence=confidence,
        by_point_value=by_point_value,
    )


@given(criteria())
def test_writing_and_reading_agree(criterion):
    """parse(format(c)) == c, bit for bit."""
    share_beyond_one = criterion.unit == "1" and max(abs(criterion.bound), abs(criterion.upper or 0)) > 1
    if share_beyond_one and criterion.quantity == "accuracy_drop":
        return
    text = format_criterion(criterion)
    found = parse_criterion(text)
    assert replace(found, text="") == criterion


@given(st.text(max_size=60))
def test_no_text_is_a_traceback(text):
    """Any text is a criterion or is explained."""
    try:
        assert parse_criterion(text).quantity
    except CriterionError as error:
        assert str(error)  # noqa: PT017  either outcome is right


@given(
    st.tuples(
        st.sampled_from(["map_50", "in", "at", "by", ""]),
        st.sampled_from([">=", "in", "=<", "at", ""]),
        st.sampled_from(["90", "0.1..0.2", "-", "1e5", "9" * 400, "1e-400", ".", "..", ""]),
        st.sampled_from(["%", "pp", "ms", "at", "{file}", "at 95 % confidence", "by point value", ""]),
        st.sampled_from(["at 95 % confidence", "by point value", "at", "at 95 %", ""]),
    )
)
def test_no_jumble_of_words_is_a_traceback(words):
    """Words of the grammar in any order are a criterion or are explained."""
    try:
        assert parse_criterion(" ".join(words)).quantity
    except CriterionError as error:
        assert str(error)  # noqa: PT017  either outcome is right
