"""The options of AccModel: of its training, and of its predictions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deploy.core.errors import OptionError
from deploy.core.ranges import require_ranges


@dataclass(frozen=True)
class TrainAccModelOptions:
    """Options of one training."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Dataset folder made by make_labels.py."""
    out: Path
    """Folder of the results."""
    head: Literal["levels", "binary", "regression"] = "levels"
    """levels: every importance level a class; binary: the most important --share of the blocks, as published;
    regression: the level's value."""
    features: str = "imagenet"
    """Frozen weights: imagenet (fetched once), random, or a file: torchvision's MobileNetV2 or mb2-ssd-lite."""
    share: float = 0.2
    """For binary: which share of the training blocks counts as important, at least."""
    iters: int = 600
    """Optimizer steps."""
    minutes: float | None = None
    """Training time, at most; the rate of learning still falls to zero as --iters says."""
    batch_size: int = 8
    """Frames a step."""
    learning_rate: float = 2e-3
    """Peak rate of Adam; it falls to zero along a cosine."""
    evaluate_every: int = 100
    """Steps between evaluations and checkpoints."""
    seed: int = 0
    """Of initial weights and of the order of frames."""
    onnx: Path | None = None
    """Write an ONNX file with its model card here, too."""
    name: str = "accmodel"
    """Name in the model card."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto."""
    offline: bool = False
    """Never use the network for weights."""

    def __post_init__(self) -> None:
        require_ranges(self, "iters", "batch_size", "evaluate_every", low=1)
        require_ranges(self, "share", low=0, high=1, open_ends=True)
        require_ranges(self, "learning_rate", "minutes", low=0, open_ends=True)
        if self.onnx is not None and self.onnx.suffix != ".onnx":
            raise OptionError(f"--onnx {self.onnx} must end in .onnx", hint="Rename it.")


@dataclass(frozen=True)
class PredictImportanceOptions:
    """Options of one prediction."""

    input: Annotated[Path, tyro.conf.Positional]
    """A video, an image, or a folder of images of one size."""
    model: Path
    """accmodel.safetensors of train_accmodel.py."""
    out: Path
    """Folder of the two files."""
    height: int | None = None
    """Height of the low-resolution frame; the default is that of the training. Smaller frames keep their size."""
    every: int = 1
    """Take one frame in so many."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto."""

    def __post_init__(self) -> None:
        require_ranges(self, "height", "every", low=1)
