"""Is super-resolution worth it for your video and your detector, of any kind that labeling supports?

    python labeling/worth.py VIDEO --detector FILE.onnx|FILE.pt|NAME [--out PAGE.html] [--json FILE]

Like deploy/worth.py, but also takes detectors by name (centernet, hog, fasterrcnn, ...) and TorchScript and
torch.export files. ONNX files run without PyTorch.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:
    # When run as a script, find modules from the parent folder, so that no module of this folder hides another.
    _HERE = Path(__file__).resolve().parent
    sys.path[:] = [str(_HERE.parent), *(entry for entry in sys.path if Path(entry).resolve() != _HERE)]

from deploy.core.cli import run
from deploy.worth_it.command import answer_command

if TYPE_CHECKING:  # imports heavy libraries
    from deploy.worth_it.detectors import OpenDetector


def main() -> None:
    """Parse the command line and run the comparison for any kind of detector."""
    answer_command(__doc__, _open_any)


def _open_any() -> OpenDetector:
    from labeling.networks.array_detector import open_any_detector

    return open_any_detector


if __name__ == "__main__":
    run(main)
