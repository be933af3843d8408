"""Work at the two ends of a network, put into the ONNX graph: normalization before it, block pooling after it.

A network of PaddleSeg ends by enlarging its logits to the frame's size, and deployment then averages them over the
macroblocks. Both are linear along rows and along columns, so both together are two small products with constant
matrices: the full-size logits need never exist. (Exact up to the order of additions.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from deploy.cards.model_card import ModelCard
from deploy.core.grid import Grid
from deploy.core.runtimes import import_onnxruntime

ort = import_onnxruntime()

PREFIX = "regen_"
"""Begins the name of every node and tensor of the ends, which stay in fp32."""
RGB_INPUT = "rgb"
PADDED_PX = 32
"""Sides of a frame are padded to multiples of this: the deepest features are smaller by this factor."""


def blank_unused_scales(model: onnx.ModelProto) -> None:
    """Leave out the empty inputs of each Resize that states sizes: in half precision they are invalid."""
    for node in model.graph.node:
        if node.op_type == "Resize" and len(node.input) > 3 and node.input[3]:
            node.input[1] = node.input[2] = ""
    _prune(model.graph)


def attach_rgb_input(model: onnx.ModelProto, card: ModelCard) -> None:
    """Put normalization in front: the input becomes (batch, H, W, 3) uint8 RGB, named "rgb".

    Args:
        model: takes (batch, 3, H, W) float32; changed in place.
        card: says mean and std.
    """
    _normalise(model, card, model.graph.input[0].name, [card.grid.height_px, card.grid.width_px])


def _normalise(model: onnx.ModelProto, card: ModelCard, result: str, size: list[int | str]) -> None:
    """From "rgb", of `size`, to normalized planes named `result`, in front of all other nodes."""
    graph = model.graph
    more = (0.5,) * (card.num_channels - 3)  # scores go from 0 to 1
    mean, std = (np.array((*numbers, *more), np.float32).reshape(1, -1, 1, 1) for numbers in (card.mean, card.std))
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
        _node("Add", [PREFIX + "scaled", PREFIX + "offsets"], result),
    ]
    rest = list(graph.node)
    _replace(graph.node, [*nodes, *rest])
    batch = "batch" if card.dynamic_batch else 1
    _replace(
        graph.input, [helper.make_tensor_value_info(RGB_INPUT, TensorProto.UINT8, [batch, *size, card.num_channels])]
    )


@dataclass(frozen=True)
class Pooling:
    """Matrices by which ``rows @ tensor @ cols.T`` are the mean logits of each macroblock."""

    rows: NDArray[np.float32]
    """(rows, height) float32."""
    cols: NDArray[np.float32]
    """(cols, width) float32."""


def cut_enlargement(model: onnx.ModelProto, grid: Grid) -> Pooling:
    """Take the last Resize out, and the Slice behind it that cuts off padding: the output becomes the small logits.

    Args:
        model: gives (batch, num_levels, H, W) float32 logits; changed in place. Where it ends otherwise it stays.
        grid: the macroblocks.

    Returns:
        What pools the model's output now.
    """
    graph = model.graph
    pooling = pooling_matrices(grid)
    values = {value.name: value for value in onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info}
    values[graph.output[0].name] = graph.output[0]
    tail = _enlarging_nodes(graph)
    size = _fixed_size(values.get(tail[0].input[0])) if tail else None
    resized = _fixed_size(values.get(tail[0].output[0])) if tail else None
    if size is None or resized is None:
        return pooling
    enlargement = enlargement_matrices(tail, size, resized, model)
    _replace(graph.output, [values[tail[0].input[0]]])
    _prune(graph)
    return Pooling(pooling.rows @ enlargement.rows, pooling.cols @ enlargement.cols)


def _enlarging_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """A Resize at the end of the graph with the Slices behind it, in order; nothing if it ends otherwise."""
    producers = {name: node for node in graph.node for name in node.output}
    tail = [producers[graph.output[0].name]]
    while tail[0].op_type == "Slice":
        tail.insert(0, producers[tail[0].input[0]])
    return tail if tail[0].op_type == "Resize" else []


def attach_block_output(model: onnx.ModelProto, card: ModelCard, pooling: Pooling) -> None:
    """Put deployment's post-processing behind: one value a macroblock, as ``card.output_kind`` says.

    Args:
        model: after `cut_enlargement`; changed in place.
        card: says grid, level values and what the output is.
        pooling: from `cut_enlargement`.
    """
    logits = model.graph.output[0].name
    constants = {"rows": pooling.rows, "cols": pooling.cols.T.copy()}
    nodes = [
        _node("MatMul", [PREFIX + "rows", logits], PREFIX + "bands"),
        _node("MatMul", [PREFIX + "bands", PREFIX + "cols"], PREFIX + "blocks"),
    ]
    _read_levels(model, card, nodes, constants, [card.grid.rows, card.grid.cols])


def attach_any_size_ends(model: onnx.ModelProto, card: ModelCard) -> None:
    """Make a file of any frame size: "rgb" frames in, importance of their own macroblocks out, the last ones partial.

    Inside, frames are padded by their last row and column to multiples of 32.

    Args:
        model: from normalized (batch, 3, H, W) planes, sides multiples of 32, to (batch, num_levels, H / 16, W / 16)
            logits; changed in place.
        card: says mean, std, level values and block size.
    """
    graph, logits = model.graph, model.graph.output[0].name
    planes, padded = PREFIX + "frame_planes", graph.input[0].name
    sides, block = np.array([PADDED_PX] * 2, np.int64), np.array([card.grid.block_px] * 2, np.int64)
    padding = [
        _node("Shape", [planes], PREFIX + "size", start=2, end=4),
        _node("Mod", [PREFIX + "size", PREFIX + "multiple"], PREFIX + "over"),
        _node("Sub", [PREFIX + "multiple", PREFIX + "over"], PREFIX + "short"),
        _node("Mod", [PREFIX + "short", PREFIX + "multiple"], PREFIX + "missing"),
        _node("Concat", [PREFIX + "no_pads", PREFIX + "missing"], PREFIX + "pads", axis=0),
        _node("Pad", [planes, PREFIX + "pads"], padded, mode="edge"),
    ]
    _replace(graph.node, [*padding, *graph.node])
    _normalise(model, card, planes, ["height", "width"])
    cutting = [
        _node("Add", [PREFIX + "size", PREFIX + "block_less_one"], PREFIX + "size_rounded_up"),
        _node("Div", [PREFIX + "size_rounded_up", PREFIX + "block"], PREFIX + "num_blocks"),
        _node("Slice", [logits, PREFIX + "origin", PREFIX + "num_blocks", PREFIX + "sides"], PREFIX + "blocks"),
    ]
    constants = {
        "multiple": sides,
        "no_pads": np.zeros(6, np.int64),
        "block": block,
        "block_less_one": block - 1,
        "origin": np.zeros(2, np.int64),
        "sides": np.array([2, 3], np.int64),
    }
    _read_levels(model, card, cutting, constants, ["rows", "cols"])


def _read_levels(
    model: onnx.ModelProto,
    card: ModelCard,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    size: list[int | str],
) -> None:
    """Behind `nodes`, which give the logits of macroblocks, what ``card.output_kind`` says."""
    graph, kind = model.graph, card.output_kind
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
    _replace(graph.output, [helper.make_tensor_value_info(kind, element, [batch, *size])])


def pooling_matrices(grid: Grid) -> Pooling:
    """What does the same as `Grid.pool`."""
    height, width = grid.height_px, grid.width_px
    by_row = grid.pool(np.broadcast_to(np.eye(height, dtype=np.float32)[:, :, None], (height, height, width)))
    by_col = grid.pool(np.broadcast_to(np.eye(width, dtype=np.float32)[:, None, :], (width, height, width)))
    return Pooling(by_row[:, :, 0].T.copy(), by_col[:, 0, :].T.copy())


def enlargement_matrices(
    tail: list[onnx.NodeProto], size: tuple[int, int], resized: tuple[int, int], model: onnx.ModelProto
) -> Pooling:
    """Find what nodes do that work along rows and along columns, by giving them unit vectors.

    Args:
        tail: a Resize and what follows it.
        size: height and width of its input.
        resized: height and width of its output.
        model: has the constants, and says the operator set.

    Returns:
        (H, height) and (W, width) matrices that do the same.
    """
    (height, width), found = size, []
    for unit in (np.eye(height)[:, :, None], np.eye(width)[:, None, :]):
        pixels = np.broadcast_to(unit, (len(unit), height, width)).astype(np.float32)[None]
        found.append(_run_alone(tail, pixels, resized, model)[0])
    return Pooling(found[0][:, :, 0].T.copy(), found[1][:, 0, :].T.copy())


def _run_alone(
    tail: list[onnx.NodeProto], pixels: NDArray[np.float32], resized: tuple[int, int], model: onnx.ModelProto
) -> NDArray[np.float32]:
    resize = onnx.NodeProto()
    resize.CopyFrom(tail[0])
    _replace(resize.input, ["x", "", "", "sizes"])
    sizes = numpy_helper.from_array(np.array([*pixels.shape[:2], *resized], np.int64), "sizes")
    needed = {name for node in tail[1:] for name in node.input}
    constants = [constant for constant in model.graph.initializer if constant.name in needed]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in ("x", tail[-1].output[0])]
    alone = helper.make_model(
        helper.make_graph([resize, *tail[1:]], "tail", ends[:1], ends[1:], [sizes, *constants]),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
    session: Any = ort.InferenceSession(alone.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": pixels})
    enlarged: NDArray[np.float32] = result
    return enlarged


def _fixed_size(value: onnx.ValueInfoProto | None) -> tuple[int, int] | None:
    """Height and width of a tensor, if they are known."""
    if value is None:
        return None
    height, width = (int(entry.dim_value) for entry in value.type.tensor_type.shape.dim[2:])
    return (height, width) if height and width else None


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
