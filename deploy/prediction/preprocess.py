"""Frames to network input: the one place of deployment where pixels are normalized."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.cards.model_card import ModelCard
from deploy.core.errors import InputError
from deploy.core.resize import reduce_frame, same_shape


def require_frame(frame: NDArray[np.uint8]) -> None:
    """Raise InputError unless `frame` is (H, W, 3) uint8: a float frame would leave its range to guessing."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise InputError(
            f"frame of shape {frame.shape} and type {frame.dtype} is not (H, W, 3) uint8 RGB",
            hint="Decode to RGB bytes, 0 to 255; the predictor normalizes them.",
        )


def require_shape(height_px: int, width_px: int, card: ModelCard) -> None:
    """Raise InputError unless a frame has about the model's aspect ratio: nothing is stretched."""
    grid = card.grid
    if not same_shape((height_px, width_px), (grid.height_px, grid.width_px)):
        raise InputError(
            f"frame of {width_px} x {height_px} has another aspect ratio than {grid.width_px} x {grid.height_px}",
            hint="Use --fit pad, crop the video to the model's aspect ratio, or export a model of the video's size.",
        )


def decoded_size(height_px: int, width_px: int, card: ModelCard) -> tuple[int, int]:
    """Height and width to decode a frame in: the model's, or its own if that is smaller or not reduced by area.

    Raises:
        InputError: its aspect ratio differs by more than 2 %.
    """
    require_shape(height_px, width_px, card)
    grid = card.grid
    shrinks = card.reduction == "area" and height_px >= grid.height_px and width_px >= grid.width_px
    return (grid.height_px, grid.width_px) if shrinks else (height_px, width_px)


def fit_frame(frame: NDArray[np.uint8], card: ModelCard) -> NDArray[np.uint8]:
    """Bring a frame to the model's input size, as the card says.

    Args:
        frame: (H, W, 3) uint8 RGB of any size of about the model's aspect ratio.
        card: says the model's input size.

    Returns:
        (height_px, width_px, 3) uint8 RGB; `frame` itself if it has that size.

    Raises:
        InputError: not such a frame, or its aspect ratio differs by more than 2 %.
    """
    require_frame(frame)
    require_shape(frame.shape[0], frame.shape[1], card)
    grid = card.grid
    return reduce_frame(frame, height_px=grid.height_px, width_px=grid.width_px, reduction=card.reduction)


def to_batch(frame: NDArray[np.uint8], card: ModelCard) -> NDArray[Any]:
    """A frame as a batch of one, as the file takes it: normalized, or as it is where the graph normalizes.

    Args:
        frame: (H, W, 3) uint8 RGB.
        card: says how.

    Returns:
        (1, *card.input_shape) of card.input_type. For "rgb8" it shares the frame's memory where that is contiguous.
    """
    return np.ascontiguousarray(frame)[None] if card.input_kind == "rgb8" else to_input(frame, card)


def to_input(frame: NDArray[np.uint8], card: ModelCard) -> NDArray[np.float32]:
    """Normalize a frame: (rgb / 255 - mean) / std, as one multiply-add.

    Args:
        frame: (H, W, 3) uint8 RGB.
        card: says mean and std, of colors in [0, 1].

    Returns:
        (1, 3, H, W) float32, a new array.
    """
    std = np.array(card.std, np.float32)
    factors, offsets = 1 / (255 * std), -np.array(card.mean, np.float32) / std
    # Planes first, while a pixel is still one byte: three times faster than striding through the pixels.
    planes = np.ascontiguousarray(frame.transpose(2, 0, 1))
    batch = np.empty((1, *planes.shape), np.float32)
    for channel in range(3):
        np.multiply(planes[channel], factors[channel], out=batch[0, channel], dtype=np.float32)
        batch[0, channel] += offsets[channel]
    return batch
