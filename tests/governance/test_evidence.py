"""Evidence without a sign-off is owed, whatever state the file is in."""

from __future__ import annotations

import pytest

from pytest_mle.governance.evidence import judge_evidence
from pytest_mle.records.verdict import Verdict
from pytest_mle.spec.model import Evidence


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "does not exist yet"),
        ("", "is empty"),
        ("Label what is visible.", "awaits a sign-off by safety engineer"),
    ],
)
def test_file_is_pending(tmp_path, content, reason):
    """Absent, empty and unreviewed files are PENDING, each with what is owed."""
    if content is not None:
        (tmp_path / "guide.md").write_text(content)
    judged = judge_evidence(Evidence("file", "guide.md", role="safety engineer"), tmp_path)
    assert judged.verdict is Verdict.PENDING
    assert reason in judged.reason


def test_file_outside_the_project_is_an_error(tmp_path):
    """A spec cannot point outside its folder."""
    judged = judge_evidence(Evidence("file", "../other.md"), tmp_path)
    assert judged.verdict is Verdict.ERROR


def test_reference_is_pending(tmp_path):
    """What is no file cannot be looked at, and is owed too."""
    assert judge_evidence(Evidence("reference", "PROJ-7"), tmp_path).verdict is Verdict.PENDING
