"""One self-contained page about a dataset, its predictor and what they are worth.

    python labeling/make_report.py DATASET --out report.html [--utility utility.json] [--predictions DIR] ...

Whatever is not given is left out of the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deploy.core.cli import run


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


def main() -> None:
    """Parse the command line and make the page."""
    options = tyro.cli(MakeReportOptions, description=__doc__)
    from labeling.pipelines.report_page import make_report

    make_report(options)


if __name__ == "__main__":
    run(main)
