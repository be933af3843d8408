"""Tiny networks that enlarge frames rightly, and files of them."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn


class Enlarging(nn.Module):
    """Every pixel becomes a square, sharpened by random weights that see its eight neighbors.

    It is right for values from 0 to `greatest` alone: what is beyond is cut off, what is between whole 1/255 of it is
    rounded.
    """

    def __init__(self, factor: int, *, channels: int = 3, greatest: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        self.factor, self.channels, self.greatest = factor, channels, greatest
        self.convolution = nn.Conv2d(channels, channels * factor**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(factor)
        generator = torch.Generator().manual_seed(seed)
        weight = 0.05 * torch.randn(self.convolution.weight.shape, generator=generator)
        weight -= weight.mean(dim=(2, 3), keepdim=True)  # so that even areas stay as they are
        for channel in range(channels):
            weight[channel * factor**2 : (channel + 1) * factor**2, channel, 1, 1] += 1.0
        self.convolution.weight.data, self.convolution.bias.data = weight, torch.zeros(channels * factor**2)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        whole = (x.clamp(0.0, self.greatest) * (255.0 / self.greatest)).round()
        return self.shuffle(self.convolution(whole * (self.greatest / 255.0)))  # type: ignore[no-any-return]


class Taking(nn.Module):
    """Another network behind a habit of exports."""

    def __init__(self, inner: nn.Module, habit: str, side: int = 8) -> None:
        super().__init__()
        self.inner, self.habit, self.side = inner, habit, side

    def forward(self, x: Tensor) -> Tensor:
        if self.habit == "channels last":
            return self.inner(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # type: ignore[no-any-return]
        if self.habit == "windows":
            n, c, h, w = x.shape
            x = x.reshape(n, c, h // self.side, self.side, w // self.side, self.side).reshape(n, c, h, w)
        if self.habit == "channels reversed":
            return self.inner(x.flip(1)).flip(1)  # type: ignore[no-any-return]
        return self.inner(x)  # type: ignore[no-any-return]


def save_onnx(network: nn.Module, path: Path, shape: tuple[int, ...], free: tuple[int, ...] = (0, 2, 3)) -> Path:
    """Write ONNX for frames of a shape of which some dimensions are free; float16 networks get float16."""
    frames = torch.zeros(shape, dtype=next(network.parameters()).dtype)
    axes = {name: {axis: f"{name}{axis}" for axis in free} for name in ("x", "y")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (frames,), str(path), opset_version=17, dynamo=False, input_names=["x"], output_names=["y"],
            dynamic_axes=axes,
        )  # fmt: skip
    return path


def save_script(network: nn.Module, path: Path) -> Path:
    """Write TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network).save(str(path))
    return path


def save_export(network: nn.Module, path: Path, shape: tuple[int, ...], *, free: bool, longest: int = 2048) -> Path:
    """Write a torch.export archive, of free or fixed sides."""
    sides = {2: torch.export.Dim("h", min=4, max=longest), 3: torch.export.Dim("w", min=4, max=longest)}
    frames = torch.zeros(shape, dtype=next(network.parameters()).dtype)
    program = torch.export.export(network, (frames,), dynamic_shapes=(sides,) if free else None)
    torch.export.save(program, str(path))
    return path
