"""Tests of the check of epistemic uncertainty."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.metrics

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.uncertainty.epistemic_uncertainty import epistemic_uncertainty
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.prediction_pass import predict_dataset
from pytest_mle.inputs.predictions import ClassificationPredictions
from tests.support.detection_scenes import SceneDataset, annotated, box_at, detected
from tests.support.memory_dataset import MemoryDataset


def _member(name, dataset, probabilities):
    model = SimpleNamespace(
        name=name, task="classification", class_names=(), digest=f"weights of {name}", batch_size=16
    )
    return ClassificationPredictions(model, dataset, np.asarray(probabilities, np.float32))


def _ensemble(count=300, *, knows=True, seed=0, members=3, sequences=None):
    """Return members that agree on easy images and differ on hard ones, or (not ``knows``) at random."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    hard = rng.random(count) < 0.3
    images = [np.full((2, 2, 3), index % 251, np.uint8) + np.uint8(index // 251) for index in range(count)]
    dataset = MemoryDataset(images, labels=labels.tolist(), sequences=sequences)
    found = []
    for number in range(members):
        scatter = hard if knows else rng.random(count) < 0.3
        logits = 3 * np.eye(3)[labels] + rng.normal(0, 0.2, (count, 3))
        logits[hard] = rng.normal(0, 0.1, (hard.sum(), 3)) + 0.3
        logits[scatter] += rng.normal(0, 2, (scatter.sum(), 3))
        powers = np.exp(logits)
        found.append(_member(f"seed {number}", dataset, powers / powers.sum(axis=1, keepdims=True)))
    return dataset, found


def _measured(dataset, members, **options):
    others = {f"member_{number}": one for number, one in enumerate(members[1:], 2)}
    return epistemic_uncertainty(members[0], dataset, np.random.default_rng(0), **others, **options)


def test_values_are_those_of_scikit_learn(verdict, broken):
    """The mean prediction's errors, ranked by the members' disagreement."""
    dataset, members = _ensemble()
    measured = _measured(dataset, members)
    stacked = np.stack([one.probabilities.astype(float) for one in members])
    mean = stacked.mean(axis=0)
    labels = np.array([dataset.label(index) for index in range(300)])
    wrong = mean.argmax(axis=1) != labels
    information = -(mean * np.log(mean)).sum(axis=1) + (stacked * np.log(stacked)).sum(axis=2).mean(axis=0)
    quantities = measured.quantities
    assert set(quantities) == set(declaration_of(epistemic_uncertainty).quantities)
    expected = sklearn.metrics.roc_auc_score(wrong, information)
    assert quantities["uncertainty_error_auroc"].value == pytest.approx(expected, abs=1e-6)
    assert quantities["accuracy"].value == pytest.approx(1 - wrong.mean())
    assert quantities["mean_uncertainty"] == pytest.approx(information.mean())
    assert quantities["members"] == 3
    assert broken(measured) == []
    assert (
        verdict(epistemic_uncertainty, measured, "members >= 3", "uncertainty_error_auroc > 0.5 at 95 % confidence")
        == "PASS"
    )
    assert measured.findings[0].total == wrong.sum()


def test_disagreement_at_random_ranks_no_error(verdict):
    """Members that differ anywhere are not shown to know where they err."""
    dataset, members = _ensemble(knows=False)
    measured = _measured(dataset, members)
    assert verdict(epistemic_uncertainty, measured, "uncertainty_error_auroc > 0.8 at 95 % confidence") == "FAIL"


@pytest.mark.parametrize("score", ["predictive_entropy", "variance"])
def test_other_scores(score):
    """They are measured and recorded."""
    dataset, members = _ensemble()
    measured = _measured(dataset, members, score=score)
    assert measured.settings["score"] == score
    assert measured.quantities["uncertainty_error_auroc"].value > 0.5


class _Noisy:
    """A member that is sure of bright images and guesses, by its own seed, on dark ones."""

    task, class_names, files, batch_size = "classification", (), (), 16

    def __init__(self, seed):
        self.name, self.digest, self._seed = f"noisy {seed}", str(seed), seed

    def predict(self, images):
        """Return probabilities."""
        rows = []
        for image in images:
            rng = np.random.default_rng([self._seed, int(image.sum())])
            bright = image.mean() > 100
            rows.append([0.95, 0.05] if bright else rng.dirichlet([0.5, 0.5]))
        return np.array(rows, np.float32)


def _shades(low, high, count=60):
    values = np.linspace(low, high, count).astype(np.uint8)
    return MemoryDataset([np.full((2, 2, 3), value, np.uint8) for value in values], labels=[0] * count, name="shades")


def test_unknown_images_are_more_uncertain(verdict, broken):
    """Dark images that no member has seen: far more disagreement than on bright ones, some of which are dark too."""
    known, unknown = _shades(90, 200), _shades(0, 80)
    members = [predict_dataset(_Noisy(seed), known) for seed in range(3)]
    measured = _measured(known, members, ood=unknown)
    assert broken(measured) == []
    assert verdict(epistemic_uncertainty, measured, "ood_uncertainty_ratio > 1 at 95 % confidence") == "PASS"
    without = _measured(known, members)
    assert verdict(epistemic_uncertainty, without, "ood_uncertainty_ratio > 1") == "INCONCLUSIVE"
    assert "using: {ood" in without.quantities["ood_uncertainty_ratio"].method
    assert broken(_measured(known, members, ood=known)) == ["data_are_different"]


def test_a_model_without_an_error_ranks_none(verdict):
    """There is nothing to find, which is not the same as having found it."""
    labels = [0, 1] * 50
    dataset = MemoryDataset([np.full((2, 2, 3), i, np.uint8) for i in range(100)], labels=labels)
    members = [_member(str(n), dataset, np.eye(2)[labels] * (0.9 - 0.1 * n) + 0.05 * (n + 1)) for n in range(3)]
    measured = _measured(dataset, members)
    assert verdict(epistemic_uncertainty, measured, "uncertainty_error_auroc > 0.5") == "INCONCLUSIVE"
    assert measured.quantities["accuracy"].value == 1


def test_the_same_member_twice_is_inconclusive(broken):
    """Copies of a model agree on everything and know nothing of their errors."""
    dataset, members = _ensemble()
    assert broken(_measured(dataset, [members[0], members[0], members[0]])) == ["members_differ"]
    assert broken(_measured(dataset, [members[0], members[1], members[1]])) == ["members_differ"]
    other = _member("other", dataset, members[0].probabilities)
    assert broken(_measured(dataset, [members[0], other])) == ["members_differ"]


def test_few_images_are_inconclusive(broken):
    """One image neither crashes nor passes."""
    dataset, members = _ensemble(1)
    assert "enough_images" in broken(_measured(dataset, members))


def test_bad_data_and_parameters_are_refused():
    """Detectors, members of other classes, NaN, no image, passes without sense."""
    dataset, members = _ensemble(40)
    scene = SceneDataset([annotated(box_at(0))])
    with pytest.raises(InputError, match="is a detector"):
        _measured(scene, [detected(scene, [(box_at(0), 0.9)])])
    with pytest.raises(InputError, match="same images and classes"):
        _measured(dataset, [members[0], _member("x", dataset, np.full((40, 2), 0.5))])
    spoilt = members[1].probabilities.copy()
    spoilt[0] = np.nan
    with pytest.raises(InputError, match="finite"):
        _measured(dataset, [members[0], _member("x", dataset, spoilt)])
    empty = MemoryDataset([], labels=[])
    with pytest.raises(NotMeasurableError, match="no samples"):
        _measured(empty, [_member("x", empty, np.empty((0, 2)))])
    with pytest.raises(InputError, match="passes"):
        _measured(dataset, members[:1], passes=1)


@pytest.mark.torch
def test_dropout_of_a_trained_network_ranks_its_errors(verdict, broken):
    """Scanned digits: where passes with dropout disagree, the network is wrong more often; noise is more uncertain."""
    torch = pytest.importorskip("torch")
    from sklearn.datasets import load_digits

    from tests.support.torch_classifier import ModuleClassifier

    data = load_digits()
    grey = np.round(data.images * (255 / 16)).astype(np.uint8)
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, 64),
        torch.nn.BatchNorm1d(64),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.3),
        torch.nn.Linear(64, 10),
    ).double()
    x, y = torch.from_numpy(grey[:600, None] / 255.0), torch.from_numpy(data.target[:600])
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(8):
        for rows in torch.randperm(600).split(60):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    model = ModuleClassifier(network.float().eval(), class_names=tuple("0123456789"))
    colour = np.repeat(grey[600:, :, :, None], 3, axis=3)
    dataset = MemoryDataset(list(colour), labels=data.target[600:].tolist(), class_names=tuple("0123456789"))
    noise = MemoryDataset(
        list(np.random.default_rng(0).permuted(colour[:200].reshape(200, 64, 3), axis=1).reshape(200, 8, 8, 3)),
        labels=[0] * 200,
    )
    found = predict_dataset(model, dataset)
    measured = epistemic_uncertainty(found, dataset, np.random.default_rng(0), ood=noise)
    assert broken(measured) == []
    assert measured.settings["method"] == "Monte Carlo dropout"
    assert measured.quantities["members"] == 20
    right = found.probabilities.argmax(axis=1) == data.target[600:]
    assert measured.quantities["accuracy"].value == pytest.approx(right.mean())
    accepted = (
        "members >= 3",
        "uncertainty_error_auroc > 0.7 at 95 % confidence",
        "ood_uncertainty_ratio > 1.2 at 95 % confidence",
    )
    assert verdict(epistemic_uncertainty, measured, *accepted) == "PASS"
