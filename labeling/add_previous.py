"""Add a detector's detections in the previous frame to a dataset, for predictors that use them.

    python labeling/add_previous.py DATASET --detector FILE.onnx [--detector-size 960x544]

Writes DATASET/previous/VIDEO/000123.png, gray score maps of the low-resolution frames' size, and records the detector
in the manifest. At run time these detections are available at no cost: predictor(frame, previous=detections). After an
interruption, run the same command again to resume.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deploy.core.cli import run


@dataclass(frozen=True)
class PreviousOptions:
    """Options of the command."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Dataset folder made by make_labels.py."""
    detector: Path
    """ONNX file of the detector."""
    detector_size: str | None = None
    """Input size (width x height) of the detector; by default its own, or that of the enlarged frame."""


def main() -> None:
    """Parse the command line and add the detections."""
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
