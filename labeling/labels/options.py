"""The options of the labeling command: its flags, its help, and a part of the manifest."""

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
        OptionError: a value breaks its rule.
    """

    videos: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Videos and folders of images to label, divided as --split says."""
    train: tuple[Path, ...] = ()
    """Videos to train on; with --val and --test in place of --split."""
    val: tuple[Path, ...] = ()
    """Videos to choose the model by."""
    test: tuple[Path, ...] = ()
    """Videos to judge it by. A dataset may have these alone: see --calibration."""
    clips: Path | None = None
    """List of parts of videos: a YAML file of entries with path (relative to it), split, start, stop and every."""
    out: Path
    """Dataset folder to make."""
    height: int = 360
    """Height of the low-resolution frame in pixels; the width follows the video. Smaller videos keep their size."""
    reduce: Reduction = "area"
    """How frames are reduced to it: area, or Pillow's antialiased bicubic or lanczos."""
    lr_codec: str | None = None
    """Code the reduced video as a camera would, once and as a video: h264:crf30, h264:600k, h265:crf28, ..."""
    lr: tuple[Path, ...] = ()
    """Recorded low-resolution twins of the videos, in their order (train, val, test); --height is then theirs."""
    start_seconds: float = 0.0
    """First time to take, counted from the first frame of each video."""
    stop_seconds: float | None = None
    """First time not to take."""
    every: int = 1
    """Take one frame in so many."""
    stream: int | None = None
    """Index of the video stream, as FFmpeg counts; the default is the default one, or the largest."""
    damaged: Damaged = "skip"
    """skip: frames that are lost (damaged, cut off, of another size) are left out and counted; stop: they are an
    error."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number type of the networks. float16 is for the upscaler alone: gradients would vanish in it."""
    sr_cache: Path | None = None
    """Folder to keep super-resolved frames in, for labeling the same frames again. Without it they are not stored."""
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    """How the interpolated frame, which the gradient is taken at, is made."""
    variant: Literal["delta", "gradient", "path"] = "delta"
    """delta: |gradient| times what super-resolution changes; gradient: |gradient| alone; path: with sign, and the
    gradient averaged on the way from the interpolated to the super-resolved frame."""
    objective: Literal["scores", "agreement", "f1"] = "scores"
    """Accuracy to differentiate. scores: sum of the scores; agreement: minus the difference of the scores to the
    reference's; f1: F1 against the reference, softened."""
    reference: Literal["auto", "true", "sr"] = "auto"
    """Whose detections are right, for agreement and f1: the true high-resolution frame's or the super-resolved
    frame's; auto is the true one where the video is large enough."""
    norm: Literal[1, 2] = 1
    """Magnitude of a pixel over its channels: 1 sum, 2 Euclidean. For delta and gradient."""
    path_steps: int = 6
    """Gradients on the way, for path."""
    grid: Literal["lr", "sr"] = "lr"
    """Tile the low-resolution or the super-resolved frame into macroblocks."""
    block_px: int = 16
    """Side of a macroblock in pixels of the tiled frame."""
    levels: int = 10
    """Number of importance levels, 2 to 255."""
    curve: Literal["linear", "log", "quantile", "clipped"] = "quantile"
    """Normalization of importance to [0, 1]."""
    scope: Literal["frame", "video", "dataset"] = "dataset"
    """Over what to normalize; for the dataset, over its training frames."""
    calibration: Path | None = None
    """Dataset (or its manifest.json) whose scale to use in place of --curve and --scope: levels mean the same there."""
    importance_from: Path | None = None
    """Dataset of the same videos and options whose raw importance is taken over instead of computed: for other
    --levels, --curve, --scope or --split."""
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Shares of train, val and test, of which some may be 0: whole videos if there are enough, else contiguous
    segments."""
    gap_seconds: float = 2.0
    """Length left out between two segments of a video."""
    shard: str | None = None
    """I/N: only the I-th of N equal parts of the frames, for many machines that share a file system. When all parts
    are done, the same command without --shard puts the dataset together."""
    engine: Literal["local", "ray"] = "local"
    """local: this process; ray: a Ray cluster (pip install ray) whose machines share the videos and --out."""
    ray_address: str | None = None
    """Address of the cluster, or auto for the one this machine belongs to; by default one is started here."""
    preview: int = 0
    """Every so many frames, write a picture (frame, importance, levels) to OUT-preview/ while it runs; 0 is never."""
    dry_run: bool = False
    """Say what would be done, load (and fetch) the detector and the upscaler, and stop."""
    overwrite: bool = False
    """Replace a dataset that was made with other options."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("height", 16, 8192), ("scale", 1, 8), ("every", 1, 10**6), ("block_px", 1, 512), ("levels", 2, 255),
            ("path_steps", 1, 256), ("preview", 0, 10**6),
        ):  # fmt: skip
            require_range(name, getattr(self, name), low, high)
        if not 0 <= self.gap_seconds < math.inf:
            raise OptionError(f"--gap-seconds {self.gap_seconds} is not a length of time", hint="Use 0 or more.")
        parse_shard(self.shard)
        if self.lr and self.lr_codec:
            raise OptionError("--lr is coded already", hint="Drop --lr-codec.")
        if self.engine == "ray" and self.shard:
            raise OptionError("--engine ray divides the work itself", hint="Drop --shard.")
        if self.variant != "gradient" and self.upscaler == self.interpolation:
            raise OptionError(
                f"variant {self.variant!r} with upscaler {self.upscaler!r} is zero everywhere",
                hint="Use --upscaler edsr, or --variant gradient.",
            )

    def make_grid(self, height_px: int, width_px: int) -> Grid:
        """The macroblocks of an LR frame of some size."""
        return Grid(height_px, width_px, self.scale, self.block_px, self.grid)


def parse_shard(shard: str | None) -> tuple[int, int]:
    """``"2/8"`` -> (2, 8); None is the whole, (1, 1).

    Raises:
        OptionError: not of that form, or not 1 <= I <= N.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", shard or "1/1")
    part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= parts:
        raise OptionError(f"--shard {shard!r} is not I/N with 1 <= I <= N", hint="The first of eight is 1/8.")
    return part, parts
