"""The command line: init, checks, schema, show."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import pytest
import yaml

from pytest_mle.checks.catalogue import BUILT_IN
from pytest_mle.cli.main import main


def test_init_writes_a_project_that_runs(tmp_path, capsys):
    """The files of `init` run at once: the first item measures the README, green with one and red without."""
    assert main(["init", str(tmp_path)]) == 0
    assert "spec.yaml" in capsys.readouterr().out
    run = [sys.executable, "-m", "pytest", "--mle-spec=spec.yaml", "-q", "-p", "no:cacheprovider"]
    red = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert red.returncode == 1, red.stdout
    (tmp_path / "README.md").write_text("A project.\n")
    green = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert green.returncode == 0, green.stdout
    ci = yaml.safe_load((tmp_path / ".gitlab-ci.yml").read_text())
    assert ci["mle"]["artifacts"]["reports"]["junit"] == "mle-reports/junit/TEST-*.xml"


def test_init_never_overwrites(tmp_path, capsys):
    """A file that exists is kept as it is; a second run changes nothing and says so by its exit code."""
    (tmp_path / "spec.yaml").write_text("mine")
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / "spec.yaml").read_text() == "mine"
    assert main(["init", str(tmp_path)]) == 1
    assert capsys.readouterr().out.count("kept") == 4


def test_init_into_a_file_is_explained(tmp_path, capsys):
    """A folder that cannot be made gives one line and exit code 4."""
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file")]) == 4
    assert "it is a file" in capsys.readouterr().err


def test_checks_lists_all(capsys):
    """Every built-in check stands in the list."""
    assert main(["checks"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in BUILT_IN)


def test_check_is_described(capsys):
    """One check: inputs, parameters with defaults, quantities with units, source."""
    assert main(["checks", "adversarial_fgsm"]) == 0
    text = capsys.readouterr().out
    for expected in ("epsilon: float = 0.01", "fgsm_accuracy [1] estimate, higher is better", "adversarial_fgsm.py:"):
        assert expected in text, expected


def test_unknown_check_names_the_closest(capsys):
    """A typo is answered with the closest name and exit code 4."""
    assert main(["checks", "adversarial_fgms"]) == 4
    assert "Did you mean 'adversarial_fgsm'?" in capsys.readouterr().err


def test_schema_is_valid(capsys):
    """The schema is a JSON Schema, and takes what `init` writes."""
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)


def test_show_says_where_each_key_comes_from(tmp_path, monkeypatch, capsys):
    """`show` prints the effective item with file and line of each key."""
    (tmp_path / "spec.yaml").write_text(
        "mle_spec: 1\nproject: {name: x}\nprocesses: []\nitems:\n"
        "  - id: A-01\n    title: Size\n    base_practice: MLE.2.BP5\n    check: model_size\n    accept: [file_size <= 1 MB]\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["show", "A-01"]) == 0
    shown = capsys.readouterr().out
    assert "spec.yaml:8" in shown
    assert "file_size <= 1 MB" in shown


@pytest.mark.parametrize("arguments", [["show", "NO"], ["show", "A", "--mle-spec", "absent.yaml"]])
def test_show_of_something_absent_is_explained(arguments, tmp_path, monkeypatch, capsys):
    """An unknown item or spec gives one line and exit code 4."""
    (tmp_path / "spec.yaml").write_text(
        "mle_spec: 1\nproject: {name: x}\nprocesses: []\nitems:\n"
        "  - {id: A-01, title: Size, base_practice: MLE.2.BP5, check: model_size, accept: [file_size <= 1 MB]}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 4
    assert "Traceback" not in capsys.readouterr().err
