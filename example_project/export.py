"""Export and quantise the models: ``python export.py`` after ``train.py``, ``--bad`` and ``--classifier``.

Reads the weights in ``build/`` and writes ``models/``. The detectors take normalised RGB float32
(n, 3, 144, 192), n free, and return ``boxes`` (n, 60, 4) xyxy in pixels of that input, ``scores`` (n, 60) and
``labels`` (n, 60), all zero: local maxima, best first, before non-maximum suppression (IoU 0.55), which the
caller does.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from crops import read_image, read_table
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from perception import HEIGHT, MEAN, STD, WIDTH, CropClassifier, DecodedDetector, build_classifier, build_detector

ROOT = Path(__file__).parent
BUILD, MODELS = ROOT / "build", ROOT / "models"
CALIBRATION_IMAGES = 100
OPSET = 17


def export_detector(weights: Path, target: Path) -> None:
    """Write one ONNX file with the decoder inside and a free batch axis."""
    detector = build_detector()
    detector.load_state_dict(torch.load(weights, weights_only=True))
    names = ["boxes", "scores", "labels"]
    torch.onnx.export(
        DecodedDetector(detector).eval(),
        (torch.zeros(2, 3, HEIGHT, WIDTH),),
        str(target),
        dynamo=False,
        opset_version=OPSET,
        input_names=["images"],
        output_names=names,
        dynamic_axes={name: {0: "batch"} for name in ["images", *names]},
    )


def export_classifier(weights: Path, target: Path) -> CropClassifier:
    """Write the classifier as ONNX: crops (n, 3, 32, 32) in [0, 1] to logits (n, 2)."""
    classifier = build_classifier()
    classifier.load_state_dict(torch.load(weights, weights_only=True))
    torch.onnx.export(
        classifier.eval(),
        (torch.zeros(2, 3, 32, 32),),
        str(target),
        dynamo=False,
        opset_version=OPSET,
        input_names=["crops"],
        output_names=["logits"],
        dynamic_axes={"crops": {0: "batch"}, "logits": {0: "batch"}},
    )
    return classifier


class Calibration(CalibrationDataReader):
    """Hand prepared images to the quantiser, one a call."""

    def __init__(self, images: list[np.ndarray]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next input or None at the end."""
        image = next(self._images, None)
        return None if image is None else {"images": image}


def calibration_images(folder: Path, count: int) -> list[np.ndarray]:
    """Return evenly spread images of a split, prepared as the detector expects them."""
    names = [row["image"] for row in read_table(folder / "images.csv")]
    chosen = [names[index] for index in np.linspace(0, len(names) - 1, count).astype(int)]
    prepared = [(read_image(folder / name).transpose(2, 0, 1)[None] / 255 - MEAN) / STD for name in chosen]
    return [image.astype(np.float32) for image in prepared]


def _left_in_float(path: Path) -> list[str]:
    """Return the nodes that stay float: the two last convolutions and everything that is no convolution."""
    nodes = onnx.load(path).graph.node
    convolutions = [node.name for node in nodes if node.op_type == "Conv"]
    keep = set(convolutions[:-2])
    last = max(index for index, node in enumerate(nodes) if node.name in keep)
    return [node.name for index, node in enumerate(nodes) if index > last and node.op_type != "Relu"]


def quantise(source: Path, target: Path, images: list[np.ndarray], *, careful: bool) -> None:
    """Quantise to INT8 (Q/DQ nodes); carefully, or as one should not: one scale a tensor, nothing left in float."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            Calibration(images),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8 if careful else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=careful,
            nodes_to_exclude=_left_in_float(prepared) if careful else [],
        )


def main() -> None:
    """Export everything that ``models/`` holds."""
    logging.getLogger().setLevel(logging.ERROR)
    MODELS.mkdir(exist_ok=True)
    export_detector(BUILD / "detector.pt", MODELS / "detector.onnx")
    export_detector(BUILD / "detector_undertrained.pt", MODELS / "detector_undertrained.onnx")
    export_classifier(MODELS / "crop_classifier.pt", MODELS / "crop_classifier.onnx")
    train = calibration_images(ROOT / "data" / "train", CALIBRATION_IMAGES)
    quantise(MODELS / "detector.onnx", MODELS / "detector.int8.onnx", train, careful=True)
    noise = np.random.default_rng(0).normal(0, 0.2, (1, 3, HEIGHT, WIDTH)).astype(np.float32)
    quantise(MODELS / "detector.onnx", MODELS / "detector_bad_int8.onnx", [noise], careful=False)


if __name__ == "__main__":
    main()
