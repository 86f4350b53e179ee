"""How many training samples there are for each parameter of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mle.checks.declaration import check
from pytest_mle.errors import NotMeasurableError
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import exact

if TYPE_CHECKING:
    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import Model


@check(
    quantities={
        "samples_per_parameter": exact("1", "higher", "Training samples by parameters."),
        "training_samples": exact("{sample}", "higher", "Images of the training set, augmentations not counted."),
        "parameters": exact("{parameter}", "lower", "Parameters of the model."),
    }
)
def capacity_ratio(model: Model, train: Dataset) -> Measurement:
    """Count training samples by parameters, an old rule of thumb for over-parameterised models.

    The rule of 10 samples a parameter comes from linear models; deep networks generalise far below it (Zhang et al.
    2017, Understanding deep learning requires rethinking generalization), so let it advise and judge the measured gap
    (``generalization_gap``). Frames of one sequence count one by one here, although they are no independent samples.

    Parameters
    ----------
    model
        Parameters are counted as in ``model_size``: those of a PyTorch model without buffers; of an ONNX file the
        elements of all initialisers except int64 and boolean ones. Bind the model as it was trained; a quantised file
        counts its scales too.
    train
        The training set.

    Raises
    ------
    NotMeasurableError
        The model does not tell its parameters, or has none (a file that keeps its weights as constants).
    """
    count = getattr(model, "parameter_count", None)
    if not count:
        raise NotMeasurableError(
            f"model {model.name!r} does not tell how many parameters it has: bind an ONNX file with its weights as "
            "initialisers, or a PyTorch model that is not frozen"
        )
    if not len(train):
        raise NotMeasurableError(f"the training set {train.name!r} has no sample")
    return Measurement(
        quantities={
            "samples_per_parameter": len(train) / int(count),
            "training_samples": len(train),
            "parameters": count,
        }
    )
