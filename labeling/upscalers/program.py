"""A network that somebody saved as a whole, and how it is called."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deploy.core.errors import WeightsError, first_line, last_line
from labeling.upscalers.tiling import upscale_in_fixed_tiles

Size = tuple[int, int]
"""Height and width in pixels."""
FACTORS = range(2, 9)
OVERLAP_PX = 32
"""Context around a tile; around one of a fixed size, at most a quarter of a side."""
LARGEST_SIDE_PX = 4096
LARGEST_BATCH = 16
FREE_SIDE_PX = 256
"""Of a frame whose other side is fixed."""


@dataclass(frozen=True)
class Program:
    """A loaded file, and the frames that it takes."""

    path: Path
    """The file."""
    network: nn.Module
    """(batch, C, h, w) float32 -> frames, in any layout and number type."""
    channels: tuple[int, ...] = (3, 1)
    """Numbers of channels to try."""
    size: Size | None = None
    """Height and width, if fixed."""
    batch: int = 1
    """Frames that it takes at once."""
    channels_last: bool = False
    """It takes (batch, h, w, C)."""
    ranges: tuple[float, ...] = (1.0, 255.0)
    """Greatest values of the input to try."""


def described_program(path: Path, network: nn.Module, dims: tuple[int, ...], *, integer: bool) -> Program:
    """A program whose file states its input shape.

    Args:
        path: the file.
        network: what it holds.
        dims: of the input; 0 means dynamic.
        integer: the input is of whole numbers, 0 to 255.

    Raises:
        WeightsError: these are no frames.
    """
    batch, *frame = dims if len(dims) == 4 else (0, -1, 0, 0)
    channels_last = frame[0] not in (1, 3) and frame[2] in (1, 3)
    channels, *sides = (frame[2], *frame[:2]) if channels_last else frame
    if channels not in (0, 1, 3) or max(sides) > LARGEST_SIDE_PX or batch > LARGEST_BATCH:
        shape = " x ".join(str(side or "free") for side in dims)
        raise WeightsError(f"{path} takes {shape}, not RGB or luma frames", hint="Export it for 1 x 3 x H x W.")
    return Program(
        path,
        network,
        channels=(channels,) if channels else (3, 1),
        size=(sides[0] or FREE_SIDE_PX, sides[1] or FREE_SIDE_PX) if any(sides) else None,
        batch=batch or 1,
        channels_last=channels_last,
        ranges=(255.0,) if integer else (1.0, 255.0),
    )


@torch.no_grad()
def call_once(program: Program, frame: Tensor) -> Tensor:
    """Run it on one frame that it takes as it is, in its own range of values.

    Args:
        program: what runs.
        frame: (1, C, h, w) float32.

    Returns:
        (1, C, h * factor, w * factor) float32.

    Raises:
        ValueError: the result is no enlarged frame.
        Exception: any error of the network.
    """
    frames = frame.expand(program.batch, -1, -1, -1)
    output = _first_frames(program.network(frames.permute(0, 2, 3, 1) if program.channels_last else frames))
    channels, height, width = frame.shape[1:]
    if output.shape[1] != channels and output.shape[3] == channels:
        output = output.permute(0, 3, 1, 2)
    factor = output.shape[2] // height
    if output.shape[1:] != (channels, height * factor, width * factor) or factor not in FACTORS:
        raise ValueError(f"it returns {shape_of(output)}, not larger by an integer factor of 2 to 8")
    return output[:1].float()


def enlarge(program: Program, factor: int, multiple_px: int, frames: Tensor) -> Tensor:
    """Enlarge frames of any size, in the program's range of values.

    Args:
        program: what runs.
        factor: by which it enlarges.
        multiple_px: the sides of what it gets are multiples of it, unless its size is fixed.
        frames: (N, C, H, W) float32.

    Returns:
        (N, C, H * factor, W * factor) float32.
    """
    size = program.size or rounded_up(frames, multiple_px)
    overlap_px = min(OVERLAP_PX, size[0] // 4, size[1] // 4)
    call = partial(call_once, program)
    enlarged = [
        upscale_in_fixed_tiles(call, frame, scale=factor, size=size, overlap_px=overlap_px) for frame in frames[:, None]
    ]
    return torch.cat(enlarged)


def rounded_up(frames: Tensor, multiple_px: int) -> Size:
    """The smallest height and width that are multiples and contain the frames."""
    height, width = (-(-side // multiple_px) * multiple_px for side in frames.shape[2:])
    return height, width


def shape_of(frames: Tensor) -> str:
    """For messages."""
    return " x ".join(map(str, frames.shape))


def reason_of(error: Exception) -> str:
    """The line of a network's error that says what is wrong; TorchScript's begin with where."""
    return last_line(error) if "TorchScript" in first_line(error) else first_line(error)


def _first_frames(output: Any) -> Tensor:
    """The first tensor of four dimensions that a network returned."""
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else (output,)
    for part in parts:
        if isinstance(part, Tensor) and part.ndim == 4:
            return part
    raise ValueError(f"it returns {type(output).__name__}, not frames (N, C, H, W)")
