"""Run an ONNX detector of fixed size at another size, if its graph does not depend on the size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.core.errors import OptionError, WeightsError, first_line
from deploy.detectors.geometry import Size

if TYPE_CHECKING:
    import onnx


def at_size(path: Path, input_name: str, size: Size) -> bytes:
    """The file with another size stated.

    Args:
        path: of the ONNX file.
        input_name: the input that takes the frame, (1, 3, H, W).
        size: height and width.

    Raises:
        OptionError: the package onnx is not installed.
        WeightsError: the file cannot be read.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise OptionError(
            f"{path} has another input size than {size[1]}x{size[0]}, and changing it needs the package 'onnx'",
            hint="pip install onnx, omit --detector-size, or export the detector at that size.",
        ) from None
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf and onnx share no exception
        raise WeightsError(f"cannot use {path} as a detector: {first_line(error)}", hint="Export it again.") from None
    restate_size(model, input_name, size)
    content: bytes = model.SerializeToString()
    return content


def restate_size(model: onnx.ModelProto, input_name: str, size: Size) -> None:
    """State one frame of a size, and no shape that would follow from another."""
    for value in model.graph.input:
        if value.name == input_name:
            for dimension, number in zip(value.type.tensor_type.shape.dim, (1, 3, *size), strict=True):
                dimension.dim_value = number
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
