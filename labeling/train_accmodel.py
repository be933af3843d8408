"""Train AccModel, AccMPEG's predictor, on a dataset made by make_labels.py.

    python labeling/train_accmodel.py DATASET --out runs/accmodel --onnx runs/accmodel.onnx

Writes accmodel.safetensors (the best weights by rank correlation on the validation split), training.json, metrics.jsonl
and, with --onnx, an ONNX file for deployment and evaluation. After an interruption, run the same command again to
resume.
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
