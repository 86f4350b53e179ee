"""`inputs:` and `like:`."""

from __future__ import annotations

SPEC = """\
mle_spec: 1
inputs:
  models:
    candidate: {path: a.onnx, preprocess: {size: [192, 144], color: rgb}, batch_size: 16}
    deployed: {like: candidate, path: b.onnx, preprocess: {color: bgr}}
    pruned: {like: deployed, batch_size: 1}
items: [{id: X-1, base_practice: MLE.4.BP3, evidence: [{file: a.md}]}]
"""


def test_like_takes_over_and_merges(write, load):
    """Along a chain, nested options merge, lists stay, and no entry changes another."""
    models = load(write(SPEC)).inputs["models"]
    size = [192, 144]
    assert models["candidate"].options == {
        "path": "a.onnx",
        "preprocess": {"size": size, "color": "rgb"},
        "batch_size": 16,
    }
    assert models["deployed"].options == {
        "path": "b.onnx",
        "preprocess": {"size": size, "color": "bgr"},
        "batch_size": 16,
    }
    assert models["pruned"].options == {"path": "b.onnx", "preprocess": {"size": size, "color": "bgr"}, "batch_size": 1}
    assert (models["pruned"].kind, models["pruned"].name, str(models["pruned"].location)) == (
        "models",
        "pruned",
        "spec.yaml:6",
    )


def test_options_are_plain(write, load):
    """Readers of inputs, JSON and other processes get dicts and lists, not our own classes."""
    options = load(write(SPEC)).inputs["models"]["deployed"].options
    assert type(options) is dict
    assert type(options["preprocess"]) is dict
    assert type(options["preprocess"]["size"]) is list
