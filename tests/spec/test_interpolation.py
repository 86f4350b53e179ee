"""`${NAME}` in paths and input options, and nowhere else."""

from __future__ import annotations

import pytest

from pytest_mle.errors import CollectedSpecError

SPEC = """\
mle_spec: 1
inputs:
  models:
    m:
      path: ${{DIR:-models}}/{path}
      batch_size: ${{BATCH:-16}}
      names: ["${{FIRST:-a}}", plain]
      nested: {{url: "http://${{HOST:-localhost}}:${{PORT:-80}}/$${{literal}}"}}
items:
  - {{id: X-1, title: "${{DIR}}", base_practice: MLE.4.BP3, evidence: [{{file: "${{DOCS:-docs}}/a.md"}}]}}
"""


def test_defaults_fill_in(write, load):
    """Without environment the defaults stand, and nothing is recorded."""
    spec = load(write(SPEC.format(path="a.onnx")))
    assert spec.inputs["models"]["m"].options == {
        "path": "models/a.onnx",
        "batch_size": 16,
        "names": ["a", "plain"],
        "nested": {"url": "http://localhost:80/${literal}"},
    }
    assert spec.items[0].evidence[0].target == "docs/a.md"
    assert spec.items[0].title == "${DIR}"
    assert spec.overrides == {}


def test_the_environment_is_recorded(write, load):
    """What came from outside is known afterwards, by dotted key."""
    spec = load(write(SPEC.format(path="a.onnx")), DIR="/m", BATCH="4", FIRST="true", DOCS="d", PORT="")
    assert spec.inputs["models"]["m"].options["batch_size"] == 4
    assert spec.inputs["models"]["m"].options["names"] == [True, "plain"]
    assert spec.overrides == {
        "inputs.models.m.path": "/m/a.onnx",
        "inputs.models.m.batch_size": 4,
        "inputs.models.m.names.0": True,
        "items.X-1.evidence.0.file": "d/a.md",
    }


def test_a_path_stays_text(write, load):
    """A folder called 2024 is no number."""
    spec = load(write(SPEC.format(path="x").replace("${DIR:-models}/x", "${DIR}")), DIR="2024")
    assert spec.inputs["models"]["m"].options["path"] == "2024"


@pytest.mark.parametrize("reference", ["${", "${}", "${a b}", "${1X}", "${X-default}", "${X:=y}"])
def test_broken_references_are_refused(write, load, reference):
    """What looks like a variable and is none does not end up in a path."""
    with pytest.raises(CollectedSpecError, match=r"spec\.yaml:5: cannot read '\$\{"):
        load(write(SPEC.format(path="a").replace("${DIR:-models}/a", f"'{reference}'")))


def test_values_are_not_filled_in_twice(write, load):
    """An environment variable cannot smuggle in another one."""
    spec = load(write(SPEC.format(path="a")), DIR="${SECRET}", SECRET="hidden")
    assert spec.inputs["models"]["m"].options["path"] == "${SECRET}/a"


def test_extends_and_requirements_take_variables(write, load):
    """A pipeline can choose the layer."""
    write("mle_spec: 1\nitems: [{id: B-1, base_practice: MLE.4.BP3, evidence: [{file: a}]}]\n", "one/base.yaml")
    write("[{id: R-1, text: Robust.}]", "one/r.yaml")
    spec = load(
        write("mle_spec: 1\nextends: '${LAYER}/base.yaml'\nrequirements: [{from: '${LAYER}/r.yaml'}]\n"), LAYER="one"
    )
    assert [item.name for item in spec.items] == ["B-1"]
    assert list(spec.requirements) == ["R-1"]
    assert spec.overrides == {"extends": "one/base.yaml", "requirements.from": "one/r.yaml"}
