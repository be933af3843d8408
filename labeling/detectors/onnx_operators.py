"""onnx2torch with additional operators that detectors need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import torch
from onnx2torch import convert
from onnx2torch.node_converters.registry import add_converter
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OnnxMapping, OnnxToTorchModule, OperationConverterResult, onnx_mapping_from_node
from torch import Tensor, nn

from deploy.core.errors import WeightsError, first_line


class _GridSample(nn.Module, OnnxToTorchModule):  # type: ignore[misc]
    """Two-dimensional ONNX GridSample, for the deformable attention of RT-DETR and D-FINE."""

    def __init__(self, mode: str, padding_mode: str, *, align_corners: bool) -> None:
        super().__init__()
        self.mode, self.padding_mode, self.align_corners = mode, padding_mode, align_corners

    def forward(self, values: Tensor, grid: Tensor) -> Tensor:
        """(N, C, H, W) sampled at (N, h, w, 2) -> (N, C, h, w)."""
        return nn.functional.grid_sample(
            values, grid, mode=self.mode, padding_mode=self.padding_mode, align_corners=self.align_corners
        )


class _Mish(nn.Module, OnnxToTorchModule):  # type: ignore[misc]
    """x * tanh(softplus(x))."""

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        return nn.functional.mish(x)


def _mapping(node: OnnxNode) -> OnnxMapping:
    return onnx_mapping_from_node(node=node)


@add_converter(operation_type="GridSample", version=16)  # type: ignore[untyped-decorator]
def _convert_grid_sample(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    attributes: dict[str, Any] = node.attributes
    mode = attributes.get("mode", "bilinear")
    module = _GridSample(
        {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode),
        attributes.get("padding_mode", "zeros"),
        align_corners=bool(attributes.get("align_corners", 0)),
    )
    return OperationConverterResult(torch_module=module, onnx_mapping=_mapping(node))


@add_converter(operation_type="Mish", version=18)  # type: ignore[untyped-decorator]
def _convert_mish(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    return OperationConverterResult(torch_module=_Mish(), onnx_mapping=_mapping(node))


def convert_to_torch(model: onnx.ModelProto, path: Path) -> nn.Module:
    """Convert a model to an equivalent module with gradients.

    Args:
        model: a float32 model of opset 17 or lower.
        path: its file, for messages.

    Raises:
        WeightsError: an operator cannot be converted; the message names it.
    """
    try:
        with torch.no_grad():
            network: nn.Module = convert(model)
    except NotImplementedError as error:
        said = first_line(error)
        raise WeightsError(
            f"{path}: onnx2torch cannot convert {said.partition('OperationDescription')[2] or said}",
            hint="Export it with opset 17 or without this operator, or wrap it as TorchScript.",
        ) from None
    except Exception as error:  # it can raise any exception
        raise WeightsError(
            f"cannot use {path} as a detector: {first_line(error)}", hint="Wrap it as TorchScript instead."
        ) from None
    return network.eval().requires_grad_(False)
