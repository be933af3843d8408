"""The options of a comparison of labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deploy.core.ranges import require_ranges
from deploy.core.resize import Reduction
from labeling.core.arguments import require_budgets
from labeling.networks.options import NetworkOptions


@dataclass(frozen=True, kw_only=True)
class EvaluateLabelsOptions(NetworkOptions):
    """Options of the comparison."""

    videos: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Videos; each is a separate run. Without any, only the table and the page are written again."""
    out: Path
    """The .json file to add to."""
    height: int | None = None
    """Height of the low-resolution frame; by default the largest that has a true high-resolution frame."""
    reduce: Reduction = "area"
    """How frames are reduced to that height: area, or Pillow's antialiased bicubic or lanczos."""
    block_px: int = 16
    """Side of a macroblock of the low-resolution frame."""
    frames: int = 12
    """Frames per video, evenly spaced."""
    blocks: int = 48
    """Blocks per frame whose effect is measured by brute force, one from each stratum of |SR - IN|."""
    budgets: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5)
    """Shares of the blocks to enhance."""
    segments: int = 4
    """Contiguous groups of a video's frames that the bootstrap resamples."""
    seed: int = 0
    """Seed of the choice of blocks and of the order of ties."""

    def __post_init__(self) -> None:
        require_budgets(self.budgets)
        require_ranges(self, "frames", "blocks", "segments", "scale", "block_px", low=1)
