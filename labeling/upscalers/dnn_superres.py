"""The files of OpenCV's dnn_superres module: EDSR, ESPCN, FSRCNN and LapSRN as TensorFlow graphs (.pb).

ESPCN, FSRCNN and LapSRN enlarge the luma alone; OpenCV adds bicubic chroma. They run on the CPU, on 8-bit frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from deploy.core.errors import OptionError, WeightsError, first_line
from deploy.core.files import sha256_of
from labeling.upscalers.network import NetworkUpscaler

FACTORS = (2, 3, 4, 8)


def load_dnn_superres(*, variant: str, scale: int, weights: Path | None = None) -> NetworkUpscaler:
    """Load a file of OpenCV's.

    Raises:
        OptionError: no file was named.
        WeightsError: missing, or not a network of this kind.
    """
    name = f"opencv-{variant}"
    if weights is None:
        raise OptionError(f"upscaler {name!r} needs a file", hint="Add --upscaler-weights MODEL_x3.pb")
    if not weights.is_file():
        raise WeightsError(f"upscaler not found: {weights}", hint="Check the path.")
    network, factor = _load(weights, variant)
    return NetworkUpscaler(
        name,
        nn.Identity(),  # OpenCV's own is none of PyTorch's
        lambda lr: torch.stack([_enlarge(network, frame) for frame in lr]),
        native_scale=factor,
        scale=scale,
        weights_sha256=sha256_of(weights),
        overlap_px=0,
        tile_px=None,
    )


def _enlarge(network: Any, frame: Tensor) -> Tensor:
    """(3, H, W) RGB in [0, 1] -> (3, H * factor, W * factor), both rounded to 8 bits."""
    image = (frame.detach().cpu() * 255.0).round().byte().permute(1, 2, 0).flip(2).numpy()  # BGR
    enlarged = network.upsample(np.ascontiguousarray(image))
    return torch.from_numpy(enlarged).flip(2).permute(2, 0, 1).float().to(frame.device) / 255.0


def _load(weights: Path, variant: str) -> tuple[Any, int]:
    """The network and its factor, which the file does not say: the one whose result has the right size."""
    logging = cv2.utils.logging
    log_level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # else the factors that do not fit are printed as errors
    try:
        network: Any = cv2.dnn_superres.DnnSuperResImpl.create()
        network.readModel(str(weights))
        for factor in FACTORS:
            network.setModel(variant, factor)
            try:
                result = network.upsample(np.zeros((16, 20, 3), np.uint8))
            except cv2.error:
                continue
            if result.shape == (16 * factor, 20 * factor, 3):
                return network, factor
    except cv2.error as error:
        raise WeightsError(
            f"OpenCV cannot read {weights}: {first_line(error)}", hint="Use a TensorFlow .pb file."
        ) from None
    finally:
        logging.setLogLevel(log_level)
    raise WeightsError(
        f"{weights} does not work as {variant!r} with any factor of {FACTORS}",
        hint="Use the --upscaler that it was made for: opencv-edsr, -espcn, -fsrcnn or -lapsrn.",
    )
