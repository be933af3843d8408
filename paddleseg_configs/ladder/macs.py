"""Multiply-accumulate operations of an ONNX graph of fixed frame size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from deploy.core.errors import WeightsError
from deploy.core.runtimes import import_onnxruntime

Shapes = Mapping[str, tuple[int, ...]]
_PRODUCTS = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def count_macs(path: Path) -> int:
    """Count the multiply-accumulates of all convolutions and matrix products, for one frame.

    Raises:
        WeightsError: the frame size is not fixed.
    """
    model = onnx.load(str(path), load_external_data=False)
    products = [node for node in model.graph.node if node.op_type in _PRODUCTS]
    shapes = _shapes(model, {name for node in products for name in (*node.input[:2], node.output[0])}, path)
    return sum(_macs(node, shapes) for node in products)


def _shapes(model: onnx.ModelProto, names: set[str], path: Path) -> Shapes:
    """Get tensor shapes by running the graph on an empty frame: static shape inference misses too many."""
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    feeds = {}
    for value in graph.input:
        size = [entry.dim_value for entry in value.type.tensor_type.shape.dim][1:]
        if not all(size):
            raise WeightsError(f"{path}: the size of {value.name} is not fixed", hint="Export it for one frame size.")
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = np.zeros((1, *size), dtype)
    shapes |= {name: array.shape for name, array in feeds.items()}
    wanted = sorted(names - set(shapes))
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    runtime = import_onnxruntime()
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return shapes | {name: array.shape for name, array in zip(wanted, session.run(wanted, feeds), strict=True)}


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type == "Conv":
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type == "ConvTranspose":
        return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
    first = shapes[node.input[0]]
    transposed = any(entry.name == "transA" and entry.i for entry in node.attribute)
    return math.prod(shapes[node.output[0]]) * first[-2 if transposed else -1]
