"""Export an upscaler to ONNX, with its card, and check that both give the same results.

    python export/export_upscaler.py --frames datasets/cache/vtest.avi --out runs/edsr_x3.onnx

Writes edsr_x3.onnx, for frames and regions of any size, and edsr_x3.json (the card, which is also embedded in the ONNX
file). Runs real frames through the exported file and through the PyTorch network; if the results differ by more than 1
of 255, writes nothing. The same frames determine how large a margin a region needs.
"""

from __future__ import annotations

import tyro

from deploy.core.cli import run
from export.upscaler_options import UpscalerExportOptions


def main() -> None:
    """Parse the command line and export."""
    options = tyro.cli(UpscalerExportOptions, description=__doc__)
    from export.upscaler_exporter import export_upscaler

    card = export_upscaler(options)
    print(f"wrote {options.out} ({options.out.stat().st_size / 1e3:.0f} kB): {card}")


if __name__ == "__main__":
    run(main)
