"""The options of what is done to the whole ladder."""

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
    """Where the results go, without suffix."""
    out: Path = Path("runs/zoo/models")
    """Folder for everything that is made on the way."""
    models: tuple[str, ...] = ()
    """Configurations by name, accmodel, accmodel_binary, accmodel_regression; the default is all of them."""
    extra: tuple[str, ...] = ()
    """NAME=MODEL.onnx: predictors made elsewhere, such as by other labels, to judge beside the others."""
    other_labels: tuple[str, ...] = ()
    """NAME=DATASET: datasets of the same videos, labeled in another way, whose importance is judged as well."""
    iters: int = 600
    """Training iterations, at most."""
    minutes: float | None = None
    """Training time for each model, at most: fast models do more iterations. The default is no limit."""
    batch_size: int = 8
    """Frames an iteration."""
    seed: int = 0
    """Of initial weights, order and augmentation."""
    opts: tuple[str, ...] = ()
    """KEY=VALUE overrides of every configuration."""
    accmodel_features: str = "imagenet"
    """Frozen weights of AccModel: imagenet (fetched once), random, or a file."""
    budgets: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5)
    """Shares of the blocks to enhance."""
    max_frames: int = 40
    """At most so many test frames, evenly spaced."""
    segments: int = 8
    """Contiguous groups of test frames, by video, that the bootstrap resamples."""
    utility: bool = True
    """Judge by detection accuracy; without it only costs and levels are compared, which is quick."""
    detector_weights: Path | None = None
    """File of the detector, if the labels needed one."""
    upscaler_weights: Path | None = None
    """File of the upscaler, if the labels needed one."""

    def __post_init__(self) -> None:
        require_ranges(self, "iters", "batch_size", "max_frames", "segments", low=1)
        require_budgets(self.budgets)
        for _, path in self.named_extra + self.named_others:  # here, not after hours of training
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
    """Configurations by name; the default is all."""
    out: Path = Path("runs/ladder")
    """Folder for everything that is made on the way."""
    iters: int = 4
    """Training iterations."""
    readme: bool = False
    """Write the table of paddleseg_configs/README.md."""
