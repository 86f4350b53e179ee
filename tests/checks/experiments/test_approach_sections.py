"""Sections of approach documents and the scenarios in them."""

from __future__ import annotations

import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.approach_sections import QUANTITIES, approach_sections
from pytest_mle.errors import InputError

DOCUMENT = """\
# Training approach

## 1 Entry criteria
Data release 1.0.0 is approved and the requirements are baselined.

## 2. Exit criteria
- 300 epochs at most.
- Early stopping after 50 epochs without improvement.

## Data set creation
<!-- how the data are split -->
TBD

## Training environment
### Hardware
### Software

## Scenarios
| weather | samples | scenario |
|:-------|--------:|---|
| clear | 3 | day |
| rain | 2 | wet road |
"""


def test_sections_of_a_document(config, values, findings):
    """Two sections say something; a placeholder, headings without text and an absent section do not."""
    approach = config(DOCUMENT, "approach.md")
    sections = ["entry_criteria", "exit_criteria", "data_set_creation", "training_environment", "hyperparameters"]
    measured = approach_sections(approach, sections=sections)
    assert values(measured) == {
        "sections": 2,
        "missing_approach_sections": 3,
        "placeholders": 1,
        "scenario_count_mismatches": None,
    }
    assert findings(measured, "missing_approach_sections") == [
        "approach.md:10: data_set_creation: says nothing",
        "approach.md:14: training_environment: says nothing",
        "approach.md: hyperparameters: the document has no such section",
    ]
    assert built_in_check("approach_sections").quantities == QUANTITIES


@pytest.mark.parametrize(
    ("body", "missing", "open_lines"),
    [
        ("One two three.", 0, 0),
        ("- one\n- two\n- three\n", 0, 0),
        ("One two.", 1, 0),
        ("", 1, 0),
        ("<!-- one two three four -->", 1, 0),
        ("### One two three", 1, 0),
        ("_TBD_", 1, 1),
        ("1. TODO: write one two three", 1, 1),
        ("- one two three\n- TBD\n", 0, 1),
        ("...", 1, 1),
        ("---\n\n| | |\n|---|---|\n", 1, 0),
        ("<describe the entry criteria here>", 1, 1),
    ],
)
def test_what_says_something(config, values, body, missing, open_lines):
    """Comments, headings, rules and placeholders are no text; open lines beside text are counted."""
    measured = values(approach_sections(config(f"# A\n## Entry\n{body}\n", "a.md"), sections=["entry"]))
    assert (measured["missing_approach_sections"], measured["placeholders"]) == (missing, open_lines)


@pytest.mark.parametrize(
    ("text", "missing", "open_values"),
    [
        ("entry: approved\n", 0, 0),
        ("entry: {by: QA, when: TBD}\n", 0, 1),
        ("entry: {by: null, when: TBD}\n", 1, 2),
        ("entry: []\n", 1, 1),
        ("entry: null\n", 1, 0),
        ("entry: TBD\n", 1, 1),
        ("other: x\n", 1, 0),
        ("entry: [one, two]\n", 0, 0),
        ("entry: 3\n", 0, 0),
    ],
)
def test_keys_of_a_file(config, values, text, missing, open_values):
    """In YAML, a key is a section; one in which every value is open says nothing."""
    measured = values(approach_sections(config(text), sections=["entry"]))
    assert (measured["missing_approach_sections"], measured["placeholders"]) == (missing, open_values)


def test_headings_in_another_language(config, values):
    """`headings` says how a document calls a section."""
    approach = config("# Abbruchkriterien\nHöchstens 300 Epochen lang.\n", "a.md")
    measured = approach_sections(approach, sections=["exit_criteria"], headings={"exit_criteria": "abbruchkriterien"})
    assert values(measured)["missing_approach_sections"] == 0
    with pytest.raises(ValueError, match="at least one"):
        approach_sections(approach, sections=[])


def test_scenarios_in_a_table(config, folder_dataset, findings):
    """Three clear samples and one in rain: the stated two are found out; the column of names is no attribute."""
    measured = approach_sections(config(DOCUMENT, "approach.md"), folder_dataset(), sections=["scenarios"])
    assert findings(measured, "scenario_count_mismatches") == [
        "approach.md:18: scenarios: weather: rain: 2 samples are stated, data set train has 1"
    ]


@pytest.mark.parametrize(
    ("scenarios", "mismatches"),
    [
        ("[{weather: clear, samples: 3}, {where: {weather: rain}, samples: 1, name: wet}]", 0),
        ("[{weather: [clear, rain], samples: 4}]", 0),
        ("[{weather: clear, sequence: drive-0, samples: 2}]", 0),
        ("[{weather: snow, samples: 0}]", 1),
        ("[{weather: clear, samples: '3'}]", 1),
        ("[{weather: clear, samples: TBD}, {weather: rain}]", 2),
        ("[{samples: 4}]", 1),
        ("[]", None),
        ("prose about scenarios", None),
        ("{weather: clear}", None),
    ],
)
def test_scenarios_in_a_list(config, folder_dataset, values, scenarios, mismatches):
    """Counts that are none, and scenarios of everything, are mismatches; no scenario at all is nothing measured."""
    approach = config(f"scenarios: {scenarios}\n")
    measured = values(approach_sections(approach, folder_dataset(), sections=["scenarios"]))
    assert measured["scenario_count_mismatches"] == mismatches


def test_scenario_of_an_unknown_attribute(config, folder_dataset):
    """An attribute that the data do not have is named with the closest one."""
    with pytest.raises(InputError, match="Did you mean 'weather'"):
        approach_sections(config("scenarios: [{wether: rain, samples: 1}]\n"), folder_dataset(), sections=["scenarios"])
