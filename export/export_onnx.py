"""Export a trained model to ONNX, with its model card, and check that both give the same results.

    python export/export_onnx.py --config paddleseg_configs/mobileseg_mobilenetv3_small_x035.yml \
        --weights runs/models/mobileseg_mobilenetv3_small_x035/best_model/model.pdparams --out runs/predictor.onnx

Writes predictor.onnx and predictor.json (the card, which is also embedded in the ONNX file). Runs frames of the dataset
through the exported file as deployment does and through the Paddle model as training does; if the results disagree,
writes nothing.
"""

from __future__ import annotations

import tyro

from deploy.core.cli import run
from export.options import ExportOptions


def main() -> None:
    """Parse the command line and export."""
    options = tyro.cli(ExportOptions, description=__doc__)
    from export.exporter import export_onnx

    export_onnx(options)


if __name__ == "__main__":
    run(main)
