"""The JSON Schema that ships with the package, for editors."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

import pytest_mle.spec
from pytest_mle.spec.fields import TABLES
from pytest_mle.spec.schema import json_schema, write_schema

SHIPPED = Path(pytest_mle.spec.__file__).with_name("schema.json")
CORPUS = Path(__file__).parents[1] / "corpus" / "spec"
EXAMPLES = sorted(Path(__file__).parents[2].glob("example_project/**/spec*.yaml"))


@pytest.fixture(scope="module")
def validator():
    """Return a validator of specs."""
    jsonschema.Draft202012Validator.check_schema(json_schema())
    return jsonschema.Draft202012Validator(json_schema())


def test_the_shipped_file_is_the_generated_one():
    """Whoever changes a key writes the schema anew."""
    assert SHIPPED.read_text(encoding="utf-8") == write_schema()


def test_every_key_is_described():
    """An editor shows a sentence for each key."""

    def described(node):
        if isinstance(node, dict):
            for name, one in node.get("properties", {}).items():
                assert one.get("description"), name
            for one in node.values():
                described(one)
        elif isinstance(node, list):
            for one in node:
                described(one)

    described(json.loads(write_schema()))
    assert all(
        field.description.endswith((".", ":")) or "such as" in field.description
        for table in TABLES.values()
        for field in table.values()
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_example_projects_follow_the_schema(validator, path):
    """What runs validates in an editor, too."""
    assert list(validator.iter_errors(yaml.safe_load(path.read_text(encoding="utf-8")))) == []


GOOD = """\
mle_spec: 1
project: {name: P, version: "1.10", asil: B(D)}
extends: [aspice-mle, {checklist: aspice-mle, adopt: [all]}]
inputs: {models: {m: {path: a, anything: {goes: here}}}}
policy: {seed: 7, confidence: 95 %, images: shown}
requirements: [{from: r.yaml}, {id: R, text: T, criteria: [a >= 1 % at 95 % confidence], under: {check: c, with: {x: 1}}}]
items:
  - id: X
    base_practice: MLE.4.BP3
    check: c
    where: {distance_m: {lt: 50}, weather: [rain, fog], n: 3}
    for_each: [{where: {w: 1}, accept: [a in 0.1..0.2]}]
    parametrize: {s: [1]}
    timeout: 10 min
    accept: [{criterion: a >= 1, severity: must}]
    evidence: [{file: a.md, valid_for: 365 d}]
    verifies: [R, {id: R, partially: true}]
"""


def test_all_forms_of_the_format_are_allowed(validator):
    """Short and long spellings alike."""
    assert list(validator.iter_errors(yaml.safe_load(GOOD))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mle_spec: 1", "mle_spec: 2"),
        ("asil: B(D)", "asil: E"),
        ("seed: 7", "seed: many"),
        ("confidence: 95 %", "confidence: 95"),
        ("images: shown", "images: hidden"),
        ("project:", "projects:"),
        ("a >= 1 %", "a => 1 %"),
        ("lt: 50", "below: 50"),
        ("timeout: 10 min", "timeout: 10"),
        ("severity: must", "severity: high"),
        ("partially: true", "partially: some"),
        ("    check: c\n", "    chekc: c\n"),
        ("  - id: X\n", "  - ident: X\n"),
    ],
)
def test_slips_are_marked_while_typing(validator, old, new):
    """Wrong keys, types, words and operators are no valid spec."""
    assert old in GOOD
    assert list(validator.iter_errors(yaml.safe_load(GOOD.replace(old, new))))
