"""Tests of judging label files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle.checks.data.label_scan import scan_label_file, scan_label_lines

SETTINGS = {"size": (100, 50), "box_tolerance": 0.001, "minimum_box_side": 1.0}


def messages(text, **changes):
    """Return line and message of each defect."""
    data = text if isinstance(text, bytes) else text.encode()
    scan = scan_label_lines(data, 2, **{**SETTINGS, **changes})
    return [(defect.line, defect.message) for defect in scan.defects]


def test_clean_file():
    """Two boxes, with or without a line end after the last."""
    scan = scan_label_lines(b"0 .5 .5 .1 .1\r\n1 .5 .5 .2 .2", 2, **SETTINGS)

    assert len(scan.boxes) == 2
    assert scan.defects == ()
    assert not scan.is_background


@pytest.mark.parametrize("text", [b"", b"\n", b" \n\n"])
def test_empty_file_declares_a_background(text):
    """No line, no object."""
    assert scan_label_lines(text, 2, **SETTINGS).is_background


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 .5 .5 .1 .1\n\n1 .5 .5 .2 .2\n", [(2, "blank line")]),
        ("0 .5 .5\n", [(1, "3 columns instead of 5 (class center_x center_y width height)")]),
        ("pedestrian .5 .5 .1 .1\n", [(1, "class 'pedestrian' is not a whole number from 0")]),
        ("0 nan .5 .1 .1\n", [(1, "'nan .5 .1 .1' are not finite")]),
        ("999 .5 .5 .1 .1\n", [(1, "class 999 is not in 0..1")]),
        ("0 .07 .5 1 .5\n", [(1, "the box leaves the image (left -0.43)")]),
        ("9 .5 .5 0 .1\n", [(1, "class 9 is not in 0..1; the box has no area (width 0, height 0.1)")]),
        ("0 .5 .5 .001 .1\n", [(1, "the box has 0.1 x 5 px")]),
        ("0 .5 .5 .1 .1\n" * 3, [(2, "the same box as in line 1"), (3, "the same box as in line 1")]),
        ("0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n", [(2, "the same box as in line 1 with another class")]),
        (b"0 .5 .5 .1 .1\n\xff\xfe\n", [(2, "is no UTF-8 text")]),
    ],
)
def test_defects_with_their_lines(text, expected):
    """Each planted defect is found in its line, and one line counts once."""
    assert messages(text) == expected


def test_box_size_needs_the_image():
    """Without a usable image, pixels are not judged."""
    assert messages("0 .5 .5 .001 .1\n", size=None) == []
    assert messages("0 .5 .5 .01 .02\n") == []


def test_files(tmp_path):
    """A missing file is told from one that cannot be read."""
    (tmp_path / "folder.txt").mkdir()

    assert scan_label_file(tmp_path / "gone.txt", 2, **SETTINGS).is_missing
    unreadable = scan_label_file(tmp_path / "folder.txt", 2, **SETTINGS)
    assert not unreadable.is_missing
    assert not unreadable.is_background
    assert unreadable.defects[0].is_unparsable


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(data):
    """Nothing raises, and what is neither box nor blank is a defect."""
    scan = scan_label_lines(data, 2, **SETTINGS)

    assert bool(scan.boxes or scan.defects) != scan.is_background
