"""Convert an ONNX detector's graph to a form that all converters support: float32, one frame, fixed size, opset 17."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from deploy.backends.base import usable_threads
from deploy.core.errors import WeightsError, first_line
from deploy.core.runtimes import open_session
from deploy.detectors.geometry import Size
from deploy.detectors.resizing import restate_size
from deploy.detectors.trial import known_input
from labeling.core.onnx_reading import dims_of, frame_inputs, read_onnx, tensors_in

OPSETS = range(11, 22)
_OPSET = 17
"""The newest that onnx2torch knows whole."""
_SUPPRESSION = (
    "NonMaxSuppression",
    "EfficientNMS",
    "BatchedNMS",
    "MultiClassNMS",
    "EfficientNMS_TRT",
    "BatchedNMS_TRT",
)
_HOW_TO_LEAVE_IT_OUT = (
    "Export it without suppression: Ultralytics with nms=False, YOLOv5 to v7 without --nms or --end2end, "
    "PaddleDetection with export.nms=False or exclude_nms=True, others before their post-processing."
)


@dataclass(frozen=True)
class DetectorGraph:
    """Content of an ONNX file."""

    path: Path
    model: onnx.ModelProto
    """As in the file, except that float16 is converted to float32."""
    input_name: str
    """The input that takes the frame, (1, 3, H, W)."""
    size: Size | None
    """Its height and width; None if dynamic."""
    names: str
    """Class names in the metadata; empty if missing."""


def read_graph(path: Path) -> DetectorGraph:
    """Read an ONNX file.

    Raises:
        WeightsError: missing, not ONNX, with tensors in other files, with built-in suppression, or without an input for
            frames.
    """
    model = read_onnx(path, "detector")
    inside = [node.op_type for node in model.graph.node if node.op_type in _SUPPRESSION]
    if inside:
        raise WeightsError(
            f"{path} contains suppression ({inside[0]}), which has no gradient", hint=_HOW_TO_LEAVE_IT_OUT
        )
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset not in OPSETS:
        raise WeightsError(f"{path} has opset {opset}, not 11 to 21", hint="Export it again with opset 17.")
    inputs = frame_inputs(model)
    frames = [value for value in inputs if len(dims_of(value)) == 4 and dims_of(value)[1] in (0, 3)]
    if len(frames) != 1:
        shapes = ", ".join(f"{value.name} {dims_of(value)}" for value in inputs)
        raise WeightsError(
            f"{path} has no single input 1 x 3 x H x W: {shapes}", hint="Export it with a single image input."
        )
    height, width = dims_of(frames[0])[2:]
    _to_float32(model)
    names = next((entry.value for entry in model.metadata_props if entry.key == "names"), "")
    return DetectorGraph(path, model, frames[0].name, (height, width) if height and width else None, names)


def for_size(graph: DetectorGraph, size: Size) -> onnx.ModelProto:
    """Return the model for one frame of a fixed size: other inputs are constants, shapes are folded, opset 17.

    Raises:
        WeightsError: the model has an unknown input.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    restate_size(model, graph.input_name, size)
    for value in frame_inputs(model):
        if value.name != graph.input_name:
            kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            constant = np.array([known_input(value.name, size, graph.path)], kind)
            model.graph.initializer.append(numpy_helper.from_array(constant, value.name))
            model.graph.input.remove(value)
    _lower_opset(model)
    return _folded(model)


def run_once(model: onnx.ModelProto, frame: NDArray[np.float32], path: Path) -> list[NDArray[np.float32]]:
    """Run the model on a frame (1, 3, H, W) with ONNX Runtime and return its outputs.

    Raises:
        WeightsError: the model does not run at this size.
    """
    try:
        session = open_session(model.SerializeToString(), usable_threads(None))
        outputs: list[NDArray[np.float32]] = session.run(None, {session.get_inputs()[0].name: frame})
    except Exception as error:  # the only common base of ONNX Runtime's exceptions
        height, width = frame.shape[2:]
        raise WeightsError(
            f"{path} failed on a frame of {width} x {height}: {first_line(error)}", hint="Use its own size."
        ) from None
    return outputs


def _to_float32(model: onnx.ModelProto) -> None:
    """Convert every float16 value to float32, exactly."""
    for tensor in list(tensors_in(model)):
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT


def _lower_opset(model: onnx.ModelProto) -> None:
    """Lower the opset to 17 if the graph uses nothing newer; remaining operators are refused later, by name."""
    for entry in model.opset_import:
        if entry.domain not in ("", "ai.onnx") or entry.version <= _OPSET:
            continue
        entry.version = _OPSET
        known = {tensor.name: tensor for tensor in model.graph.initializer}
        known |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
        for node in model.graph.node:
            _lower_node(node, known)


def _lower_node(node: onnx.NodeProto, known: dict[str, Any]) -> None:
    """Undo changes of opsets 18 to 21 to the notation of an operator that do not affect its results."""
    defaults = {"antialias": 0, "keep_aspect_ratio_policy": b"stretch", "saturate": 1, "noop_with_empty_axes": 0}
    for attribute in list(node.attribute):
        same = attribute.name in defaults and helper.get_attribute_value(attribute) == defaults[attribute.name]
        if (same and node.op_type != "ReduceSum") or (node.op_type == "Split" and attribute.name == "num_outputs"):
            node.attribute.remove(attribute)
    # Axes are an input from opset 18; for ReduceSum, from 13.
    if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum" and len(node.input) == 2:
        axes = known.get(node.input.pop())
        if axes is not None:
            node.attribute.append(helper.make_attribute("axes", numpy_helper.to_array(axes).tolist()))


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold everything that depends only on the frame's size."""
    import onnxslim

    folded: onnx.ModelProto = onnxslim.slim(model)
    for node in folded.graph.node:
        while node.input and not node.input[-1]:  # omitted, so it can be dropped
            node.input.pop()
    constants = [node for node in folded.graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    for node in constants:  # a bias is expected among the initializers
        tensor = folded.graph.initializer.add()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        folded.graph.node.remove(node)
    return folded
