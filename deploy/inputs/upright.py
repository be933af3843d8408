"""Decoded frames as they are shown: in colors of 8 bits, with square pixels, upright."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorTrc, VideoReformatter
from numpy.typing import NDArray

from deploy.inputs.frame import Fit
from deploy.inputs.orientation import Matrix, display_matrix, is_quarter_turn

HDR_TRANSFERS = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}
_TO_SDR: dict[str, Any] = {"dst_color_trc": "BT709", "dst_color_primaries": "BT709"}
SQUARE = Fraction(1)


def shown_size(decoded: av.VideoFrame, pixel_aspect: Fraction = SQUARE) -> tuple[int, int]:
    """Height and width in pixels that a frame is shown in.

    Args:
        decoded: as the decoder gives it.
        pixel_aspect: width of its pixels over their height: the width is stretched, never the height.
    """
    matrix = _turn(decoded)
    size = decoded.height, _square_width(decoded.width, pixel_aspect)
    return size[::-1] if matrix and _lies_on_its_side(matrix) else size


def _square_width(width_px: int, pixel_aspect: Fraction) -> int:
    return max(1, round(width_px * pixel_aspect))


def _turn(decoded: av.VideoFrame) -> Matrix | None:
    """Its display matrix, if that is a quarter turn: others are not applied."""
    matrix = display_matrix(decoded)
    return matrix if matrix and is_quarter_turn(matrix) else None


def _lies_on_its_side(matrix: Matrix) -> bool:
    return abs(matrix[1]) > abs(matrix[0])


class Upright:
    """Decoded frames of one stream as (H, W, 3) uint8 RGB, turned as their display matrix says.

    Keeps FFmpeg's scaler, and has it work in this thread: a new one for each frame takes longer than its work. The same
    scaler maps HDR to the colors and brightness of BT.709.

    Args:
        fit: the size to scale frames to, by area, in one pass with the conversion of colors: several times faster
            than converting first, and within rounding of it. None keeps their own.
    """

    def __init__(self, fit: Fit | None = None) -> None:
        self._fit, self._scaler = fit, VideoReformatter()

    def __call__(self, decoded: av.VideoFrame, pixel_aspect: Fraction = SQUARE) -> NDArray[np.uint8]:
        """One frame, as the decoder gives it, and the aspect of its pixels."""
        matrix = _turn(decoded)
        if matrix is None:
            return self._converted(decoded, pixel_aspect, swapped=False)
        a, b, c, d = matrix
        lies_on_its_side = _lies_on_its_side(matrix)
        image = self._converted(decoded, pixel_aspect, swapped=lies_on_its_side)
        if lies_on_its_side:
            image, a, d = image.swapaxes(0, 1), c, b
        return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])

    def _converted(self, decoded: av.VideoFrame, pixel_aspect: Fraction, *, swapped: bool) -> NDArray[np.uint8]:
        stored = decoded.height, decoded.width
        wanted = decoded.height, _square_width(decoded.width, pixel_aspect)
        if self._fit is not None:
            wanted = self._fit(*wanted[::-1])[::-1] if swapped else self._fit(*wanted)
        how: dict[str, Any] = {} if wanted == stored else {"interpolation": "AREA"}
        if decoded.color_trc in HDR_TRANSFERS:
            how |= _TO_SDR
        small = self._scaler.reformat(decoded, wanted[1], wanted[0], "rgb24", threads=1, **how)
        return small.to_ndarray().astype(np.uint8, copy=False)
