"""Add what a detector found in the frame before to a dataset, for predictors that look at it.

    python labeling/add_previous.py DATASET --detector FILE.onnx [--detector-size 960x544]

Writes DATASET/previous/VIDEO/000123.png, gray score maps of the low-resolution frames' size, and names the detector in
the manifest. At run time these detections are there for nothing: predictor(frame, previous=detections). The same
command goes on where it was interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deploy.core.cli import run


@dataclass(frozen=True)
class PreviousOptions:
    """What to add, by what."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Dataset folder made by make_labels.py."""
    detector: Path
    """ONNX file of the detector."""
    detector_size: str | None = None
    """Width x height to run it at; the default is its own, or the enlarged frame's."""


def main() -> None:
    """Parse the command line and add."""
    options = tyro.cli(PreviousOptions, description=__doc__)
    from deploy.core.files import sha256_of
    from deploy.detectors.geometry import parse_size
    from deploy.detectors.onnx_detector import OnnxDetector
    from labeling.dataset.manifest import ModelRecord
    from labeling.dataset.previous import add_previous

    detector = OnnxDetector(options.detector, size=parse_size(options.detector_size))
    settings = {"file": options.detector.name, "size": options.detector_size or "its own"}
    record = ModelRecord(name="onnx", weights_sha256=sha256_of(options.detector), settings=settings)
    print(f"{add_previous(options.dataset, detector, record)} score maps in {options.dataset / 'previous'}")


if __name__ == "__main__":
    run(main, resumes=True)
