"""Predict the importance of macroblocks with AccModel: N frames give N maps.

    python labeling/predict_importance.py VIDEO --model runs/accmodel/accmodel.safetensors --out runs/importance

Writes importance.pth, a plain float32 tensor of N x 1 x rows x cols in [0, 1] (``torch.load(..., weights_only=True)``),
and importance.npz with the same maps, the frames' indices and exact times.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deploy.core.cli import run
from deploy.core.errors import OptionError


@dataclass(frozen=True)
class PredictImportanceOptions:
    """Options of one prediction."""

    input: Annotated[Path, tyro.conf.Positional]
    """A video, an image, or a folder of images of one size."""
    model: Path
    """accmodel.safetensors of train_accmodel.py."""
    out: Path
    """Folder of the two files."""
    height: int | None = None
    """Height of the low-resolution frame; the default is that of the training. Smaller frames keep their size."""
    every: int = 1
    """Take one frame in so many."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto."""

    def __post_init__(self) -> None:
        for name in ("height", "every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"--{name} {value} must be at least 1", hint="Leave it out.")


def main() -> None:
    """Parse the command line and predict."""
    options = tyro.cli(PredictImportanceOptions, description=__doc__)
    from labeling.pipelines.importance_prediction import predict_importance

    predict_importance(options)


if __name__ == "__main__":
    run(main)
