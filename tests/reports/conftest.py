"""A run with every verdict, golden files, and a restatement of how GitLab reads JUnit XML."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pytest_mle.records.finding import Finding, Findings, ValidityCondition
from pytest_mle.records.result import CriterionResult, EvidenceResult, ItemResult, QuantityResult
from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.run_report import RunReport, SpecReport
from pytest_mle.spec.model import BasePractice, Project

GOLDEN = Path(__file__).parent.parent / "golden"

BASE_PRACTICES = (
    BasePractice("MLE.1.BP1", "Specify ML requirements", "MLE.1"),
    BasePractice("MLE.4.BP3", "Evaluate trained ML model", "MLE.4"),
    BasePractice("MLE.4.BP7", "Summarize and communicate agreed ML test results", "MLE.4"),
    BasePractice("MLE.5.BP1", "Monitor in operation", "MLE.5", is_official=False),
)
ACCURACY = QuantityResult("fgsm_accuracy", 0.753, "1", "estimate", 0.721, 0.783, 0.95, 1812, "Clopper-Pearson")
CRITERION = CriterionResult(
    "fgsm_accuracy >= 80 % at 95 % confidence",
    Verdict.FAIL,
    "fgsm_accuracy >= 80 % at 95 % confidence: fgsm_accuracy is 75.3 %, 95 % upper bound 78.3 %",
    "fgsm_accuracy",
    measured=0.753,
    decided_by="95 % upper bound 78.3 % (Clopper-Pearson)",
    n=1812,
    origin="requirement",
    path="specs/mle.yaml",
    line=44,
)


def make_item(name: str = "MLE4-2.2-01", verdict: Verdict = Verdict.PASS, **changes) -> ItemResult:
    """Return a result that stands under MLE.4.BP3 unless told otherwise."""
    defaults = {
        "item": name.partition("[")[0],
        "title": "FGSM robustness",
        "process": "MLE.4",
        "base_practice": "MLE.4.BP3",
        "path": "specs/mle.yaml",
        "line": 42,
        "duration_s": 1.5,
        "started": "2026-01-04T10:00:01+00:00",
        "kind": "automated",
    }
    return ItemResult(name=name, verdict=verdict, **{**defaults, **changes})


def make_report(*items: ItemResult, path: str = "specs/mle.yaml", processes=("MLE.4",), **changes) -> RunReport:
    """Return the report of one spec with these items."""
    spec = SpecReport(
        path=path,
        project=Project("Pedestrian detection for AEB", "2.1.0", "C"),
        processes=processes,
        process_titles={"MLE.4": "Machine Learning Model Testing"},
        base_practices=BASE_PRACTICES,
        items=items,
        seed=20260104,
        confidence=0.95,
        files={"specs/mle.yaml": "ab" * 32},
        overrides={"inputs.models.candidate.path": "models/new.onnx"},
        inputs={"datasets": {"test": {"sha256": "cd" * 32}}},
    )
    defaults = {
        "started": "2026-01-04T11:00:00+01:00",
        "duration_s": 12.25,
        "exit_code": 1,
        "hostname": "runner-1",
        "versions": {"pytest-mle": "0.1.0"},
        "hardware": {"cores": 2},
    }
    return RunReport(specs=(spec,), **{**defaults, **changes})


def every_verdict() -> RunReport:
    """Return a run in which each verdict occurs with everything that it can say."""
    passed = replace(
        CRITERION,
        text="fgsm_accuracy >= 70 % at 95 % confidence",
        verdict=Verdict.PASS,
        reason="fgsm_accuracy is 75.3 %, 95 % lower bound 72.1 %",
        decided_by="95 % lower bound 72.1 % (Clopper-Pearson)",
    )
    advice = CriterionResult(
        "absolute_accuracy_drop <= 10 pp",
        Verdict.WARNING,
        "absolute_accuracy_drop <= 10 pp: absolute_accuracy_drop is 12.5 pp",
        "absolute_accuracy_drop",
        measured=0.125,
        decided_by="point value",
        is_advisory=True,
        origin="proposed",
    )
    drop = QuantityResult("absolute_accuracy_drop", 0.125, "1", "estimate", method="point value only")
    offenders = Findings.collect(
        "misclassified", [Finding("confidence 0.99 as background", path=f"data/test/{n:04}.jpg") for n in range(30)]
    )
    ran = {
        "check": "adversarial_fgsm",
        "check_location": "pytest_mle/checks/robustness/adversarial_fgsm.py:31",
        "inputs": {
            "dataset": {"name": "test", "sha256": "cd" * 32, "samples": 200},
            "model": {"name": "candidate", "sha256": "ef" * 32},
        },
        "parameters": {"epsilon": 0.01},
        "quantities": (ACCURACY, drop),
        "seed": 20260104,
    }
    return make_report(
        make_item(
            "MLE4-0-PASS",
            criteria=(passed,),
            standards=("ISO/PAS 8800:2024 cl.11",),
            handbook_base_practice="MLE.4.BP2",
            asil="C",
            verifies=("MLE-REQ-008",),
            partially_verifies=("MLE-REQ-009", "MLE-REQ-010"),
            requirement_hashes={"MLE-REQ-008": "12" * 8},
            **ran,
        ),
        make_item("MLE4-1-WARNING", Verdict.WARNING, criteria=(passed, advice), reasons=(advice.reason,), **ran),
        make_item(
            "MLE1-2-PENDING",
            Verdict.PENDING,
            title="Annotation guidelines documented",
            process="MLE.1",
            base_practice="MLE.1.BP1",
            kind="evidence",
            reasons=("file docs/guidelines.md awaits a sign-off by safety engineer",),
            evidence=(
                EvidenceResult(
                    "file docs/guidelines.md",
                    Verdict.PENDING,
                    "file docs/guidelines.md awaits a sign-off by safety engineer",
                ),
            ),
        ),
        make_item(
            "MLE4-3-INCONCLUSIVE[rain]",
            Verdict.INCONCLUSIVE,
            reasons=("validity condition attack_inside_bound does not hold: 3 of 200 samples exceed 0.01",),
            validity=(
                ValidityCondition("finite", holds=True),
                ValidityCondition("attack_inside_bound", holds=False, detail="3 of 200 samples exceed 0.01"),
            ),
            where={"weather": "rain"},
            **ran,
        ),
        make_item(
            "MLE4-4-FAIL",
            Verdict.FAIL,
            criteria=(CRITERION, advice),
            reasons=(CRITERION.reason, advice.reason),
            findings=(offenders,),
            is_overridden=True,
            **ran,
        ),
        make_item(
            "MLE5-5-ERROR",
            Verdict.ERROR,
            title="Drift monitored",
            process="MLE.5",
            base_practice="MLE.5.BP1",
            reasons=("InputError: models/detector.onnx: no such file",),
            check="drift",
        ),
        make_item(
            "MLE4-6-WAIVED",
            Verdict.WAIVED,
            criteria=(CRITERION,),
            reasons=("waiver W-17 by safety manager until 2026-06-30: night data is delivered in May",),
            **ran,
        ),
        make_item("MLE4-7-NA", Verdict.NOT_APPLICABLE, reasons=("the model is not quantised",)),
        make_item("MLE4-8-WEAK", fit="weak", criteria=(passed,), **ran),
    )


@pytest.fixture
def golden():
    """Compare a text with the file of that name in tests/golden; UPDATE_GOLDEN=1 writes it anew."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_text(text, encoding="utf-8", newline="\n")
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(name="make_item", scope="session")
def _make_item():
    return make_item


@pytest.fixture(name="make_report", scope="session")
def _make_report():
    return make_report


@pytest.fixture(name="every_verdict", scope="session")
def _every_verdict():
    return every_verdict()


@dataclass(frozen=True)
class GitLabCase:
    """What GitLab keeps of a test case."""

    suite_name: str
    classname: str
    name: str
    file: str | None
    time: str | None
    status: str
    output: str | None
    attachment: str | None

    @property
    def key(self) -> str:
        """What GitLab hashes to tell test cases apart."""
        return f"{self.suite_name}_{self.classname}_{self.name}"


def _hash(element: ET.Element):
    """Restate ActiveSupport's Hash.from_xml: text wins over attributes, equal names become a list."""
    text = (element.text or "").strip()
    if text and not len(element):
        assert element.get("type") not in ("yaml", "symbol", "date", "datetime", "integer", "float", "array", "file")
        return element.text
    found: dict = dict(element.attrib)
    for child in element:
        key, value = child.tag.replace("-", "_"), _hash(child)
        found[key] = [*(found[key] if isinstance(found[key], list) else [found[key]]), value] if key in found else value
    return found or None


def _gitlab_cases(content: bytes):
    root = ET.fromstring(content)
    assert root.tag == "testsuites"
    for suite in root.iter("testsuite"):
        for case in suite.findall("testcase"):
            data = _hash(case)
            status = next((name for name in ("failure", "error", "skipped") if name in data), "success")
            output = data.get(status)
            assert output is None or isinstance(output, str), f"GitLab would show {output!r}"
            out = data.get("system_out")
            attachment = None
            if status == "failure" and out:
                assert isinstance(out, str), "a second system-out loses the whole file"
                found = re.search(r"\[\[ATTACHMENT\|(.+?)\]\]", out)
                attachment = found[1] if found else None
            yield GitLabCase(
                suite.get("name"),
                data.get("classname"),
                data.get("name"),
                data.get("file"),
                data.get("time"),
                status,
                output,
                attachment,
            )


@pytest.fixture(scope="session")
def gitlab():
    """Read JUnit files of one job as GitLab does: all of them make one suite."""

    def read(files: dict[str, bytes]) -> list[GitLabCase]:
        assert all(len(content) < 30_000_000 for content in files.values())
        return [case for content in files.values() for case in _gitlab_cases(content)]

    return read
