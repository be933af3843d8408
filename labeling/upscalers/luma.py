"""Networks that enlarge the luma alone: Y of YCbCr (ITU-R BT.601, full range, as JPEG and OpenCV have it)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from labeling.upscalers.simple import interpolate


def luma_of(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in [0, 1] -> (N, 1, H, W) in [0, 1]."""
    red, green, blue = rgb.unbind(dim=1)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]


def enlarge_luma(enlarge: Callable[[Tensor], Tensor], rgb: Tensor, scale: int) -> Tensor:
    """Enlarge the luma by a network and the chroma by bicubic interpolation.

    Args:
        enlarge: (N, 1, H, W) luma in [0, 1] -> (N, 1, H * scale, W * scale).
        rgb: (N, 3, H, W) in [0, 1].
        scale: output size over input size.

    Returns:
        (N, 3, H * scale, W * scale) RGB in about [0, 1].
    """
    luma = luma_of(rgb)
    chroma = torch.cat([(rgb[:, 2:] - luma) / 1.772, (rgb[:, :1] - luma) / 1.402], dim=1)  # Cb and Cr about 0
    chroma = interpolate(chroma + 0.5, scale) - 0.5
    luma = enlarge(luma)
    red, blue = luma + 1.402 * chroma[:, 1:], luma + 1.772 * chroma[:, :1]
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return torch.cat([red, green, blue], dim=1)
