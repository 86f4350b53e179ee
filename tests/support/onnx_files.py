"""Tiny ONNX files."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save_onnx(path, nodes, outputs, *, shape=("n", 3, 4, 6), initializers=(), dtype=TensorProto.FLOAT, **options):
    """Write a graph with the input ``images``; ``outputs`` maps names to shapes (float) or (shape, type)."""
    described = {
        name: (value if len(value) == 2 and isinstance(value[0], (tuple, list)) else (value, TensorProto.FLOAT))
        for name, value in outputs.items()
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", dtype, list(shape))],
        [helper.make_tensor_value_info(name, kind, list(dims)) for name, (dims, kind) in described.items()],
        [numpy_helper.from_array(array, name) for name, array in initializers],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save_model(model, str(path), **options)
    return path


def save_linear_classifier(path, *, classes=3, size=(6, 4), batch="n", seed=0, channels=3, softmax=True, **options):
    """Write a classifier: one matrix on the flattened image, then softmax; returns its weights (pixel, class)."""
    width, height = size
    weights = np.random.default_rng(seed).normal(0, 0.3, (channels * height * width, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    save_onnx(
        path,
        nodes,
        {"probabilities" if softmax else "logits": (batch, classes)},
        shape=(batch, channels, height, width),
        initializers=[("weights", weights)],
        **options,
    )
    return weights


def save_constant_detector(path, outputs, *, shape=("n", 3, 48, 64)):
    """Write a network that ignores its input and puts out the given arrays."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(array), f"value_{name}"))
        for name, array in outputs.items()
    ]
    kinds = {name: helper.np_dtype_to_tensor_dtype(np.asarray(array).dtype) for name, array in outputs.items()}
    return save_onnx(
        path, nodes, {name: (np.asarray(array).shape, kinds[name]) for name, array in outputs.items()}, shape=shape
    )
