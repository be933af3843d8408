"""Any ONNX network that enlarges frames, on the CPU by ONNX Runtime."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import DTypeLike
from onnx import helper
from torch import Tensor, nn

from deploy.core.errors import OptionError, WeightsError, first_line
from deploy.core.runtimes import import_onnxruntime
from labeling.core.onnx_reading import dims_of, frame_inputs, read_onnx
from labeling.upscalers.network import NetworkUpscaler
from labeling.upscalers.program import described_program
from labeling.upscalers.program_trial import program_upscaler

MOST_VALUES = 2**14
"""In any tensor inside, for each of the input: 256 channels at x8 are a third of it."""


class OnnxNetwork(nn.Module):
    """A session of ONNX Runtime, called as PyTorch's networks are.

    Args:
        model: the model; it must have one input.

    Raises:
        Exception: any error of ONNX Runtime.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        runtime = import_onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = torch.get_num_threads()
        data = model.SerializeToString()
        self._session: Any = runtime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        value = frame_inputs(model)[0]
        self._input = value.name
        self._type: DTypeLike = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Frames as float32 -> the outputs, float32, on the frames' device."""
        values = np.ascontiguousarray(frames.float().cpu().numpy())
        if np.issubdtype(self._type, np.integer):
            values = values.round().clip(0, 255)
        outputs = self._session.run(None, {self._input: values.astype(self._type)})
        return tuple(torch.from_numpy(output.astype(np.float32)).to(frames.device) for output in outputs)


def load_onnx(*, scale: int, weights: Path | None = None, colors: str | float | None = None) -> NetworkUpscaler:
    """Load an ONNX file; its inputs and outputs are determined by running it.

    Raises:
        OptionError: no file was named, or `colors` is no order of them.
        WeightsError: missing, not ONNX, with tensors in other files, or not a network that enlarges frames.
    """
    if weights is None:
        raise OptionError("upscaler 'onnx' needs a file", hint="Add --upscaler-weights MODEL.onnx")
    model = read_onnx(weights, "upscaler")
    inputs = frame_inputs(model)
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise WeightsError(
            f"{weights} does not have exactly one input: {names}", hint="Export it with the frame as its only input."
        )
    _refuse_excess(model, inputs[0], weights)
    try:
        network = OnnxNetwork(model)
    except Exception as error:  # ONNX Runtime's exceptions have no common base but this
        raise WeightsError(f"ONNX Runtime cannot run {weights}: {first_line(error)}", hint="Export it again.") from None
    integer = inputs[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    return program_upscaler(
        "onnx", described_program(weights, network, dims_of(inputs[0]), integer=integer), scale, colors
    )


def _refuse_excess(model: onnx.ModelProto, frame: onnx.ValueInfoProto, path: Path) -> None:
    """Raise WeightsError if a tensor inside would be out of all proportion to the frame: a forged factor, say."""
    trial = onnx.ModelProto()
    trial.CopyFrom(model)
    dims = [side or free for side, free in zip(dims_of(frame), (1, 3, 64, 64), strict=False)]
    for value in trial.graph.input:
        if value.name == frame.name:
            for dimension, side in zip(value.type.tensor_type.shape.dim, dims, strict=False):
                dimension.dim_value = side
    with suppress(Exception):  # what cannot be inferred is not refused
        trial = onnx.shape_inference.infer_shapes(trial, data_prop=True)
    for value in (*trial.graph.value_info, *trial.graph.output):
        if math.prod(dims_of(value)) > MOST_VALUES * math.prod(dims):
            shape = " x ".join(map(str, dims_of(value)))
            raise WeightsError(f"{path} would produce {shape} values from {dims}", hint="Use another network.")
