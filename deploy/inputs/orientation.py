"""How a decoded frame is to be turned: its display matrix."""

from __future__ import annotations

from enum import Enum
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type

_TANGENT = 0.0175
"""Of the one degree that a quarter turn may be off, as in FFmpeg."""

Matrix = tuple[int, int, int, int]
"""a, b, c, d: a pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift and a factor."""


def _unnamed(kind: type[Enum], value: object) -> Enum:
    """A member for side data of a type that this PyAV has no name for; else all of a frame's would be refused."""
    member = object.__new__(kind)
    member._name_, member._value_ = f"TYPE_{value}", value
    return member


Type._missing_ = classmethod(_unnamed)  # type: ignore[assignment]


def display_matrix(decoded: av.VideoFrame) -> Matrix | None:
    """How to rotate a frame; None if it is shown as stored."""
    found: Any = decoded.side_data
    data = found.get("DISPLAYMATRIX") if len(found) else None
    if data is None:
        return None
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    return None if (a > 0 and d > 0 and b == c == 0) else (a, b, c, d)


def is_quarter_turn(matrix: Matrix) -> bool:
    """Whether it turns by a multiple of 90 degrees, mirrored or not."""
    a, b, c, d = map(abs, matrix)
    across, along = (a, d), (b, c)
    small, large = (along, across) if min(across) > min(along) else (across, along)
    return min(large) > 0 and max(small) <= _TANGENT * min(large)
