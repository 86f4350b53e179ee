"""Open the model that a spec entry declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mle.errors import InputError, MissingExtraError, TrustError
from pytest_mle.inputs.models.declaration import read_declaration
from pytest_mle.inputs.models.files import model_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_mle.errors import Location
    from pytest_mle.inputs.models.declaration import ModelDeclaration
    from pytest_mle.inputs.models.loaded_model import LoadedModel

TORCH_ENDINGS = (".pt", ".pth", ".ts", ".torchscript", ".jit", ".pt2")


def open_model(
    name: str,
    options: Mapping[str, Any],
    root: Path,
    *,
    location: Location | None = None,
    allowed_roots: Sequence[Path] = (),
    trust_pickle: bool = False,
) -> LoadedModel:
    """Open a model by its ``format``, or by the ending and content of its file.

    Parameters
    ----------
    options
        The entry of ``inputs.models``, see :class:`~pytest_mle.inputs.models.declaration.ModelDeclaration`.
    root
        The spec's folder; paths are relative to it.
    location
        Where the entry stands; it is put in front of every message.
    allowed_roots
        Further folders in which the invoker allows files.
    trust_pickle
        Whether the invoker allows files whose loading can run code.

    Raises
    ------
    InputError
        If the entry is wrong, or the file is absent, damaged or does not fit it.
    TrustError
        If it needs trust that was not granted.
    MissingExtraError
        If the framework is not installed.
    """
    declaration = read_declaration(name, options, location)
    try:
        return _open(name, declaration, root, location, allowed_roots, trust_pickle=trust_pickle)
    except MissingExtraError:
        raise
    except InputError as error:
        if error.location is not None:
            raise
        kind = TrustError if isinstance(error, TrustError) else InputError
        raise kind(f"model {name!r}: {error.message}", location) from error


def _open(
    name: str,
    declaration: ModelDeclaration,
    root: Path,
    location: Location | None,
    allowed_roots: Sequence[Path],
    *,
    trust_pickle: bool,
) -> LoadedModel:
    def find(path: str, what: str) -> Path:
        return model_file(path, root, location=location, allowed_roots=allowed_roots, what=what)

    if declaration.factory is not None:
        from pytest_mle.inputs.models.torch_model import open_factory_model

        weights = None if declaration.state_dict is None else find(declaration.state_dict, "state_dict")
        return open_factory_model(name, declaration, root, weights)
    assert declaration.path is not None
    path = find(declaration.path, "model file")
    if declaration.format == "onnx" or (declaration.format is None and path.suffix == ".onnx"):
        from pytest_mle.inputs.models.onnx_model import open_onnx_model

        return open_onnx_model(name, declaration, path)
    if declaration.format is None and path.suffix not in TORCH_ENDINGS:
        raise InputError(
            f"cannot tell the format of {declaration.path!r} from its ending. Declare format: onnx, torchscript, "
            "torch_export or torch_pickle"
        )
    from pytest_mle.inputs.models.torch_model import open_torch_model

    return open_torch_model(name, declaration, path, trust_pickle=trust_pickle)
