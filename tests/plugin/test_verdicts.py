"""Verdicts, the gate and broken checks: nothing is green without data."""

from __future__ import annotations

import pytest
from checklist_project import CONFTEST, item


@pytest.mark.parametrize(
    ("accept", "keys", "verdict"),
    [
        ("errors == 0", {}, "PASS"),
        ("errors >= 1", {}, "FAIL"),
        ("rate >= 90 % at 95 % confidence", {}, "INCONCLUSIVE"),
        ("rate >= 85 % at 95 % confidence", {}, "PASS"),
        ("rate >= 99 % at 95 % confidence", {}, "FAIL"),
        ("rate >= 90 % by point value", {}, "PASS"),
        ([], {}, "PENDING"),
        ("errors == 0", {"advise": ["rate >= 96 % by point value"]}, "WARNING"),
        ("errors >= 1", {"advise": ["rate >= 96 % by point value"]}, "FAIL"),
        ("errors == 0", {"not_applicable": "no camera"}, "NOT_APPLICABLE"),
    ],
)
def test_verdict_and_exit_code(project, accept, keys, verdict):
    """Each verdict closes the gate exactly if it is red."""
    project.spec(item("A-01", accept=accept, **keys))
    outcome = project.run()
    assert project.verdicts() == {"A-01": verdict}
    assert outcome.ret == int(verdict in ("FAIL", "INCONCLUSIVE", "PENDING"))


@pytest.mark.parametrize(
    ("check", "keys", "verdict", "reason"),
    [
        ("raises", {}, "ERROR", "RuntimeError: sensor <not> found (raised at *conftest.py:*"),
        ("hangs", {"timeout": "1 s"}, "ERROR", "the check ran longer than its timeout of 1 s"),
        ("returns", {}, "ERROR", "check returns returned nothing.*"),
        ("returns", {"with": {"what": "nan"}}, "INCONCLUSIVE", "rate == 1: rate is nan, not a finite number"),
        ("returns", {"with": {"what": "empty"}}, "ERROR", "check returns returned no quantity at all"),
        ("returns", {"with": {"what": "text"}}, "ERROR", "check returns returned str.*"),
        ("returns", {"with": {"what": "true"}}, "ERROR", "check returns returned bool.*"),
        ("returns", {"with": {"waht": "nan"}}, "ERROR", "*waht*what*"),
        ("undeclared", {}, "ERROR", "*'raet', which it does not declare. Did you mean 'rate'?"),
        ("forgets", {}, "ERROR", "*declares other but returned no value*"),
        ("returns_no_callable", {}, "ERROR", "*must return a function*forgotten*"),
        ("breaks_in_setup", {}, "ERROR", "ValueError: setup is broken*"),
        ("breaks_in_teardown", {}, "ERROR", "ValueError after the measurement: teardown is broken"),
        ("skips", {}, "ERROR", "*skipped by the project*no GPU here*"),
    ],
)
def test_broken_check_is_red_with_one_clear_reason(project, check, keys, verdict, reason):
    """A check that breaks its contract is red, says why in one sentence, and prints no traceback."""
    project.spec(item("A-01", check=check, accept="rate == 1", **keys))
    outcome = project.run()
    outcome.stdout.no_fnmatch_line("Traceback*")
    result = project.results()["A-01"]
    assert result["verdict"] == verdict
    assert outcome.ret == 1
    import fnmatch

    assert fnmatch.fnmatch(result["reasons"][0].replace("[", "("), reason), result["reasons"]


def test_every_base_practice_of_a_claimed_process_must_be_shown(project):
    """One green item does not show a whole process."""
    header = "mle_spec: 1\nproject: {name: x}\nprocesses: [MLE.4]\nitems:\n"
    project.spec(item("A-01"), header=header)
    outcome = project.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["*claimed but not shown*MLE.4.BP1*"])


def test_selected_part_is_not_judged_for_completeness(project):
    """A CI stage that runs a part on purpose can be green."""
    header = "mle_spec: 1\nproject: {name: x}\nprocesses: [MLE.4]\nitems:\n"
    project.spec(item("A-01"), item("B-01"), header=header)
    assert project.run("-k", "A-01").ret == 0


def test_stop_at_first_failure_leaves_errors(project):
    """With `-x` what did not run is ERROR, not silence."""
    project.spec(item("A-01", accept="errors >= 1"), item("B-01"))
    assert project.run("-x").ret == 1
    assert project.verdicts() == {"A-01": "FAIL", "B-01": "ERROR"}


def test_rerun_counts_once(project):
    """pytest-rerunfailures repeats a red item; its last result stands."""
    pytest.importorskip("pytest_rerunfailures")
    project.spec(item("A-01", accept="errors >= 1"))
    project.run("--reruns", "1")
    assert project.verdicts() == {"A-01": "FAIL"}


def test_summary_names_criterion_bound_n_and_line(project):
    """The summary says what decided a red item and where it stands in the spec."""
    project.spec(item("A-01", accept="rate >= 90 % at 95 % confidence"))
    outcome = project.run()
    text = outcome.stdout.str()
    for expected in (
        "MLE.4.BP3",
        "INCONCLUSIVE",
        "rate >= 90 % at 95 % confidence",
        "95.0 %",
        "lower bound",
        "n = 100",
        "spec.yaml:7",
    ):
        assert expected in text, expected


def test_check_of_the_checklist_that_does_not_exist_yet_is_pending(project):
    """An adopted item of a checklist whose check is missing is owed, and a fixture of the project serves."""
    (project.pytester.path / "list.yaml").write_text(
        "mle_checklist: 1\nitems:\n"
        "  - {id: C-1, title: One, base_practice: MLE.4.BP3, check: measured_by_us, accept: [rate == 1]}\n"
        "  - {id: C-2, title: Two, base_practice: MLE.4.BP3, check: measured_by_nobody, accept: [rate == 1]}\n"
    )
    project.conftest("import pytest\n@pytest.fixture\ndef measured_by_us():\n    return lambda **_: {'rate': 1}\n")
    items = [f"  - {{id: {name}, accept: [rate == 1]}}" for name in ("C-1", "C-2")]
    project.spec(*items, header="mle_spec: 1\nextends: [list.yaml]\nprocesses: []\nitems:\n")
    assert project.run().ret == 1
    results = project.results()
    assert results["C-2"]["verdict"] == "PENDING"
    assert "does not exist yet" in results["C-2"]["reasons"][0]
    assert results["C-1"]["verdict"] == "PASS", results["C-1"]["reasons"]


def test_wrapper_of_a_built_in_check_runs(project):
    """A fixture that wraps a built-in check with functools.wraps is what runs, and what the result names."""
    (project.pytester.path / "conftest.py").write_text(
        "import functools, pytest\n"
        "@pytest.fixture\ndef model_size(model_size):\n"
        "    @functools.wraps(model_size)\n    def measure(*inputs, **parameters):\n        raise RuntimeError('wrapped')\n"
        "    return measure\n"
        "@pytest.fixture\ndef mle_model():\n    return object()\n"
    )
    header = "mle_spec: 1\nproject: {name: x}\nprocesses: []\ninputs: {models: {m: {path: m.onnx, "
    header += "task: classification, preprocess: {resize: none}, output: {layout: logits}}}}\nitems:\n"
    project.spec(item("A-01", check="model_size", accept="file_size <= 1 MB"), header=header)
    assert project.run().ret == 1
    result = project.results()["A-01"]
    assert "RuntimeError: wrapped" in result["reasons"][0]
    assert result["is_overridden"]
    assert "conftest.py" in result["check_location"]


def test_custom_check_builds_on_a_built_in_one(project):
    """A project's check may request a built-in check that no item names."""
    (project.pytester.path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef mine(model_size):\n    return lambda: {'callable': int(callable(model_size))}\n"
    )
    project.spec(item("A-01", check="mine", accept="callable == 1 by point value"))
    assert project.run().ret == 0


def test_red_items_are_told_once(project):
    """Our summary tells why an item is red; pytest's FAILURES would say it again, but keeps what a check printed."""
    project.conftest(
        CONFTEST
        + "\n\n@pytest.fixture\ndef prints():\n    def measure():\n        print('seen')\n        return {'rate': 0}\n"
        "    return measure\n"
    )
    project.spec(item("A-01", accept="errors >= 1"), item("A-02", "raises"), item("A-03"))
    outcome = project.run()
    outcome.stdout.no_fnmatch_line("*= FAILURES =*")
    outcome.stdout.no_fnmatch_line("*= ERRORS =*")
    outcome.stdout.fnmatch_lines(["FAIL  A-01*", "*1 failed, 1 passed*1 error in*"])
    project.spec(item("A-01", "prints", accept="rate == 1"), item("A-02", accept="errors >= 1"))
    outcome = project.run()
    outcome.stdout.fnmatch_lines(["*= FAILURES =*", "*_ A-01 _*", "seen", "FAIL  A-01*", "*= 2 failed*"])
    outcome.stdout.no_fnmatch_line("*_ A-02 _*")
    outcome = project.run("--no-summary")
    outcome.stdout.fnmatch_lines(["*= 2 failed*"])


@pytest.mark.parametrize(("criterion", "verdict"), [("errors == 0", "PENDING"), ("errors >= 1", "FAIL")])
def test_what_can_be_measured_is_measured_while_evidence_is_owed(project, criterion, verdict):
    """A hybrid item shows its numbers before anybody signs, and a violated criterion is not hidden by the paper."""
    (project.pytester.path / "list.yaml").write_text(
        "mle_checklist: 1\nitems:\n  - {id: C-1, title: Hybrid, base_practice: MLE.4.BP3, check: constant, "
        f"accept: [{criterion}], evidence_needed: {{artifact: review, roles: [QA]}}}}\n"
    )
    project.spec("  - {id: C-1, title: Ours}", header="mle_spec: 1\nextends: [list.yaml]\nprocesses: []\nitems:\n")
    assert project.run().ret == 1
    result = project.results()["C-1"]
    assert result["verdict"] == verdict
    assert result["reasons"][-1] == "evidence owed: review (QA)"
    assert {one["name"] for one in result["quantities"]} == {"rate", "errors"}
