"""The options of the training of an upscaler."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deploy.core.resize import Reduction


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
    reduce: Reduction = "area"
    """How frames are reduced: area, or Pillow's antialiased bicubic or lanczos; as for labelling."""
    every: int = 5
    """Take one video frame in so many."""
    seed: int = 0
    """Seed of the weights and of the patches."""
    checkpoint_every: int = 500
    """Steps between the checkpoints from which an interrupted run goes on."""
