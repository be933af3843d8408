"""Predict some frames and reuse the prediction for those between."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import OptionError
from deploy.core.ranges import require_range

STRIDE_PX = 4
"""Stride of the compared pixels: a sixteenth of them is as informative."""


def frame_change(frame: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """How much two frames differ: mean absolute difference of colors, over a grid of pixels.

    Args:
        frame: (H, W, 3) uint8.
        other: of the same size.

    Returns:
        0 to 1.
    """
    first, second = (image[::STRIDE_PX, ::STRIDE_PX].astype(np.int16) for image in (frame, other))
    return float(np.abs(first - second).mean()) / 255


@dataclass
class ReuseRule:
    """Decides for each frame of one stream whether to predict it.

    Raises:
        OptionError: a number out of range.
    """

    every: int | None = 1
    """Predict every Nth frame; None uses only `change`."""
    change: float | None = None
    """Predict as soon as a frame differs so much from the last predicted one."""
    _since: int = field(default=0, init=False)
    _last: NDArray[np.uint8] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        require_range("predict_every", self.every, 1)
        require_range("on_change", self.change, 0, 1)
        if self.every is None and self.change is None:
            raise OptionError("neither predict_every nor on_change is set", hint="Set predict_every or on_change.")

    def wants(self, frame: NDArray[np.uint8]) -> bool:
        """Whether this frame, the next of its stream, is to be predicted."""
        due = self._last is None or (self.every is not None and self._since >= self.every)
        if not due and self.change is not None and self._last is not None:
            due = frame_change(frame, self._last) >= self.change
        if due:
            self._since, self._last = 0, frame
        self._since += 1
        return due
