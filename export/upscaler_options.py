"""What the export of an upscaler may be told."""

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
    """Videos, images or folders of images such as it will see: parity and the halo are measured on them."""
    out: Path
    """The .onnx file to write; the card goes beside it."""
    upscaler: Literal["edsr", "carn", "spandrel"] = "edsr"
    """Which network: edsr, carn, or spandrel for any that it knows."""
    weights: Path | None = None
    """Its file; that of edsr is embedded."""
    upscaler_option: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """KEY=VALUE, may be given again: res_scale=0.1 of an edsr trained so."""
    scale: int = 3
    """Its factor."""
    license: str = "unknown"
    """Of the weights, for the card (default: unknown; of the embedded ones Apache-2.0)."""
    num_frames: int = 12
    """How many frames are compared, over all of `frames`."""
    height: int = 180
    """Larger frames are reduced to this height, by area."""

    def __post_init__(self) -> None:
        require_ranges(self, "scale", low=2, high=8)
        require_ranges(self, "num_frames", low=1)
        require_ranges(self, "height", low=32, high=2160)
