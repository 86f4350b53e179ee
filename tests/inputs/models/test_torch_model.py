"""Tests of PyTorch models on real modules and real files."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

from pytest_mle.errors import InputError, Location, MissingExtraError, TrustError
from pytest_mle.inputs.model import Detections, DifferentiableModel
from pytest_mle.inputs.models import open_model

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

CLASSIFIER = {
    "path": "m.pt",
    "task": "classification",
    "preprocess": {"resize": "stretch", "size": [6, 4], "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.2, 0.5]},
    "output": {"layout": "logits"},
    "batch_size": 4,
}
DETECTOR = {
    "path": "m.pt",
    "task": "detection",
    "preprocess": {"resize": "letterbox", "size": [64, 48]},
    "output": {"layout": "boxes_scores_labels"},
    "batch_size": 3,
}
FACTORY = """
from pathlib import Path
import torch

class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(72, width), torch.nn.Dropout(0.9))

    def forward(self, images):
        return self.body(images)

def build(width=3):
    torch.manual_seed(5)
    return Net(width)

def from_file(path):
    net = build()
    net.body[1].weight.data[0, 0] = float(Path(path).read_text())
    return net

def no_module():
    return "weights"
"""


class _Net(torch.nn.Module):
    """A linear classifier that would differ if it were not in evaluation mode."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(72, 3)
        self.dropout = torch.nn.Dropout(0.9)

    def forward(self, images):
        return self.dropout(self.linear(images.flatten(1)))


class _TorchvisionLike(torch.nn.Module):
    """A detector with torchvision's calling convention: a list of images, losses beside detections."""

    def forward(self, images: list[torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
        losses: dict[str, torch.Tensor] = {}
        found: list[dict[str, torch.Tensor]] = []
        for image in images:
            n = int(image.mean() * 4)
            boxes = torch.tensor([[0.0, 0.0, 32.0, 24.0]]).repeat(n, 1)
            found.append({"boxes": boxes, "labels": torch.ones(n, dtype=torch.int64), "scores": torch.full((n,), 0.5)})
        return losses, found


def _scripted(module, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))


def _exported(module, path, batch, *, dynamic):
    axes = ({0: torch.export.Dim("n", min=2, max=64)},) if dynamic else None
    torch.export.save(
        torch.export.export(module.eval(), (torch.zeros(batch, 3, 4, 6),), dynamic_shapes=axes), str(path)
    )


def _images(count, width=6, height=4, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def _expected(pictures, module):
    values = (np.stack(pictures) / 255 - [0.5, 0.4, 0.3]) / [0.25, 0.2, 0.5]
    with torch.no_grad():
        logits = module.eval()(torch.tensor(values.transpose(0, 3, 1, 2), dtype=torch.float32))
    return torch.softmax(logits, dim=1).numpy()


def _opened(root, entry=CLASSIFIER, *, trust_pickle=False, **changes):
    return open_model(
        "candidate", {**entry, **changes}, root, location=Location("spec.yaml", 9), trust_pickle=trust_pickle
    )


def test_torchscript(tmp_path):
    """A TorchScript archive predicts what the module in evaluation mode does, without any trust."""
    _scripted(_Net(), tmp_path / "m.pt")
    model = _opened(tmp_path)
    pictures = _images(6)
    np.testing.assert_allclose(model.predict(pictures), _expected(pictures, _Net()), atol=1e-6)
    assert isinstance(model, DifferentiableModel)
    assert model.parameter_count == 72 * 3 + 3
    assert model.description["runtime"]["torch"] == torch.__version__


def test_gradients_flow_through_logits(tmp_path):
    """The method takes images in 0..1, applies mean and std inside, and its gradient is that of the module."""
    _scripted(_Net(), tmp_path / "m.pt")
    model = _opened(tmp_path)
    prepared = torch.from_numpy(model.prepare(_images(2))).requires_grad_()
    logits = model.logits(prepared)
    np.testing.assert_allclose(torch.softmax(logits, 1).detach(), model.predict(_images(2)), atol=1e-6)
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), prepared)
    weight = _Net().linear.weight[1].reshape(3, 4, 6) / torch.tensor([0.25, 0.2, 0.5]).reshape(3, 1, 1)
    torch.testing.assert_close(gradient[0], weight.detach())


def test_logits_of_probabilities_are_their_logarithms(tmp_path):
    """A network that ends in a softmax gives logits of the same probabilities, finite for a zero."""
    _scripted(torch.nn.Sequential(_Net(), torch.nn.Softmax(dim=1)), tmp_path / "m.pt")
    model = _opened(tmp_path, output={"layout": "probabilities"})
    logits = model.logits(torch.from_numpy(model.prepare(_images(2))))
    np.testing.assert_allclose(torch.softmax(logits, 1), model.predict(_images(2)), atol=1e-6)


def test_gradients_flow_through_channels_last(tmp_path):
    """An nhwc network gets its axes turned inside, so that attacks need not know."""

    class Last(torch.nn.Module):
        def forward(self, images):
            return images.sum(dim=(1, 2))

    _scripted(Last(), tmp_path / "m.pt")
    model = _opened(tmp_path, preprocess={"resize": "stretch", "size": [6, 4], "layout": "nhwc"})
    prepared = torch.from_numpy(model.prepare(_images(2)))
    torch.testing.assert_close(model.logits(prepared), prepared.sum(dim=(2, 3)))


def test_a_detector_has_no_logits(tmp_path):
    """Asking for them is an error, not a shape that happens to fit."""
    _scripted(_TorchvisionLike(), tmp_path / "m.pt")
    with pytest.raises(InputError, match="is a detector"):
        _opened(tmp_path, DETECTOR).logits(torch.zeros(1, 3, 48, 64))


def test_torchvision_lists(tmp_path):
    """A scripted torchvision-like detector takes a list and answers with one mapping an image, of varying length."""
    _scripted(_TorchvisionLike(), tmp_path / "m.pt")
    pictures = [np.full((96, 128, 3), value, np.uint8) for value in (255, 0, 130, 255)]
    found = _opened(tmp_path, DETECTOR).predict(pictures)
    assert isinstance(found, Detections)
    assert np.bincount(found.image_index, minlength=4).tolist() == [4, 0, 2, 4]
    assert found.boxes[0].tolist() == [0, 0, 64, 48]


@pytest.mark.parametrize("kind", ["fixed", "dynamic"])
def test_export_programs(tmp_path, kind):
    """A trusted torch.export program predicts like the module, also where its batch size is fixed."""
    _exported(_Net(), tmp_path / "m.pt2", 4, dynamic=kind == "dynamic")
    model = _opened(tmp_path, path="m.pt2", trust_pickle=True)
    pictures = _images(6)
    np.testing.assert_allclose(model.predict(pictures), _expected(pictures, _Net()), atol=1e-6)
    assert model.parameter_count == 72 * 3 + 3


def test_a_hostile_pickle_needs_trust(tmp_path):
    """Without --mle-trust-pickle no code of the file runs, whatever format the spec claims."""

    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save(Hostile(), tmp_path / "m.pt")
    for declared in (None, "torch_pickle", "torch_export", "torchscript"):
        with pytest.raises(InputError):
            _opened(tmp_path, **({} if declared is None else {"format": declared}))
    with pytest.raises(TrustError, match=r"spec\.yaml:9: .*--mle-trust-pickle"):
        _opened(tmp_path)
    assert not (tmp_path / "owned").exists()


def test_an_export_program_needs_trust(tmp_path):
    """torch.export.load can run code, so .pt2 is trusted like a pickle."""
    _exported(_Net(), tmp_path / "m.pt2", 2, dynamic=False)
    with pytest.raises(TrustError, match=r"torch_export.*--mle-trust-pickle"):
        _opened(tmp_path, path="m.pt2")


def test_a_trusted_pickle_is_a_module(tmp_path):
    """A pickled module loads with trust; a pickled state dict says what to do instead."""
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(72, 3))
    torch.save(module, tmp_path / "m.pt")
    assert _opened(tmp_path, trust_pickle=True).predict(_images(2)).shape == (2, 3)
    torch.save(module.state_dict(), tmp_path / "m.pt")
    with pytest.raises(InputError, match="For weights alone declare factory"):
        _opened(tmp_path, trust_pickle=True)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_cut_off_files(tmp_path, part):
    """A damaged archive is an error with the file's name in every format."""
    _scripted(_Net(), tmp_path / "m.pt")
    _exported(_Net(), tmp_path / "m.pt2", 2, dynamic=False)
    for name in ("m.pt", "m.pt2"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: int(len(content) * part)])
        with pytest.raises(InputError, match=name):
            _opened(tmp_path, path=name, trust_pickle=True)


@pytest.fixture
def project(tmp_path):
    """Make a project with a factory and weights of it."""
    (tmp_path / "torchfac.py").write_text(FACTORY)
    yield tmp_path
    sys.modules.pop("torchfac", None)


FROM_FACTORY = {key: value for key, value in CLASSIFIER.items() if key != "path"} | {"factory": "torchfac:build"}


def _weights_of(width=3, seed=1):
    torch.manual_seed(seed)
    linear = torch.nn.Linear(72, width)
    return {"body.1.weight": linear.weight.detach(), "body.1.bias": linear.bias.detach()}, linear


@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict"])
def test_factory_with_state_dict(project, key):
    """The factory's module gets the weights, alone or inside a training checkpoint, and evaluates without dropout."""
    weights, linear = _weights_of()
    torch.save(weights if key is None else {"epoch": 3, key: weights}, project / "w.pt")
    model = _opened(project, FROM_FACTORY, state_dict="w.pt")
    pictures = _images(5)
    np.testing.assert_allclose(
        model.predict(pictures), _expected(pictures, torch.nn.Sequential(torch.nn.Flatten(), linear)), atol=1e-6
    )
    assert [path.name for path in model.files] == ["w.pt"]
    assert [path.name for path in model.sources] == ["torchfac.py"]


def test_factory_digest_follows_code_arguments_and_weights(project):
    """Whatever changes the network changes the digest; a factory without a file is hashed by its weights."""
    digests = {_opened(project, FROM_FACTORY).digest, _opened(project, FROM_FACTORY, arguments={"width": 4}).digest}
    assert _opened(project, FROM_FACTORY).digest in digests
    sys.modules.pop("torchfac")
    (project / "torchfac.py").write_text(FACTORY.replace("manual_seed(5)", "manual_seed(60)"))
    digests.add(_opened(project, FROM_FACTORY).digest)
    assert len(digests) == 3


def test_factory_digest_follows_weights_from_anywhere(project):
    """A factory that reads its weights itself has another digest when they change, though no declared file did."""
    entry = {**FROM_FACTORY, "factory": "torchfac:from_file", "arguments": {"path": str(project / "number.txt")}}
    digests = set()
    for number in ("1.0", "2.0"):
        (project / "number.txt").write_text(number)
        digests.add(_opened(project, entry).digest)
    assert len(digests) == 2


def test_factory_weights_are_never_unpickled(project):
    """A state dict that holds objects is refused, trusted or not."""

    class Hostile:
        def __reduce__(self):
            return (open, (str(project / "owned"), "w"))

    torch.save({"body.1.weight": Hostile()}, project / "w.pt")
    with pytest.raises(InputError, match=r"Save model\.state_dict\(\) alone"):
        _opened(project, FROM_FACTORY, state_dict="w.pt", trust_pickle=True)
    assert not (project / "owned").exists()


def test_factory_weights_must_fit(project):
    """A missing key, another shape, a damaged file and something that is no mapping are errors."""
    weights, _ = _weights_of()
    cases = {
        "does not fit": {"body.1.weight": weights["body.1.weight"]},
        "does not fit the": _weights_of(width=4)[0],
        "expected a state dict": [1, 2],
    }
    for message, content in cases.items():
        torch.save(content, project / "w.pt")
        with pytest.raises(InputError, match=message):
            _opened(project, FROM_FACTORY, state_dict="w.pt")
    (project / "w.pt").write_bytes((project / "w.pt").read_bytes()[:200])
    with pytest.raises(InputError, match=r"w\.pt is damaged"):
        _opened(project, FROM_FACTORY, state_dict="w.pt")


def test_factory_must_return_a_module(project):
    """Anything else is an error that names its type."""
    with pytest.raises(InputError, match=r"returned str, expected a torch\.nn\.Module"):
        _opened(project, FROM_FACTORY, factory="torchfac:no_module")


def test_a_network_that_cannot_run_names_the_input(tmp_path):
    """A size that the network does not take is told with the shape."""
    _scripted(_Net(), tmp_path / "m.pt")
    model = _opened(tmp_path, preprocess={"resize": "stretch", "size": [8, 4]})
    with pytest.raises(InputError, match=r"cannot run on \[1, 3, 4, 8\] float32"):
        model.predict(_images(1))


def test_half_precision(tmp_path):
    """Half precision reaches the network; probabilities come back as float32 rows that sum to 1."""
    _scripted(_Net().half(), tmp_path / "m.pt")
    found = _opened(tmp_path, preprocess={**CLASSIFIER["preprocess"], "dtype": "float16"}).predict(_images(3))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found, _expected(_images(3), _Net()), atol=5e-3)


def test_threads_are_as_before(tmp_path):
    """intra_op_threads holds while the network runs and for nothing else."""

    class Threads(torch.nn.Module):
        def forward(self, images):
            return torch.tensor([[float(torch.get_num_threads()), 0.0, 0.0]]).repeat(len(images), 1)

    before = torch.get_num_threads()
    _scripted(_Net(), tmp_path / "m.pt")
    model = _opened(tmp_path, intra_op_threads=before + 1)
    model.network.module = Threads()
    (output,) = model.forward(model.prepare(_images(1)))
    assert output.arrays["output"][0, 0] == before + 1
    assert torch.get_num_threads() == before


def test_a_read_only_array_is_no_trouble(tmp_path):
    """Prepared images that cannot be written to run without a warning."""
    _scripted(_Net(), tmp_path / "m.pt")
    model = _opened(tmp_path, preprocess={"resize": "stretch", "size": [6, 4]})
    prepared = model.prepare(_images(2))
    prepared.flags.writeable = False
    assert model.forward(prepared)[0].arrays["output"].shape == (2, 3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_an_absent_device_is_refused(tmp_path):
    """A device that is not there is an error, not a run on the CPU."""
    _scripted(_Net(), tmp_path / "m.pt")
    with pytest.raises(InputError, match="'cuda:1' is declared, but PyTorch finds no CUDA device"):
        _opened(tmp_path, device="cuda:1")


def test_a_provider_belongs_to_onnx(tmp_path):
    """A key that would be ignored is an error."""
    _scripted(_Net(), tmp_path / "m.pt")
    with pytest.raises(InputError, match="provider is a key of ONNX models"):
        _opened(tmp_path, provider="CPUExecutionProvider")


def test_missing_torch_names_the_extra(tmp_path, monkeypatch):
    """The error is the command to run."""
    _scripted(_Net(), tmp_path / "m.pt")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r'pip install torch, or pip install "pytest-mle\[torch\]"'):
        _opened(tmp_path)
