"""Multiply-accumulate operations of an ONNX graph of fixed frame size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import onnx

from deploy.core.errors import WeightsError

Shapes = Mapping[str, tuple[int, ...]]


def count_macs(path: Path) -> int:
    """Products of all convolutions and matrix products, for one frame.

    Raises:
        WeightsError: the shape of one of them is not fixed.
    """
    model = onnx.load(str(path))
    for tensor in model.graph.input:
        tensor.type.tensor_type.shape.dim[0].dim_value = 1  # a free batch size
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, tuple[int, ...]] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        sizes = tuple(entry.dim_value for entry in value.type.tensor_type.shape.dim)
        if all(sizes):
            shapes[value.name] = sizes
    try:
        return sum(_macs(node, shapes) for node in graph.node)
    except KeyError as error:
        raise WeightsError(f"{path}: the shape of {error} is not fixed", hint="Export it with --batch 1.") from None


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type == "Conv":
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type == "ConvTranspose":
        return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type in ("MatMul", "Gemm"):
        first = shapes[node.input[0]]
        transposed = any(entry.name == "transA" and entry.i for entry in node.attribute)
        return math.prod(shapes[node.output[0]]) * first[-2 if transposed else -1]
    return 0
