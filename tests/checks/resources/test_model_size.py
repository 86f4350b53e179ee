"""Tests of the size of models."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.resources.model_size import model_size
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.models import open_model
from tests.support.onnx_files import save_linear_classifier

ENTRY = {
    "path": "m.onnx",
    "task": "classification",
    "preprocess": {"resize": "stretch", "size": [6, 4]},
    "output": {"layout": "probabilities"},
}


def test_external_weights_count(tmp_path):
    """The size is that of graph and weights together."""
    options = {"save_as_external_data": True, "location": "m.data", "size_threshold": 0}
    save_linear_classifier(tmp_path / "m.onnx", **options)
    measured = model_size(open_model("m", ENTRY, tmp_path))
    sizes = {name: (tmp_path / name).stat().st_size for name in ("m.onnx", "m.data")}
    assert measured.quantities == {"file_size": sum(sizes.values()), "parameters": 216}
    assert measured.settings["files"] == sizes
    assert set(declaration_of(model_size).quantities) == set(measured.quantities)


def test_unknown_parameters_are_no_number(tmp_path):
    """A model that does not tell has NaN parameters, which no criterion accepts, and still a size."""
    (tmp_path / "weights.bin").write_bytes(b"12345")
    measured = model_size(SimpleNamespace(name="other", files=(tmp_path / "weights.bin",)))
    assert measured.quantities["file_size"] == 5
    assert math.isnan(measured.quantities["parameters"].value)


def test_a_model_without_files_has_no_size():
    """Nothing is not zero bytes."""
    with pytest.raises(NotMeasurableError, match="has no file"):
        model_size(SimpleNamespace(name="made", files=()))


def test_a_vanished_file_is_an_error(tmp_path):
    """A file that is gone since opening is named."""
    with pytest.raises(InputError, match=r"gone\.onnx cannot be read"):
        model_size(SimpleNamespace(name="m", files=(tmp_path / "gone.onnx",)))
