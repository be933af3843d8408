"""The options of the commands that run the whole ladder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deploy.core.errors import OptionError
from deploy.core.ranges import require_ranges
from labeling.core.arguments import name_and_path, require_budgets


@dataclass(frozen=True)
class CompareOptions:
    """Options of one comparison."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Dataset folder made by make_labels.py."""
    report: Path = Path("runs/zoo/report")
    """Path of the results, without suffix."""
    out: Path = Path("runs/zoo/models")
    """Folder for intermediate files."""
    models: tuple[str, ...] = ()
    """Names of configurations, accmodel, accmodel_binary, accmodel_regression; all by default."""
    extra: tuple[str, ...] = ()
    """NAME=MODEL.onnx: other predictors to include in the evaluation."""
    other_labels: tuple[str, ...] = ()
    """NAME=DATASET: datasets of the same videos with other labels, whose importance to evaluate as well."""
    iters: int = 600
    """Maximum training iterations."""
    minutes: float | None = None
    """Maximum training time per model: fast models do more iterations. No limit by default."""
    batch_size: int = 8
    """Frames per iteration."""
    seed: int = 0
    """Seed of initial weights, order and augmentation."""
    opts: tuple[str, ...] = ()
    """KEY=VALUE overrides of every configuration."""
    accmodel_features: str = "imagenet"
    """Frozen weights of AccModel: imagenet (downloaded once), random, or a file."""
    budgets: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5)
    """Shares of the blocks to enhance."""
    max_frames: int = 40
    """Maximum number of test frames, evenly spaced."""
    segments: int = 8
    """Contiguous groups of test frames, by video, that the bootstrap resamples."""
    utility: bool = True
    """Evaluate detection accuracy; without it only costs and levels are compared, which is fast."""
    detector_weights: Path | None = None
    """Weights file of the detector, if the labels needed one."""
    upscaler_weights: Path | None = None
    """Weights file of the upscaler, if the labels needed one."""

    def __post_init__(self) -> None:
        require_ranges(self, "iters", "batch_size", "max_frames", "segments", low=1)
        require_budgets(self.budgets)
        for _, path in self.named_extra + self.named_others:  # fail here, not after hours of training
            if not path.exists():
                raise OptionError(f"{path} does not exist", hint="Check --extra and --other-labels.")
        require_ranges(self, "minutes", low=0, open_ends=True)

    @property
    def named_extra(self) -> list[tuple[str, Path]]:
        """Names and files of `extra`."""
        return [name_and_path(word, "--extra") for word in self.extra]

    @property
    def named_others(self) -> list[tuple[str, Path]]:
        """Names and folders of `other_labels`."""
        return [name_and_path(word, "--other-labels") for word in self.other_labels]


@dataclass(frozen=True)
class CheckOptions:
    """Options of one check."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Dataset folder made by make_labels.py; `make ladder` makes one."""
    models: tuple[str, ...] = ()
    """Names of configurations; all by default."""
    out: Path = Path("runs/ladder")
    """Folder for intermediate files."""
    iters: int = 4
    """Training iterations."""
    readme: bool = False
    """Update the table of paddleseg_configs/README.md."""
