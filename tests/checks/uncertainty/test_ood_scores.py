"""Tests of the scores that tell unknown images from known ones."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors

from pytest_mle.checks.uncertainty.ood_scores import (
    class_distance,
    logits_of,
    negative_energy,
    neighbour_distance,
    network_output,
    output_confidence,
    shared_images,
)
from pytest_mle.errors import InputError
from pytest_mle.inputs.predictions import ClassificationPredictions
from pytest_mle.records.progress import no_progress
from tests.support.detection_scenes import SceneDataset, annotated, box_at, detected
from tests.support.memory_dataset import MemoryDataset


def _rng():
    return np.random.default_rng(0)


def test_mahalanobis_is_that_of_scikit_learn():
    """One mean a class, one covariance around the means, the nearest class counts."""
    rng = _rng()
    labels = rng.integers(0, 3, 200)
    known = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5)) + 3 * labels[:, None]
    query = rng.normal(size=(40, 5)) * 4
    means = np.array([known[labels == one].mean(axis=0) for one in range(3)])
    fitted = EmpiricalCovariance(assume_centered=True).fit(known - means[labels])
    expected = -np.min([fitted.mahalanobis(query - mean) for mean in means], axis=0)
    assert class_distance(query, known, labels) == pytest.approx(expected)


def test_nearest_neighbours_are_those_of_scikit_learn():
    """The distance to the k-th nearest on features of length 1, whatever the blocks."""
    rng = _rng()
    known, query = rng.normal(size=(300, 8)), rng.normal(size=(50, 8))
    unit = known / np.linalg.norm(known, axis=1, keepdims=True)
    found = NearestNeighbors(n_neighbors=7).fit(unit)
    expected = -found.kneighbors(query / np.linalg.norm(query, axis=1, keepdims=True))[0][:, -1]
    assert neighbour_distance(query, known, 7) == pytest.approx(expected, abs=1e-9)


def test_energy_by_hand():
    """log(e^0 + e^0) is log 2, and large logits do not overflow."""
    assert negative_energy(np.array([[0.0, 0.0], [1000.0, 0.0]])) == pytest.approx([np.log(2), 1000])


def test_confidence_of_a_detector_is_its_highest_score():
    """An image without detection has none, 0."""
    dataset = SceneDataset([annotated(), annotated(), annotated()])
    found = detected(dataset, [(box_at(0), 0.3), (box_at(50), 0.8)], [], [(box_at(0), 0.5)])
    assert output_confidence(found) == pytest.approx([0.8, 0, 0.5])
    probabilities = np.array([[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]], np.float32)
    assert output_confidence(ClassificationPredictions(None, dataset, probabilities)) == pytest.approx([0.8, 0.9, 0.5])


def test_images_of_both_sets_are_found(tmp_path):
    """By the contents of files where there are any, else by their pixels; names do not matter."""
    rng = _rng()
    images = [rng.integers(0, 255, (4, 5, 3)).astype(np.uint8) for _ in range(4)]
    first, second = MemoryDataset(images[:3], labels=[0] * 3), MemoryDataset([images[3], images[1]], labels=[0] * 2)
    assert shared_images(first, second) == [1]
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png", "d.png")]
    for path, content in zip(paths, (b"one", b"two", b"two", b"long"), strict=True):
        path.write_bytes(content)

    class Files:
        """Files without pixels."""

        def __init__(self, *chosen):
            self.chosen = chosen

        def __len__(self):
            return len(self.chosen)

        def sample(self, index):
            """Return where one lies."""
            return SimpleNamespace(path=self.chosen[index])

    assert shared_images(Files(paths[0], paths[1]), Files(paths[3], paths[2])) == [1]


class TwoOutputs:
    """A network with logits and features, as a project would wrap it."""

    name, batch_size = "two outputs", 2

    def prepare(self, images):
        """Return the mean of each image."""
        return np.array([[image.mean()] for image in images], np.float32)

    def forward(self, prepared):
        """Return outputs by name."""
        return {"logits": np.concatenate((prepared, -prepared), axis=1), "features": prepared[:, :, None] * [1, 2]}


def test_outputs_of_a_network_by_name():
    """Every batch, flat; an unknown name lists those that there are, and NaN names the image."""
    dataset = MemoryDataset([np.full((2, 2, 3), value, np.uint8) for value in (1, 2, 3)], labels=[0] * 3)
    assert network_output(TwoOutputs(), dataset, "features", no_progress).tolist() == [[1, 2], [2, 4], [3, 6]]
    assert network_output(TwoOutputs(), dataset, None, no_progress).tolist() == [[1, -1], [2, -2], [3, -3]]
    with pytest.raises(InputError, match="no output 'feature', only logits, features"):
        network_output(TwoOutputs(), dataset, "feature", no_progress)

    class Broken(TwoOutputs):
        """A network with a bad image."""

        def forward(self, prepared):
            """Fail on the third image."""
            return {"logits": np.where(prepared == 3, np.nan, prepared)}

    with pytest.raises(InputError, match=r"0002\.png"):
        network_output(Broken(), dataset, None, no_progress)


def test_a_model_without_logits_has_no_energy():
    """The message names the score that it has."""
    dataset = MemoryDataset([np.zeros((2, 2, 3), np.uint8)], labels=[0])
    with pytest.raises(InputError, match="max_softmax"):
        logits_of(TwoOutputs(), dataset, no_progress)
    softmax = SimpleNamespace(
        name="softmax", declaration=SimpleNamespace(output=SimpleNamespace(layout="probabilities"))
    )
    with pytest.raises(InputError, match="probabilities"):
        logits_of(softmax, dataset, no_progress)
