"""The reference pages say what the code does."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path

import pytest

import pytest_mle
from pytest_mle.cli.main import main
from pytest_mle.inputs.models.declaration import Output, Preprocess
from pytest_mle.records.result import CriterionResult, EvidenceResult, ItemResult, QuantityResult
from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.run_report import RunReport, SpecReport
from pytest_mle.yaml_with_lines import plain, read_yaml

DOCS = Path(__file__).resolve().parents[2] / "docs"


def generator():
    """Return the module that writes the pages."""
    specification = importlib.util.spec_from_file_location("generate_reference", DOCS / "generate_reference.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["checks.md", "spec-keys.md", "checklist.md"])
def test_generated_page_is_up_to_date(name):
    """A generated page is what the code makes of it now; `make docs` writes it."""
    committed = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert committed == generator().pages()[name].rstrip("\n") + "\n", "run `make docs`"


def test_every_option_is_documented(pytester):
    """The page of the command line has every option and command, and no other."""
    page = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    offered = set(re.findall(r"--mle-[a-z-]+", pytester.runpytest("--help").stdout.str()))
    assert set(re.findall(r"--mle-[a-z-]+", page)) == offered


def test_every_command_is_documented(capsys):
    """The page of the command line has every command of pytest-mle."""
    page = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["--help"])
    for command in re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE):
        assert f"`pytest-mle {command}" in page, command


def test_every_public_name_is_documented():
    """The guide to custom checks shows everything that `import pytest_mle` offers."""
    page = (DOCS / "how-to" / "custom-check.md").read_text(encoding="utf-8")
    assert [name for name in pytest_mle.__all__ if f"mle.{name}" not in page] == []


@pytest.mark.parametrize("record", [RunReport, SpecReport, ItemResult, QuantityResult, CriterionResult, EvidenceResult])
def test_every_field_of_the_results_is_documented(record):
    """The page of results.json names every field."""
    page = (DOCS / "reference" / "results-json.md").read_text(encoding="utf-8")
    assert [field.name for field in dataclasses.fields(record) if f"`{field.name}`" not in page] == []


def test_every_verdict_is_documented():
    """The page of the spec format names every verdict."""
    page = (DOCS / "reference" / "spec-format.md").read_text(encoding="utf-8")
    assert [verdict.value for verdict in Verdict if f"| {verdict.value} |" not in page] == []


def test_model_lines_are_accepted():
    """Every `output:` and `preprocess` line in the tables of exports is one that a spec may hold."""
    page = (DOCS / "how-to" / "own-onnx-model.md").read_text(encoding="utf-8")
    lines = re.findall(r"\| `output: (\{.*?\})` \|", page)
    assert len(lines) >= 8
    for line in lines:
        Output.model_validate(plain(read_yaml(line, "own-onnx-model.md")))
    lines = re.findall(r"\| `(\{size: .*?\})` \|", page)
    assert len(lines) >= 3
    for line in lines:
        Preprocess.model_validate(plain(read_yaml(line, "own-onnx-model.md")))
