"""The options of an upscaler export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deploy.core.ranges import require_ranges


@dataclass(frozen=True, kw_only=True)
class UpscalerExportOptions:
    """Options of one export.

    Raises:
        OptionError: a number is out of its range.
    """

    frames: tuple[Path, ...]
    """Videos, images or folders of images like those it will run on: parity and the halo are measured on them."""
    out: Path
    """The .onnx file to write; the card is written next to it."""
    upscaler: Literal["edsr", "carn", "spandrel"] = "edsr"
    """Network: edsr, carn, or spandrel for any that it supports."""
    weights: Path | None = None
    """Weights file; edsr has built-in weights."""
    upscaler_option: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """KEY=VALUE option of the network: res_scale=0.1 for edsr weights trained with it."""
    scale: int = 3
    """Super-resolution factor."""
    license: str = "unknown"
    """License of the weights, for the card (default: unknown; Apache-2.0 for the built-in weights)."""
    num_frames: int = 12
    """Number of frames to compare, over all of --frames."""
    height: int = 180
    """Reduce larger frames to this height, by area."""

    def __post_init__(self) -> None:
        require_ranges(self, "scale", low=2, high=8)
        require_ranges(self, "num_frames", low=1)
        require_ranges(self, "height", low=32, high=2160)
