"""Handwritten digits and a small network that was trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Digits:
    """The network with its test images, ``(image, 8, 8, 3)`` uint8, and their classes."""

    network: Any
    images: np.ndarray
    labels: list[int]

    def model(self, **options):
        """Wrap a copy of the network, so that no test can spoil another one."""
        import copy

        from tests.support.torch_classifier import ModuleClassifier

        return ModuleClassifier(copy.deepcopy(self.network), **{"class_names": NAMES, **options})

    def dataset(self, chosen=None, **options):
        """Return the test images, or some of them."""
        from tests.support.memory_dataset import MemoryDataset

        indices = None if chosen is None else np.asarray(chosen)
        return MemoryDataset(
            list(self.images),
            labels=self.labels,
            indices=indices,
            **{"class_names": NAMES, "name": "digits", **options},
        )


@pytest.fixture(scope="session")
def digits():
    """Train a network with dropout and batch normalisation on 1400 digits of scikit-learn; 397 are left for tests."""
    torch = pytest.importorskip("torch")
    from sklearn.datasets import load_digits
    from torch import nn

    data = load_digits()
    grey = np.round(data.images * (255 / 16)).astype(np.uint8)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(192, 10),
    )
    # In float64, rounding does not add up over the epochs: every machine gets the same network to float32.
    network.double()
    images = torch.from_numpy(grey[:1400, None].astype(np.float64) / 255)
    labels = torch.from_numpy(data.target[:1400])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(15):
        for rows in torch.randperm(1400).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
    return Digits(network.float().eval(), np.repeat(grey[1400:, :, :, None], 3, axis=3), data.target[1400:].tolist())
