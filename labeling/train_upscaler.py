"""Train a small EDSR on real frames, or adapt one to your own footage (content-aware super-resolution).

    python labeling/train_upscaler.py VIDEO_OR_IMAGE ... --scale 3 --out edsr_x3.safetensors

High-resolution frames are reduced by area filtering, as the labelling pipeline does, and the network learns the way
back. `--init` starts from existing weights. Frames named by `--validate` are never trained on; the PSNR printed at the
end is theirs, beside that of bicubic interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deploy.core.cli import run


@dataclass(frozen=True)
class TrainUpscalerOptions:
    """Options of one training run; they and the hashes of the sources are kept in the weight file."""

    sources: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Videos and images to learn from, at high resolution."""
    out: Path
    """The .safetensors file to write."""
    scale: int = 3
    """Enlargement factor: 2, 3 or 4."""
    validate: tuple[Path, ...] = ()
    """Videos and images to measure on."""
    init: Path | None = None
    """EDSR weights to start from (their size wins over --features and --blocks)."""
    features: int = 32
    """Channels of the network."""
    blocks: int = 10
    """Residual blocks of the network."""
    steps: int = 12000
    """Optimiser steps."""
    batch: int = 16
    """Patches a step."""
    patch_px: int = 32
    """Side of a low-resolution patch."""
    learning_rate: float = 1e-3
    """Peak rate of Adam; warm-up, then cosine decay to zero."""
    every: int = 5
    """Take one video frame in so many."""
    seed: int = 0
    """Seed of the weights and of the patches."""
    checkpoint_every: int = 500
    """Steps between the checkpoints from which an interrupted run goes on."""


def main() -> None:
    """Parse the command line and train."""
    options = tyro.cli(TrainUpscalerOptions, description=__doc__)
    from labeling.pipelines.upscaler_training import train_upscaler

    train_upscaler(options)


if __name__ == "__main__":
    run(main, resumes=True)
