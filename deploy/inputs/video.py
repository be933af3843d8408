"""Frames out of video files: exact timestamps, upright, streamed.

Decoding is PyAV's (FFmpeg). Memory stays flat: one frame is alive at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from deploy.core.errors import InputError, OptionError
from deploy.core.ranges import require_range

Fit = Callable[[int, int], tuple[int, int]]
"""From a frame's height and width in pixels to those it is wanted in."""

UNSAFE_CODECS = frozenset({"camstudio"})
"""CamStudio: FFmpeg's decoder shows memory that was never written (CVE-2026-125184, docs/known-holes.md)."""
_REENCODE = "Check that the file plays, or re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"


@dataclass(frozen=True)
class Frame:
    """One decoded, upright frame."""

    index: int
    """Position in presentation order, from 0, counting every frame of the video."""
    pts_seconds: Fraction
    """Exact presentation time in seconds."""
    image: NDArray[np.uint8]
    """(H, W, 3) uint8 RGB."""

    def __repr__(self) -> str:
        return f"Frame(index={self.index}, pts_seconds={self.pts_seconds}, image={self.image.shape})"


@dataclass(frozen=True)
class VideoInfo:
    """What can be known of a video after decoding one frame and reading, not decoding, the rest."""

    path: Path
    width_px: int
    """Width of the upright frame."""
    height_px: int
    """Height of the upright frame."""
    frame_rate: Fraction
    """Average frames a second."""
    times: tuple[Fraction, ...]
    """Presentation time of every frame in seconds, as the packets of an undamaged file tell it."""

    @property
    def num_frames(self) -> int:
        """Number of frames in the file."""
        return len(self.times)

    def __repr__(self) -> str:
        return f"VideoInfo({self.path.name}, {self.width_px} x {self.height_px}, {self.num_frames} frames)"


@dataclass(frozen=True)
class FrameSelection:
    """Which frames of a video to take.

    Raises:
        OptionError: `every` < 1, a negative time, or `stop_seconds` <= `start_seconds`.
    """

    start_seconds: float = 0.0
    """First presentation time to take."""
    stop_seconds: float | None = None
    """First presentation time not to take; None means the end."""
    every: int = 1
    """Take one frame in so many."""
    indices: frozenset[int] | None = None
    """Of those, only the frames at these positions in the video; None means all."""

    def __post_init__(self) -> None:
        require_range("every", self.every, 1)
        require_range("start_seconds", self.start_seconds, 0)
        if self.stop_seconds is not None and self.stop_seconds <= self.start_seconds:
            raise OptionError(
                f"stop_seconds={self.stop_seconds} is not after start_seconds={self.start_seconds}",
                hint="Give a later stop.",
            )

    def takes(self, index: int, pts_seconds: Fraction) -> bool:
        """Whether the frame at this position and time is taken."""
        if index % self.every or (self.indices is not None and index not in self.indices):
            return False
        return float(pts_seconds) >= self.start_seconds and not self.is_past(pts_seconds)

    def is_past(self, pts_seconds: Fraction) -> bool:
        """Whether this time is at or after the stop."""
        return self.stop_seconds is not None and float(pts_seconds) >= self.stop_seconds


def probe(path: Path) -> VideoInfo:
    """Read a video's size, rate and number of frames.

    Raises:
        InputError: missing, not a video, no video stream, no frames, or shorter than its container declares.
    """
    with _open(path) as container:
        stream = video_stream(container, path)
        declared = stream.frames
        rate = Fraction(stream.average_rate or stream.base_rate or 25)
        try:
            first = next(container.decode(stream), None)
        except FFmpegError as error:
            raise InputError(f"cannot decode {path}: {error.strerror}", hint=_REENCODE) from None
        if first is None:
            raise InputError(f"no frames in {path}", hint=_REENCODE)
        height_px, width_px = Upright()(first).shape[:2]
    times, num_packets = _packet_times(path, rate)
    if num_packets < declared:
        raise InputError(
            f"truncated video {path}: its container declares {declared} frames, {num_packets} are there",
            hint="Copy the file again, or re-encode what is left: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4",
        )
    return VideoInfo(path, width_px, height_px, rate, times)


def read_frames(
    path: str | Path, *, selection: FrameSelection = FrameSelection(), fit: Fit | None = None
) -> Iterator[Frame]:
    """Decode the selected frames in presentation order.

    Args:
        path: the video.
        selection: which frames to take.
        fit: the size to scale them to while their colours are converted; None keeps the video's own.

    Yields:
        Frames. Timestamps are the container's, exact; where it has none, index / rate.

    Raises:
        InputError: the file cannot be opened, or a frame cannot be decoded.
    """
    path = Path(path)
    with _open(path) as container:
        stream = video_stream(container, path)
        stream.thread_type = "AUTO"
        rate = Fraction(stream.average_rate or stream.base_rate or 25)
        # AVI has no presentation times: with B-frames the decoder gives those of decoding, out of order.
        times = _packet_times(path, rate)[0] if container.format.name == "avi" else ()
        index, upright = -1, Upright(fit)
        try:
            for index, decoded in enumerate(container.decode(stream)):
                known = index < len(times)
                pts_seconds = times[index] if known else _pts_seconds(decoded.pts, decoded.time_base, index, rate)
                if selection.is_past(pts_seconds):
                    return
                if selection.takes(index, pts_seconds):
                    yield Frame(index, pts_seconds, upright(decoded))
        except FFmpegError as error:
            raise InputError(f"cannot decode {path} after frame {index}: {error.strerror}", hint=_REENCODE) from None


def _open(path: Path) -> av.container.InputContainer:
    if not path.exists():
        raise InputError(f"video not found: {path}", hint="Check the path.")
    if not path.is_file():
        raise InputError(f"not a file: {path}", hint="Give a video file.")
    try:
        # By protocol: FFmpeg would take a file named "concat:a|b" or "http:a" for an address.
        return av.open(f"file:{path}", metadata_errors="ignore")
    except FFmpegError as error:
        raise InputError(f"not a readable video: {path} ({error.strerror})", hint=_REENCODE) from None


def video_stream(container: av.container.InputContainer, name: object) -> av.VideoStream:
    """The first stream of pictures.

    Raises:
        InputError: there is none, no decoder for it, or one that is not safe.
    """
    if not container.streams.video:
        raise InputError(f"no video stream in {name}", hint="Give one that has pictures, not only sound.")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise InputError(f"{name}: no decoder for its codec", hint=_REENCODE)
    if stream.codec_context.name in UNSAFE_CODECS:
        raise InputError(f"{name}: its codec {stream.codec_context.name!r} is not safe to decode", hint=_REENCODE)
    return stream


def _packet_times(path: Path, rate: Fraction) -> tuple[tuple[Fraction, ...], int]:
    """Increasing times of the frames that are shown, and the number of all: an edit list may cut some away."""
    with _open(path) as container:
        try:
            packets = [
                (
                    _pts_seconds(packet.dts if packet.pts is None else packet.pts, packet.time_base, index, rate),
                    packet.is_discard,
                )
                for index, packet in enumerate(container.demux(video_stream(container, path)))
                if packet.size
            ]
        except FFmpegError as error:
            raise InputError(f"damaged video {path}: {error.strerror}", hint=_REENCODE) from None
    return tuple(sorted(time for time, cut_away in packets if not cut_away)), len(packets)


def _pts_seconds(pts: int | None, time_base: Fraction | None, index: int, rate: Fraction) -> Fraction:
    return index / rate if pts is None or time_base is None else pts * time_base


class Upright:
    """Decoded frames of one stream as (H, W, 3) uint8 RGB, turned as their display matrix says.

    Keeps FFmpeg's scaler, and has it work in this thread: a new one for each frame takes longer than its work.

    Args:
        fit: the size to scale frames to, by area, in one pass with the conversion of colours: several times faster
            than converting first, and within rounding of it. None keeps their own.
    """

    def __init__(self, fit: Fit | None = None) -> None:
        self._fit, self._scaler = fit, VideoReformatter()

    def __call__(self, decoded: av.VideoFrame) -> NDArray[np.uint8]:
        """One frame, as the decoder gives it."""
        matrix: Any = decoded.side_data.get("DISPLAYMATRIX")
        # A pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift.
        a, b, _, c, d = (1, 0, 0, 0, 1) if matrix is None else np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
        lies_on_its_side = abs(b) > abs(a)
        image = self._converted(decoded, swapped=lies_on_its_side)
        if matrix is None:
            return image
        if lies_on_its_side:
            image, a, d = image.swapaxes(0, 1), c, b
        return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])

    def _converted(self, decoded: av.VideoFrame, *, swapped: bool) -> NDArray[np.uint8]:
        own = (decoded.width, decoded.height) if swapped else (decoded.height, decoded.width)
        wanted = own if self._fit is None else self._fit(*own)
        height_px, width_px = reversed(wanted) if swapped else wanted
        by = None if wanted == own else "AREA"
        small = self._scaler.reformat(decoded, width_px, height_px, "rgb24", interpolation=by, threads=1)
        return small.to_ndarray().astype(np.uint8, copy=False)
