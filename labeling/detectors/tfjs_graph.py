"""A TensorFlow.js graph model as differentiable PyTorch: the dozen operators that packaged CNN detectors use.

Reads ``model.json`` and its weight file as plain data; nothing in them is executed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deploy.core.errors import WeightsError

_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Mul": torch.mul,
    "Add": torch.add,
    "AddV2": torch.add,
    "Sub": torch.sub,
}
_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": functional.relu,
    "Relu6": functional.relu6,
    "Sigmoid": torch.sigmoid,
    "Identity": lambda x: x,
}


class TfjsGraph:
    """The network, evaluated node by node on (N, C, H, W) tensors.

    Args:
        path: ``model.json``; its weight files are next to it.

    Raises:
        WeightsError: a file is missing or damaged, or an operator is not supported.
    """

    def __init__(self, path: Path) -> None:
        try:
            model = json.loads(path.read_text(encoding="utf-8"))
            self._nodes: dict[str, dict[str, Any]] = {node["name"]: node for node in model["modelTopology"]["node"]}
            self._constants, self.weights_sha256 = _read_weights(path.parent, model["weightsManifest"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(
                f"cannot read the TensorFlow.js model {path}: {error}", hint="Download it again."
            ) from None

    def run(self, inputs: dict[str, Tensor], outputs: tuple[str, ...]) -> list[Tensor]:
        """Evaluate.

        Args:
            inputs: placeholder name -> (N, C, H, W).
            outputs: names of the requested nodes.

        Returns:
            One (N, C, H, W) tensor per output.
        """
        values = dict(inputs)
        for name in self._order(outputs, set(inputs)):
            values[name] = self._evaluate(self._nodes[name], values)
        return [values[name] for name in outputs]

    def _order(self, outputs: tuple[str, ...], given: set[str]) -> list[str]:
        """Nodes needed for `outputs`, in topological order."""
        order: list[str] = []
        seen = set(given) | set(self._constants)
        stack = [(name, False) for name in reversed(outputs)]
        while stack:
            name, ready = stack.pop()
            if ready:
                order.append(name)
            elif name not in seen:
                seen.add(name)
                if name not in self._nodes:
                    raise WeightsError(
                        f"the graph has no node {name!r}",
                        hint="Use the supported model: python datasets/get_demo_detector.py",
                    )
                stack.append((name, True))
                stack.extend((needed, False) for needed in self._nodes[name].get("input", []))
        return order

    def _evaluate(self, node: dict[str, Any], values: dict[str, Tensor]) -> Tensor:
        operator, names = node["op"], node.get("input", [])
        if operator in ("_FusedConv2D", "Conv2D", "FusedDepthwiseConv2dNative", "DepthwiseConv2dNative"):
            return self._convolve(node, values[names[0]])
        if operator == "Mean":
            return values[names[0]].mean(dim=(2, 3), keepdim=True)
        if operator == "ResizeBilinear":
            return _double_size(values[names[0]])
        operands = [values[name] if name in values else _per_channel(self._constants[name]) for name in names]
        if operator == "ConcatV2":
            return torch.cat(operands[:-1], dim=1)
        if operator in _UNARY:
            return _UNARY[operator](operands[0])
        if operator in _BINARY:
            return _BINARY[operator](operands[0], operands[1])
        raise WeightsError(f"operator {operator} ({node['name']}) is not supported", hint="Convert the model to ONNX.")

    def _convolve(self, node: dict[str, Any], x: Tensor) -> Tensor:
        kernel = self._constants[node["input"][1]].to(x)  # (h, w, in, out), depthwise (h, w, channels, multiplier)
        groups = 1
        if "Depthwise" in node["op"]:
            groups = kernel.shape[2]
            kernel = kernel.flatten(2)[:, :, None]
        kernel = kernel.permute(3, 2, 0, 1)
        stride = int(node["attr"]["strides"]["list"]["i"][1])
        if base64.b64decode(node["attr"]["padding"]["s"]) == b"SAME":
            x = _pad_same(x, kernel.shape[2:], stride)
        bias = self._constants[node["input"][2]].to(x) if len(node["input"]) > 2 else None
        x = functional.conv2d(x, kernel, bias, stride=stride, groups=groups)
        for fused in node["attr"].get("fused_ops", {}).get("list", {}).get("s", [])[1:]:
            x = _UNARY[base64.b64decode(fused).decode()](x)
        return x


def _per_channel(constant: Tensor) -> Tensor:
    return constant.view(1, -1, 1, 1) if constant.ndim == 1 else constant


def _pad_same(x: Tensor, kernel: torch.Size, stride: int) -> Tensor:
    """Padding as TensorFlow's SAME: an odd pixel goes to the bottom and to the right."""
    pads: list[int] = []
    for size, side in ((x.shape[3], kernel[1]), (x.shape[2], kernel[0])):
        total = max((-(-size // stride) - 1) * stride + side - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)


def _double_size(x: Tensor) -> Tensor:
    """Upsampling by 2 with TensorFlow's legacy bilinear rule: output pixel i reads input position i / 2."""
    height, width = x.shape[2:]
    padded = functional.pad(x, (0, 1, 0, 1), mode="replicate")
    size = (2 * height + 1, 2 * width + 1)
    return functional.interpolate(padded, size=size, mode="bilinear", align_corners=True)[:, :, :-1, :-1]


def _read_weights(folder: Path, manifest: list[dict[str, Any]]) -> tuple[dict[str, Tensor], str]:
    """Read tensors by name, and the SHA-256 of the bytes of all weight files."""
    weights: dict[str, Tensor] = {}
    digest = hashlib.sha256()
    for group in manifest:
        data = b"".join((folder / Path(name).name).read_bytes() for name in group["paths"])
        digest.update(data)
        offset = 0
        for entry in group["weights"]:
            packing = entry.get("quantization", {})
            stored = np.dtype(packing.get("dtype", entry["dtype"])).newbyteorder("<")
            count = int(np.prod(entry["shape"], dtype=np.int64))
            array = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
            offset += array.nbytes
            values = array * packing["scale"] + packing["min"] if "scale" in packing else array
            weights[entry["name"]] = torch.from_numpy(values.astype(entry["dtype"]))
    return weights, digest.hexdigest()
