"""What counts as a declared value: one that somebody has decided, in the type that it means."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# As the whole value, in any case and with any markup around it.
_PLACEHOLDER = re.compile(
    r"(?:tb[dacs]|to ?do|fixme|xxx+|placeholder|changeme|unknown|undefined|unset|null|nil|nan|n\.?/?a\.?"
    r"|to be (?:defined|determined|done|decided|specified|added)|fill (?:me )?in|lorem ipsum.*)?[\s.!:?…_*`-]*",
    re.IGNORECASE | re.DOTALL,
)
# At the beginning of a value: `TODO: ask the data team`.
_OPEN_POINT = re.compile(r"\W*(?:tb[da]|todo|fixme)\b", re.IGNORECASE)
_TEMPLATE = re.compile(
    r"<[^<>]*>|\{\{.*\}\}|\$\{.*\}|\[\s*(?:\.{3}|…|insert .*|your .*)\s*\]", re.IGNORECASE | re.DOTALL
)
_NUMBER = re.compile(
    r"[+-]?(?:\d[\d_]*(?:,\d{3})*|\d{1,3}(?:[ ']\d{3})+)?(?:[.,]\d+)?(?<=\d)(?:[eE][+-]?\d+)?"
    r"(?:\s*%|(?:\s+[a-zA-Z]+)?(?:\s*\(.*\))?)"
)
_NONE_WORDS = frozenset({"none", "off", "no", "disabled", "not used"})


def is_none_word(value: Any) -> bool:
    """Say whether a value states that something is not used (``none``, ``off``, ``false``)."""
    return value is False or (isinstance(value, str) and value.strip().lower() in _NONE_WORDS)


def why_undeclared(value: Any) -> str | None:
    """Return why a single value declares nothing; None if it does."""
    if value is None:
        return "is empty"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}"
    if isinstance(value, (dict, list, tuple)) and not value:
        return "is empty"
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not text.strip("'\" \t\n"):
        return "is empty"
    if _PLACEHOLDER.fullmatch(text.lstrip("_*`")) or _OPEN_POINT.match(text) or _TEMPLATE.fullmatch(text):
        return f"is a placeholder ({_short(text)!r})"
    return None


def why_no_hyperparameter(value: Any) -> str | None:
    """Return why a value is no hyperparameter: it declares nothing, or is a number that was written as text."""
    undeclared = why_undeclared(value)
    if undeclared is None and isinstance(value, str) and is_number_as_text(value):
        return f"is the text {_short(value)!r}, no number: write it without quotes, unit and separators"
    return undeclared


def is_number_as_text(text: str) -> bool:
    """Say whether a text is a number for people only: ``250,000``, ``1e-7`` in quotes, ``5,000 images``."""
    return _NUMBER.fullmatch(text.strip()) is not None


def leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the values inside nested mappings and lists by dotted name; an empty one is a value itself."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from leaves(one, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)) and value:
        for position, one in enumerate(value):
            yield from leaves(one, f"{name}[{position}]")
    else:
        yield name, value


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
