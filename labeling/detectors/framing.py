"""Map frames to a network's input, with gradients: `deploy.detectors.geometry` in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from deploy.detectors.geometry import Placement, Preparation, place


def prepare_frame(image: Tensor, preparation: Preparation, size: tuple[int, int]) -> tuple[Tensor, Placement]:
    """Prepare a frame like the original code of the detector family.

    Args:
        image: (1, 3, H, W) RGB in [0, 1].
        preparation: preparation of the family.
        size: height and width of the network's input.

    Returns:
        (1, 3, *size), normalized, and the position of the frame in it.
    """
    placement = place(image.shape[2], image.shape[3], size, preparation.fit)
    values = image * 255.0
    frame = _warped(values, placement, size) if preparation.fit.startswith("warp") else None
    if frame is None:
        frame = _resized(values, placement, size, preparation.padding)
    if preparation.colors == "bgr":
        frame = frame.flip(1)
    mean, std = (frame.new_tensor(numbers).view(3, 1, 1) for numbers in (preparation.mean, preparation.std))
    return (frame - mean) / std, placement


def _resized(image: Tensor, placement: Placement, size: tuple[int, int], padding: int) -> Tensor:
    """Like ``cv2.resize`` with INTER_LINEAR but without rounding: not antialiased."""
    inner = (placement.height_px, placement.width_px)
    if image.shape[2:] != inner:
        image = functional.interpolate(image, inner, mode="bilinear", align_corners=False)
    if inner == size:
        return image
    left, top = int(placement.left_px), int(placement.top_px)
    sides = (left, size[1] - inner[1] - left, top, size[0] - inner[0] - top)
    return functional.pad(image, sides, value=float(padding))


def _warped(image: Tensor, placement: Placement, size: tuple[int, int]) -> Tensor:
    """Like ``cv2.warpPerspective`` with INTER_LINEAR; the area outside the frame is black."""
    axes = [
        ((torch.arange(count, device=image.device) - shift) / scale) * 2 / max(1, length - 1) - 1
        for count, shift, scale, length in (
            (size[0], placement.top_px, placement.scale_y, image.shape[2]),
            (size[1], placement.left_px, placement.scale_x, image.shape[3]),
        )
    ]
    y, x = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([x, y], dim=-1)[None].to(image.dtype)
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
