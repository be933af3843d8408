"""The options of the training of an upscaler."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deploy.core.resize import Reduction

UNCODED = "none"


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
    """Optimizer steps."""
    batch: int = 16
    """Patches per step."""
    patch_px: int = 32
    """Side of a low-resolution patch."""
    learning_rate: float = 1e-3
    """Peak rate of Adam; warm-up, then cosine decay to zero."""
    reduce: tuple[Reduction, ...] = ("area",)
    """How frames are reduced: area, or Pillow's antialiased bicubic or lanczos, as for labeling; several are mixed."""
    lr_codec: tuple[str, ...] = (UNCODED,)
    """How the reduced video is encoded: none, or for example h264:crf30; several are mixed."""
    height: tuple[int, ...] = ()
    """Heights of the low-resolution frames; the default is each source's own height over --scale."""
    detectors: tuple[str, ...] = ()
    """Detectors to train for: centernet, or ONNX files. Their answers on super-resolved frames should be those on the
    true ones. Use --patch-px 96, so that patches hold whole objects."""
    detector_weight: float = 1.0
    """Weight of the detectors' loss; the L1 loss is in levels of 255."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the network's body in training; bfloat16 is several times as fast on CPUs that support it."""
    every: int = 5
    """Take every Nth video frame."""
    seed: int = 0
    """Seed of the weights and of the patches."""
    checkpoint_every: int = 500
    """Steps between the checkpoints from which an interrupted run goes on."""
