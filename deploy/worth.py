"""Is super-resolution worth it for your video and your detector?

    python deploy/worth.py VIDEO --detector FILE.onnx [--out PAGE.html] [--json FILE]

Reduces frames of the video, enlarges them in several ways (interpolation; super-resolution of the whole frame or of the
blocks that the predictor chooses; a larger detector input; slices; blocks around the previous frame's boxes), and
compares accuracy and time with the same detector on the true frames. Takes minutes; needs no dataset and no training.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:
    # Run as a script: modules are found from the folder above, and none of this folder's hides another.
    _HERE = Path(__file__).resolve().parent
    sys.path[:] = [str(_HERE.parent), *(entry for entry in sys.path if Path(entry).resolve() != _HERE)]

from deploy.core.cli import run
from deploy.worth_it.command import answer_command

if TYPE_CHECKING:  # heavy libraries are behind it
    from deploy.worth_it.detectors import OpenDetector


def main() -> None:
    """Answer for an ONNX detector."""
    answer_command(__doc__, _open_onnx)


def _open_onnx() -> OpenDetector:
    from deploy.worth_it.detectors import open_onnx_detector

    return open_onnx_detector


if __name__ == "__main__":
    run(main)
