"""Upscalers without weights: interpolation, and the true frame itself."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from deploy.core.errors import InputError
from labeling.core.weights import refuse_weights


def interpolate(lr: Tensor, scale: int, mode: Literal["bicubic", "bilinear"] = "bicubic") -> Tensor:
    """(N, 3, H, W) in [0, 1] -> (N, 3, H * scale, W * scale) in [0, 1], half-pixel centers."""
    return functional.interpolate(lr, scale_factor=scale, mode=mode, align_corners=False).clamp(0.0, 1.0)


class _WithoutWeights:
    name: str
    weights_sha256 = ""

    def __init__(self, *, scale: int, weights: Path | None = None) -> None:
        refuse_weights("upscaler", self.name, weights)
        self.scale = scale
        self.record: dict[str, str | float] = {}
        self.description = ""


class Bicubic(_WithoutWeights):
    """Bicubic interpolation."""

    name = "bicubic"

    def upscale(self, lr: Tensor, reference: Tensor | None) -> Tensor:
        """See `Upscaler.upscale`."""
        return interpolate(lr, self.scale)


class Lanczos(_WithoutWeights):
    """Lanczos interpolation with three lobes, by Pillow."""

    name = "lanczos"

    def upscale(self, lr: Tensor, reference: Tensor | None) -> Tensor:
        """See `Upscaler.upscale`."""
        size = (lr.shape[3] * self.scale, lr.shape[2] * self.scale)
        planes = [
            np.array(Image.fromarray(plane.cpu().numpy(), "F").resize(size, Image.Resampling.LANCZOS))
            for plane in lr.detach().flatten(0, 1)
        ]
        sr = torch.from_numpy(np.stack(planes)).view(*lr.shape[:2], size[1], size[0])
        return sr.clamp(0.0, 1.0).to(lr.device)


class Reference(_WithoutWeights):
    """The true high-resolution frame, where the source is large enough: the best any upscaler could do."""

    name = "reference"

    def upscale(self, lr: Tensor, reference: Tensor | None) -> Tensor:
        """See `Upscaler.upscale`.

        Raises:
            InputError: there is no true frame.
        """
        if reference is None:
            raise InputError(
                f"upscaler 'reference' needs a source of at least {self.scale} times the low resolution",
                hint="Use a smaller --height or --scale, or --upscaler edsr.",
            )
        return reference
