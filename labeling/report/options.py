"""The options of a report page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class MakeReportOptions:
    """What goes into the page."""

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
    split: Literal["train", "val", "test"] = "test"
    """Split to show frames of."""
    samples: int = 4
    """Number of frames to show."""
