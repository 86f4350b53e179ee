"""Hostile characters."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle.reports.escaping import terminal_line, unicode_text, xml_line, xml_text

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("a\x00b", "a#x00b"),
        ("\x1b[31mred", "#x1B[31mred"),
        ("\x9b31m", "#x9B31m"),
        ("\ud800", "#xD800"),
        ("\ufffe", "#xFFFE"),
        ("line\nbreak\tand 😀 ]]> <&\"'", "line\nbreak\tand 😀 ]]> <&\"'"),
    ],
)
def test_xml_text_escapes_as_pytest_does(raw, escaped):
    """Forbidden characters become visible numbers; everything else stays."""
    assert xml_text(raw) == escaped


@given(ANY_TEXT)
def test_escaped_text_survives_xml(text):
    """Any text can be parsed again as element text and as attribute."""
    element = ET.Element("a", {"b": xml_line(text)})
    element.text = xml_text(text)
    again = ET.fromstring(ET.tostring(element, encoding="utf-8"))
    assert again.get("b") == xml_line(text)
    assert (again.text or "") == xml_text(text).replace("\r\n", "\n").replace("\r", "\n")


@given(ANY_TEXT)
def test_terminal_line_is_one_harmless_line(text):
    """No control character, line break, direction mark or lone surrogate reaches a terminal."""
    safe = terminal_line(text)
    assert len(safe.splitlines()) <= 1
    safe.encode("utf-8")
    assert not any(
        ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 or character == "\u202e" for character in safe
    )


def test_unicode_text_keeps_what_utf_8_can_hold():
    """Only lone surrogates are replaced."""
    assert unicode_text("ü😀") == "ü😀"
    assert unicode_text("a\udcff") == "a\\udcff"
