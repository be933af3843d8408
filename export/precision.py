"""Other arithmetic for an exported network: half precision, or 8-bit integers calibrated on frames.

The precision lives in the file: half-precision tensors, or QuantizeLinear and DequantizeLinear nodes ("QDQ"), which
ONNX Runtime, OpenVINO and TensorRT all read. The two integer files differ because the hardware does: CPUs multiply
unsigned activations by signed weights, TensorRT takes signed symmetric ones only and no quantized bias.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from deploy.cards.model_card import Precision

Calibration = Callable[[], Iterable[NDArray[np.float32]]]
"""Gives batches of one normalized frame."""


def convert_precision(model: onnx.ModelProto, precision: Precision, calibration: Calibration) -> onnx.ModelProto:
    """Return the model in another precision; its input and output stay float32.

    Args:
        model: in fp32, (batch, 3, H, W) in, logits out.
        precision: of the result.
        calibration: frames that show the range of every activation, for int8.
    """
    if precision == "fp32":
        return model
    return _to_half(model) if precision == "fp16" else _to_int8(model, precision, calibration)


def _to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    half: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    OnnxModel(half).topological_sort()  # the converter appends its casts
    return half


class _Frames:
    """Calibration batches, one by one, as the quantizer asks for them."""

    def __init__(self, name: str, batches: Iterable[NDArray[np.float32]]) -> None:
        self._feeds: Iterator[dict[str, NDArray[np.float32]]] = ({name: batch} for batch in batches)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next batch by input name, or None at the end."""
        return next(self._feeds, None)


def _to_int8(model: onnx.ModelProto, precision: Precision, calibration: Calibration) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_static

    for_tensorrt = precision == "int8-trt"
    activations = QuantType.QInt8 if for_tensorrt else QuantType.QUInt8
    extra = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False} if for_tensorrt else {}
    with tempfile.TemporaryDirectory() as temporary:
        quantised = Path(temporary) / "int8.onnx"
        quantize_static(
            onnx.shape_inference.infer_shapes(model),
            quantised,
            _Frames(model.graph.input[0].name, calibration()),
            op_types_to_quantize=["Conv", "Add"] if for_tensorrt else None,
            per_channel=True,
            activation_type=activations,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=extra,
        )
        return onnx.load(str(quantised))
