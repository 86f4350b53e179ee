"""How large a model is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.checks.declaration import check
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import PointEstimate, exact

if TYPE_CHECKING:
    from pytest_mle.inputs.model import Model
    from pytest_mle.records.quantity import Quantity


@check(
    quantities={
        "file_size": exact("By", "lower", "Bytes of all files of the model, external weights included."),
        "parameters": exact("1", "lower", "Stored parameters; NaN where the format does not tell."),
    }
)
def model_size(model: Model) -> Measurement:
    """Measure the size of a model's files and count its parameters.

    Parameters of an ONNX file are the elements of all initialisers except int64 and boolean ones (shapes, indices), so
    batch normalisation statistics and quantisation scales count; those of a PyTorch model are its parameters without
    buffers. Bind the deployed model with ``using:`` to measure what is shipped.

    Raises
    ------
    NotMeasurableError
        If the model has no file (a factory that makes its own weights).
    InputError
        If a file has vanished since the model was opened.
    """
    if not model.files:
        raise NotMeasurableError(f"model {model.name!r} has no file whose size could be measured: declare state_dict")
    sizes = {}
    for path in model.files:
        try:
            sizes[path.name] = path.stat().st_size
        except OSError as error:
            raise InputError(f"model {model.name!r}: {path.name} cannot be read: {error.strerror}") from error
    return Measurement(
        quantities={"file_size": sum(sizes.values()), "parameters": _parameters(model)},
        settings={"files": sizes},
    )


def _parameters(model: Model) -> Quantity | int:
    count = getattr(model, "parameter_count", None)
    if count is None:
        return PointEstimate(float("nan"), None, "the format does not tell the number of parameters")
    return int(count)
