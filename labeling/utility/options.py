"""The options of an evaluation of rankings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deploy.core.ranges import require_ranges
from labeling.core.arguments import require_budgets


@dataclass(frozen=True)
class EvaluateUtilityOptions:
    """Options of an evaluation."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Dataset folder made by make_labels.py."""
    out: Path
    """The .json file to write."""
    cache: Path | None = None
    """File that caches the detections of each frame for later evaluations; by default next to --out."""
    models: tuple[str, ...] = ()
    """Exported predictors (.onnx, with their model cards next to them), trained on any dataset: MODEL.onnx, or
    NAME=MODEL.onnx to give it a name."""
    other_labels: tuple[str, ...] = ()
    """NAME=DATASET: also rank by the raw importance of another dataset of the same videos with other labels."""
    more_baselines: bool = False
    """Also try boxes grown by 32 and 64 SR pixels, and the label of the previous frame."""
    split: Literal["train", "val", "test", "all"] = "test"
    """Split to evaluate on."""
    budgets: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5)
    """Shares of the blocks to enhance."""
    max_frames: int = 40
    """Maximum number of frames, evenly spaced."""
    segments: int = 8
    """Contiguous groups of frames, by video, that the bootstrap resamples."""
    detector_weights: Path | None = None
    """Weights file of the detector, if the labels needed one that is in no --weights-folder."""
    upscaler_weights: Path | None = None
    """Weights file of the upscaler, likewise."""
    weights_folder: tuple[Path, ...] = ()
    """Folders to search for weights by the hashes in the manifest; datasets/cache is searched as well."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto."""
    offline: bool = False
    """Do not download weights."""

    def __post_init__(self) -> None:
        require_budgets(self.budgets)
        require_ranges(self, "max_frames", "segments", low=1)
