"""Checkpoints that load, and those that do not, in each format."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from pytest_mle.checks.experiments.checkpoint_files import why_unloadable

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")


class Witness:
    """A pickle that leaves a trace if somebody opens it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def write_torch(path):
    """Save a state dict beside the epoch, as scripts do."""
    torch.save({"epoch": 3, "state_dict": torch.nn.Linear(3, 2).state_dict()}, path)


def write_script(path):
    """Save a TorchScript archive."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Linear(3, 2)).save(str(path))


def write_onnx(path):
    """Save the smallest graph that does something."""
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", info[:1], info[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), path)


def write_safetensors(path, header=None, data=bytes(16)):
    """Write the format by its description: length, JSON header, data."""
    header = header or {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "b": {"dtype": "F16", "shape": [2, 2], "data_offsets": [8, 16]},
    }
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_npz(path):
    """Save an archive of one array."""
    np.savez(path, weights=np.arange(1000.0))


WRITERS = {"a.pt": write_torch, "a.ckpt": write_torch, "s.pt": write_script, "a.onnx": write_onnx}
WRITERS |= {"a.safetensors": write_safetensors, "a.npz": write_npz}


@pytest.mark.parametrize("name", WRITERS)
def test_a_good_checkpoint_loads(tmp_path, name):
    """Each format, as its library writes it."""
    WRITERS[name](tmp_path / name)
    assert why_unloadable(tmp_path / name) is None


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kept", [0, 5, 0.5, 0.9])
def test_a_truncated_checkpoint_does_not(tmp_path, name, kept):
    """No byte, a few, half, all but the end: an upload that broke off."""
    path = tmp_path / name
    WRITERS[name](path)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    reason = why_unloadable(path)
    assert reason is not None
    assert "\n" not in reason


@pytest.mark.parametrize("name", ["a.pt", "s.pt", "a.npz"])
def test_one_changed_byte_of_the_weights(tmp_path, name):
    """A bit that flipped in storage loads in PyTorch without a word; the archive's checksum tells."""
    path = tmp_path / name
    WRITERS[name](path)
    with zipfile.ZipFile(path) as archive:
        stored = (one for one in archive.infolist() if one.compress_type == zipfile.ZIP_STORED)
        largest = max(stored, key=lambda one: one.file_size)
        content = archive.read(largest)
    data = bytearray(path.read_bytes())
    data[data.index(content) + len(content) // 2] ^= 1
    path.write_bytes(data)
    assert "damaged" in why_unloadable(path)


def test_format_of_old_pytorch_versions_is_not_loaded(tmp_path):
    """Checkpoints that are no archive are refused before anything reads them."""
    torch.save({"w": torch.zeros(3)}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert "before PyTorch 1.6" in why_unloadable(tmp_path / "a.pt")


def test_nothing_is_unpickled(tmp_path):
    """A pickle under any of the names runs no code; PyTorch's own file with an object in it says what to do instead."""
    for name in ("a.pt", "a.ckpt", "a.npz", "a.npy", "a.onnx", "a.safetensors", "a.bin"):
        witness = tmp_path / f"ran-{name}"
        (tmp_path / name).write_bytes(pickle.dumps(Witness(witness)))
        assert why_unloadable(tmp_path / name)
        assert not witness.exists()
    witness = tmp_path / "ran-torch"
    torch.save({"model": Witness(witness)}, tmp_path / "object.pt")
    assert "save a state_dict" in why_unloadable(tmp_path / "object.pt")
    assert not witness.exists()
    np.save(tmp_path / "object.npy", np.array([Witness(witness)], dtype=object), allow_pickle=True)
    assert why_unloadable(tmp_path / "object.npy")
    assert not witness.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "no tensor"),
        ({"epoch": 3}, "no tensor"),
        ({"w": [torch.tensor([1.0, float("nan")])]}, "not finite"),
        ({"w": torch.tensor([float("inf")])}, "not finite"),
    ],
)
def test_files_without_usable_weights(tmp_path, content, reason):
    """A file that loads and holds nothing, or NaN, is no checkpoint."""
    torch.save(content, tmp_path / "a.pt")
    assert reason in why_unloadable(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"__metadata__": {}}, b""),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)),
        ({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(5)),
        (b"[1]", b""),
        (b"{", b""),
        (b"[" * 100_000, b""),
    ],
)
def test_safetensors_headers_that_lie(tmp_path, header, data):
    """Tensors that do not fill the data, have no size or no place, and headers that are none."""
    write_safetensors(tmp_path / "a.safetensors", header, data)
    assert why_unloadable(tmp_path / "a.safetensors")


def test_other_files(tmp_path):
    """An unknown format, an absent file, an ONNX file of zeros."""
    (tmp_path / "a.pkl").write_bytes(b"x")
    assert "loaded safely" in why_unloadable(tmp_path / "a.pkl")
    assert "cannot be read" in why_unloadable(tmp_path / "absent.pt")
    np.save(tmp_path / "a.npy", np.zeros(3))
    assert why_unloadable(tmp_path / "a.npy") is None
    (tmp_path / "a.onnx").write_bytes(bytes(100))
    assert why_unloadable(tmp_path / "a.onnx")
    np.savez(tmp_path / "a.npz")
    assert why_unloadable(tmp_path / "a.npz") == "holds no array"
    write_safetensors(tmp_path / "a.safetensors", {"a": {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}})
    assert why_unloadable(tmp_path / "a.safetensors") is None
