"""The options of AccModel's training and prediction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deploy.core.errors import OptionError
from deploy.core.ranges import require_ranges


@dataclass(frozen=True)
class TrainAccModelOptions:
    """Options of a training run."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Dataset folder made by make_labels.py."""
    out: Path
    """Folder for the results."""
    head: Literal["levels", "binary", "regression"] = "levels"
    """levels: each importance level is a class; binary: the most important --share of the blocks, as published;
    regression: the level's value."""
    features: str = "imagenet"
    """Frozen weights: imagenet (downloaded once), random, or a file: torchvision's MobileNetV2 or mb2-ssd-lite."""
    share: float = 0.2
    """For binary: minimum share of the training blocks that counts as important."""
    iters: int = 600
    """Optimizer steps."""
    minutes: float | None = None
    """Maximum training time; the learning rate still falls to zero over --iters."""
    batch_size: int = 8
    """Frames per step."""
    learning_rate: float = 2e-3
    """Peak learning rate of Adam; it falls to zero along a cosine."""
    evaluate_every: int = 100
    """Steps between evaluations and checkpoints."""
    seed: int = 0
    """Seed of the initial weights and of the order of frames."""
    onnx: Path | None = None
    """Also write an ONNX file with its model card here."""
    name: str = "accmodel"
    """Name in the model card."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto."""
    offline: bool = False
    """Do not download weights."""

    def __post_init__(self) -> None:
        require_ranges(self, "iters", "batch_size", "evaluate_every", low=1)
        require_ranges(self, "share", low=0, high=1, open_ends=True)
        require_ranges(self, "learning_rate", "minutes", low=0, open_ends=True)
        if self.onnx is not None and self.onnx.suffix != ".onnx":
            raise OptionError(f"--onnx {self.onnx} must end in .onnx", hint="Rename it.")


@dataclass(frozen=True)
class PredictImportanceOptions:
    """Options of a prediction run."""

    input: Annotated[Path, tyro.conf.Positional]
    """A video, an image, or a folder of images of one size."""
    model: Path
    """accmodel.safetensors, written by train_accmodel.py."""
    out: Path
    """Folder for the two files."""
    height: int | None = None
    """Height of the low-resolution frame; by default that of the training. Smaller frames keep their size."""
    every: int = 1
    """Take every Nth frame."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto."""

    def __post_init__(self) -> None:
        require_ranges(self, "height", "every", low=1)
