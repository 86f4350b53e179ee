"""Tests of label lines."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle.inputs.datasets.yolo_label import LabelLineError, defects_of, parse_label_line


def test_line_by_hand():
    """A box of half the image in its middle reaches from a quarter to three quarters."""
    line = parse_label_line("2 0.5 0.5 0.5 0.25\n")

    assert line.label == 2
    assert line.corners == (0.25, 0.375, 0.75, 0.625)
    assert defects_of(line, 3, tolerance=0) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "blank"),
        ("   ", "blank"),
        ("0 0.5 0.5 0.5", "4 columns"),
        ("0 0.5 0.5 0.5 0.5 0.9", "6 columns"),
        ("0 0.1 0.1 0.9 0.1 0.9 0.9", "7 columns"),
        ("pedestrian 0.5 0.5 0.5 0.5", "class 'pedestrian'"),
        ("0.0 0.5 0.5 0.5 0.5", r"class '0\.0'"),
        ("-1 0.5 0.5 0.5 0.5", "class '-1'"),
        ("99999999999 0.5 0.5 0.5 0.5", "class"),
        ("0 0.5 0.5 0.5 x", "not four numbers"),
        ("0 0,5 0,5 0,5 0,5", "not four numbers"),
        ("0 nan 0.5 0.5 0.5", "not finite"),
        ("0 0.5 0.5 inf 0.5", "not finite"),
    ],
)
def test_lines_that_say_no_box(text, message):
    """Blank, short, long, foreign and non-finite lines are told apart."""
    with pytest.raises(LabelLineError, match=message):
        parse_label_line(text)


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("999 0.5 0.5 0.5 0.5", "class 999 is not in 0..1"),
        ("0 0.5 0.5 0 0.5", "the box has no area (width 0, height 0.5)"),
        ("0 0.5 0.5 0.5 -0.5", "the box has no area (width 0.5, height -0.5)"),
        ("0 0.07 0.5 1 0.5", "the box leaves the image (left -0.43)"),
        ("0 0.5 0.07 0.5 1", "the box leaves the image (top -0.43)"),
        ("0 0.9 0.5 0.5 0.5", "the box leaves the image (right 1.15)"),
        ("0 320 0.5 40 0.5", "the box leaves the image (right 340)"),
        ("0 0.5 0.9 0.5 0.5", "the box leaves the image (bottom 1.15)"),
    ],
)
def test_defects(text, defect):
    """Each defect of a box is named with its value."""
    assert defects_of(parse_label_line(text), 2, tolerance=1e-3) == [defect]


def test_tolerance_forgives_rounding():
    """A box that touches the border may overhang by rounding."""
    line = parse_label_line("0 0.9 0.5 0.2002 0.5")

    assert defects_of(line, 1, tolerance=1e-3) == []
    assert defects_of(line, 1, tolerance=1e-5) != []


@given(st.text(max_size=60))
def test_any_text_gives_a_line_or_the_one_error(text):
    """No text makes the parser fail in another way, and what it accepts is finite."""
    try:
        line = parse_label_line(text)
    except LabelLineError:
        return
    assert all(map(math.isfinite, line.corners))
