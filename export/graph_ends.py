"""Work at the two ends of a network, put into the ONNX graph: normalisation before it, block pooling after it.

A network of PaddleSeg ends by enlarging its logits to the frame's size, and deployment then averages them over the
macroblocks. Both are linear along rows and along columns, so both together are two small products with constant
matrices: the full-size logits need never exist. (Exact up to the order of additions.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort  # type: ignore[import-untyped, unused-ignore]  # it has no stubs
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from deploy.core.grid import Grid
from deploy.model_card import ModelCard

PREFIX = "regen_"
"""Begins the name of every node and tensor of the ends, which stay in fp32."""
RGB_INPUT = "rgb"


def blank_unused_scales(model: onnx.ModelProto) -> None:
    """Leave out the empty inputs of each Resize that states sizes: in half precision they are invalid."""
    for node in model.graph.node:
        if node.op_type == "Resize" and len(node.input) > 3 and node.input[3]:
            node.input[1] = node.input[2] = ""
    _prune(model.graph)


def attach_rgb_input(model: onnx.ModelProto, card: ModelCard) -> None:
    """Put normalisation in front: the input becomes (batch, H, W, 3) uint8 RGB, named "rgb".

    Args:
        model: takes (batch, 3, H, W) float32; changed in place.
        card: says mean and std.
    """
    graph = model.graph
    (old,) = graph.input
    mean, std = (np.array(numbers, np.float32).reshape(1, 3, 1, 1) for numbers in (card.mean, card.std))
    graph.initializer.extend(
        [
            numpy_helper.from_array(1 / (255 * std), PREFIX + "factors"),
            numpy_helper.from_array(-mean / std, PREFIX + "offsets"),
        ]
    )
    nodes = [
        _node("Cast", [RGB_INPUT], PREFIX + "colors", to=TensorProto.FLOAT),
        _node("Transpose", [PREFIX + "colors"], PREFIX + "planes", perm=[0, 3, 1, 2]),
        _node("Mul", [PREFIX + "planes", PREFIX + "factors"], PREFIX + "scaled"),
        _node("Add", [PREFIX + "scaled", PREFIX + "offsets"], old.name),
    ]
    rest = list(graph.node)
    _replace(graph.node, [*nodes, *rest])
    batch = "batch" if card.dynamic_batch else 1
    size = [card.grid.height_px, card.grid.width_px]
    _replace(graph.input, [helper.make_tensor_value_info(RGB_INPUT, TensorProto.UINT8, [batch, *size, 3])])


@dataclass(frozen=True)
class Pooling:
    """Matrices by which ``rows @ tensor @ cols.T`` are the mean logits of each macroblock."""

    rows: NDArray[np.float32]
    """(rows, height) float32."""
    cols: NDArray[np.float32]
    """(cols, width) float32."""


def cut_enlargement(model: onnx.ModelProto, grid: Grid) -> Pooling:
    """Take the last Resize out, if the model ends with one: its output becomes the small logits.

    Args:
        model: gives (batch, num_levels, H, W) float32 logits; changed in place.
        grid: the macroblocks.

    Returns:
        What pools the model's output now.
    """
    graph = model.graph
    (output,) = graph.output
    (last,) = [node for node in graph.node if output.name in node.output]
    pooling = pooling_matrices(grid)
    inner = _inner_value(model, last.input[0]) if last.op_type == "Resize" else None
    if inner is None:
        return pooling
    height, width = (entry.dim_value for entry in inner.type.tensor_type.shape.dim[2:])
    enlargement = enlargement_matrices(last, (height, width), (grid.height_px, grid.width_px), model)
    graph.node.remove(last)
    _replace(graph.output, [inner])
    _prune(graph)
    return Pooling(pooling.rows @ enlargement.rows, pooling.cols @ enlargement.cols)


def attach_block_output(model: onnx.ModelProto, card: ModelCard, pooling: Pooling) -> None:
    """Put deployment's post-processing behind: one value a macroblock, as ``card.output_kind`` says.

    Args:
        model: after `cut_enlargement`; changed in place.
        card: says grid, level values and what the output is.
        pooling: from `cut_enlargement`.
    """
    graph = model.graph
    logits, kind = graph.output[0].name, card.output_kind
    constants = {"rows": pooling.rows, "cols": pooling.cols.T.copy()}
    nodes = [
        _node("MatMul", [PREFIX + "rows", logits], PREFIX + "bands"),
        _node("MatMul", [PREFIX + "bands", PREFIX + "cols"], PREFIX + "blocks"),
    ]
    if kind == "levels":
        element = TensorProto.UINT8
        nodes += [
            _node("ArgMax", [PREFIX + "blocks"], PREFIX + "argmax", axis=1, keepdims=0),
            # By way of float: TensorRT makes uint8 of nothing else.
            _node("Cast", [PREFIX + "argmax"], PREFIX + "level_numbers", to=TensorProto.FLOAT),
            _node("Cast", [PREFIX + "level_numbers"], kind, to=TensorProto.UINT8),
        ]
    else:
        element = TensorProto.FLOAT
        constants["values"] = np.array(card.level_values, np.float32).reshape(1, -1, 1, 1)
        constants["axis"] = np.array([1], np.int64)
        nodes += [
            _node("Softmax", [PREFIX + "blocks"], PREFIX + "probabilities", axis=1),
            _node("Mul", [PREFIX + "probabilities", PREFIX + "values"], PREFIX + "weighted"),
            _node("ReduceSum", [PREFIX + "weighted", PREFIX + "axis"], kind, keepdims=0),
        ]
    graph.initializer.extend(numpy_helper.from_array(array, PREFIX + name) for name, array in constants.items())
    graph.node.extend(nodes)
    batch = "batch" if card.dynamic_batch else 1
    shape = [batch, card.grid.rows, card.grid.cols]
    _replace(graph.output, [helper.make_tensor_value_info(kind, element, shape)])


def pooling_matrices(grid: Grid) -> Pooling:
    """What does the same as `Grid.pool`."""
    height, width = grid.height_px, grid.width_px
    by_row = grid.pool(np.broadcast_to(np.eye(height, dtype=np.float32)[:, :, None], (height, height, width)))
    by_col = grid.pool(np.broadcast_to(np.eye(width, dtype=np.float32)[:, None, :], (width, height, width)))
    return Pooling(by_row[:, :, 0].T.copy(), by_col[:, 0, :].T.copy())


def enlargement_matrices(
    resize: onnx.NodeProto, size: tuple[int, int], enlarged: tuple[int, int], model: onnx.ModelProto
) -> Pooling:
    """Find what a Resize node does by giving it unit vectors.

    Args:
        resize: the node.
        size: height and width of its input.
        enlarged: height and width of its output.
        model: says the operator set.

    Returns:
        (H, height) and (W, width) matrices that do the same.
    """
    (height, width), found = size, []
    for unit in (np.eye(height)[:, :, None], np.eye(width)[:, None, :]):
        pixels = np.broadcast_to(unit, (len(unit), height, width)).astype(np.float32)[None]
        found.append(_resized(resize, pixels, enlarged, model)[0])
    return Pooling(found[0][:, :, 0].T.copy(), found[1][:, 0, :].T.copy())


def _resized(
    resize: onnx.NodeProto, pixels: NDArray[np.float32], enlarged: tuple[int, int], model: onnx.ModelProto
) -> NDArray[np.float32]:
    node = onnx.NodeProto()
    node.CopyFrom(resize)
    _replace(node.input, ["x", "", "", "sizes"])
    _replace(node.output, ["y"])
    sizes = numpy_helper.from_array(np.array([*pixels.shape[:2], *enlarged], np.int64), "sizes")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in "xy"]
    alone = helper.make_model(
        helper.make_graph([node], "resize", ends[:1], ends[1:], [sizes]),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
    session: Any = ort.InferenceSession(alone.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": pixels})
    enlarged_pixels: NDArray[np.float32] = result
    return enlarged_pixels


def _inner_value(model: onnx.ModelProto, tensor: str) -> onnx.ValueInfoProto | None:
    """Type and shape of an inner tensor, if its height and width are fixed."""
    values: list[onnx.ValueInfoProto] = list(onnx.shape_inference.infer_shapes(model).graph.value_info)
    fixed = (value for value in values if all(entry.dim_value for entry in value.type.tensor_type.shape.dim[2:]))
    return next((value for value in fixed if value.name == tensor), None)


def _prune(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that no output needs."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    _replace(graph.node, kept[::-1])
    _replace(graph.initializer, [constant for constant in graph.initializer if constant.name in needed])


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"{PREFIX}{kind}_{output}", **attributes)


def _replace(field: Any, items: list[Any]) -> None:
    """Give a repeated field of a protocol buffer other contents."""
    kept = list(items)
    del field[:]
    field.extend(kept)
