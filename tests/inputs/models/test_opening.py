"""Tests of which file is opened as what, and of who may say so."""

from __future__ import annotations

import pytest

from pytest_mle.errors import InputError, Location, TrustError
from pytest_mle.inputs.models import open_model
from tests.support.onnx_files import save_linear_classifier

ENTRY = {
    "task": "classification",
    "preprocess": {"resize": "stretch", "size": [6, 4]},
    "output": {"layout": "probabilities"},
}


@pytest.fixture
def outside(tmp_path):
    """Make a model beside the spec's folder."""
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    save_linear_classifier(tmp_path / "elsewhere" / "m.onnx")
    return tmp_path


@pytest.mark.parametrize("kind", ["relative", "absolute", "link"])
def test_a_file_outside_needs_the_invoker(outside, kind):
    """Neither a path with dots, an absolute path nor a link leads out of the spec's folder."""
    root = outside / "project"
    paths = {"relative": "../elsewhere/m.onnx", "absolute": str(outside / "elsewhere/m.onnx"), "link": "link.onnx"}
    (root / "link.onnx").symlink_to(outside / "elsewhere/m.onnx")
    with pytest.raises(TrustError, match=r"spec.yaml:3: .*--mle-data-root="):
        open_model("c", {**ENTRY, "path": paths[kind]}, root, location=Location("spec.yaml", 3))
    opened = open_model("c", {**ENTRY, "path": paths[kind]}, root, allowed_roots=[outside / "elsewhere"])
    assert opened.parameter_count == 216


def test_the_format_beats_the_ending(tmp_path):
    """A file with any name opens as what is declared."""
    save_linear_classifier(tmp_path / "model.bin")
    assert open_model("c", {**ENTRY, "path": "model.bin", "format": "onnx"}, tmp_path).parameter_count == 216


def test_an_unknown_ending_asks_for_the_format(tmp_path):
    """Guessing is left to nobody."""
    save_linear_classifier(tmp_path / "model.bin")
    with pytest.raises(InputError, match=r"cannot tell the format of 'model\.bin'"):
        open_model("c", {**ENTRY, "path": "model.bin"}, tmp_path)
