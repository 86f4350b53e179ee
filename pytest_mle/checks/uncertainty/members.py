"""What the members of an ensemble, or passes with dropout, say of the same images."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mle.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import Model
    from pytest_mle.records.progress import Progress

    Floats = NDArray[np.float64]

DROPOUT = frozenset({"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"})


@dataclass(frozen=True, slots=True, eq=False)
class Opinions:
    """The probabilities of several members, summed up: ``mean`` ``(image, class)``, the others ``(image,)``.

    ``member_entropy`` is the mean entropy of a member, ``variance`` the mean over members of the squared distance of
    its probabilities from the mean, added up over classes.
    """

    members: int
    mean: Floats
    member_entropy: Floats
    variance: Floats

    @classmethod
    def of(cls, probabilities: NDArray[Any]) -> Opinions:
        """Sum up probabilities ``(member, image, class)``."""
        values = np.asarray(probabilities, dtype=np.float64)
        mean = values.mean(axis=0)
        return cls(len(values), mean, entropy(values).mean(axis=0), ((values - mean) ** 2).sum(axis=2).mean(axis=0))

    @classmethod
    def joined(cls, parts: Sequence[Opinions]) -> Opinions:
        """Join the opinions on consecutive batches."""
        return cls(
            parts[0].members,
            np.concatenate([part.mean for part in parts]),
            np.concatenate([part.member_entropy for part in parts]),
            np.concatenate([part.variance for part in parts]),
        )

    def uncertainty(self, score: str) -> Floats:
        """Return the uncertainty of each image.

        ``predictive_entropy`` is that of the mean, ``mutual_information`` what is left of it without the mean entropy
        of the members: their disagreement (Houlsby et al. 2011; Gal 2016, equation 3.24), in nats.
        """
        if score == "variance":
            return self.variance
        total = entropy(self.mean)
        if score == "predictive_entropy":
            return total
        disagreement: Floats = np.maximum(total - self.member_entropy, 0)  # negative by rounding only
        return disagreement


def entropy(probabilities: Floats) -> Floats:
    """Return the entropy over the last axis, in nats; 0 log 0 is 0."""
    from scipy.special import xlogy

    total: Floats = -xlogy(probabilities, probabilities).sum(axis=-1)
    return total


def dropout_opinions(model: Model, dataset: Dataset, passes: int, seed: int, progress: Progress) -> Opinions:
    """Predict every image several times with its dropout layers active and everything else in evaluation mode.

    Monte Carlo dropout (Gal and Ghahramani 2016). Batch normalisation keeps its statistics. The seed decides which
    neurons are dropped; PyTorch's own random state is left as it was.

    Raises
    ------
    InputError
        If the model is no PyTorch module, or has no dropout layer: ``functional.dropout`` in a ``forward`` is invisible
        from outside, and torch.export leaves none.
    """
    module = _module(model)
    torch = _torch()
    device: Any = getattr(model, "device", "cpu")
    parts = []
    devices = [device] if str(device).startswith("cuda") else []
    with torch.random.fork_rng(devices=devices), torch.no_grad(), _dropout_active(module, model.name):
        torch.manual_seed(seed)
        for start in range(0, len(dataset), model.batch_size):
            batch = range(start, min(start + model.batch_size, len(dataset)))
            prepared = torch.from_numpy(model.prepare([dataset.image(index) for index in batch])).to(device)
            logits = [model.logits(prepared).double() for _ in range(passes)]  # type: ignore[attr-defined]
            probabilities = torch.stack(logits).softmax(dim=2).cpu().numpy()
            bad = np.flatnonzero(~np.isfinite(probabilities).all(axis=(0, 2)))
            if len(bad):
                sample = dataset.sample(batch[int(bad[0])]).id
                raise InputError(f"model {model.name!r} puts out NaN or infinity for image {sample!r}")
            parts.append(Opinions.of(probabilities))
            progress(batch.stop, len(dataset))
    return Opinions.joined(parts)


@contextmanager
def _dropout_active(module: Any, name: str) -> Iterator[None]:
    layers = [layer for layer in module.modules() if _kind(layer) in DROPOUT and getattr(layer, "p", 1) > 0]
    if not layers:
        raise InputError(
            f"model {name!r} has no dropout layer to switch on (functional.dropout cannot be seen, torch.export leaves "
            "none). Give more members of an ensemble instead: using: {member_2: ..., member_3: ...}"
        )
    before = [(layer, layer.training) for layer in module.modules()]
    module.eval()
    try:
        for layer in layers:
            layer.train()
        yield
    finally:
        for layer, was_training in before:
            layer.training = was_training


def _kind(layer: Any) -> str:
    """Return the class of a layer, also of a scripted one."""
    return str(getattr(layer, "original_name", type(layer).__name__))


def _module(model: Any) -> Any:
    for holder in (model, getattr(model, "network", None)):
        module = getattr(holder, "module", None)
        if module is not None and hasattr(model, "logits"):
            return module
    raise InputError(
        f"model {model.name!r} is no PyTorch module whose dropout could be switched on. Give more members of an "
        "ensemble instead: using: {member_2: ..., member_3: ...}"
    )


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("PyTorch", 'pip install torch, or pip install "pytest-mle[torch]"') from error
    return torch
