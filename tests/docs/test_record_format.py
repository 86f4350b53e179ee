"""The page of the record format names every key as the reader explains it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mle.inputs.records.fields import QUANTITY, RECORD, SERIES
from pytest_mle.inputs.records.reading import OPTIONS

PAGE = (Path(__file__).parents[2] / "docs/reference/record-format.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("key", "field"), [*RECORD.items(), *QUANTITY.items()], ids=[*RECORD, *QUANTITY])
def test_every_key_stands_in_a_table(key, field):
    """Key, whether it must be there, and its meaning are those of the code."""
    assert f"| `{key}`{' (required)' if field.is_required else ''} | {field.description} |" in PAGE


def test_keys_of_series_and_of_the_entry_are_named():
    """The keys of a series stand in a sentence, those of the spec's entry in a table."""
    for key, field in SERIES.items():
        assert f"`{key}` ({field.description})" in PAGE
    for option in OPTIONS:
        assert f"| `{option}` |" in PAGE
