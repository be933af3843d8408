"""Read untrusted ONNX files without opening the files that they refer to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from deploy.core.endless import require_an_end
from deploy.core.errors import WeightsError, first_line


def read_onnx(path: Path, kind: str) -> onnx.ModelProto:
    """Read an ONNX file.

    Args:
        path: the file.
        kind: its role, for messages ("detector").

    Raises:
        WeightsError: the file is missing, is not ONNX, contains loops, or stores tensors in other files.
    """
    if not path.is_file():
        raise WeightsError(f"{kind} not found: {path}", hint="Check the path.")
    require_an_end(path, kind, path)
    try:
        model = onnx.load(str(path), load_external_data=False)
        if any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors_in(model)):
            raise ValueError("it stores tensors in other files")
    except Exception as error:  # protobuf and onnx have no common exception type
        article = "an" if kind[0] in "aeiou" else "a"
        raise WeightsError(
            f"cannot use {path} as {article} {kind}: {first_line(error)}", hint="Export it again."
        ) from None
    return model


def tensors_in(message: Any) -> Iterator[Any]:
    """Yield every tensor in a model, including those in subgraphs."""
    for _, value in message.ListFields():
        for part in value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else (value,):
            if isinstance(part, TensorProto):
                yield part
            elif hasattr(part, "ListFields"):
                yield from tensors_in(part)


def frame_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs that a caller must provide: those without a value in the file."""
    initialised = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in initialised]


def dims_of(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Shape of an input or output; 0 means dynamic."""
    return tuple(max(0, dimension.dim_value) for dimension in value.type.tensor_type.shape.dim)
