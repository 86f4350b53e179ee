"""Collection: node ids, selection, both spellings, several specs, specs elsewhere."""

from __future__ import annotations

import pytest
from checklist_project import item

pytestmark = pytest.mark.usefixtures("project")


def test_node_id_holds_process_and_base_practice(project):
    """The node id is spec::process::base practice::item."""
    project.spec(item("A-01"), item("B-01", base_practice="MLE.3.BP1"))
    result = project.run("--collect-only", "-q")
    result.stdout.fnmatch_lines(["spec.yaml::MLE.4::MLE.4.BP3::A-01", "spec.yaml::MLE.3::MLE.3.BP1::B-01"])
    assert result.ret == 0


def test_collect_only_writes_no_report(project):
    """Listing items is not a run: no report appears that could look like one."""
    project.spec(item("A-01"))
    project.run("--collect-only")
    assert not (project.pytester.path / "mle-reports").exists()


@pytest.mark.parametrize("spelling", [["--mle-spec=spec.yaml"], ["--mle-spec", "spec.yaml"]])
def test_both_spellings_of_the_option(project, spelling):
    """The option takes its value after '=' or as the next word."""
    project.spec(item("A-01"))
    result = project.run(*spelling, spec=None)
    assert result.ret == 0
    assert project.verdicts() == {"A-01": "PASS"}


def test_other_tests_are_not_collected(project):
    """`--mle-spec` alone runs the checklist and nothing else."""
    project.pytester.makepyfile(test_other="def test_other(): assert False")
    project.spec(item("A-01"))
    result = project.run()
    result.assert_outcomes(passed=1)


def test_paths_beside_the_spec_run_too(project):
    """Paths on the command line are collected besides the checklist."""
    project.pytester.makepyfile(test_other="def test_other(): pass")
    project.spec(item("A-01"))
    project.run("test_other.py").assert_outcomes(passed=2)


def test_folder_above_the_spec_runs_it_once(project):
    """A folder on the command line that holds the spec does not run it twice or hide the other tests."""
    project.pytester.makepyfile(test_other="def test_other(): pass")
    project.spec(item("A-01"))
    project.run(".").assert_outcomes(passed=2)


def test_select_by_expression(project):
    """`-k` selects items; the others are NOT_SELECTED and do not close the gate."""
    project.spec(item("A-01"), item("B-01", accept="errors >= 1"))
    assert project.run("-k", "A-01").ret == 0
    assert project.verdicts() == {"A-01": "PASS", "B-01": "NOT_SELECTED"}


def test_select_by_marker(project):
    """`-m mle_4_bp3` selects a base practice exactly, `-m mine` an item's own mark; strict markers are content."""
    project.spec(item("A-01"), item("B-01", base_practice="MLE.3.BP1", marks=["mine"]))
    assert project.run("-m", "mle_4_bp3", "--strict-markers").ret == 0
    assert project.verdicts() == {"A-01": "PASS", "B-01": "NOT_SELECTED"}
    assert project.run("-m", "mine").ret == 0
    assert project.verdicts() == {"A-01": "NOT_SELECTED", "B-01": "PASS"}
    assert project.run("-m", "mle_3 or mle_4").ret == 0
    assert project.verdicts() == {"A-01": "PASS", "B-01": "PASS"}


def test_select_by_node_id(project):
    """A node id runs one item; the others count as not selected, not as lost."""
    project.spec(item("A-01"), item("B-01", accept="errors >= 1"))
    assert project.run("spec.yaml::MLE.4::MLE.4.BP3::A-01", spec="spec.yaml").ret == 0
    assert project.verdicts() == {"A-01": "PASS", "B-01": "NOT_SELECTED"}


def test_last_failed(project):
    """`--lf` runs what was red."""
    project.spec(item("A-01"), item("B-01", accept="errors >= 1"), item("C-01", accept=[]))
    assert project.run().ret == 1
    assert project.run("--lf").ret == 1
    assert project.verdicts() == {"A-01": "NOT_SELECTED", "B-01": "FAIL", "C-01": "PENDING"}


def test_without_cache_provider(project):
    """The plugin needs no cache of pytest's."""
    project.spec(item("A-01"))
    assert project.run("-p", "no:cacheprovider").ret == 0


def test_fixtures_are_listed(project):
    """`--fixtures` shows checks and inputs with their first line."""
    project.spec(item("A-01", check="model_size", accept="file_size < 1 MB"))
    result = project.run("--fixtures")
    result.stdout.fnmatch_lines(["*model_size*", "*mle_dataset*"])
    assert result.ret == 0


def test_spec_below_the_current_folder_loads_the_conftest_beside_it(project):
    """A conftest.py next to the spec provides its checks."""
    project.spec(item("A-01", check="beside", accept="rate == 1"), name="specs/spec.yaml")
    (project.pytester.path / "specs/conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef beside():\n    return lambda: {'rate': 1}\n"
    )
    assert project.run(spec="specs/spec.yaml").ret == 0


def test_spec_outside_the_current_folder(project, tmp_path_factory):
    """With '=' a spec elsewhere runs, and finds its own conftest.py."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    path = project.spec(item("A-01", check="beside", accept="rate == 1"), name=str(elsewhere / "spec.yaml"))
    (elsewhere / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef beside():\n    return lambda: {'rate': 1}\n"
    )
    assert project.run(spec=path).ret == 0
    assert project.verdicts() == {"A-01": "PASS"}


def test_spec_outside_with_a_separate_word_is_explained(project, tmp_path_factory):
    """pytest would move its rootdir there, so the message asks for '='."""
    path = project.spec(item("A-01"), name=str(tmp_path_factory.mktemp("elsewhere") / "spec.yaml"))
    result = project.run("--mle-spec", str(path), spec=None, process=True)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*write --mle-spec=*"])


def test_two_specs_at_once(project):
    """Two specs run in one session, each with its own report data, and may use the same item ids."""
    project.spec(item("A-01"), name="one.yaml")
    project.spec(item("A-01"), item("A-02"), name="two.yaml")
    result = project.run("--mle-spec=one.yaml", "--mle-spec=two.yaml", spec=None)
    assert result.ret == 0
    result.assert_outcomes(passed=3)
    assert len({path.name for path in (project.pytester.path / "mle-reports/junit").iterdir()}) == 2


def test_parametrized_fixture_makes_several_results(project):
    """A parametrized fixture of the project runs the item once a parameter, and each counts."""
    project.spec(item("A-01", check="seeded", accept="value == 1"))
    (project.pytester.path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture(params=[1, 2])\ndef seeded(request):\n    return lambda: {'value': request.param}\n"
    )
    assert project.run().ret == 1
    assert project.verdicts() == {"A-01[1]": "PASS", "A-01[2]": "FAIL"}


def test_without_a_spec_nothing_happens(project):
    """Without `--mle-spec` the plugin is silent and writes nothing."""
    project.pytester.makepyfile(test_other="def test_other(): pass")
    result = project.run(spec=None)
    assert result.ret == 0
    assert not (project.pytester.path / "mle-reports").exists()


def test_set_without_a_spec_is_an_error(project):
    """An option that would do nothing says so."""
    assert project.run("--mle-set", "a=b", spec=None).ret == 4
