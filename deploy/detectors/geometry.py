"""How a frame comes into a network's fixed frame, and boxes back out of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from deploy.core.errors import OptionError
from deploy.detectors.arrays import like

Size = tuple[int, int]
"""Height and width in pixels."""
STRIDE_PX = 32
"""Sides of a free network's frame are multiples of it."""
Fit = Literal["stretch", "letterbox", "corner", "warp", "warp-letterbox"]
"""stretch: to the whole frame. letterbox: shape kept, in the middle. corner: shape kept, at the top left. The warps
sample at whole pixels from the corner (`cv2.warpPerspective`), the others from the middles of pixels (`cv2.resize`)."""


@dataclass(frozen=True)
class Preparation:
    """How a detector family's own code prepares a frame."""

    fit: Fit = "stretch"
    """How it comes into the network's frame."""
    padding: int = 114
    """Value of the padding, 0 to 255."""
    colors: Literal["rgb", "bgr"] = "rgb"
    """Order of the channels."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from values of 0 to 255, in the order of `colors`."""
    std: tuple[float, float, float] = (255.0, 255.0, 255.0)
    """Divisor after subtracting the mean."""


@dataclass(frozen=True)
class Placement:
    """Where in the network's frame the frame lies: x in the network is x in the frame * scale_x + left_px."""

    height_px: int
    """Height that the frame takes in the network's."""
    width_px: int
    """Width of the frame in it."""
    scale_x: float
    """Pixels of the network's frame to a pixel of the frame, across."""
    scale_y: float
    """Down."""
    left_px: float = 0.0
    """Free space at the left."""
    top_px: float = 0.0
    """At the top."""

    def to_frame(self, boxes: Any) -> Any:
        """(K, 4) x0, y0, x1, y1 in the network's frame -> in the frame; NumPy or PyTorch."""
        shift = like(np.array([self.left_px, self.top_px] * 2), boxes)
        scale = like(np.array([self.scale_x, self.scale_y] * 2), boxes)
        return (boxes - shift) / scale


def place(height_px: int, width_px: int, network: tuple[int, int], fit: Fit) -> Placement:
    """Place a frame in a network's frame.

    Args:
        height_px: of the frame.
        width_px: of the frame.
        network: height and width of the network's frame.
        fit: how; see `Fit`.
    """
    high, wide = network
    if fit in ("stretch", "warp"):
        return Placement(high, wide, wide / width_px, high / height_px)
    scale = min(high / height_px, wide / width_px)
    if fit == "corner":  # YOLOX cuts off
        return Placement(int(height_px * scale), int(width_px * scale), scale, scale)
    left, top = (wide - width_px * scale) / 2, (high - height_px * scale) / 2
    if fit == "warp-letterbox":
        return Placement(round(height_px * scale), round(width_px * scale), scale, scale, left, top)
    rows, cols = round(height_px * scale), round(width_px * scale)
    # Where the free space is odd, Ultralytics puts the smaller half first.
    left, top = round((wide - cols) / 2 - 0.1), round((high - rows) / 2 - 0.1)
    return Placement(rows, cols, scale, scale, float(left), float(top))


def rounded_up(size: Size) -> Size:
    """To multiples of `STRIDE_PX`."""
    height, width = (-(-side // STRIDE_PX) * STRIDE_PX for side in size)
    return height, width


def parse_size(text: str | None) -> Size | None:
    """``"960x544"`` -> (544, 960), height and width.

    Raises:
        OptionError: not of that form, or out of 32 .. 8192.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (32 <= width <= 8192 and 32 <= height <= 8192):
        raise OptionError(f"--detector-size {text!r} is not WIDTHxHEIGHT", hint="Write it as 960x544.")
    return height, width
