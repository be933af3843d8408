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
    """utility.json of evaluate_utility.py."""
    predictions: Path | None = None
    """Folder of deploy/trt_infer.py, of a video that the dataset was made from."""
    training: Path | None = None
    """Folder of paddleseg.tools.train."""
    model: Path | None = None
    """Exported predictor (.onnx), for its model card."""
    split: Literal["train", "val", "test"] = "test"
    """Which frames to show."""
    samples: int = 4
    """How many frames to show."""
