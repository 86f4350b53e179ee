"""Reports as files: whole or told, in their place, beside pytest's own, whatever options pytest is given."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from checklist_project import CONFTEST, item

BREAKS = """
import resource, shutil
from pathlib import Path

REPORTS = Path("mle-reports")

@pytest.fixture
def blocks_folder():
    def measure():
        shutil.rmtree(REPORTS)
        REPORTS.write_text("in the way")
        return {"rate": 1}
    return measure

@pytest.fixture
def removes_folder():
    def measure():
        shutil.rmtree(REPORTS)
        return {"rate": 1}
    return measure

@pytest.fixture
def fills_disk():
    def measure():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        found = [mle.Finding("x" * 1000) for _ in range(50)]
        return mle.Measurement({"rate": 1}, findings=(mle.Findings.collect("rate", found),))
    return measure

@pytest.fixture
def skips_itself():
    return lambda: pytest.skip("no GPU here")
"""


def _files(project, folder="mle-reports"):
    return sorted(
        path.relative_to(project.pytester.path / folder).as_posix()
        for path in (project.pytester.path / folder).rglob("*")
        if path.is_file()
    )


@pytest.mark.parametrize(
    ("check", "why"),
    [
        ("blocks_folder", "*NO REPORTS: cannot write *mle-reports*"),
        ("fills_disk", "*NO REPORTS: cannot write *File too large*"),
    ],
)
def test_reports_that_cannot_be_written_are_told_and_red(project, check, why):
    """A full disk or a folder that vanished under a run of green items ends it with exit code 1 and one sentence."""
    project.conftest(CONFTEST + BREAKS)
    project.spec(item("A-01", check, "rate == 1"), item("A-02"))
    outcome = project.run("-p", "no:cacheprovider", process=True)
    assert outcome.ret == 1
    outcome.assert_outcomes(passed=2)
    outcome.stdout.fnmatch_lines([why])
    told = outcome.stdout.str() + outcome.stderr.str()
    assert "Traceback" not in told
    assert "INTERNALERROR" not in told
    folder = project.pytester.path / "mle-reports"
    assert folder.is_file() or not [path for path in folder.rglob("*") if path.suffix in (".json", ".xml", ".tmp")]


def test_folder_that_was_removed_under_the_run_is_made_again(project):
    """A check that cleans up too much does not cost the reports."""
    project.conftest(CONFTEST + BREAKS)
    project.spec(item("A-01", "removes_folder", "rate == 1"), item("A-02"))
    assert project.run().ret == 0
    assert project.verdicts() == {"A-01": "PASS", "A-02": "PASS"}


@pytest.mark.parametrize("place", ["mle-reports", "mle-reports/junit", "mle-reports/results.json/x"])
def test_something_in_the_way_of_the_reports_is_told_before_anything_runs(project, place):
    """A file where the folder must be, or a folder where a file must be, ends the run with exit code 4."""
    project.spec(item("A-01"))
    path = project.pytester.path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")
    outcome = project.run()
    assert outcome.ret == 4
    outcome.stderr.fnmatch_lines(["ERROR: cannot write *mle-reports*. Choose another folder with --mle-report-dir."])
    assert path.read_text() == "in the way"
    assert project.run("--mle-report-dir=other").ret == 0


def test_report_folder_is_seen_from_the_current_folder(project):
    """`--mle-report-dir` may be nested, absolute or shared with other files, which stay."""
    project.spec(item("A-01"), name="sub/spec.yaml")
    project.pytester.path.joinpath("deep/er/junit").mkdir(parents=True)
    others = ["notes.txt", "junit/TEST-other.xml"]
    for name in others:
        (project.pytester.path / "deep/er" / name).write_text("<testsuite/>")
    assert project.run("--mle-report-dir=deep/er", spec="sub/spec.yaml").ret == 0
    assert set(others) < set(_files(project, "deep/er"))
    assert "results.json" in _files(project, "deep/er")
    assert not (project.pytester.path / "mle-reports").exists()
    absolute = project.pytester.path / "absolute"
    assert project.run(f"--mle-report-dir={absolute}", spec="sub/spec.yaml").ret == 0
    assert "results.json" in _files(project, "absolute")


def test_no_report_writes_none_and_leaves_an_older_one(project):
    """`--mle-no-report` touches no folder; the gate and the summary are the same."""
    project.spec(item("A-01", accept="errors >= 1"))
    project.run()
    before = {name: (project.pytester.path / "mle-reports" / name).stat().st_mtime_ns for name in _files(project)}
    outcome = project.run("--mle-no-report")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["gate: RED*"])
    assert {name: (project.pytester.path / "mle-reports" / name).stat().st_mtime_ns for name in before} == before
    shutil.rmtree(project.pytester.path / "mle-reports")
    project.run("--mle-no-report")
    assert not (project.pytester.path / "mle-reports").exists()


def test_files_of_an_earlier_run_do_not_stay(project):
    """A base practice that has no item any more leaves no JUnit file behind, nor does a partial file."""
    project.spec(item("A-01"), item("B-01", base_practice="MLE.3.BP1"))
    project.run()
    assert len([name for name in _files(project) if name.endswith(".xml")]) == 2
    project.spec(item("A-01"))
    project.run()
    assert _files(project) == ["junit/TEST-MLE.4.BP3.xml", "results.json"]


@pytest.mark.parametrize("arguments", [(), ("-n", "2")])
def test_pytests_own_junit_file_agrees(project, arguments):
    """`--junitxml` of pytest works beside ours, and an item that skipped itself is a failure in both."""
    project.conftest(CONFTEST + BREAKS)
    project.spec(
        item("A-01"),
        item("A-02", accept="errors >= 1"),
        item("A-03", "skips_itself", "rate == 1"),
        item("A-04", not_applicable="no camera"),
        item("A-05", accept=[]),
    )
    assert project.run("--junitxml=own.xml", *arguments, process=bool(arguments)).ret == 1
    own = ET.parse(project.pytester.path / "own.xml").getroot().find("testsuite")
    ours = ET.parse(project.pytester.path / "mle-reports/junit/TEST-MLE.4.BP3.xml").getroot().find("testsuite")
    bad = {
        suite: {
            case.get("name")
            for case in suite.iter("testcase")
            if case.find("failure") is not None or case.find("error") is not None
        }
        for suite in (own, ours)
    }
    assert {name.split()[0] for name in bad[ours]} == bad[own] == {"A-02", "A-03", "A-05"}
    assert {case.get("name") for case in own.iter("testcase") if case.find("skipped") is not None} == {"A-04"}
    assert own.get("tests") == ours.get("tests") == "5"


@pytest.mark.parametrize(
    "arguments", [("-p", "no:terminal"), ("-q",), ("-qq",), ("-v",), ("-vv",), ("-s",), ("--capture=sys",), ("-rA",)]
)
def test_verbosity_and_plugins_change_neither_verdict_nor_reports(project, arguments):
    """The reports and the exit code do not depend on what the terminal shows."""
    project.spec(item("A-01"), item("A-02", accept="errors >= 1"))
    assert project.run(*arguments).ret == 1
    assert project.verdicts() == {"A-01": "PASS", "A-02": "FAIL"}


@pytest.mark.parametrize(("arguments", "shown"), [((), ".F"), (("-v",), "*A-02 FAIL*")])
def test_terminal_shows_verdicts(project, arguments, shown):
    """The letters and words of a run are verdicts, and the summary names gate and folder."""
    project.spec(item("A-01"), item("A-02", accept="errors >= 1"))
    outcome = project.run(*arguments)
    outcome.stdout.fnmatch_lines([f"*{shown}*", "gate: RED*", "reports: mle-reports"])


def test_collect_only_prints_node_ids(project):
    """`--co -q` lists node ids that pytest takes back, slices and variants of a fixture too."""
    project.conftest(
        CONFTEST + "\n@pytest.fixture(params=[1, 2])\ndef varied(request):\n    return lambda: {'rate': 1}\n"
    )
    project.spec(item("A-01", for_each=[{"name": "rain"}, {"name": "fog"}]), item("B-01", "varied", "rate == 1"))
    outcome = project.run("--co", "-q")
    assert outcome.ret == 0
    ids = [line for line in outcome.stdout.lines if "::" in line]
    start = "spec.yaml::MLE.4::MLE.4.BP3::"
    assert ids == [start + name for name in ("A-01[rain]", "A-01[fog]", "B-01[1]", "B-01[2]")]
    assert project.run(*ids[1:3]).ret == 0
    assert project.verdicts() == {"A-01[rain]": "NOT_SELECTED", "A-01[fog]": "PASS", "B-01[1]": "PASS"}


def test_last_failed_with_one_item(project):
    """`--lf` runs the one red item again, and everything once it is green."""
    project.spec(item("A-01", accept="errors >= 1"))
    assert project.run("--lf").ret == 1
    assert project.run("--lf").ret == 1
    assert project.verdicts() == {"A-01": "FAIL"}
    project.spec(item("A-01"))
    for _ in range(2):
        assert project.run("--lf").ret == 0
        assert project.verdicts() == {"A-01": "PASS"}


def test_everything_deselected_is_not_green(project):
    """An expression that selects nothing shows nothing."""
    project.spec(item("A-01"))
    assert project.run("-k", "nothing").ret != 0
    assert project.report()["gate"]["reasons"] == ["no item was selected, so nothing is shown"]


def test_internal_error_closes_the_gate(project):
    """A plugin that crashes pytest after the last green item leaves a red report."""
    project.conftest(
        CONFTEST
        + "\ndef pytest_runtest_logfinish(nodeid):\n    if 'A-02' in nodeid:\n        raise RuntimeError('broken plugin')\n"
    )
    project.spec(item("A-01"), item("A-02"))
    assert project.run(process=True).ret == 3
    assert project.verdicts() == {"A-01": "PASS", "A-02": "PASS"}
    assert not project.report()["gate"]["is_green"]
    assert project.report()["problems"] == ["the run ended with an internal error of pytest or of one of its plugins"]


def test_other_tests_that_fail_close_the_run_and_not_the_gate(project):
    """A failing unit test beside the checklist makes the exit code 1; the report says that the checklist is green."""
    project.pytester.makepyfile(test_other="def test_other(): assert False")
    project.spec(item("A-01"))
    assert project.run("test_other.py").ret == 1
    assert project.report()["gate"]["is_green"]
    assert project.report()["exit_code"] == 1


def test_strict_python_finds_nothing_and_only_reports_stay(project):
    """With warnings as errors and development mode a run says nothing unusual and leaves only what it must."""
    project.spec(item("A-01"), item("A-02", "model_size", "file_size < 1 MB"))
    environment = {
        **os.environ,
        "PYTHONWARNINGS": "error",
        "PYTHONDEVMODE": "1",
        "TMPDIR": str(project.pytester.mkdir("tmp")),
    }
    for more in ([], ["-n", "2"]):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-W",
            "error",
            "--mle-spec=spec.yaml",
            "-p",
            "no:cacheprovider",
            *more,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 1
        assert "warning" not in (done.stdout + done.stderr).lower()
        assert project.verdicts() == {"A-01": "PASS", "A-02": "PENDING"}
        assert not list((project.pytester.path / "tmp").iterdir())
        assert _files(project) == ["junit/TEST-MLE.4.BP3.xml", "results.json"]


def test_reports_are_readable_for_others(project):
    """Reports have the permissions of ordinary files: a CI runner that collects them is another user."""
    project.spec(item("A-01"))
    before = os.umask(0o022)
    try:
        project.run()
    finally:
        os.umask(before)
    for name in _files(project):
        assert (project.pytester.path / "mle-reports" / name).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("how", ["repository", "job"])
def test_places_are_seen_from_the_top_of_the_repository(project, monkeypatch, how):
    """GitLab links to files from the repository's top, wherever in it pytest was started."""
    top = project.pytester.path
    if how == "job":
        monkeypatch.setenv("CI_PROJECT_DIR", str(top))
    else:
        monkeypatch.delenv("CI_PROJECT_DIR", raising=False)
        (top / ".git").mkdir()
    folder = top / "models" / "detector"
    (top / "pytest.ini").write_text("[pytest]\n")
    header = "mle_spec: 1\nextends: [{checklist: aspice-mle, only: [MLE4-3.2-01]}]\nprocesses: [MLE.4]\nitems:\n"
    project.spec(item("A-01"), name="models/detector/spec.yaml", header=header)
    shutil.copy(top / "conftest.py", folder)
    monkeypatch.chdir(folder)
    assert project.run().ret == 1
    cases = [one for path in (folder / "mle-reports/junit").iterdir() for one in ET.parse(path).iter("testcase")]
    assert len(cases) > 2
    assert {one.get("file") for one in cases} == {"models/detector/spec.yaml"}
    assert [one.get("line") for one in cases if one.get("name") == "A-01"] == ["5"]


def test_used_inputs_are_listed_with_their_digests(project):
    """The top of results.json says which data and models the verdicts rest on."""
    top = project.pytester.path
    (top / "c.yaml").write_text("epochs: 3\n")
    project.conftest(
        "import pytest\n@pytest.fixture\ndef epochs(mle_config):\n    return lambda: {'epochs': mle_config.get('epochs')}\n"
    )
    header = "mle_spec: 1\nproject: {name: x}\nprocesses: []\ninputs: {configs: {train: {path: c.yaml}}}\nitems:\n"
    project.spec(item("A-01", "epochs", "epochs == 3 by point value"), header=header)
    assert project.run().ret == 0
    digest = hashlib.sha256(b"epochs: 3\n").hexdigest()
    assert project.report()["specs"][0]["inputs"] == {"configs": {"train": {"sha256": digest}}}


@pytest.mark.parametrize(("images", "is_there"), [("off", False), ("blurred", False), ("shown", True)])
def test_pictures_follow_the_policy(project, images, is_there):
    """A picture that a check embeds reaches results.json as it is only if the policy shows images."""
    project.conftest(
        "import pytest, pytest_mle as mle\n@pytest.fixture\ndef draws():\n    def measure():\n"
        "        figure = mle.Figure('image_grid', 'sheet', images=('data:image/png;base64,c2VjcmV0',))\n"
        "        return mle.Measurement({'rate': 1}, figures=(figure,))\n    return measure\n"
    )
    header = f"mle_spec: 1\nprocesses: []\npolicy: {{images: {images}}}\nitems:\n"
    project.spec(item("A-01", "draws", "rate == 1 by point value"), header=header)
    assert project.run().ret == 0
    text = (project.pytester.path / "mle-reports" / "results.json").read_text(encoding="utf-8")
    assert ("c2VjcmV0" in text) is is_there
    assert "sheet" in text
