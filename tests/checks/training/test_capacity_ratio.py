"""Tests of samples by parameters."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.training.capacity_ratio import capacity_ratio
from pytest_mle.errors import NotMeasurableError
from pytest_mle.inputs.models import open_model
from tests.support.memory_dataset import MemoryDataset
from tests.support.onnx_files import save_linear_classifier

ENTRY = {
    "path": "m.onnx",
    "task": "classification",
    "preprocess": {"resize": "stretch", "size": [6, 4]},
    "output": {"layout": "probabilities"},
}
FACTORY = """
import torch

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(72, 3), torch.nn.BatchNorm1d(3))
"""


def images(count):
    """Make a training set."""
    return MemoryDataset([np.zeros((4, 6, 3), np.uint8)] * count, labels=[0] * count)


def test_onnx_model(tmp_path):
    """A matrix of 72 x 3 is 216 parameters: 540 images are 2.5 a parameter."""
    save_linear_classifier(tmp_path / "m.onnx")

    measurement = capacity_ratio(open_model("m", ENTRY, tmp_path), images(540))

    assert measurement.quantities == {"samples_per_parameter": 2.5, "training_samples": 540, "parameters": 216}
    assert set(built_in_check("capacity_ratio").quantities) == set(measurement.quantities)


@pytest.mark.torch
def test_torch_model(tmp_path):
    """A PyTorch model's parameters are counted without buffers: 72 * 3 + 3 and 2 * 3 of the normalisation."""
    pytest.importorskip("torch")
    (tmp_path / "network_of_capacity.py").write_text(FACTORY)
    entry = {**ENTRY, "factory": "network_of_capacity:build"}
    del entry["path"]

    measurement = capacity_ratio(open_model("m", entry, tmp_path), images(450))

    assert measurement.quantities == {"samples_per_parameter": 2.0, "training_samples": 450, "parameters": 225}


def test_handbook_case_is_448_times_too_small():
    """11.2 million parameters and 250,000 images: 112 million images would be needed (a factor of 448)."""
    model = SimpleNamespace(name="yolov8s", parameter_count=11_200_000)

    ratio = capacity_ratio(model, images(250_000)).quantities["samples_per_parameter"]

    assert 10 / ratio == pytest.approx(448)


@pytest.mark.parametrize("count", [None, 0])
def test_parameters_that_nobody_knows(count):
    """Without parameters there is no ratio, and not an infinite one."""
    with pytest.raises(NotMeasurableError, match="'frozen' does not tell"):
        capacity_ratio(SimpleNamespace(name="frozen", parameter_count=count), images(1))
    with pytest.raises(NotMeasurableError, match="does not tell"):
        capacity_ratio(SimpleNamespace(name="other"), images(1))


def test_empty_training_set():
    """No sample is no ratio of 0."""
    with pytest.raises(NotMeasurableError, match="no sample"):
        capacity_ratio(SimpleNamespace(name="m", parameter_count=5), images(0))
