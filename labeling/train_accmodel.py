"""Train AccModel, AccMPEG's own predictor, on the dataset that the ladder learns from.

    python labeling/train_accmodel.py DATASET --out runs/accmodel --onnx runs/accmodel.onnx

Writes accmodel.safetensors (the best by rank correlation on the validation split), training.json, metrics.jsonl, and on
demand an ONNX file that deployment and the utility evaluation take like any other. The same command goes on where it
was interrupted.
"""

from __future__ import annotations

import tyro

from deploy.core.cli import run
from labeling.accmodel.options import TrainAccModelOptions


def main() -> None:
    """Parse the command line and train."""
    options = tyro.cli(TrainAccModelOptions, description=__doc__)
    from labeling.accmodel.training import train_accmodel

    train_accmodel(options)


if __name__ == "__main__":
    run(main, resumes=True)
