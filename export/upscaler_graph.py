"""An upscaling network as an ONNX graph: bytes in, bytes out, and surroundings cut off as early as possible."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from deploy.cards.upscaler_card import INPUT, MARGINS, METADATA_KEY, OUTPUT, UpscalerCard
from deploy.core.errors import WeightsError, first_line
from labeling.upscalers.carn import Carn
from labeling.upscalers.edsr import Edsr
from labeling.upscalers.network import NetworkUpscaler

_OPSET = 17
_TAIL_RADIUS_PX = 2
"""How far the layers behind the low-resolution features look: one pixel, and less than one at the higher resolution."""
_SMALL = 256
"""Values of a tensor up to which it stays in float32: that saves nothing."""


class RegionNetwork(nn.Module):
    """What the file holds. EDSR and CARN end in layers on many channels, which margins need not go through.

    Args:
        upscaler: holds the network.
    """

    def __init__(self, upscaler: NetworkUpscaler) -> None:
        super().__init__()
        self.network, self.scale = upscaler.network, upscaler.native_scale
        self._upscaler = [upscaler]  # in a list: no module of this one
        head, tail = _parts(self.network, self.scale)
        self._head: Callable[[Tensor], Tensor] | None = head
        self._tail = tail

    def forward(self, rgb: Tensor, margins: Tensor) -> Tensor:
        """(N, H, W, 3) uint8, (4,) int64 -> (N, h * scale, w * scale, 3) uint8, without the margins."""
        planes = rgb.permute(0, 3, 1, 2).float() / 255.0
        if self._head is None:
            sr = _cut(self._upscaler[0].enlarge_once(planes), margins * self.scale)
        else:
            kept = margins.clamp(max=_TAIL_RADIUS_PX)
            sr = _cut(self._tail(_cut(self._head(planes), margins - kept)), kept * self.scale)
        return (sr * 255.0).clamp(0.0, 255.0).round().to(torch.uint8).permute(0, 2, 3, 1)


def _parts(network: nn.Module, scale: int) -> tuple[Callable[[Tensor], Tensor] | None, Callable[[Tensor], Tensor]]:
    """The layers that work on low-resolution features, and those behind; of other networks None, and whatever."""
    if isinstance(network, Edsr):
        return lambda planes: network.extract(planes * 255.0), lambda features: network.finish(features) / 255.0
    if isinstance(network, Carn):
        return network.extract, lambda features: network.finish(features, scale)
    return None, lambda features: features


def _cut(planes: Tensor, margins: Tensor) -> Tensor:
    top, left, bottom, right = margins.unbind()
    return planes[:, :, top : planes.shape[2] - bottom, left : planes.shape[3] - right]


def write_graph(upscaler: NetworkUpscaler, path: Path, *, half_weights: bool) -> None:
    """Write the ONNX file.

    Args:
        upscaler: holds the network.
        path: the file.
        half_weights: store weights in float16, half the size; they are computed with in float32.

    Raises:
        WeightsError: the network does not convert.
    """
    sizes = {0: "batch", 1: "height", 2: "width"}
    # Sizes that are multiples of what windowed networks need, so that their padding is not written down as a constant.
    example = torch.zeros(1, 48, 64, 3, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the newer exporter needs another package
            torch.onnx.export(
                RegionNetwork(upscaler).eval(),
                example,
                str(path),
                dynamo=False,
                opset_version=_OPSET,
                input_names=[INPUT, MARGINS],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: sizes, OUTPUT: sizes},
            )
    except Exception as error:  # the exporter raises all kinds of exceptions
        raise WeightsError(
            f"{upscaler.name} cannot be converted to ONNX: {first_line(error)}",
            hint="Use a network of plain convolutions, or export it with its own code.",
        ) from None
    model = onnx.load(str(path))
    if half_weights:
        _halve_weights(model.graph)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def _halve_weights(graph: onnx.GraphProto) -> None:
    casts = []
    for constant in graph.initializer:
        if constant.data_type != TensorProto.FLOAT or np.prod(constant.dims) < _SMALL:
            continue
        name = constant.name
        half = numpy_helper.to_array(constant).astype(np.float16)
        constant.CopyFrom(numpy_helper.from_array(half, name + "_half"))
        casts.append(helper.make_node("Cast", [name + "_half"], [name], name=name + "_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def embed_card(path: Path, card: UpscalerCard) -> None:
    """Put the card into the ONNX file's metadata."""
    model = onnx.load(str(path))
    helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    onnx.save(model, str(path))
