"""Any network that enlarges frames and was saved as a whole: TorchScript (.pt, .ts) or torch.export (.pt2).

Such a file is a program. Archives that carry pickles are refused, but use only files from those you trust.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deploy.core.errors import OptionError, WeightsError
from labeling.core.torch_programs import load_export, load_script
from labeling.upscalers.network import NetworkUpscaler
from labeling.upscalers.program import Program, described_program
from labeling.upscalers.program_trial import program_upscaler


class TorchNetwork(nn.Module):
    """A loaded program, which runs in its own number type regardless of --precision.

    Args:
        module: the program.
        dtype: of the frames that it takes.
    """

    def __init__(self, module: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self._dtype = module, dtype

    def train(self, mode: bool = True) -> TorchNetwork:
        """An exported program has but one mode, and does not let itself be asked."""
        return self

    def forward(self, frames: Tensor) -> Any:
        """(N, C, H, W) float32 -> the program's output."""
        values = frames if self._dtype.is_floating_point else frames.round().clamp(0, 255)
        with torch.autocast(frames.device.type, enabled=False):  # TorchScript cannot do with others than its own types
            return self.module(values.to(self._dtype))


def load_torch_program(
    *, scale: int, weights: Path | None = None, colors: str | float | None = None
) -> NetworkUpscaler:
    """Load a program; its inputs and outputs are determined by running it.

    Raises:
        OptionError: no file was named, or `colors` is no order of them.
        WeightsError: missing, no such program, with pickles inside, or not a network that enlarges frames.
    """
    if weights is None:
        raise OptionError("upscaler 'torch-program' needs a file", hint="Add --upscaler-weights MODEL.pt or .pt2")
    if not weights.is_file():
        raise WeightsError(f"upscaler not found: {weights}", hint="Check the path.")
    program = _exported(weights) if weights.suffix == ".pt2" else _scripted(weights)
    return program_upscaler("torch-program", program, scale, colors)


def _scripted(path: Path) -> Program:
    """TorchScript does not say for which frames it is."""
    module = load_script(path)
    tensors = chain(module.parameters(), module.buffers())
    dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
    return Program(path, TorchNetwork(module, dtype))


def _exported(path: Path) -> Program:
    module, example = load_export(path)
    dims = tuple(side if isinstance(side, int) else 0 for side in example.shape)
    network = TorchNetwork(module, example.dtype)
    return described_program(path, network, dims, integer=not example.is_floating_point())
