"""Open checkpoints without running what is in them."""

from __future__ import annotations

import json
import math
import pickle
import struct
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from pytest_mle.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".tar")
_SAFETENSORS_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}
_MAX_HEADER = 100 << 20


def why_unloadable(path: Path) -> str | None:
    """Return why a checkpoint cannot be loaded; None if it can.

    PyTorch files are read with ``weights_only=True`` (TorchScript archives as such), ONNX files are checked, of
    safetensors the header is compared with the file's size, and NumPy archives are read without pickles. Nothing is
    unpickled.

    Raises
    ------
    MissingExtraError
        The library for this format is not installed.
    """
    try:
        if path.stat().st_size == 0:
            return "has no bytes"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    open_it = _READERS.get(path.suffix.lower())
    if open_it is None:
        return f"is of a format that cannot be loaded safely. Known: {', '.join(_READERS)}"
    return open_it(path)


def _torch(path: Path) -> str | None:
    # Before PyTorch 1.6 checkpoints were no archives. Loading those is not safe in all versions, weights_only or not
    # (CVE-2025-32434), and a truncated archive is none either.
    if not zipfile.is_zipfile(path):
        return "is truncated, damaged or of the format before PyTorch 1.6, which is not loaded"
    try:
        # PyTorch does not compare the checksums: a changed weight would load as it is.
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        return f"is damaged: {_first_line(error)}"
    if broken is not None:
        return f"is damaged: the checksum of {broken} is wrong"
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", 'pip install torch, or pip install "pytest-mle[torch]"') from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        return f"holds more than weights ({_first_line(error)}): save a state_dict"
    except RuntimeError as error:
        return _torchscript(path) if "TorchScript" in str(error) else f"is damaged: {_first_line(error)}"
    except Exception as error:  # noqa: BLE001  a damaged archive raises whatever its first wrong byte leads to
        return f"is damaged: {_first_line(error)}"
    tensors = list(_tensors(content))
    if not tensors:
        return "holds no tensor"
    if any(tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()) for tensor in tensors):
        return "holds weights that are not finite"
    return None


def _torchscript(path: Path) -> str | None:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        return f"is damaged: {_first_line(error)}"
    return None


def _tensors(content: Any) -> Iterator[Any]:
    if hasattr(content, "is_floating_point"):
        yield content
    elif isinstance(content, dict):
        for one in content.values():
            yield from _tensors(one)
    elif isinstance(content, (list, tuple)):
        for one in content:
            yield from _tensors(one)


def _onnx(path: Path) -> str | None:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", 'pip install "pytest-mle[onnx]"') from error
    try:
        # By its path, so that external weights are looked for and large models are possible.
        onnx.checker.check_model(str(path))
        if not onnx.load(str(path), load_external_data=False).graph.node:
            return "holds no node"
    except Exception as error:  # noqa: BLE001  protobuf and the checker have no common error
        return f"is damaged: {_first_line(error)}"
    return None


def _safetensors(path: Path) -> str | None:
    """Compare the header (https://github.com/huggingface/safetensors, Format) with the file."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        if len(start) < 8:
            return "is damaged: it ends inside its header"
        (length,) = struct.unpack("<Q", start)
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            return "is damaged: its header is longer than the file"
        text = stream.read(length)
    try:
        header = json.loads(text)
        tensors = {name: one for name, one in header.items() if name != "__metadata__"}
        spans = sorted((*one["data_offsets"], _tensor_bytes(one)) for one in tensors.values())
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return "is damaged: its header cannot be read"
    if not tensors:
        return "holds no tensor"
    end = 0
    for begin, stop, expected in spans:
        if begin != end or stop - begin != expected:
            return "is damaged: its tensors overlap, leave gaps or have another size than their shapes"
        end = stop
    if 8 + length + end != size:
        return f"is damaged: it has {size} bytes, its header says {8 + length + end}"
    return None


def _tensor_bytes(tensor: dict[str, Any]) -> int:
    return int(math.prod(tensor["shape"])) * _SAFETENSORS_BYTES[tensor["dtype"]]


def _numpy(path: Path) -> str | None:
    import numpy as np

    try:
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            arrays = [loaded] if isinstance(loaded, np.ndarray) else [loaded[name] for name in loaded.files]
    except Exception as error:  # noqa: BLE001  zipfile, zlib and NumPy each have their own
        return f"is damaged: {_first_line(error)}"
    return None if arrays else "holds no array"


def _first_line(error: BaseException) -> str:
    line = str(error).strip().partition("\n")[0]
    return (line or type(error).__name__)[:200]


_READERS: dict[str, Callable[[Path], str | None]] = {
    **dict.fromkeys(TORCH_SUFFIXES, _torch),
    ".onnx": _onnx,
    ".safetensors": _safetensors,
    ".npz": _numpy,
    ".npy": _numpy,
}
SUFFIXES = tuple(_READERS)
