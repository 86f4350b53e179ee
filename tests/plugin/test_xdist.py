"""With workers: the same verdicts and numbers, work done once, checks of time alone, nothing lost."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pytest
from checklist_project import CONFTEST, item
from perception_project import HEADER as PERCEPTION
from perception_project import ITEMS, write_perception

from pytest_mle.engine.store import Trust
from pytest_mle.plugin.result_book import ResultBook
from pytest_mle.plugin.run_reports import RunReports
from pytest_mle.plugin.settings import Settings
from pytest_mle.spec.load import load_spec

SLICED = """\
  - id: SLICED
    title: Detection by number
    base_practice: MLE.4.BP3
    check: detection_quality
    for_each:
      - {name: all, with: {score_threshold: 0.5}}
      - {name: strict, with: {score_threshold: 0.95}}
    accept: ["map_50 >= 90 % at 95 % confidence", precision >= 90 % by point value]
  - id: LATENCY
    title: Latency
    base_practice: MLE.4.BP3
    check: latency_profile
    with: {runs: 200}
    accept: [latency_p95 <= 10 s by point value]
  - id: MET
    title: Every requirement is met
    base_practice: MLE.4.BP7
    check: acceptance_criteria_met
    accept: [requirements_failed == 1, requirements_verified == 1]
"""
REQUIREMENTS = """
    requirements:
      - {id: REQ-1, text: Small., criteria: [file_size < 1 MB], under: {check: model_size}}
      - {id: REQ-2, text: Tiny., criteria: [file_size < 1 B], under: {check: model_size}}
    items:
"""
HEADER = PERCEPTION.replace("\n    items:\n", REQUIREMENTS)
PROJECT = (
    *ITEMS,
    "  - {id: R1, title: Small, base_practice: MLE.4.BP3, verifies: [REQ-1]}",
    "  - {id: R2, title: Tiny, base_practice: MLE.4.BP3, verifies: [REQ-2]}",
    item("RANDOM", "random_value", ["value < 1", "value < 0.5"]),
    item("VARIANTS", "varied", "value <= 2"),
    SLICED,
)
VARIED = """

@pytest.fixture(params=[1, 2, 3])
def varied(request):
    return lambda: {"value": request.param}
"""


def _stable(results):
    """Leave out what is measured in time or memory, and when it was."""
    stable = {}
    for name, one in results.items():
        kept = {key: value for key, value in one.items() if key not in ("started", "duration_s")}
        if name == "LATENCY":
            kept = {key: kept[key] for key in ("verdict", "criteria", "parameters")}
            kept["criteria"] = [[c["text"], c["verdict"]] for c in kept["criteria"]]
        stable[name] = kept
    return stable


def test_same_verdicts_and_numbers_however_it_is_distributed(project):
    """Alone, with two workers, from the cache and without it, by file and by scope: results.json says the same."""
    write_perception(project.pytester.path)
    project.conftest(CONFTEST + VARIED)
    project.spec(*PROJECT, header=HEADER)
    first = project.run()
    alone = _stable(project.results())
    assert {name: one["verdict"] for name, one in alone.items()} == {
        "DATA": "PASS",
        "DETECT": "PASS",
        "SIZE": "PASS",
        "TRAIN": "PASS",
        "R1": "PASS",
        "R2": "FAIL",
        "RANDOM": alone["RANDOM"]["verdict"],
        "VARIANTS[1]": "PASS",
        "VARIANTS[2]": "PASS",
        "VARIANTS[3]": "FAIL",
        "SLICED[all]": alone["SLICED[all]"]["verdict"],
        "SLICED[strict]": alone["SLICED[strict]"]["verdict"],
        "LATENCY": "PASS",
        "MET": "PASS",
    }
    for arguments in (
        ["-n", "2"],
        ["-n", "2", "--dist", "loadfile", "--mle-no-cache"],
        ["-n", "2", "--dist", "loadscope"],
    ):
        outcome = project.run(*arguments, process=True)
        assert outcome.ret == first.ret == 1
        assert _stable(project.results()) == alone, arguments
        outcome.stdout.no_fnmatch_line("*Traceback*")
    assert project.run("--mle-no-cache", "-p", "no:randomly").ret == 1
    assert _stable(project.results()) == alone


COUNTS = """
import os
from pathlib import Path
from pytest_mle.inputs import prediction_pass

predict = prediction_pass.predict_dataset

def counted(*arguments):
    with Path("passes.txt").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(0.5)
    return predict(*arguments)

prediction_pass.predict_dataset = counted
"""


def test_predictions_are_computed_once_for_all_workers(project):
    """Two workers that need the same predictions at once share one pass; the next run needs none."""
    folder = project.pytester.path
    write_perception(folder)
    project.conftest(CONFTEST + COUNTS)
    project.spec(
        *(item(f"D-{n}", "detection_quality", "map_50 >= 90 % by point value") for n in range(4)), header=PERCEPTION
    )
    for arguments in (["-n", "2"], []):
        assert project.run(*arguments, process=True).ret == 0
        assert len((folder / "passes.txt").read_text().splitlines()) == 1
    files = sorted(path.suffix for path in (folder / ".mle-cache/predictions").iterdir())
    assert files == [".lock", ".npz"]
    assert (folder / ".mle-cache/.gitignore").read_text() == "*\n"


def test_no_cache_writes_no_folder(project):
    """`--mle-no-cache` computes in memory and leaves no file; `--mle-cache-dir` puts them elsewhere."""
    folder = project.pytester.path
    write_perception(folder)
    project.spec(ITEMS[1], header=PERCEPTION)
    assert project.run("--mle-no-cache").ret == 0
    assert not (folder / ".mle-cache").exists()
    assert project.run("--mle-cache-dir=elsewhere/cache").ret == 0
    assert not (folder / ".mle-cache").exists()
    assert list((folder / "elsewhere/cache/predictions").glob("*.npz"))


def _cut(path):
    path.write_bytes(path.read_bytes()[:100])


def _folder_instead(path):
    path.unlink()
    path.mkdir()


def _garbage(path):
    path.write_bytes(os.urandom(3000))


@pytest.mark.parametrize(
    ("suffix", "damage", "is_mended"),
    [
        (".npz", _cut, True),
        (".npz", _garbage, True),
        (".npz", _folder_instead, False),
        (".lock", _folder_instead, True),
    ],
)
def test_broken_cache_costs_time_and_not_the_result(project, suffix, damage, is_mended):
    """A cut, overwritten or blocked file of the cache is computed anew, and no half file is left."""
    folder = project.pytester.path
    write_perception(folder)
    project.spec(ITEMS[1], header=PERCEPTION)
    project.run()
    before = _stable(project.results())
    (file,) = (folder / ".mle-cache/predictions").glob(f"*{suffix}")
    damage(file)
    assert project.run().ret == 0
    assert _stable(project.results()) == before
    assert {path.suffix for path in file.parent.iterdir()} == {".lock", ".npz"}
    assert len(list(file.parent.iterdir())) == 2
    assert not is_mended or (file.parent / f"{file.stem}.npz").stat().st_size > 500


def test_cache_folder_that_cannot_be_written(project):
    """Where the cache folder is a file, predictions are computed each time."""
    folder = project.pytester.path
    write_perception(folder)
    (folder / ".mle-cache").write_text("in the way")
    project.spec(ITEMS[1], header=PERCEPTION)
    assert project.run().ret == 0
    assert (folder / ".mle-cache").read_text() == "in the way"


TIMED = """
import json
from pathlib import Path

def stamped(name, exclusive):
    @mle.check(quantities={"rate": mle.exact("1")}, exclusive=exclusive)
    def measure():
        begin = time.time()
        time.sleep(0.4)
        with Path("times.jsonl").open("a") as file:
            file.write(json.dumps([name, begin, time.time()]) + "\\n")
        return {"rate": 1}
    return measure

@pytest.fixture
def alone_1():
    return stamped("alone_1", True)

@pytest.fixture
def alone_2():
    return stamped("alone_2", True)

@pytest.fixture
def beside_1():
    return stamped("beside_1", False)

@pytest.fixture
def beside_2():
    return stamped("beside_2", False)
"""


def test_exclusive_checks_run_alone(project):
    """While a check of time runs, no other does in any worker, whether it comes first or last; the others run at once."""
    project.conftest(CONFTEST + TIMED)
    names = ["alone_1", "beside_1", "beside_2", "beside_1", "beside_2", "alone_2"]
    project.spec(*(item(f"T-{n}", name, "rate == 1") for n, name in enumerate(names)))
    assert project.run("-n", "3", process=True).ret == 0
    lines = (project.pytester.path / "times.jsonl").read_text().splitlines()
    runs = [json.loads(line) for line in lines]
    assert len(runs) == len(names)
    overlaps = {
        frozenset((one[0], other[0]))
        for place, one in enumerate(runs)
        for other in runs[place + 1 :]
        if one[1] < other[2] and other[1] < one[2]
    }
    assert overlaps
    assert not any(name.startswith("alone") for pair in overlaps for name in pair)


def test_derived_items_wait_for_all_and_are_not_judged_on_a_part(project):
    """An item that judges others is judged after all of them, and not at all where one was deselected."""
    write_perception(project.pytester.path)
    project.spec(*PROJECT[4:6], SLICED[SLICED.index("  - id: MET") :], header=HEADER)
    assert project.run("-n", "2", process=True).ret == 1
    assert project.verdicts() == {"R1": "PASS", "R2": "FAIL", "MET": "PASS"}
    outcome = project.run("-n", "2", "-k", "R1 or MET", process=True)
    assert project.verdicts() == {"R1": "PASS", "R2": "NOT_SELECTED", "MET": "NOT_SELECTED"}
    assert outcome.ret == 0


@pytest.mark.parametrize("arguments", [(), ("-n", "1")])
def test_variants_that_never_reported_do_not_vanish(project, arguments):
    """With `-x` the variants of a parametrized fixture that did not run are ERROR, each by its name."""
    project.conftest(CONFTEST + VARIED)
    project.spec(item("A-01", "varied", "value < 2"), item("A-02"))
    assert project.run("-x", *arguments, process=bool(arguments)).ret != 0
    assert project.verdicts() == {"A-01[1]": "PASS", "A-01[2]": "FAIL", "A-01[3]": "ERROR", "A-02": "ERROR"}


def test_selected_variant_is_not_held_against_the_others(project):
    """A node id of one variant runs it alone; the others were deselected, not lost."""
    project.conftest(CONFTEST + VARIED)
    project.spec(item("A-01", "varied", "value <= 2"))
    assert project.run("spec.yaml::MLE.4::MLE.4.BP3::A-01[2]").ret == 0
    assert project.verdicts() == {"A-01[2]": "PASS"}


GROUPED = """
def pytest_collection_modifyitems(items):
    for one in items:
        one.add_marker(pytest.mark.xdist_group("gpu"))
"""


def test_items_with_a_group_of_workers_are_judged(project):
    """`--dist loadgroup` with marks of a project changes no verdict."""
    project.conftest(CONFTEST + GROUPED)
    project.spec(item("A-01"), item("A-02", accept="errors >= 1"))
    assert project.run("-n", "2", "--dist", "loadgroup", process=True).ret == 1
    assert project.verdicts() == {"A-01": "PASS", "A-02": "FAIL"}


def test_node_ids_of_workers_find_their_items(project):
    """Slices, parameters with brackets and colons, and the groups that xdist appends lead to the planned item."""
    path = project.spec(item("A-01"), item("A-02", for_each=[{"name": "rain"}, {"name": "fog"}]), item("A-1"))
    spec = load_spec(path, overrides=(), environment={}, find_check=lambda _: None, known_checks=())
    book = ResultBook([spec])
    settings = Settings(report_folder=None, cache_folder=None, trust=Trust(), overrides=(), is_run=True)
    reports = RunReports(settings, book, path.parent, datetime.now(UTC))
    start = "spec.yaml::MLE.4::MLE.4.BP3::"
    tails = ["A-01", "A-01@gpu", "A-01[x[1]::y]", "A-02[rain]", "A-02[fog][2]@a[b]", "A-011", "A-03", "A-02[snow]"]
    found = {
        node.name: node.planned for node in reports.nodes_of([start + tail for tail in tails] + ["test_x.py::test"])
    }
    assert found == {
        "A-01": "A-01",
        "A-01@gpu": "A-01",
        "A-01[x[1]::y]": "A-01",
        "A-02[rain]": "A-02[rain]",
        "A-02[fog][2]@a[b]": "A-02[fog]",
    }


def test_run_without_xdist(project):
    """The plugin needs no xdist: its hooks for workers are optional."""
    project.spec(item("A-01"))
    assert project.run("-p", "no:xdist", process=True).ret == 0
    assert project.verdicts() == {"A-01": "PASS"}
