"""Options of the labeling command, from which its flags, its help and a part of the manifest derive."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deploy.core.errors import OptionError
from deploy.core.grid import Grid
from deploy.core.ranges import require_range
from deploy.core.resize import Reduction
from deploy.inputs.report import Damaged
from labeling.networks.options import NetworkOptions


@dataclass(frozen=True, kw_only=True)
class LabelOptions(NetworkOptions):
    """See ``python labeling/make_labels.py --help``.

    Raises:
        OptionError: a value is invalid.
    """

    videos: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Videos and folders of images to label; --split divides them."""
    train: tuple[Path, ...] = ()
    """Videos to train on; use with --val and --test instead of --split."""
    val: tuple[Path, ...] = ()
    """Videos for validation: the best checkpoint is chosen on them."""
    test: tuple[Path, ...] = ()
    """Videos for testing. A dataset may consist of these alone: see --calibration."""
    clips: Path | None = None
    """YAML file that lists parts of videos: entries with path (relative to the file), split, start, stop and every."""
    out: Path
    """Dataset folder to write."""
    height: int = 360
    """Height of the low-resolution frame in pixels; the width follows the video. Smaller videos keep their size."""
    reduce: Reduction = "area"
    """How frames are reduced to that height: area, or Pillow's antialiased bicubic or lanczos."""
    lr_codec: str | None = None
    """Encode the reduced video first, as a camera would: h264:crf30, h264:600k, h265:crf28, ..."""
    lr: tuple[Path, ...] = ()
    """Recorded low-resolution versions of the videos, in the same order (train, val, test); replaces --height."""
    start_seconds: float = 0.0
    """Start time, counted from the first frame of each video."""
    stop_seconds: float | None = None
    """Stop time (exclusive)."""
    every: int = 1
    """Take every Nth frame."""
    stream: int | None = None
    """Index of the video stream, as FFmpeg counts; by default the file's default stream, or the largest."""
    damaged: Damaged = "skip"
    """Unusable frames (damaged, cut off, of another size): skip leaves them out and counts them, stop raises an
    error."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number type of the networks. float16 applies to the upscaler only: gradients would vanish in it."""
    sr_cache: Path | None = None
    """Folder to cache super-resolved frames in, for labeling the same frames again. Not cached by default."""
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    """How to enlarge the interpolated frame, at which the gradient is computed."""
    variant: Literal["delta", "gradient", "path"] = "delta"
    """delta: |gradient| times the change made by super-resolution; gradient: |gradient| alone; path: signed, with the
    gradient averaged between the interpolated and the super-resolved frame."""
    objective: Literal["scores", "agreement", "f1"] = "scores"
    """Accuracy to differentiate. scores: sum of the scores; agreement: minus the difference from the reference's
    scores; f1: a softened F1 against the reference."""
    reference: Literal["auto", "true", "sr"] = "auto"
    """Frame whose detections count as correct, for agreement and f1: the true high-resolution frame or the
    super-resolved frame; auto uses the true one where the video is large enough."""
    norm: Literal[1, 2] = 1
    """Norm over a pixel's channels, for delta and gradient: 1 is the sum, 2 Euclidean."""
    path_steps: int = 6
    """Number of gradients to average, for path."""
    grid: Literal["lr", "sr"] = "lr"
    """Tile the low-resolution or the super-resolved frame into macroblocks."""
    block_px: int = 16
    """Side of a macroblock in pixels of the tiled frame."""
    levels: int = 10
    """Number of importance levels, 2 to 255."""
    curve: Literal["linear", "log", "quantile", "clipped"] = "quantile"
    """Normalization of importance to [0, 1]."""
    scope: Literal["frame", "video", "dataset"] = "dataset"
    """What to normalize over; dataset uses the training frames."""
    calibration: Path | None = None
    """Dataset (or its manifest.json) whose normalization to use instead of --curve and --scope: levels then match."""
    importance_from: Path | None = None
    """Dataset of the same videos and options whose raw importance to reuse instead of computing it: for other
    --levels, --curve, --scope or --split."""
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Shares of train, val and test (0 is allowed): whole videos if there are enough, otherwise contiguous segments."""
    gap_seconds: float = 2.0
    """Gap between two segments of a video."""
    shard: str | None = None
    """I/N: label only the I-th of N equal parts of the frames, for machines that share a file system. When all parts
    are done, run the same command without --shard to assemble the dataset."""
    engine: Literal["local", "ray"] = "local"
    """local: in this process; ray: on a Ray cluster (pip install ray) whose machines share the videos and --out."""
    ray_address: str | None = None
    """Address of the cluster, or auto for the one this machine belongs to; by default a local one is started."""
    preview: int = 0
    """Write a picture (frame, importance, levels) to OUT-preview/ every N frames; 0 turns this off."""
    dry_run: bool = False
    """Print what would be done, load (and download) the detector and the upscaler, and stop."""
    overwrite: bool = False
    """Replace a dataset that was made with other options."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("height", 16, 8192), ("scale", 1, 8), ("every", 1, 10**6), ("block_px", 1, 512), ("levels", 2, 255),
            ("path_steps", 1, 256), ("preview", 0, 10**6),
        ):  # fmt: skip
            require_range(name, getattr(self, name), low, high)
        if not 0 <= self.gap_seconds < math.inf:
            raise OptionError(f"--gap-seconds {self.gap_seconds} is not a valid duration", hint="Use 0 or more.")
        parse_shard(self.shard)
        if self.lr and self.lr_codec:
            raise OptionError("--lr is already encoded", hint="Remove --lr-codec.")
        if self.engine == "ray" and self.shard:
            raise OptionError("--engine ray divides the work itself", hint="Remove --shard.")
        if self.variant != "gradient" and self.upscaler == self.interpolation:
            raise OptionError(
                f"variant {self.variant!r} with upscaler {self.upscaler!r} is zero everywhere",
                hint="Use --upscaler edsr, or --variant gradient.",
            )

    def make_grid(self, height_px: int, width_px: int) -> Grid:
        """Make the grid of macroblocks of an LR frame."""
        return Grid(height_px, width_px, self.scale, self.block_px, self.grid)


def parse_shard(shard: str | None) -> tuple[int, int]:
    """Parse ``"2/8"`` -> (2, 8); None means everything, (1, 1).

    Raises:
        OptionError: the text is not of that form, or not 1 <= I <= N.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", shard or "1/1")
    part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= parts:
        raise OptionError(
            f"--shard {shard!r} is not I/N with 1 <= I <= N", hint="For the first of eight parts, use 1/8."
        )
    return part, parts
