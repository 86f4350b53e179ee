"""ONNX files, run by ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, MissingExtraError, TrustError
from pytest_mle.inputs.models.loaded_model import LoadedModel, NetworkOutput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pytest_mle.inputs.models.declaration import ModelDeclaration, Preprocess

INSTALL = 'pip install "pytest-mle[onnx]"'
GRAPH_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def open_onnx_model(name: str, declaration: ModelDeclaration, path: Path) -> LoadedModel:
    """Open an ONNX file with its external weights.

    Raises
    ------
    InputError
        If the file is damaged, its input does not fit ``preprocess``, or the execution provider is not available.
    TrustError
        If the file takes its weights from outside its folder.
    MissingExtraError
        If onnxruntime or onnx is not installed.
    """
    proto = _read_proto(path)
    files = (path, *_external_files(proto, path))
    session = _session(declaration, path)
    network = OnnxNetwork(session, declaration, _parameter_count(proto))
    return LoadedModel(name, declaration, network, files)


class OnnxNetwork:
    """An inference session with one image input."""

    def __init__(self, session: Any, declaration: ModelDeclaration, parameter_count: int | None) -> None:
        self._session = session
        self._threads = declaration.intra_op_threads
        self.parameter_count = parameter_count
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise InputError(
                f"the graph takes {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), expected one"
            )
        self._input = inputs[0]
        self._outputs = [output.name for output in session.get_outputs()]
        self.dtype = _input_dtype(self._input, declaration.preprocess)
        self.fixed_batch = _check_input_shape(self._input, declaration.preprocess)

    def run(self, values: NDArray[Any]) -> list[NetworkOutput]:
        """Run the graph on one batch."""
        try:
            arrays = self._session.run(None, {self._input.name: values})
        except _runtime_errors() as error:
            raise InputError(
                f"the network cannot run on {list(values.shape)} {values.dtype}: {_line(error)}"
            ) from error
        named = {name: np.asarray(array) for name, array in zip(self._outputs, arrays, strict=True)}
        return [NetworkOutput(named, len(values), len(values))]

    @property
    def runtime(self) -> dict[str, Any]:
        """Version, execution providers and threads."""
        import onnxruntime

        return {
            "onnxruntime": onnxruntime.__version__,
            "providers": self._session.get_providers(),
            "intra_op_threads": self._threads,
        }


def _session(declaration: ModelDeclaration, path: Path) -> Any:
    onnxruntime = _onnxruntime()
    device, _, index = declaration.device.partition(":")
    provider = declaration.provider or PROVIDERS[device]
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise InputError(f"execution provider {provider!r} is not available here. Available: {', '.join(available)}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if declaration.intra_op_threads is not None:
        options.intra_op_num_threads = declaration.intra_op_threads
    settings = [{"device_id": index}] if index else None
    try:
        session = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=[provider], provider_options=settings
        )
    except _runtime_errors() as error:
        raise InputError(f"ONNX Runtime cannot load {path.name}: {_line(error)}") from error
    # Without this a broken CUDA installation would be measured as if the model ran there.
    if session.get_providers()[0] != provider:
        raise InputError(f"execution provider {provider!r} did not start; ONNX Runtime fell back to the CPU")
    return session


def _read_proto(path: Path) -> Any:
    onnx = _onnx()
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]

    try:
        proto = onnx.load_model(str(path), load_external_data=False)
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        raise InputError(f"{path.name} is no ONNX file or is cut off: {_line(error)}") from error
    if not proto.graph.node:
        raise InputError(f"{path.name} holds no graph: it is empty or no ONNX file")
    return proto


def _external_files(proto: Any, path: Path) -> list[Path]:
    locations: set[str] = set()
    for tensor in _tensors(proto.graph):
        if tensor.data_location == tensor.EXTERNAL:
            locations.update(entry.value for entry in tensor.external_data if entry.key == "location")
    files = []
    for location in sorted(locations):
        file = (path.parent / location).resolve()
        if not file.is_relative_to(path.parent.resolve()):
            raise TrustError(f"{path.name} takes weights from {location!r}, outside its folder")
        if not file.is_file():
            raise InputError(f"{path.name} needs the weights file {location!r}, which is not there")
        files.append(file)
    return files


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for nested in (attribute.g, *attribute.graphs):
                if nested.node or nested.initializer:
                    yield from _graphs(nested)


def _initializers(graph: Any) -> Iterator[Any]:
    for one in _graphs(graph):
        yield from one.initializer
        yield from (sparse.values for sparse in one.sparse_initializer)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from _initializers(graph)
    for one in _graphs(graph):
        for node in one.node:
            for attribute in node.attribute:
                yield attribute.t
                yield from attribute.tensors


def _parameter_count(proto: Any) -> int:
    """Count the elements of all initialisers but int64 and bool ones, which are shapes and indices."""
    kinds = _onnx().TensorProto
    return sum(
        int(np.prod(tensor.dims, dtype=np.int64))
        for tensor in _initializers(proto.graph)
        if tensor.data_type not in (kinds.INT64, kinds.BOOL, kinds.STRING)
    )


def _input_dtype(graph_input: Any, preprocess: Preprocess) -> str:
    dtype = GRAPH_TYPES.get(graph_input.type)
    if dtype is None:
        raise InputError(f"the input {graph_input.name!r} is {graph_input.type}; supported: {', '.join(GRAPH_TYPES)}")
    if preprocess.dtype not in (None, dtype):
        raise InputError(
            f"the input {graph_input.name!r} takes {dtype}, but preprocess declares dtype {preprocess.dtype}"
        )
    return dtype


def _check_input_shape(graph_input: Any, preprocess: Preprocess) -> int | None:
    """Compare the graph's input with the declaration; returns its fixed batch size or None."""
    shape = graph_input.shape
    width, height = preprocess.size or (None, None)
    channels_first, channels_last = (preprocess.channels, height, width), (height, width, preprocess.channels)
    declared, other = (
        (channels_first, channels_last) if preprocess.layout == "nchw" else (channels_last, channels_first)
    )
    if not _fits(shape, declared):
        hint = f". Layout {'nhwc' if preprocess.layout == 'nchw' else 'nchw'} would fit" if _fits(shape, other) else ""
        raise InputError(
            f"the input {graph_input.name!r} has shape {shape}, but preprocess declares {preprocess.layout} with size "
            f"{list(preprocess.size or ())} and {preprocess.channels} channels{hint}"
        )
    return shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None


def _fits(shape: list[Any], declared: tuple[int | None, ...]) -> bool:
    if len(shape) != 4:
        return False
    return all(
        not isinstance(actual, int) or actual <= 0 or expected in (None, actual)
        for actual, expected in zip(shape[1:], declared, strict=True)
    )


def _runtime_errors() -> tuple[type[Exception], ...]:
    # ONNX Runtime's errors have no common base below Exception.
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    found = (getattr(state, name) for name in dir(state))
    return (RuntimeError, *(one for one in found if isinstance(one, type) and issubclass(one, Exception)))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", INSTALL) from error
    return onnxruntime


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", INSTALL) from error
    return onnx
