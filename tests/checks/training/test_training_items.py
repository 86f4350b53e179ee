"""The training items of the bundled checklist, taken as they are by a project that has everything they need."""

from __future__ import annotations

import json

import numpy as np
import pytest

SPEC = """
mle_spec: 1
project: {name: Urban pedestrian detection, version: "2.0", asil: C}
extends: [{checklist: aspice-mle, adopt: [MLE3-2.1-05, MLE3-2.2-03]}]
processes: []
inputs:
  datasets:
    train: {path: data/train, format: imagefolder}
  training_logs:
    final: {path: final.json}
    seed_2: {path: seed_2.json}
    seed_3: {path: seed_3.json}
    ablation: {path: ablation.json}
    ablation_seed_2: {path: ablation_seed_2.json}
    ablation_seed_3: {path: ablation_seed_3.json}
  configs:
    training: {path: train.yaml}
defaults: {training_log: final}
items:
  - id: MLE3-2.2-02
    using: {log_2: seed_2, log_3: seed_3, ablation: ablation, ablation_2: ablation_seed_2, ablation_3: ablation_seed_3}
    evidence: [{file: ablation.md, role: ML engineer}]
  - id: MLE3-2.2-03
    with: {augmentation: "project_augmentation:augment", n_samples: 24}
    evidence: [{file: inspection.md, role: ML engineer}]
"""
CONFIG = """
training:
  epochs: 60
  learning_rate: {initial: 0.001, warmup_epochs: 5, schedule: cosine, min_lr: 0.00001}
"""
AUGMENTATION = """
import numpy as np

def augment(image, rng):
    return np.roll(image[:, ::-1], rng.integers(1, 20), axis=1)
"""
ITEMS = ("MLE3-2.1-01", "MLE3-2.1-02", "MLE3-2.1-04", "MLE3-2.1-05", "MLE3-2.2-01", "MLE3-2.2-02", "MLE3-2.2-03")


def training_run(seed, gap, *, rate=0.001):
    """Make a log as a training writes it, whose validation accuracy lies below that of training by a gap."""
    rng = np.random.default_rng(seed)
    epochs = np.arange(60)
    learned = 1 - np.exp(-(epochs + 1) / 8)
    cosine = 1e-5 + (rate - 1e-5) * (1 + np.cos(np.pi * (epochs - 5) / 55)) / 2
    series = {
        "train_loss": 0.1 + np.exp(-epochs / 8) + rng.normal(0, 0.002, 60),
        "val_loss": 0.12 + np.exp(-epochs / 8) + rng.normal(0, 0.002, 60),
        "train_accuracy": 0.95 * learned,
        "val_accuracy": (0.95 - gap) * learned + rng.normal(0, 0.001, 60),
        "learning_rate": np.where(epochs < 5, rate * (epochs + 1) / 5, cosine),
        "gradient_norm": np.exp(rng.normal(0, 0.3, 60)),
        **{f"val_{name}": 0.9 * learned for name in ("map_50", "f1", "precision", "recall")},
    }
    return {name: values.tolist() for name, values in series.items()}


@pytest.fixture
def results(pytester):
    """Lay out the project and return how to run it with other logs in place of good ones."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    for index in range(24):
        folder = pytester.path / "data" / "train" / ("person", "street")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    for name, text in (("spec.yaml", SPEC), ("train.yaml", CONFIG), ("project_augmentation.py", AUGMENTATION)):
        (pytester.path / name).write_text(text, encoding="utf-8")

    def run(**logs):
        good = {
            **{name: training_run(i, 0.02) for i, name in enumerate(("final", "seed_2", "seed_3"))},
            **{f"ablation{end}": training_run(i + 9, 0.1) for i, end in enumerate(("", "_seed_2", "_seed_3"))},
        }
        for name, log in {**good, **logs}.items():
            (pytester.path / f"{name}.json").write_text(json.dumps(log), encoding="utf-8")
        pytester.runpytest_subprocess("--mle-spec=spec.yaml", "-k", " or ".join(ITEMS), "-p", "no:cacheprovider")
        report = json.loads((pytester.path / "mle-reports" / "results.json").read_text(encoding="utf-8"))
        return {one["name"]: one for spec in report["specs"] for one in spec["items"] if one["name"] in ITEMS}

    return run


def gating(result):
    """Return the verdict on each criterion that gates."""
    return {one["text"]: one["verdict"] for one in result["criteria"] if not one.get("is_advisory")}


def test_good_run(results):
    """Everything that gates holds; what a person must sign is owed, with the contact sheet to look at."""
    found = results()

    assert {name: set(gating(one).values()) for name, one in found.items()} == {name: {"PASS"} for name in ITEMS}
    assert [found[name]["verdict"] for name in ITEMS] == [
        *("PASS", "PASS", "WARNING", "PASS", "PASS"),
        *("PENDING", "PENDING"),
    ]
    assert "dead_layers" in found["MLE3-2.1-04"]["reasons"][0]
    assert found["MLE3-2.2-03"]["figures"][0]["images"][0].startswith("data:image/jpeg;base64,")


def test_bad_run(results):
    """Planted: overfitting, a rate that was not the declared one, no recall, gradients that vanish."""
    bad = training_run(0, 0.2, rate=0.004)
    bad["val_loss"] = np.concatenate([bad["val_loss"][:30], np.linspace(0.2, 0.9, 30)]).tolist()
    bad["gradient_norm"][40:] = [1e-9] * 20
    del bad["val_recall"]

    found = results(final=bad)

    verdicts = [found[name]["verdict"] for name in ITEMS[:5]]
    assert verdicts == ["FAIL"] * 5
    assert found["MLE3-2.1-05"]["reasons"][0].startswith("lr_schedule_mismatches == 0: lr_schedule_mismatches is 5")
