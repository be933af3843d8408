"""Augmentation that keeps every pixel in its macroblock, or moves it with it, and padding to one size.

Like PaddleSeg's own transforms, these use the global random generators of Python and NumPy; the sample stream seeds
both.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from paddleseg.cvlibs import manager

from deploy.core.errors import OptionError
from deploy.core.grid import Grid
from labeling.dataset.layout import IGNORE_LEVEL
from labeling.dataset.manifest import Manifest
from labeling.dataset.padding import mean_color, pad_to

KEEPS_GEOMETRY = frozenset(
    {"Normalize", "RandomDistort", "RandomBlur", "RandomNoise", "AlignedHorizontalFlip", "AlignedShift", "CodecNoise"}
)
"""Transforms under which a pixel stays in its macroblock, or moves with it."""


@manager.TRANSFORMS.add_component
class AlignedHorizontalFlip:
    """Mirror frame and label. The width must be a whole number of macroblocks, so that they stay aligned.

    Args:
        prob: how often.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob
        self.scale, self.block_sr_px = 1, 1
        """Size of the macroblock grid, set by the dataset."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Flip at random, with Python's generator, like PaddleSeg's transforms."""
        chosen = random.random() < self.prob
        if chosen and data["img"].shape[1] * self.scale % self.block_sr_px == 0:
            data["img"] = data["img"][:, ::-1]
            for key in data.get("gt_fields", []):
                data[key] = data[key][:, ::-1]
        return data


@manager.TRANSFORMS.add_component
class AlignedShift:
    """Move frame and label by whole macroblocks. The exposed area is gray, and its labels are ignored.

    Args:
        max_blocks: maximum distance along each axis, in blocks.
        prob: how often.
    """

    def __init__(self, max_blocks: int = 2, prob: float = 0.5) -> None:
        self.max_blocks, self.prob = max_blocks, prob
        self.block_px = 0
        """Side of a macroblock in LR pixels, set by the dataset; 0 if it is not an integer."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Shift at random."""
        if random.random() < self.prob and self.block_px:
            rows, cols = (self.block_px * random.randint(-self.max_blocks, self.max_blocks) for _ in range(2))
            data["img"] = shifted(data["img"], rows, cols, 127.5)
            for key in data.get("gt_fields", []):
                data[key] = shifted(data[key], rows, cols, IGNORE_LEVEL)
        return data


@manager.TRANSFORMS.add_component
class CodecNoise:
    """Codec noise: JPEG at a random quality, whose 8 x 8 blocks lie inside the macroblocks.

    Args:
        quality: lowest and highest, 1 to 100.
        prob: how often.
    """

    def __init__(self, quality: Sequence[int] = (30, 90), prob: float = 0.5) -> None:
        low, high = quality
        if not 1 <= low <= high <= 100:
            raise OptionError(
                f"CodecNoise: {quality=} must be two numbers, 1 <= low <= high <= 100", hint="Try [30, 90]."
            )
        self.low, self.high, self.prob = low, high, prob

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Encode and decode the image at random; labels do not change."""
        if random.random() < self.prob:
            frame = np.clip(np.rint(data["img"]), 0, 255).astype(np.uint8)
            quality = random.randint(self.low, self.high)
            _, coded = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
            decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
            data["img"] = decoded[:, :, ::-1].astype(data["img"].dtype)
        return data


class PadToDataset:
    """Pad a frame with the mean color, and its label with the ignored level, to the dataset's size.

    Args:
        height_px: height of the dataset's frames.
        width_px: width of the dataset's frames.
        mean: color in [0, 1] that is subtracted afterwards.
    """

    def __init__(self, height_px: int, width_px: int, mean: Sequence[float]) -> None:
        self.size, self.color = (height_px, width_px), mean_color(mean)

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Pad, unless the frame has that size."""
        data["img"] = pad_to(data["img"], *self.size, fill=self.color)
        for key in data.get("gt_fields", []):
            data[key] = pad_to(data[key], *self.size, fill=IGNORE_LEVEL)
        return data


def with_padding(transforms: Sequence[Any], manifest: Manifest) -> list[Any]:
    """Insert padding to the dataset's size before normalization."""
    names = [type(transform).__name__ for transform in transforms]
    place = names.index("Normalize") if "Normalize" in names else len(names)
    mean = transforms[place].mean if place < len(names) else (0.5,)
    padding = PadToDataset(manifest.frame_height_px, manifest.frame_width_px, mean)
    return [*transforms[:place], padding, *transforms[place:]]


def shifted(pixels: NDArray[Any], rows: int, cols: int, fill: float) -> NDArray[Any]:
    """Move (H, W, ...) pixels down by `rows` and right by `cols`; negative values move up and left."""
    height, width = pixels.shape[:2]
    result = np.full_like(pixels, fill)
    if abs(rows) < height and abs(cols) < width:
        to_row, to_col, from_row, from_col = max(rows, 0), max(cols, 0), max(-rows, 0), max(-cols, 0)
        kept = pixels[from_row : height - to_row, from_col : width - to_col]
        result[to_row : to_row + kept.shape[0], to_col : to_col + kept.shape[1]] = kept
    return result


def fit_to_grid(transform: object, grid: Grid) -> None:
    """Set the macroblock geometry of a transform.

    Raises:
        OptionError: it would move pixels between macroblocks.
    """
    name = type(transform).__name__
    if name not in KEEPS_GEOMETRY:
        raise OptionError(
            f"transform {name} would move pixels between macroblocks",
            hint=f"Use only: {', '.join(sorted(KEEPS_GEOMETRY))}.",
        )
    if isinstance(transform, AlignedHorizontalFlip):
        transform.scale, transform.block_sr_px = grid.scale, grid.block_sr_px
    if isinstance(transform, AlignedShift):
        whole = grid.block_sr_px % grid.scale == 0
        transform.block_px = grid.block_sr_px // grid.scale if whole else 0
