"""The handbook's own training run, through a spec that takes the items of the bundled checklist as they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.support.onnx_files import save_linear_classifier

SPEC = """
mle_spec: 1
project: {name: Urban pedestrian detection, version: "2.0", asil: C}
extends: [aspice-mle]
processes: []
inputs:
  datasets:
    train: {path: data/train, format: imagefolder}
  models:
    candidate:
      path: model.onnx
      task: classification
      classes: [person, street]
      preprocess: {resize: stretch, size: [6, 4]}
      output: {layout: probabilities}
  training_logs:
    final: {path: training_log.json}
"""


@pytest.fixture
def case(pytester):
    """Lay out a project with a model and a training set, and return how to run some items on a log."""
    cv2 = pytest.importorskip("cv2")
    save_linear_classifier(pytester.path / "model.onnx", classes=2)
    rng = np.random.default_rng(1)
    for index in range(20):
        folder = pytester.path / "data" / "train" / ("person", "street")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    (pytester.path / "spec.yaml").write_text(SPEC, encoding="utf-8")

    def run(*items, **series):
        log = {name: np.asarray(values).tolist() for name, values in series.items()}
        (pytester.path / "training_log.json").write_text(json.dumps(log), encoding="utf-8")
        outcome = pytester.runpytest_subprocess(
            "--mle-spec=spec.yaml", "-k", " or ".join(items), "-p", "no:cacheprovider"
        )
        report = json.loads((pytester.path / "mle-reports" / "results.json").read_text(encoding="utf-8"))
        results = {one["name"]: one for spec in report["specs"] for one in spec["items"] if one["name"] in items}
        return outcome, results

    return run


def test_convergence_fails_and_capacity_warns(case):
    """300 epochs, the best at 280: a plateau of 20 epochs where 50 are asked, and far fewer than 10 samples a parameter."""
    rng = np.random.default_rng(6)
    loss = np.concatenate([np.geomspace(3, 0.1, 280), np.full(20, 0.1)]) * (1 + rng.normal(0, 1e-4, 300))

    outcome, results = case("MLE3-2.1-03", "MLE3-2.2-04", train_loss=loss, val_loss=loss)

    assert {name: one["verdict"] for name, one in results.items()} == {"MLE3-2.1-03": "FAIL", "MLE3-2.2-04": "WARNING"}
    assert outcome.ret == 1
    (reason,) = results["MLE3-2.1-03"]["reasons"]
    assert reason.startswith("plateau_epochs >= 50: plateau_epochs is 1")
    (reason,) = results["MLE3-2.2-04"]["reasons"]
    # 20 images and 72 * 2 parameters.
    assert reason.startswith("samples_per_parameter >= 10: samples_per_parameter is 0.139")


def test_the_same_run_with_a_plateau_passes(case):
    """A run that reached its best at 240 has a plateau of 60 epochs; capacity warns without closing the gate."""
    loss = np.concatenate([np.geomspace(3, 0.1, 240), np.full(60, 0.1)])

    outcome, results = case("MLE3-2.1-03", "MLE3-2.2-04", train_loss=loss, val_loss=loss)

    assert {name: one["verdict"] for name, one in results.items()} == {"MLE3-2.1-03": "PASS", "MLE3-2.2-04": "WARNING"}
    assert outcome.ret == 0


def test_what_the_handbooks_script_does_not_log_is_red(case):
    """D3: a log of losses and mAP alone lacks gradients, F1, precision and recall; each item says what it misses."""
    loss = np.linspace(1, 0.1, 300)

    _, results = case("MLE3-2.1-02", "MLE3-2.1-04", train_loss=loss, val_loss=loss, val_mAP=1 - loss)

    assert {name: one["verdict"] for name, one in results.items()} == {"MLE3-2.1-02": "FAIL", "MLE3-2.1-04": "ERROR"}
    findings = [one["subject"] for one in results["MLE3-2.1-02"]["findings"][0]["shown"]]
    assert findings == ["f1", "precision", "recall"]
    assert "no gradients were tracked" in results["MLE3-2.1-04"]["reasons"][0]
