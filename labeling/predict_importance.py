"""Predict the importance of macroblocks with AccModel: N frames give N maps.

    python labeling/predict_importance.py VIDEO --model runs/accmodel/accmodel.safetensors --out runs/importance

Writes importance.pth, a plain float32 tensor of N x 1 x rows x cols in [0, 1] (``torch.load(..., weights_only=True)``),
and importance.npz with the same maps, frame indices and exact times.
"""

from __future__ import annotations

import tyro

from deploy.core.cli import run
from labeling.accmodel.options import PredictImportanceOptions


def main() -> None:
    """Parse the command line and predict."""
    options = tyro.cli(PredictImportanceOptions, description=__doc__)
    from labeling.accmodel.prediction import predict_importance

    predict_importance(options)


if __name__ == "__main__":
    run(main)
