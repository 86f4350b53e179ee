"""Scanned handwritten digits (scikit-learn): classifier, attacks, drift and file checks, good and bad beside each other."""

from __future__ import annotations

import shutil

import pytest

cv2 = pytest.importorskip("cv2")
np = pytest.importorskip("numpy")
sklearn_datasets = pytest.importorskip("sklearn.datasets")

MODEL = '''
from torch import nn


def build():
    """Logits of 32 x 32 RGB images in 0..1."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )
'''

TRAINING = 1200

HEADER = """
mle_spec: 1
project: {name: Scanned digits, version: "1"}
processes: []
policy: {seed: 3, confidence: 95 %}
inputs:
  datasets:
    test: {path: digits/test, format: imagefolder}
    other: {path: digits/train, format: imagefolder}
    shifted_labels: {path: digits/shifted_labels, format: imagefolder}
    bright: {path: digits/bright, format: imagefolder}
    rotated: {path: digits/rotated, format: imagefolder}
    shuffled: {path: digits/shuffled, format: imagefolder}
    damaged: {path: digits/damaged, format: imagefolder}
  models:
    robust: &model
      factory: digits_model:build
      state_dict: digits/robust.pt
      task: classification
      classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
      preprocess: {size: [32, 32], resize: stretch, color: rgb, range: [0, 1]}
      output: {layout: logits}
      batch_size: 128
    plain: {like: robust, state_dict: digits/plain.pt}
    untrained: {like: robust, state_dict: digits/untrained.pt}
items:
"""


def write_digits(folder, images, labels):
    """Write an image folder with a folder a class."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / str(label) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)


@pytest.fixture(scope="module")
def digits():
    """The digits as 32 x 32 grey images and their labels, in a fixed order without order of writers."""
    loaded = sklearn_datasets.load_digits()
    grey = np.round(loaded.images * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(grey))
    return grey.repeat(4, axis=1).repeat(4, axis=2)[order], loaded.target[order]


@pytest.fixture(scope="module")
def digits_folder(tmp_path_factory, digits):
    """Image folders of the digits and of what may go wrong with them."""
    folder = tmp_path_factory.mktemp("digits")
    images, labels = digits
    train, test = slice(None, TRAINING), slice(TRAINING, None)
    write_digits(folder / "train", images[train], labels[train])
    write_digits(folder / "test", images[test], labels[test])
    write_digits(folder / "shifted_labels", images[test], (labels[test] + 1) % 10)
    write_digits(
        folder / "bright", [cv2.convertScaleAbs(image, alpha=0.7, beta=70) for image in images[test]], labels[test]
    )
    write_digits(folder / "rotated", [np.rot90(image) for image in images[test]], labels[test])
    shuffled = np.random.default_rng(0).permuted(images[test].reshape(-1, 32 * 32), axis=1)
    write_digits(folder / "shuffled", shuffled.reshape(-1, 32, 32), labels[test])
    return folder


def train(images, labels, path, *, epsilon, epochs):
    """Train the small network, with every image also in its FGSM version if ``epsilon`` is given."""
    import torch
    from torch.nn import functional

    namespace = {}
    exec(MODEL, namespace)
    chance = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = namespace["build"]()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    pixels = torch.from_numpy(images[:, None].repeat(3, axis=1)).float() / 255
    targets = torch.from_numpy(labels)
    for _ in range(epochs):
        for batch in torch.randperm(len(pixels), generator=chance).split(64):
            x, y = pixels[batch], targets[batch]
            if epsilon:
                start = (x + (torch.rand(x.shape, generator=chance) * 2 - 1) * epsilon).clamp(0, 1).requires_grad_()
                gradient = torch.autograd.grad(functional.cross_entropy(model(start), y), start)[0]
                moved = start.detach() + 1.25 * epsilon * gradient.sign()
                attacked = torch.minimum(torch.maximum(moved, x - epsilon), x + epsilon).clamp(0, 1)
                x, y = torch.cat([x, attacked]), torch.cat([y, y])
            loss = functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.save(model.state_dict(), path)


@pytest.fixture(scope="module")
def trained_folder(digits_folder, digits):
    """The same, with the weights of a robust, a plain and an untrained classifier."""
    images, labels = (part[:TRAINING] for part in digits)
    train(images, labels, digits_folder / "robust.pt", epsilon=0.1, epochs=10)
    train(images, labels, digits_folder / "plain.pt", epsilon=None, epochs=10)
    train(images, labels, digits_folder / "untrained.pt", epsilon=None, epochs=0)
    return digits_folder


@pytest.mark.torch
def test_classifier_of_real_digits(real_project, trained_folder):
    """A trained classifier shows its accuracy; an untrained one, or wrong labels, are red and the errors are listed."""
    (real_project.root / "digits").symlink_to(trained_folder)
    (real_project.root / "digits_model.py").write_text(MODEL, encoding="utf-8")
    items = """
  - {id: Q, title: Accuracy, base_practice: MLE.4.BP3, check: classification_quality, accept: [accuracy >= 95 %], for_each: [
      {using: {model: robust, dataset: test}}, {using: {model: untrained, dataset: test}}, {using: {model: robust, dataset: shifted_labels}}]}
"""
    real_project.run(HEADER + items, f"--mle-data-root={trained_folder}")
    assert list(real_project.verdicts().values()) == ["PASS", "FAIL", "FAIL"], real_project.outcome.stdout.str()
    good, untrained, shifted = real_project.items
    assert real_project.quantity(good, "accuracy") > 0.96
    assert real_project.quantity(untrained, "accuracy") < 0.3
    # What the classifier is right about is what it is wrong about with every label one too high.
    assert real_project.quantity(shifted, "accuracy") < 0.03
    wrong = real_project.findings(good, "misclassified")
    labelled = {path.split("/")[-2] + " taken" for path, _ in wrong}
    assert labelled == {message.partition(" for")[0] for _, message in wrong}


@pytest.mark.torch
def test_attacks_on_real_digits(real_project, trained_folder):
    """FGSM and PGD leave a robustly trained classifier its accuracy, and not a plainly trained one."""
    (real_project.root / "digits").symlink_to(trained_folder)
    (real_project.root / "digits_model.py").write_text(MODEL, encoding="utf-8")
    items = """
  - {id: F, title: FGSM, base_practice: MLE.4.BP3, check: adversarial_fgsm, with: {epsilon: 0.1}, accept: [fgsm_accuracy >= 75 %],
     for_each: [{using: {model: robust, dataset: test}}, {using: {model: plain, dataset: test}}]}
  - {id: P, title: PGD, base_practice: MLE.4.BP3, check: adversarial_pgd, with: {epsilon: 0.1, restarts: 1}, accept: [pgd_accuracy >= 65 %],
     for_each: [{using: {model: robust, dataset: test}}, {using: {model: plain, dataset: test}}]}
"""
    real_project.run(HEADER + items, f"--mle-data-root={trained_folder}")
    assert list(real_project.verdicts().values()) == ["PASS", "FAIL", "PASS", "FAIL"], real_project.outcome.stdout.str()
    fgsm_robust, fgsm_plain, pgd_robust, pgd_plain = real_project.items
    assert real_project.quantity(pgd_robust, "pgd_accuracy") <= real_project.quantity(fgsm_robust, "fgsm_accuracy")
    assert real_project.quantity(pgd_plain, "pgd_accuracy") < real_project.quantity(fgsm_plain, "fgsm_accuracy")
    for item in real_project.items:
        assert real_project.quantity(item, "max_perturbation") == pytest.approx(0.1, abs=1e-6)


@pytest.mark.torch
def test_uncertainty_on_real_digits(real_project, trained_folder):
    """A classifier knows shuffled pixels for unknown and takes turned digits, 88 % of them wrongly read, for known."""
    (real_project.root / "digits").symlink_to(trained_folder)
    (real_project.root / "digits_model.py").write_text(MODEL, encoding="utf-8")
    items = """
  - {id: C, title: Calibration, base_practice: MLE.4.BP3, check: confidence_calibration,
     accept: [expected_calibration_error <= 0.1 at 95 % confidence, confidence_accuracy_spearman > 0 at 95 % confidence],
     for_each: [{using: {model: plain, dataset: test}}, {using: {model: plain, dataset: shifted_labels}}]}
  - {id: S, title: Rejection, base_practice: MLE.4.BP3, check: selective_prediction, with: {threshold: 0.9},
     accept: [selective_risk <= 3 % at 95 % confidence, coverage >= 80 % at 95 % confidence],
     for_each: [{using: {model: plain, dataset: test}}, {using: {model: untrained, dataset: test}}]}
  - {id: O, title: Unknown, base_practice: MLE.4.BP3, check: ood_detection, accept: [ood_auroc >= 0.75 at 95 % confidence],
     for_each: [{using: {model: plain, dataset: test, ood: shuffled}}, {using: {model: plain, dataset: test, ood: rotated}},
       {using: {model: plain, dataset: test, ood: other}}, {using: {model: plain, dataset: test}}]}
  - {id: E, title: Ensemble, base_practice: MLE.4.BP3, check: epistemic_uncertainty, accept: [members == 2, uncertainty_error_auroc > 0.5 at 95 % confidence],
     for_each: [{using: {predictions: plain, member_2: robust, dataset: test}}, {using: {predictions: plain, dataset: test}}]}
"""
    real_project.run(HEADER + items, f"--mle-data-root={trained_folder}")
    verdicts = ["PASS", "FAIL", "PASS", "FAIL", "PASS", "FAIL", "FAIL", "INCONCLUSIVE", "PASS", "ERROR"]
    assert list(real_project.verdicts().values()) == verdicts, real_project.outcome.stdout.str()
    last = list(real_project.items.values())[-1]
    assert "no dropout layer" in last["reasons"][0]


@pytest.mark.torch
def test_corruptions_of_real_digits(real_project, trained_folder):
    """Mild noise costs a robust classifier little, strong noise much; each value of a sweep is judged by itself."""
    (real_project.root / "digits").symlink_to(trained_folder)
    (real_project.root / "digits_model.py").write_text(MODEL, encoding="utf-8")
    items = """
  - {id: N, title: Noise, base_practice: MLE.4.BP3, check: corruption_robustness, with: {corruption: salt_pepper},
     using: {model: robust, dataset: test}, parametrize: {share: [0.01, 0.8]}, accept: [relative_drop < 10 % at 95 % confidence]}
  - {id: R, title: Resolution, base_practice: MLE.4.BP3, check: corruption_robustness, with: {corruption: resolution},
     using: {model: robust, dataset: test}, parametrize: {factor: [0.25, 0.03]}, accept: [absolute_drop <= 10 pp at 95 % confidence]}
  - {id: U, title: Chance, base_practice: MLE.4.BP3, check: corruption_robustness, with: {corruption: brightness, factor: 1.0},
     using: {model: robust, dataset: test}, accept: [relative_drop < 10 %]}
"""
    real_project.run(HEADER + items, f"--mle-data-root={trained_folder}")
    verdicts = ["PASS", "FAIL", "PASS", "FAIL", "INCONCLUSIVE"]
    assert list(real_project.verdicts().values()) == verdicts, real_project.outcome.stdout.str()


def test_drift_of_real_digits(real_project, digits_folder):
    """Other digits of the same writers have not drifted; brighter or turned ones have, and the features say how."""
    (real_project.root / "digits").symlink_to(digits_folder)
    items = """
  - {id: D, title: Drift, base_practice: MLE.4.BP3, check: input_drift, accept: [features_drifted == 0, max_ks_distance <= 0.2],
     for_each: [{using: {reference: test, current: other}}, {using: {reference: other, current: bright}}, {using: {reference: other, current: rotated}}]}
"""
    real_project.run(HEADER + items, f"--mle-data-root={digits_folder}")
    assert list(real_project.verdicts().values()) == ["PASS", "FAIL", "FAIL"], real_project.outcome.stdout.str()
    _, bright, rotated = real_project.items
    assert "brightness" in {one["subject"] for one in real_project.items[bright]["findings"][0]["shown"]}
    assert "brightness" not in {one["subject"] for one in real_project.items[rotated]["findings"][0]["shown"]}


def test_planted_defects_among_real_digits(real_project, digits_folder):
    """The 1797 digits are whole and distinct; one copy, one copy in another class and one cut file are each found."""
    (real_project.root / "digits").mkdir()
    for name in ("train", "test"):
        (real_project.root / "digits" / name).symlink_to(digits_folder / name)
    damaged = real_project.root / "digits/damaged"
    shutil.copytree(digits_folder / "test", damaged)
    three, seven, five = (sorted((damaged / name).iterdir())[:2] for name in "375")
    shutil.copyfile(three[0], damaged / "3/copy.png")
    shutil.copyfile(seven[0], damaged / "1/copy.png")
    five[0].write_bytes(five[0].read_bytes()[:-30])
    criteria = "[corrupt_images == 0, exact_duplicates == 0, annotation_errors == 0, wrong_extensions == 0, count_mismatch == 0]"
    items = f"""
  - {{id: I, title: Intact, base_practice: SUP.11.BP5, check: dataset_integrity, accept: {criteria}, for_each: [
      {{using: {{dataset: other}}, with: {{expected_images: 1200}}}}, {{using: {{dataset: test}}, with: {{expected_images: 597}}}},
      {{using: {{dataset: damaged}}, with: {{expected_images: 599}}}}]}}
"""
    real_project.run(HEADER + items, f"--mle-data-root={digits_folder}")
    assert list(real_project.verdicts().values()) == ["PASS", "PASS", "FAIL"], real_project.outcome.stdout.str()
    found = list(real_project.items)[2]
    assert [path for path, _ in real_project.findings(found, "corrupt_images")] == [f"digits/damaged/5/{five[0].name}"]
    duplicates = dict(real_project.findings(found, "exact_duplicates"))
    assert len(duplicates) == 2
    assert "3/" in duplicates["digits/damaged/3/copy.png"] + duplicates.get(f"digits/damaged/3/{three[0].name}", "")
    ((place, contradiction),) = real_project.findings(found, "annotation_errors")
    assert "1" in place + contradiction
    assert "7" in place + contradiction
    assert real_project.quantity(found, "count_mismatch") == 0
