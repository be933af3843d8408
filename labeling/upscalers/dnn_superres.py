"""The files of OpenCV's dnn_superres module: EDSR, ESPCN, FSRCNN and LapSRN as TensorFlow graphs (.pb).

ESPCN, FSRCNN and LapSRN enlarge the luma alone; OpenCV adds bicubic chroma. They run on the CPU, on 8-bit frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deploy.core.errors import OptionError, WeightsError, first_line
from deploy.core.files import sha256_of

FACTORS = (2, 3, 4, 8)


class DnnSuperres:
    """See `Upscaler`. A file of another factor is applied, then resized as `NetworkUpscaler` does.

    Raises:
        OptionError: no file was named.
        WeightsError: missing, or not a network of this kind.
    """

    def __init__(self, *, variant: str, scale: int, weights: Path | None = None) -> None:
        self.name, self.scale = f"opencv-{variant}", scale
        if weights is None:
            raise OptionError(f"upscaler {self.name!r} needs a file", hint="Add --upscaler-weights MODEL_x3.pb")
        if not weights.is_file():
            raise WeightsError(f"upscaler not found: {weights}", hint="Check the path.")
        self.weights_sha256 = sha256_of(weights)
        self._network, self._native_scale = _load(weights, variant)

    def upscale(self, lr: Tensor, reference: Tensor | None) -> Tensor:
        """See `Upscaler.upscale`."""
        sr = torch.cat([self._enlarge(frame)[None] for frame in lr])
        height, width = lr.shape[2] * self.scale, lr.shape[3] * self.scale
        if sr.shape[2:] != (height, width):
            sr = functional.interpolate(sr, (height, width), mode="bicubic", antialias=True, align_corners=False)
            sr = (sr.clamp(0.0, 1.0) * 255.0).round() / 255.0
        return sr.to(lr.device)

    def _enlarge(self, frame: Tensor) -> Tensor:
        """One (3, H, W) frame, applied until it is at least `scale` times as large."""
        image = (frame.detach().cpu() * 255.0).round().byte().permute(1, 2, 0).flip(2).numpy()  # BGR
        height = image.shape[0] * self.scale
        while image.shape[0] < height:
            image = self._network.upsample(np.ascontiguousarray(image))
        return torch.from_numpy(image).flip(2).permute(2, 0, 1).float() / 255.0


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
            f"OpenCV cannot read {weights}: {first_line(error)}", hint="Give a TensorFlow .pb file."
        ) from None
    finally:
        logging.setLogLevel(log_level)
    raise WeightsError(
        f"{weights} does not enlarge frames as {variant!r} by any of {FACTORS}",
        hint="Choose the --upscaler that it was made for: opencv-edsr, -espcn, -fsrcnn or -lapsrn.",
    )
