"""Frames into a network's own frame, in NumPy: what `deploy.detectors.geometry` says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deploy.detectors.geometry import Placement, Preparation, Size, place

Floats = NDArray[np.float32]


def prepare_frame(image: NDArray[np.uint8], preparation: Preparation, size: Size) -> tuple[Floats, Placement]:
    """Do to a frame what its family's own code does, without rounding on the way.

    Args:
        image: (H, W, 3) uint8 RGB.
        preparation: the family's preparation.
        size: height and width of the network's frame.

    Returns:
        (1, 3, *size) float32, normalized, and where the frame lies in it.
    """
    placement = place(image.shape[0], image.shape[1], size, preparation.fit)
    colors = image[..., ::-1] if preparation.colors == "bgr" else image
    planes = np.ascontiguousarray(colors.transpose(2, 0, 1), np.float32)
    if preparation.fit.startswith("warp"):
        frame = _warped(planes, placement, size)
    else:
        frame = _resized(planes, placement, size, preparation.padding)
    mean, std = (np.array(numbers, np.float32)[:, None, None] for numbers in (preparation.mean, preparation.std))
    return ((frame - mean) / std)[None], placement


def _resized(planes: Floats, placement: Placement, size: Size, padding: int) -> Floats:
    """As ``cv2.resize`` with INTER_LINEAR, without its rounding: not antialiased."""
    inner = (placement.height_px, placement.width_px)
    for axis, count in enumerate(inner, start=1):
        length = planes.shape[axis]
        if count != length:
            places = (np.arange(count) + 0.5) * length / count - 0.5
            planes = _sampled(planes, places.clip(0, length - 1), axis)
    if inner == size:
        return planes
    frame = np.full((3, *size), padding, np.float32)
    left, top = int(placement.left_px), int(placement.top_px)
    frame[:, top : top + inner[0], left : left + inner[1]] = planes
    return frame


def _warped(planes: Floats, placement: Placement, size: Size) -> Floats:
    """As ``cv2.warpPerspective`` with INTER_LINEAR; what lies outside of the frame is black."""
    planes = np.pad(planes, ((0, 0), (1, 1), (1, 1)))
    places = [
        (np.arange(count) - shift) / scale + 1
        for count, shift, scale in (
            (size[0], placement.top_px, placement.scale_y),
            (size[1], placement.left_px, placement.scale_x),
        )
    ]
    for axis, along in enumerate(places, start=1):
        planes = _sampled(planes, along.clip(0, planes.shape[axis] - 1), axis)
    return planes


def _sampled(planes: Floats, places: NDArray[np.float64], axis: int) -> Floats:
    """Linear interpolation along an axis, at places between 0 and its last index."""
    before = np.minimum(places.astype(np.intp), planes.shape[axis] - 1)
    after = np.minimum(before + 1, planes.shape[axis] - 1)
    weight = (places - before).astype(np.float32).reshape(-1, *[1] * (planes.ndim - 1 - axis))
    low: Floats = planes.take(before, axis)
    low += weight * (planes.take(after, axis) - low)
    return low
