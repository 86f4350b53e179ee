"""Checks that end badly: every item still gets a verdict, the exit code is not 0, and nobody reads a traceback."""

from __future__ import annotations

import json
import os
import signal

import pytest
from checklist_project import CONFTEST, item

from pytest_mle.plugin.timeout import ItemTimeoutError, time_limit

ODD = """
import numpy as np
from pathlib import Path

class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")

def fail(error):
    raise error

def found(message="x", **keys):
    return (mle.Findings.collect("rate", [mle.Finding(message, **keys)]),)

RETURNS = {
    "text in findings": lambda: mle.Measurement({"rate": 1}, findings=["a"]),
    "no findings": lambda: mle.Measurement({"rate": 1}, findings=None),
    "findings bare": lambda: mle.Measurement({"rate": 1}, findings=found()[0]),
    "validity as tuple": lambda: mle.Measurement({"rate": 1}, validity=(("enough", True),)),
    "no settings": lambda: mle.Measurement({"rate": 1}, settings=None),
    "no quantities": lambda: mle.Measurement(None),
    "line as text": lambda: mle.Measurement({"rate": 1}, findings=found(line="seven")),
    "number as name": lambda: {1: 1},
    "text": lambda: {"rate": "1"},
    "truth": lambda: {"rate": True},
    "none": lambda: {"rate": None},
    "generator": lambda: (one for one in [1]),
    "numpy": lambda: mle.Measurement(
        {"rate": np.float64(1)}, findings=(mle.Findings("rate", np.int64(3), found(path=Path("a.png"))[0].shown),),
        settings={"at": Path("a"), 1: {2}, "object": object},
    ),
    "file name": lambda: mle.Measurement({"rate": 1}, findings=found("bad \\udcff", path="\\udcff.png")),
    "file name in error": lambda: fail(ValueError("cannot read \\udcff.png")),
    "controls in error": lambda: fail(ValueError("a\\x00b\\x1b[31m")),
    "unprintable": lambda: fail(Unprintable()),
    "system exit": lambda: fail(SystemExit(0)),
    "skip": lambda: pytest.skip("no GPU"),
    "xfail": lambda: pytest.xfail("known"),
    "exit": lambda: pytest.exit("stop", returncode=0),
    "generator exit": lambda: fail(GeneratorExit()),
    "group": lambda: fail(BaseExceptionGroup("two", [KeyError(1)])),
}

@pytest.fixture
def odd():
    def measure(*, what: str):
        return RETURNS[what]()
    return measure
"""

EXPECTED = {
    "text in findings": "check odd returned str in findings; it must be a tuple of mle.Findings",
    "no findings": "check odd returned NoneType in findings",
    "findings bare": "check odd returned Findings in findings",
    "validity as tuple": "check odd returned tuple in validity; it must be a tuple of mle.ValidityCondition",
    "no settings": "check odd returned settings as NoneType; it must be a mapping",
    "no quantities": "check odd returned quantities as NoneType",
    "line as text": "check odd returned a value of a wrong type: findings.0.shown.0.line",
    "number as name": "check odd returned a value of a wrong type: quantities.0.name",
    "text": "the check returned rate = '1'",
    "truth": "the check returned rate = True",
    "none": "the check returned rate = None",
    "generator": "check odd returned generator",
    "numpy": None,
    "file name": None,
    "file name in error": "ValueError: cannot read \\udcff.png (raised at ",
    "controls in error": "ValueError: a\x00b\x1b[31m (raised at ",
    "unprintable": "Unprintable: its message cannot be shown (RuntimeError) (raised at ",
    "system exit": "SystemExit: 0 (raised at ",
    "skip": "spec.yaml:",
    "xfail": "XFailed: known (raised at ",
    "exit": "Exit: stop (raised at ",
    "generator exit": "GeneratorExit (raised at ",
    "group": "ExceptionGroup: two (1 sub-exception) (raised at ",
}


@pytest.mark.parametrize("arguments", [(), ("-n", "2")])
def test_whatever_a_check_returns_or_raises_is_its_own_verdict(project, arguments):
    """A check that returns nonsense or ends oddly is an ERROR with one sentence; numpy and odd file names are no error."""
    project.conftest(CONFTEST + ODD)
    names = [name.replace(" ", "-") for name in EXPECTED]
    project.spec(
        *(
            item(name, "odd", "rate == 1", **{"with": {"what": what}})
            for name, what in zip(names, EXPECTED, strict=True)
        )
    )
    outcome = project.run(*arguments, process=bool(arguments))
    found = project.results()
    assert list(found) == names
    for name, reason in zip(names, EXPECTED.values(), strict=True):
        assert found[name]["verdict"] == ("PASS" if reason is None else "ERROR"), found[name]
        assert reason is None or found[name]["reasons"][0].startswith(reason), found[name]["reasons"]
        assert len(found[name].get("reasons", ())) == (reason is not None)
    assert found["file-name"]["findings"][0]["shown"][0]["path"] == "\\udcff.png"
    assert found["numpy"]["findings"][0]["total"] == 3
    outcome.assert_outcomes(passed=2, errors=len(EXPECTED) - 2)
    assert outcome.ret == 1
    for line in ("*Traceback*", "*INTERNALERROR*"):
        outcome.stdout.no_fnmatch_line(line)


ENDS = """
import os, signal

@pytest.fixture
def interrupted():
    def measure():
        raise KeyboardInterrupt
    return measure

@pytest.fixture
def terminated():
    def measure():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    return measure

@pytest.fixture
def exits_green():
    pytest.exit("enough for today", returncode=0)

@pytest.fixture
def killed():
    def measure():
        os.kill(os.getpid(), signal.SIGKILL)
    return measure

@pytest.fixture(params=["first", "second", "x[1]::y"])
def killed_once(request):
    def measure():
        if request.param == "second":
            os.kill(os.getpid(), signal.SIGKILL)
        return {"rate": 1}
    return measure
"""


@pytest.mark.parametrize(
    ("check", "code", "problem"),
    [
        ("interrupted", 2, ["the run was interrupted"]),
        ("terminated", 2, ["the run was interrupted"]),
        ("exits_green", 1, []),
    ],
)
def test_run_that_is_ended_in_the_middle_reports_the_rest_as_errors(project, check, code, problem):
    """Ctrl-C, SIGTERM and pytest.exit keep what is measured and call what never ran an ERROR."""
    project.conftest(CONFTEST + ENDS)
    project.spec(item("A-01"), item("A-02", check, "rate == 1"), item("A-03"))
    assert project.run(process=True).ret == code
    assert project.verdicts() == {"A-01": "PASS", "A-02": "ERROR", "A-03": "ERROR"}
    assert project.report()["problems"] == problem
    assert not project.report()["gate"]["is_green"]
    assert "it never reported" in project.results()["A-03"]["reasons"][0]


def test_run_with_workers_that_is_terminated_reports_what_is_known(project):
    """SIGTERM to the controller of two workers leaves red reports of all items and an exit code other than 0."""
    project.conftest(CONFTEST + ENDS.replace("os.getpid(), signal.SIGTERM", "os.getppid(), signal.SIGTERM"))
    project.spec(item("A-01"), item("A-02", "terminated", "rate == 1"), item("A-03", "terminated", "rate == 1"))
    assert project.run("-n", "2", process=True).ret != 0
    verdicts = project.verdicts()
    assert set(verdicts) == {"A-01", "A-02", "A-03"}
    assert (verdicts["A-02"], verdicts["A-03"]) == ("ERROR", "ERROR")
    assert not project.report()["gate"]["is_green"]


AGAIN = """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish():
    os.kill(os.getpid(), signal.SIGTERM)
    return (yield)
"""


def test_second_sigterm_does_not_cut_off_the_reports(project):
    """A runner that repeats SIGTERM while the reports are written gets them all the same."""
    project.conftest(CONFTEST + ENDS + AGAIN)
    project.spec(item("A-01"), item("A-02", "terminated", "rate == 1"))
    assert project.run(process=True).ret == 2
    assert project.verdicts() == {"A-01": "PASS", "A-02": "ERROR"}


def test_signal_handler_is_given_back(project):
    """A program that runs pytest inside itself keeps its own way to end."""
    before = signal.getsignal(signal.SIGTERM)
    project.spec(item("A-01"))
    project.run()
    assert signal.getsignal(signal.SIGTERM) is before


def test_worker_that_dies_makes_its_item_an_error(project):
    """A killed worker costs its item, or the variant of its fixture, and nothing else."""
    project.conftest(CONFTEST + ENDS)
    project.spec(item("A-01"), item("A-02", "killed", "rate == 1"), item("A-03", "killed_once", "rate == 1"))
    outcome = project.run("-n", "2", process=True)
    assert outcome.ret == 1
    assert project.verdicts() == {
        "A-01": "PASS",
        "A-02": "ERROR",
        "A-03[first]": "PASS",
        "A-03[second]": "ERROR",
        "A-03[x[1]::y]": "PASS",
    }
    for name in ("A-02", "A-03[second]"):
        assert "the process that ran it died" in project.results()[name]["reasons"][0]
    outcome.stdout.no_fnmatch_line("*Traceback*")


def test_process_that_dies_leaves_what_was_measured_and_no_report(project):
    """Without workers a crash takes the run with it; finished items stand in partial.jsonl, an older report is gone."""
    project.conftest(CONFTEST + ENDS)
    project.spec(item("A-01"))
    assert project.run().ret == 0
    project.spec(item("A-01"), item("A-02", "killed", "rate == 1"))
    assert project.run(process=True).ret != 0
    folder = project.pytester.path / "mle-reports"
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["partial.jsonl"]
    assert [json.loads(line)["name"] for line in (folder / "partial.jsonl").read_text().splitlines()] == ["A-01"]


HANGS = """
import ctypes
import pytest_mle.plugin.timeout as timeout

timeout.GRACE_S = 0.5

def lock_twice(library):
    mutex = ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)

@pytest.fixture(params=["fine", "stuck"])
def in_c(request):
    return lambda: {"rate": 1} if request.param == "fine" else lock_twice(ctypes.CDLL(None))

@pytest.fixture
def with_interpreter_locked():
    return lambda: lock_twice(ctypes.PyDLL(None))

@pytest.fixture
def swallows():
    def measure():
        while True:
            try:
                time.sleep(10)
            except Exception:
                pass
    return measure
"""


@pytest.mark.parametrize(("check", "name"), [("in_c", "A-02[stuck]"), ("swallows", "A-02")])
def test_check_that_ignores_its_timeout_is_ended_with_reports(project, check, name):
    """A check that hangs in C or swallows the timeout loses its process, after the results were saved."""
    project.conftest(CONFTEST + HANGS)
    project.spec(item("A-02"), name="other.yaml")
    project.spec(item("A-01"), item("A-02", check, "rate == 1", timeout="0.5 s"), item("A-03"))
    outcome = project.run("--mle-spec=other.yaml", process=True)
    assert outcome.ret == 1
    outcome.stderr.fnmatch_lines(["pytest-mle: the check ran longer than its timeout of 0.5 s and does not react*"])
    other, this = project.report()["specs"]
    found = {one["name"]: one for one in this["items"]}
    assert found[name]["verdict"] == "ERROR"
    assert found[name]["reasons"] == ["the check ran longer than its timeout of 0.5 s"]
    assert (found["A-01"]["verdict"], found["A-03"]["verdict"]) == ("PASS", "ERROR")
    assert check != "in_c" or found["A-02[fine]"]["verdict"] == "PASS"
    assert other["items"][0]["verdict"] == "PASS"


def test_check_that_keeps_the_interpreter_locked_is_ended(project):
    """Where no Python thread can run any more, the process ends all the same, with a place and without a green report."""
    project.conftest(CONFTEST + HANGS)
    project.spec(item("A-01"), item("A-02", "with_interpreter_locked", "rate == 1", timeout="0.5 s"))
    outcome = project.run(process=True)
    assert outcome.ret == 1
    outcome.stderr.fnmatch_lines(["Timeout (*", "*lock_twice*"])
    assert not (project.pytester.path / "mle-reports/results.json").exists()


def test_worker_with_a_hanging_check_is_replaced(project):
    """Under xdist a check that hangs in C costs its worker, and the others are judged."""
    project.conftest(CONFTEST + HANGS)
    project.spec(item("A-01"), item("A-02", "in_c", "rate == 1", timeout="0.5 s"), item("A-03"), item("A-04"))
    outcome = project.run("-n", "2", process=True)
    assert outcome.ret == 1
    verdicts = project.verdicts()
    assert verdicts.pop("A-02[stuck]") == "ERROR"
    assert set(verdicts.values()) == {"PASS"}
    assert len(verdicts) == 4
    outcome.stderr.fnmatch_lines(["pytest-mle: the check ran longer than*"])


def test_alarm_of_another_plugin_goes_on_after_a_time_limit():
    """pytest-timeout uses the same alarm around the whole test: it is left as it was, less the time that passed."""
    rang = []
    previous = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    signal.setitimer(signal.ITIMER_REAL, 30)
    try:
        with time_limit(5, lambda _: os._exit(1)):
            assert 4 < signal.getitimer(signal.ITIMER_REAL)[0] <= 5
        assert 25 < signal.getitimer(signal.ITIMER_REAL)[0] <= 30
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_time_limit_interrupts_python_code():
    """Code that runs too long gets an exception that names the limit."""
    with pytest.raises(ItemTimeoutError, match=r"longer than its timeout of 0\.1 s"), time_limit(0.1, lambda _: None):
        signal.pause()


def test_missing_fixture_names_who_asks_for_it(project):
    """A check fixture that asks for an unknown fixture is told with the name, the file and the line of its definition."""
    project.conftest(CONFTEST + "\n@pytest.fixture\ndef asks(no_such):\n    return lambda: {'rate': 1}\n")
    project.spec(item("A-01", "asks", "rate == 1"), item("A-02"))
    outcome = project.run()
    assert project.verdicts() == {"A-01": "ERROR", "A-02": "PASS"}
    reason = project.results()["A-01"]["reasons"][0]
    assert reason.startswith("fixture 'no_such' not found: asks asks for it (")
    line = len((CONFTEST + "\n@").splitlines())
    assert reason.endswith(f"conftest.py:{line})")
    assert outcome.ret == 1
