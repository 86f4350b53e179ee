"""PyTorch models: TorchScript, torch.export programs, pickled modules and module:factory with a state dict."""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, MissingExtraError, TrustError
from pytest_mle.inputs.models.factory import call_factory
from pytest_mle.inputs.models.loaded_model import LoadedModel, NetworkOutput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from pytest_mle.inputs.models.declaration import ModelDeclaration

INSTALL = 'pip install torch, or pip install "pytest-mle[torch]"'
# Keys under which training scripts put the weights beside epoch and optimizer.
STATE_KEYS = ("state_dict", "model_state_dict")


class TorchModel(LoadedModel):
    """A PyTorch model; gradients flow through :meth:`logits`."""

    network: TorchNetwork

    @property
    def device(self) -> Any:
        """The torch device on which it runs."""
        return self.network.device

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return ``(image, class)`` logits for prepared images in 0..1; range, mean and std are applied inside.

        Raises
        ------
        InputError
            For a detection model, which has no logits an image.

        Notes
        -----
        For a network that ends in a softmax these are log probabilities, which are logits of the same probabilities.
        """
        if self.task != "classification":
            raise InputError(f"model {self.name!r} is a detector: it has no logits for an image")
        torch_ = _torch()
        dtype = self.preprocessor.dtype
        if dtype == "uint8":
            raise InputError(f"model {self.name!r} takes uint8: no gradient flows through it")
        factor = torch_.from_numpy(self.preprocessor.factor).to(images)
        shift = torch_.from_numpy(self.preprocessor.shift).to(images)
        values = (images * factor + shift).to(getattr(torch_, dtype))
        if self.declaration.preprocess.layout == "nhwc":
            values = values.permute(0, 2, 3, 1)
        named = dict(_named_tensors(self.network.call(values)))
        chosen = named[self.declaration.output.names.output or next(iter(named))]
        rows: torch.Tensor = chosen.reshape(len(images), -1).float()
        if self.declaration.output.layout == "probabilities":
            rows = rows.clamp_min(torch_.finfo(torch_.float32).tiny).log()
        return rows


class TorchNetwork:
    """A module in evaluation mode."""

    def __init__(
        self,
        module: Any,
        declaration: ModelDeclaration,
        *,
        fixed_batch: int | None = None,
        is_script: bool = False,
        is_factory: bool = False,
    ) -> None:
        torch_ = _torch()
        self.device = torch_.device(declaration.device)
        self.dtype = declaration.preprocess.dtype
        self.fixed_batch = fixed_batch
        self.module = module
        self._threads = declaration.intra_op_threads
        self._takes_list = is_script and _takes_list(module)
        self._is_factory = is_factory
        for parameter in module.parameters():
            parameter.requires_grad_(requires_grad=False)

    def call(self, values: torch.Tensor) -> Any:
        """Call the module."""
        return self.module(list(values) if self._takes_list else values)

    def run(self, values: NDArray[Any]) -> list[NetworkOutput]:
        """Run the module on one batch and copy the result to the host, which waits for the device."""
        torch_ = _torch()
        # PyTorch warns of arrays that cannot be written to, because a tensor could be.
        writable = values if values.flags.writeable else values.copy()
        try:
            with torch_.inference_mode(), _threads(self._threads):
                result = self.call(torch_.from_numpy(writable).to(self.device))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-300:]
            raise InputError(f"the network cannot run on {list(values.shape)} {values.dtype}: {reason}") from error
        return _network_outputs(result, len(values))

    def weights_digest(self) -> str:
        """Return the SHA-256 of a factory's weights: the factory may have read or made them anywhere."""
        total = hashlib.sha256()
        if self._is_factory:
            for key, tensor in self.module.state_dict().items():
                array = tensor.detach().cpu().contiguous().flatten().view(_torch().uint8).numpy()
                total.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
                total.update(array.tobytes())
        return total.hexdigest()

    @property
    def parameter_count(self) -> int | None:
        """Elements of all parameters; None if the file has them folded into constants."""
        return sum(parameter.numel() for parameter in self.module.parameters()) or None

    @property
    def runtime(self) -> dict[str, Any]:
        """Version, device and threads."""
        torch_ = _torch()
        return {
            "torch": torch_.__version__,
            "device": str(self.device),
            "device_name": torch_.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
            "intra_op_threads": self._threads or torch_.get_num_threads(),
        }


def open_torch_model(name: str, declaration: ModelDeclaration, path: Path, *, trust_pickle: bool) -> TorchModel:
    """Open a TorchScript archive, a torch.export program or a pickled module.

    Raises
    ------
    TrustError
        If loading the file could run code and the invoker has not allowed it.
    InputError
        If the file is damaged or holds something else.
    MissingExtraError
        If PyTorch is not installed.
    """
    torch_ = _torch()
    _check_device(declaration)
    kind = declaration.format or torch_format(path)
    if kind == "torchscript":
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                module = torch_.jit.load(str(path), map_location=declaration.device)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{path.name} is no TorchScript archive or is damaged: {_line(error)}") from error
        return TorchModel(name, declaration, TorchNetwork(module.eval(), declaration, is_script=True), [path])
    if not trust_pickle:
        raise TrustError(
            f"loading {path.name} ({kind}) can run code from the file. If you trust its author, allow it with "
            "--mle-trust-pickle; else export it to ONNX or TorchScript"
        )
    if kind == "torch_export":
        return TorchModel(name, declaration, _exported(path, declaration), [path])
    return TorchModel(name, declaration, TorchNetwork(_pickled(path, declaration).eval(), declaration), [path])


def open_factory_model(name: str, declaration: ModelDeclaration, root: Path, state_dict: Path | None) -> TorchModel:
    """Call ``module:factory`` and load its state dict, strictly and without unpickling objects.

    Raises
    ------
    InputError
        If the factory cannot be imported, returns no module, or the weights do not fit it.
    """
    torch_ = _torch()
    _check_device(declaration)
    assert declaration.factory is not None
    module, sources = call_factory(declaration.factory, declaration.arguments, root)
    if not isinstance(module, torch_.nn.Module):
        raise InputError(
            f"factory {declaration.factory!r} returned {type(module).__name__}, expected a torch.nn.Module"
        )
    if state_dict is not None:
        _load_weights(module, state_dict)
    module = module.to(declaration.device).eval()
    network = TorchNetwork(module, declaration, is_factory=True)
    return TorchModel(name, declaration, network, [] if state_dict is None else [state_dict], sources)


def torch_format(path: Path) -> str:
    """Tell a TorchScript archive and a torch.export program from a pickle, by what the file holds."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = [name.partition("/")[2] for name in archive.namelist()]
        if "constants.pkl" in members:
            return "torchscript"
        if "archive_format" in members or "models/model.json" in members:
            return "torch_export"
        return "torch_pickle"
    with path.open("rb") as file:
        # A zip archive that is cut off has lost its directory, but still begins like one.
        return "torchscript" if file.read(2) == b"PK" else "torch_pickle"


def _exported(path: Path, declaration: ModelDeclaration) -> TorchNetwork:
    torch_ = _torch()
    try:
        program = torch_.export.load(str(path))
        module = program.module()
    except (RuntimeError, ValueError, OSError, KeyError, pickle.UnpicklingError, AssertionError) as error:
        raise InputError(f"{path.name} is no torch.export program or is damaged: {_line(error)}") from error
    names = program.graph_signature.user_inputs
    inputs = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    if len(inputs) != 1:
        raise InputError(f"{path.name} takes {len(inputs)} inputs, expected one")
    batch = inputs[0].meta["val"].shape[0]
    return TorchNetwork(
        module.to(declaration.device), declaration, fixed_batch=batch if isinstance(batch, int) else None
    )


def _pickled(path: Path, declaration: ModelDeclaration) -> Any:
    torch_ = _torch()
    try:
        module = torch_.load(path, map_location=declaration.device, weights_only=False)
    except (RuntimeError, OSError, EOFError, AttributeError, ImportError, pickle.UnpicklingError) as error:
        raise InputError(f"{path.name} cannot be unpickled: {_line(error)}") from error
    if not isinstance(module, torch_.nn.Module):
        raise InputError(
            f"{path.name} holds {type(module).__name__}, expected a torch.nn.Module. For weights alone declare "
            "factory: module:function and state_dict"
        )
    return module


def _load_weights(module: Any, path: Path) -> None:
    torch_ = _torch()
    try:
        weights = torch_.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path.name} is damaged or holds more than tensors. Save model.state_dict() alone") from error
    except (RuntimeError, OSError, EOFError) as error:
        raise InputError(f"{path.name} is damaged: {_line(error)}") from error
    for key in STATE_KEYS:
        if isinstance(weights, dict) and isinstance(weights.get(key), dict):
            weights = weights[key]
    if not isinstance(weights, dict):
        raise InputError(f"{path.name} holds {type(weights).__name__}, expected a state dict")
    try:
        module.load_state_dict(weights, strict=True)
    except (RuntimeError, AttributeError) as error:
        raise InputError(f"{path.name} does not fit the factory's module: {_line(error)}") from error


def _network_outputs(result: Any, image_count: int) -> list[NetworkOutput]:
    per_image = _per_image_results(result)
    if per_image is not None:
        return [NetworkOutput(_arrays(_named_tensors(one)), 1, 1) for one in per_image]
    return [NetworkOutput(_arrays(_named_tensors(result)), image_count, image_count)]


def _per_image_results(result: Any) -> Sequence[Any] | None:
    """Return torchvision's list of one mapping an image; its scripted form adds the losses in front."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], dict) and isinstance(result[1], list):
        result = result[1]
    if isinstance(result, list) and result and all(isinstance(one, dict) for one in result):
        return result
    return None


def _named_tensors(result: Any, prefix: str = "output") -> Iterator[tuple[str, Any]]:
    """Name the tensors of a result: a mapping's keys, else output0, output1, ... in depth-first order."""
    if isinstance(result, dict):
        yield from result.items()
        return
    flat = list(_flatten(result))
    if not flat:
        raise InputError(f"the network returned {type(result).__name__} without a tensor")
    for position, tensor in enumerate(flat):
        yield (prefix if len(flat) == 1 else f"{prefix}{position}"), tensor


def _flatten(result: Any) -> Iterator[Any]:
    if isinstance(result, (list, tuple)):
        for one in result:
            yield from _flatten(one)
    elif hasattr(result, "detach"):
        yield result


def _arrays(named: Iterator[tuple[str, Any]]) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(_widened(tensor.detach()).cpu().numpy()) for name, tensor in named}


def _widened(tensor: Any) -> Any:
    # numpy has no bfloat16.
    return tensor.float() if tensor.is_floating_point() else tensor


def _takes_list(module: Any) -> bool:
    arguments = module.forward.schema.arguments
    return len(arguments) > 1 and str(arguments[1].type) == "List[Tensor]"


def _check_device(declaration: ModelDeclaration) -> None:
    if declaration.provider is not None:
        raise InputError("provider is a key of ONNX models; declare device: cpu or cuda")
    if declaration.device != "cpu" and not _torch().cuda.is_available():
        raise InputError(f"device {declaration.device!r} is declared, but PyTorch finds no CUDA device here")


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Use so many threads inside; PyTorch knows only a setting for the whole process."""
    torch_ = _torch()
    before = torch_.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch_.set_num_threads(count)
    try:
        yield
    finally:
        torch_.set_num_threads(before)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("PyTorch", INSTALL) from error
    return torch
