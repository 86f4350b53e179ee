"""`pytest-mle show`: the effective item and who said what."""

from __future__ import annotations

import pytest

from pytest_mle.errors import SpecError
from pytest_mle.spec.show import describe_item

SPEC = """\
mle_spec: 1
extends: ./base.yaml
policy: {confidence: 95 %}
inputs: {datasets: {test: {path: a}}, models: {m: {path: b}}}
requirements: [{id: R-1, text: Robust., criteria: [relative_drop <= 5 % by point value]}]
items:
  - id: C-1
    with: {epsilon: 0.02}
    verifies: [{id: R-1, partially: true}]
    timeout: 10 min
    marks: [slow]
    for_each: [{where: {weather: rain}}, {where: {weather: fog}, accept: []}]
  - {id: C-2, base_practice: MLE.9.BP1, evidence: [{file: a.md}]}
base_practices: [{id: MLE.9.BP1, title: Ours}]
"""
BASE = """\
mle_checklist: 1
items:
  - id: C-1
    title: Robust
    base_practice: MLE.4.BP3
    check: detector
    with: {runs: 3}
    accept: [{criterion: map_50 >= 90 %, origin: handbook_example}]
"""


@pytest.fixture
def spec(write, load):
    """Load a spec with two layers."""
    write(BASE, "base.yaml")
    return load(write(SPEC))


def test_an_item_is_shown_with_the_origin_of_each_key(spec):
    """Every line ends in the file and line that set it."""
    text = describe_item(spec, "C-1[rain]")
    assert [" ".join(line.split()) for line in text.splitlines()] == [
        "C-1[rain]: Robust # spec.yaml:12",
        "base_practice: MLE.4.BP3 Test trained ML model # base.yaml:5",
        "fit: exact",
        "kind: automated",
        "check: detector # base.yaml:6",
        "with:",
        "runs: 3 # base.yaml:7",
        "epsilon: 0.02 # spec.yaml:8",
        "where:",
        "weather: rain # spec.yaml:12",
        "timeout: 600 s # spec.yaml:10",
        "accept:",
        "- relative_drop <= 5 % by point value [R-1] # spec.yaml:5",
        "- map_50 >= 90 % at 95 % confidence (policy) [handbook example] # base.yaml:8",
        "verifies: R-1 (partially) # spec.yaml:5",
        "marks: slow # spec.yaml:11",
    ]


def test_the_id_alone_shows_all_test_cases(spec):
    """One block per slice."""
    assert describe_item(spec, "C-1").count("C-1[") == 2


def test_extensions_are_marked(spec):
    """A base practice of one's own is never taken for an official one."""
    assert "MLE.9.BP1 Ours (extension, not in Automotive SPICE 4.0)" in describe_item(spec, "C-2")


def test_an_unknown_item_gets_a_hint(spec):
    """A slip on the command line is explained."""
    with pytest.raises(SpecError, match=r"there is no item 'C-3'\. Did you mean 'C-"):
        describe_item(spec, "C-3")
