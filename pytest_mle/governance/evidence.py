"""Evidence: a document or record that a person reviews; nobody's sign-off means still owed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.records.result import EvidenceResult
from pytest_mle.records.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_mle.spec.model import Evidence


def judge_evidence(evidence: Evidence, root: Path) -> EvidenceResult:
    """Say what is owed of one piece of evidence.

    A file that exists is not yet a review: without a recorded sign-off evidence is PENDING, and sign-offs cannot be
    recorded yet.
    """
    text = f"{evidence.kind} {evidence.target}"
    by = f" by {evidence.role}" if evidence.role else ""
    if evidence.kind in ("file", "folder"):
        target = (root / evidence.target).resolve()
        if not target.is_relative_to(root.resolve()):
            return EvidenceResult(text, Verdict.ERROR, f"{text} lies outside the spec's folder")
        present = target.is_file() if evidence.kind == "file" else target.is_dir()
        if not present:
            return EvidenceResult(text, Verdict.PENDING, f"{text} does not exist yet; a sign-off{by} is owed after it")
        if evidence.kind == "file" and target.stat().st_size == 0:
            return EvidenceResult(text, Verdict.PENDING, f"{text} is empty")
    return EvidenceResult(text, Verdict.PENDING, f"{text} awaits a sign-off{by}")
