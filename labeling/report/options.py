"""The options of a report page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deploy.core.errors import OptionError


@dataclass(frozen=True)
class MakeReportOptions:
    """Options of the page."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Dataset folder made by make_labels.py."""
    out: Path
    """The .html file to write."""
    utility: Path | None = None
    """utility.json, written by evaluate_utility.py."""
    predictions: Path | None = None
    """Results folder of deploy/trt_infer.py, for a video of the dataset."""
    training: Path | None = None
    """Output folder of paddleseg.tools.train."""
    model: Path | None = None
    """Exported predictor (.onnx), for its model card."""
    enhanced: Path | None = None
    """Folder of deploy/enhance.py --frames png, of the video that the dataset was made from; with --whole."""
    whole: Path | None = None
    """The same with --budget 100%: every frame super-resolved as a whole."""
    split: Literal["train", "val", "test"] = "test"
    """Split to show frames of."""
    samples: int = 4
    """Number of frames to show."""

    def __post_init__(self) -> None:
        if (self.enhanced is None) != (self.whole is None):
            raise OptionError("--enhanced and --whole go together", hint="Give both, or neither.")
