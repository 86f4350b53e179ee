"""`--mle-set`: one key from the command line, recorded, and refused where it would set nothing."""

from __future__ import annotations

import pytest

from pytest_mle.errors import CollectedSpecError

SPEC = """\
mle_spec: 1
inputs:
  models: {candidate: &model {path: models/a.onnx}, twin: *model}
requirements: [{id: R-1.2, text: Robust.}]
items:
  - id: MLE4-2.2-01
    base_practice: MLE.4.BP3
    check: detector
    with: {runs: 3}
    accept: [map_50 >= 90 %]
  - {id: MLE4-2.2, base_practice: MLE.4.BP3, evidence: [{file: a.md}]}
"""


def test_keys_are_set_and_recorded(write, load):
    """Existing and new keys of every section; ids may contain dots."""
    spec = load(
        write(SPEC),
        "inputs.models.candidate.path=models/b.onnx",
        "inputs.models.candidate.device=cuda",
        "policy.seed=7",
        "policy.confidence=99 %",
        "items.MLE4-2.2-01.with.runs=5",
        "items.MLE4-2.2-01.where.weather=rain",
        "items.MLE4-2.2-01.accept=[map_50 >= 95 %]",
        "requirements.R-1.2.priority=high",
        "processes=[MLE.4]",
    )
    item = spec.items[0]
    assert spec.inputs["models"]["candidate"].options == {"path": "models/b.onnx", "device": "cuda"}
    assert spec.inputs["models"]["twin"].options == {"path": "models/a.onnx"}
    assert (spec.policy.seed, spec.policy.confidence) == (7, 0.99)
    assert (item.parameters, item.where) == ({"runs": 5}, {"weather": "rain"})
    assert item.criteria[0].bound == 0.95
    assert spec.requirements["R-1.2"].attributes == {"priority": "high"}
    assert spec.overrides["items.MLE4-2.2-01.with.runs"] == 5
    assert spec.overrides["items.MLE4-2.2-01.accept"] == ["map_50 >= 95 %"]
    assert len(spec.overrides) == 9
    assert str(item.key_origins["with.runs"]) == "--mle-set items.MLE4-2.2-01.with.runs=5"


def test_an_override_wins_over_the_environment(write, load):
    """What was given last is recorded."""
    spec = load(
        write(SPEC.replace("models/a.onnx", '"${MODEL}"')),
        "inputs.models.candidate.path=models/c.onnx",
        MODEL="models/b.onnx",
    )
    assert spec.overrides == {
        "inputs.models.candidate.path": "models/c.onnx",
        "inputs.models.twin.path": "models/b.onnx",
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("policy.seed", "write it as a.b.c=value, for example policy.seed=7"),
        ("=7", "write it as a.b.c=value"),
        ("polcy.seed=7", "unknown key 'polcy'. Did you mean 'policy'?"),
        ("policy.sed=7", "unknown key 'sed' in policy. Did you mean 'seed'?"),
        ("policy=7", "set one key of policy, for example policy.seed=..."),
        ("policy.seed.x=7", "policy has no 'seed'"),
        ("policy.seed=many", "seed must be an integer, got 'many'"),
        ("policy.seed=[1", "not valid YAML"),
        ("inputs.models.candidat.path=x", "inputs.models declares no 'candidat'. Did you mean 'candidate'?"),
        ("inputs.model.candidate.path=x", "unknown key 'model' in inputs. Did you mean 'models'?"),
        ("inputs.models.candidate=x", "set one key of an input, for example inputs.models.candidate.path=..."),
        (
            "inputs.models.candidate.path.x=y",
            "inputs.models.candidate.path has no keys below it; it is 'models/a.onnx'",
        ),
        ("items.MLE4-2.2-02.with.runs=5", "there is no item 'MLE4-2.2-02.with'"),
        ("items.MLE4-2.2-01=5", "set one key of MLE4-2.2-01"),
        ("items.MLE4-2.2-01.id=X", "set one key of MLE4-2.2-01"),
        ("items.MLE4-2.2-01.wiht.runs=5", "items.MLE4-2.2-01 has no 'wiht'. Did you mean 'with'?"),
        ("items.MLE4-2.2-01.acept=[]", "unknown key 'acept' in items.MLE4-2.2-01. Did you mean 'accept'?"),
        ("items.MLE4-2.2-01.with.ruins=5", "detector has no parameter 'ruins'. Did you mean 'runs'?"),
        ("items=[]", "set one key of items"),
        ("processes.0=MLE.4", "processes is one list"),
        ("processes=7", "processes must be a list of texts, got 7"),
        ("items.MLE4-2.2-01.where={weather: {below: 3}}", "unknown comparison 'below'"),
        ("mle_spec=2", "unknown key 'mle_spec'"),
        ("extends=x", "unknown key 'extends'"),
    ],
)
def test_what_sets_nothing_is_refused(write, load, override, message):
    """A slip in a pipeline is an error that names the override, never ignored."""
    with pytest.raises(CollectedSpecError) as caught:
        load(write(SPEC), override)
    assert str(caught.value).startswith("--mle-set ")
    assert message in str(caught.value)


def test_setting_a_key_addresses_a_checklist_item(write, load):
    """A bundled item that the command line speaks of is not left for nobody."""
    write(
        "mle_checklist: 1\nitems: [{id: C-1, base_practice: MLE.4.BP3, check: fixture, needs: [x]}]\n", "checklist.yaml"
    )
    spec = load(write("mle_spec: 1\nextends: ./checklist.yaml\n"), "items.C-1.accept=[x >= 1]")
    assert spec.items[0].pending_reasons == ()
