"""Units: exact conversion, dimensions that cannot be mixed up, and values as people read them."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle.records.quantity import estimate, exact
from pytest_mle.spec.units import UNITS, UnitError, format_value, is_difference, is_relative, parse_duration, to_base


@pytest.mark.parametrize(
    ("number", "spelling", "unit", "value"),
    [
        ("57", "%", "1", 0.57),
        ("29", "%", "1", 0.29),
        ("99.9", "%", "1", 0.999),
        ("50", "ms", "s", 0.05),
        ("10", "min", "s", 600.0),
        ("2", "h", "s", 7200.0),
        ("365", "d", "s", 31536000.0),
        ("4", "MB", "By", 4e6),
        ("4", "MiB", "By", 4194304.0),
        ("1", "GiB", "By", 1073741824.0),
        ("30", "fps", "Hz", 30.0),
        ("1.5", "kHz", "Hz", 1500.0),
        ("8", "GFLOP", "FLOP", 8e9),
        ("25", "cm", "m", 0.25),
        ("2", "km", "m", 2000.0),
        ("0.1", "1/km", "1/m", 0.0001),
        ("100", "images", "{image}", 100.0),
        ("100", None, "{image}", 100.0),
        ("3", "epochs", "{epoch}", 3.0),
        ("300", None, "1", 300.0),
    ],
)
def test_numbers_become_base_units_exactly(number, spelling, unit, value):
    """57 % is the float 0.57 and not its neighbour, so that 57 of 100 meets `>= 57 %`."""
    assert to_base(Decimal(number), spelling, "some_value", exact(unit)) == (value, unit)


@given(st.integers(0, 1000))
def test_percentages_meet_the_same_count(count):
    """N of 1000 equals the bound that says so, for every n."""
    value, _ = to_base(Decimal(count) / 10, "%", "hit_share", estimate("1"))
    assert value == count / 1000


def test_the_unit_itself_is_the_base_where_nothing_is_declared():
    """A fixture without declaration is judged in what the spec says."""
    assert to_base(Decimal(50), "ms", "latency", None) == (0.05, "s")


@pytest.mark.parametrize(
    ("quantity", "difference", "relative"),
    [
        ("absolute_accuracy_drop", True, False),
        ("accuracy_drop", True, False),
        ("generalization_gap", True, False),
        ("drop_at_q90", True, False),
        ("relative_drop", False, True),
        ("relative_validation_loss_rise", False, True),
        ("map_50", False, False),
        ("lr_drops", False, False),
    ],
)
def test_names_tell_ratios_from_differences(quantity, difference, relative):
    """`relative_` takes %, `absolute_`, drops and gaps take pp."""
    assert is_difference(quantity) is difference
    assert is_relative(quantity) is relative


@pytest.mark.parametrize("bound", ["5", "1.5"])
@pytest.mark.parametrize("quantity", ["false_negative_rate", "accuracy_drop", "map_50", "recall_at_precision_90"])
def test_a_lost_percent_sign_is_refused(quantity, bound):
    """`false_negative_rate <= 5` would always hold, and be green for ever."""
    with pytest.raises(UnitError, match="cannot exceed 100"):
        to_base(Decimal(bound), None, quantity, estimate("1"))


def test_counts_may_exceed_one():
    """An exact quantity named like a share may be a count."""
    assert to_base(Decimal(5), None, "label_gap", exact("1")) == (5.0, "1")


@pytest.mark.parametrize(
    ("text", "seconds"), [("10 min", 600), ("365 d", 31536000), ("1.5 h", 5400), ("250ms", 0.25), ("2 s", 2)]
)
def test_durations_need_their_unit(text, seconds):
    """A number with a unit of time is a duration."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["10", "min", "-1 s", "0 s", "nan s", "inf d", "10 MB", "10 parsecs", "", "1e999 s"])
def test_other_durations_are_refused(text):
    """Nothing else is a duration."""
    with pytest.raises(UnitError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("value", "unit", "options", "text"),
    [
        (0.953, "1", {}, "95.3 %"),
        (1.0, "1", {"kind": "estimate"}, "100.0 %"),
        (1.0, "1", {"kind": "exact"}, "1"),
        (0.0, "1", {}, "0"),
        (0.0, "1", {"kind": "estimate"}, "0.0 %"),
        (0.0, "1", {"name": "false_negative_rate"}, "0.0 %"),
        (3.0, "1", {"kind": "exact"}, "3"),
        (250000.0, "1", {}, "250000"),
        (1.5, "1", {}, "1.5"),
        (0.0004, "1", {}, "0.04 %"),
        (0.000004, "1", {}, "0.0004 %"),
        (-0.018, "1", {"name": "absolute_accuracy_drop"}, "-1.8 pp"),
        (1.2, "1", {"name": "relative_drop"}, "120.0 %"),
        (0.197, "1", {"kind": "estimate", "name": "false_positives_per_image"}, "0.197"),
        (0.026, "1", {"kind": "exact", "name": "min_adjusted_p_value"}, "0.026"),
        (0.992, "1", {"kind": "estimate", "name": "max_ks_distance"}, "0.992"),
        (0.992, "1", {"name": "max_ks_distance", "written_in": "%"}, "99.2 %"),
        (0.953, "1", {"name": "map_50", "written_in": ""}, "0.953"),
        (0.03, "1", {"name": "delay", "written_in": "ms"}, "0.03"),
        (49.1, "Hz", {"written_in": "fps"}, "49.1 fps"),
        (0.0123, "s", {}, "12.3 ms"),
        (0.000045, "s", {}, "45 µs"),
        (1.25, "s", {}, "1.25 s"),
        (0.0, "s", {}, "0 s"),
        (600.0, "s", {}, "10 min"),
        (31536000.0, "s", {}, "365 d"),
        (4200000.0, "By", {}, "4.2 MB"),
        (512.0, "By", {}, "512 B"),
        (3.0e9, "By", {}, "3 GB"),
        (30.0, "Hz", {}, "30 Hz"),
        (8.2e9, "FLOP", {}, "8.2 GFLOP"),
        (0.0001, "1/m", {}, "0.1 1/km"),
        (1.0, "{file}", {}, "1 file"),
        (3.0, "{file}", {}, "3 files"),
        (2.0, "{box}", {}, "2 boxes"),
        (0.0, "{anomaly}", {}, "0 anomalies"),
        (2.0, "{something_new}", {}, "2 something_news"),
        (12.0, "px", {}, "12 px"),
        (None, "s", {}, "not measured"),
        (math.nan, "1", {}, "not a number"),
        (math.inf, "s", {}, "infinite"),
        (-math.inf, "s", {}, "minus infinite"),
    ],
)
def test_values_are_written_as_people_read_them(value, unit, options, text):
    """Ratios in %, drops in pp, counts whole, durations and sizes in a fitting unit, never 'nan %'."""
    assert format_value(value, unit, **options) == text


@pytest.mark.parametrize(
    ("value", "unit", "against", "text"),
    [
        (0.94996, "1", 0.95, "94.996 %"),
        (0.9499999999, "1", 0.95, "94.99999999 %"),
        (0.95, "1", 0.95, "95.0 %"),
        (0.0500004, "s", 0.05, "50.0004 ms"),
    ],
)
def test_rounding_never_hides_a_decision(value, unit, against, text):
    """A value just below its bound is not written like the bound."""
    assert format_value(value, unit, against=against) == text


@given(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from(sorted({unit.base for unit in UNITS.values()})))
def test_every_number_can_be_written(value, unit):
    """No float and no unit breaks a report."""
    assert format_value(value, unit)
