"""Make names from specs and data sets harmless in XML, in JSON and on a terminal."""

from __future__ import annotations

import re

# Characters that XML 1.0 forbids, and DEL and C1 controls, which it allows but which steer some terminals.
_XML_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Bidirectional controls reorder what a reader sees; U+2028 and U+2029 break lines.
_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)


def xml_text(text: object) -> str:
    """Escape what XML 1.0 forbids the way pytest does: ``#x1B`` for a visible escape character."""
    return _XML_FORBIDDEN.sub(_as_number, str(text))


def xml_line(text: object) -> str:
    """Escape like :func:`xml_text`, line breaks, tabs and direction marks too: for names, which stand in one line."""
    line = str(text)
    # Python calls everything printable that is neither steering nor a separator: the usual case costs nothing.
    return line if line.isprintable() else _STEERING.sub(_as_number, line)


def _as_number(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"#x{code:02X}" if code <= 0xFF else f"#x{code:04X}"


def terminal_line(text: object) -> str:
    """Escape control characters, lone surrogates and direction marks as Python writes them in a string."""
    return _STEERING.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), str(text))


def unicode_text(text: str) -> str:
    """Replace lone surrogates (file names that are no UTF-8), which neither UTF-8 nor strict JSON can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
