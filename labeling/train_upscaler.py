"""Train a small EDSR on real frames, or adapt one to your own footage (content-aware super-resolution).

    python labeling/train_upscaler.py VIDEO_OR_IMAGE ... --scale 3 --out edsr_x3.safetensors

High-resolution frames are reduced as labeling reduces them, and the network learns the way back. `--lr-codec` also
encodes the reduced videos, as a camera does. `--detectors` adds a loss on what detectors say of the super-resolved
frame, compared with what they say of the true one. `--init` starts from existing weights. Frames named by `--validate`
are never trained on; the PSNR printed at the end is theirs, beside that of bicubic interpolation.
"""

from __future__ import annotations

import tyro

from deploy.core.cli import run
from labeling.upscalers.training_options import TrainUpscalerOptions


def main() -> None:
    """Parse the command line and train."""
    options = tyro.cli(TrainUpscalerOptions, description=__doc__)
    from labeling.upscalers.training import train_upscaler

    train_upscaler(options)


if __name__ == "__main__":
    run(main, resumes=True)
