"""Tests of what members say of the same images, and of passes with dropout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.uncertainty.members import Opinions, dropout_opinions, entropy
from pytest_mle.errors import InputError
from pytest_mle.records.progress import no_progress
from tests.support.memory_dataset import MemoryDataset


def test_uncertainties_by_hand():
    """Two members that are sure of different classes: log 2 in all, all of it disagreement; two unsure ones: none of it."""
    sure, unsure = [[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.5], [0.5, 0.5]]
    found = Opinions.of(np.array([[sure[0], unsure[0]], [sure[1], unsure[1]]]))
    assert found.uncertainty("predictive_entropy") == pytest.approx([np.log(2), np.log(2)])
    assert found.uncertainty("mutual_information") == pytest.approx([np.log(2), 0])
    assert found.uncertainty("variance") == pytest.approx([0.5, 0])
    assert entropy(np.array([1.0, 0.0])) == 0


@given(st.integers(1, 6), st.integers(1, 5), st.integers(2, 5), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_mutual_information_lies_below_the_entropy(members, images, classes, seed):
    """0 <= I <= H <= log(classes), whatever the members say; and joining batches changes nothing."""
    probabilities = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), (members, images))
    found = Opinions.of(probabilities)
    information, total = found.uncertainty("mutual_information"), found.uncertainty("predictive_entropy")
    assert (information >= 0).all()
    assert (information <= total + 1e-9).all()
    assert (total <= np.log(classes) + 1e-9).all()
    parts = Opinions.joined([Opinions.of(probabilities[:, :1]), Opinions.of(probabilities[:, 1:])])
    assert parts.uncertainty("mutual_information") == pytest.approx(information)


def _network(torch, rate=0.5):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.BatchNorm1d(16),
        torch.nn.Linear(16, 32),
        torch.nn.ReLU(),
        torch.nn.Dropout(rate),
        torch.nn.Linear(32, 3),
    ).eval()


def _model(module, **options):
    from tests.support.torch_classifier import ModuleClassifier

    return ModuleClassifier(module, class_names=("a", "b", "c"), **options)


def _images(count=20):
    rng = np.random.default_rng(0)
    return MemoryDataset([rng.integers(0, 255, (4, 4, 3)).astype(np.uint8) for _ in range(count)], labels=[0] * count)


@pytest.mark.torch
def test_dropout_alone_is_switched_on():
    """Passes differ, batch normalisation keeps its statistics, and the model is afterwards as it was."""
    torch = pytest.importorskip("torch")
    network = _network(torch)
    modes = []
    network[1].register_forward_pre_hook(lambda layer, _: modes.append((layer.training, network[4].training)))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = dropout_opinions(_model(network), _images(), 5, 1, no_progress)
    assert set(modes) == {(False, True)}
    assert found.members == 5
    assert (found.variance > 0).all()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(layer.training for layer in network.modules())


@pytest.mark.torch
def test_the_seed_decides_and_the_state_of_torch_is_kept():
    """The same seed gives the same opinions in batches of any order of work; torch's own numbers go on as before."""
    torch = pytest.importorskip("torch")
    model, dataset = _model(_network(torch), batch_size=8), _images()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, two, other = (dropout_opinions(model, dataset, 4, seed, no_progress) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert (one.mean == two.mean).all()
    assert (one.mean != other.mean).any()


@pytest.mark.torch
def test_many_passes_come_near_the_expected_mean():
    """The mean over masks of one dropped layer is linear in the logits: their mean is the deterministic one."""
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.3), torch.nn.Linear(16, 2)).eval()
    with torch.no_grad():
        network[2].weight.mul_(0.05)
    model, dataset = _model(network), _images(5)
    found = dropout_opinions(model, dataset, 1000, 1, no_progress)
    assert found.mean == pytest.approx(model.predict([dataset.image(i) for i in range(5)]), abs=0.005)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning")
def test_scripted_dropout_is_found():
    """A TorchScript module has its dropout layers too."""
    torch = pytest.importorskip("torch")
    scripted = torch.jit.script(_network(torch))
    found = dropout_opinions(_model(scripted), _images(), 5, 1, no_progress)
    assert (found.variance > 0).all()
    assert not any(layer.training for layer in scripted.modules())


@pytest.mark.torch
def test_without_dropout_there_are_no_passes():
    """No layer, a rate of 0 and a model that is no module each say what to give instead."""
    torch = pytest.importorskip("torch")
    for network in (torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)), _network(torch, rate=0.0)):
        with pytest.raises(InputError, match=r"no dropout layer.*member_2"):
            dropout_opinions(_model(network), _images(), 5, 1, no_progress)

    class Onnx:
        """A model of another framework."""

        name = "onnx"

    with pytest.raises(InputError, match=r"no PyTorch module.*member_2"):
        dropout_opinions(Onnx(), _images(), 5, 1, no_progress)


@pytest.mark.torch
def test_a_network_that_breaks_names_the_image():
    """NaN under dropout is an error, and the layers are switched off again."""
    torch = pytest.importorskip("torch")
    network = _network(torch)
    with torch.no_grad():
        network[5].bias[0] = float("nan")
    with pytest.raises(InputError, match=r"0000\.png"):
        dropout_opinions(_model(network), _images(), 5, 1, no_progress)
    assert not any(layer.training for layer in network.modules())
