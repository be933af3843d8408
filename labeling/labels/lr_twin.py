"""Match the frames of a recorded low-resolution twin with those of the high-resolution video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import InputError
from deploy.core.resize import area_resize, same_shape
from deploy.inputs.video import FrameSelection, VideoInfo, read_frames
from labeling.core.frames import LrStream
from labeling.maths.split import evenly_spaced

SAMPLES = 24
"""Frames by which the two are compared, evenly spaced."""
MOST_SECONDS_OFF = 3
"""Offsets that are looked for."""
_SIDE_PX = 32
_CLEARLY_BETTER = 0.8
"""An offset counts only if frames are then closer by this factor than without: still scenes tell nothing."""


def match_twin(video: VideoInfo, twin: VideoInfo, wanted: list[int]) -> LrStream:
    """Pair frames by their time since the first frame, and verify the pairs by their content.

    Args:
        video: high-resolution video.
        twin: the low-resolution one.
        wanted: indices of the needed frames.

    Raises:
        InputError: the aspect ratio differs, frames have no partner, or the content matches at another offset.
    """
    if not same_shape((video.height_px, video.width_px), (twin.height_px, twin.width_px)):
        raise InputError(
            f"{twin.path} ({twin.width_px} x {twin.height_px}) has another shape than {video.path} "
            f"({video.width_px} x {video.height_px})",
            hint="Use the same frames at low resolution.",
        )
    times = np.array([float(seconds) for seconds in twin.seconds])
    step = 1 / float(video.frame_rate)
    positions = {index: int(np.abs(times - float(video.seconds[index])).argmin()) for index in wanted}
    lonely = [i for i, position in positions.items() if abs(times[position] - float(video.seconds[i])) > step / 2]
    if lonely:
        raise InputError(
            f"{twin.path} has no frame at {float(video.seconds[lonely[0]]):.3f} s of {video.path}, nor for "
            f"{len(lonely) - 1} others of {len(wanted)}",
            hint="Use a recording of the same length, or set --stop-seconds.",
        )
    offset = _offset(video, twin, evenly_spaced(wanted, SAMPLES), step)
    if offset:
        late = "late" if offset > 0 else "early"
        raise InputError(
            f"{twin.path} is offset from {video.path}, which shows the same {abs(float(offset)):.3f} s {late}",
            hint=f"Cut {abs(float(offset)):.3f} s off the beginning of the {'twin' if offset > 0 else 'other'}.",
        )
    return LrStream(twin.path, positions)


def _offset(video: VideoInfo, twin: VideoInfo, chosen: list[int], step: float) -> Fraction:
    """Delay of the twin in seconds, estimated from its frames; 0 unless another value is clear."""
    most = round(MOST_SECONDS_OFF / step)
    first, second = _thumbnails(video.path, frozenset(chosen)), _thumbnails(twin.path, None)
    times = np.array([float(seconds) for seconds in twin.seconds])
    distances = {}
    for shift in range(-most, most + 1):
        pairs = []
        for index, picture in first.items():
            wanted = float(video.seconds[index]) + shift * step
            position = int(np.abs(times - wanted).argmin())
            if abs(times[position] - wanted) <= step / 2 and position in second:
                pairs.append((picture, second[position]))
        if len(pairs) >= len(chosen) / 4:
            distances[shift] = float(np.mean([np.abs(a - b).mean() for a, b in pairs]))
    best = min(distances, key=lambda shift: (distances[shift], abs(shift)), default=0)
    if best and distances[best] < _CLEARLY_BETTER * distances[0]:
        return Fraction(best) / video.frame_rate
    return Fraction(0)


def _thumbnails(path: Path, indices: frozenset[int] | None) -> dict[int, NDArray[np.float32]]:
    frames = read_frames(path, selection=FrameSelection(indices=indices))
    return {
        frame.index: area_resize(frame.image, height_px=_SIDE_PX, width_px=_SIDE_PX).astype(np.float32).mean(axis=2)
        for frame in frames
    }
