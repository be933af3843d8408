"""Frames out of video files: exact timestamps, upright, streamed.

Decoding is PyAV's (FFmpeg). Memory stays flat: one frame is alive at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path

import av
from av.error import FFmpegError

from deploy.core.errors import InputError
from deploy.inputs.clock import REORDER_LIMIT, Clock
from deploy.inputs.containers import REENCODE, UNSAFE_CODECS, frame_rate, open_container, video_stream
from deploy.inputs.frame import EVERY_FRAME, Fit, Frame, FrameSelection
from deploy.inputs.pictures import read_pictures
from deploy.inputs.report import DEFAULT_READING, ReadOptions, SourceReport
from deploy.inputs.upright import Upright, shown_size

__all__ = [
    "UNSAFE_CODECS",
    "Fit",
    "Frame",
    "FrameSelection",
    "ReadOptions",
    "SourceReport",
    "Upright",
    "VideoInfo",
    "expect",
    "probe",
    "read_frames",
    "video_stream",
]


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video, or of a folder of images, after all of it was decoded."""

    path: Path
    width_px: int
    """Width of the upright frame; of images, the least."""
    height_px: int
    """Height of the upright frame; of images, the least."""
    frame_rate: Fraction
    """Average frames per second."""
    times: tuple[Fraction, ...]
    """Presentation time of every frame in seconds by the container's clock, strictly increasing."""
    image_names: tuple[str, ...] = ()
    """File name by frame index; empty for a video."""
    unusable: frozenset[int] = frozenset()
    """Positions of images that cannot be read; a video has none."""

    @property
    def num_frames(self) -> int:
        """Number of frames in the file."""
        return len(self.times)

    @property
    def seconds(self) -> tuple[Fraction, ...]:
        """Time of every frame since the first."""
        return tuple(time - self.times[0] for time in self.times)

    def __repr__(self) -> str:
        return f"VideoInfo({self.path.name}, {self.width_px} x {self.height_px}, {self.num_frames} frames)"


def probe(path: Path, *, reading: ReadOptions = DEFAULT_READING, report: SourceReport | None = None) -> VideoInfo:
    """Decode a video, without converting its colors, for its size, rate and the time of each frame.

    One that has losses is decoded once more without `frame_threads`: read it so, too.

    Args:
        path: the video.
        reading: how.
        report: gathers what is lost; None shows it on standard error.

    Raises:
        InputError: missing, not a video, no video stream, no frames, or one is lost and `reading` does not allow it.
    """
    with open_container(path) as container:
        rate = frame_rate(video_stream(container, path, reading.stream))
    times: list[Fraction] = []
    size = (0, 0)
    gathered = report or SourceReport(str(path), reading.damaged)
    for picture in read_pictures(path, reading, gathered):
        size = size if times else shown_size(picture.decoded, picture.pixel_aspect)
        times.append(picture.pts_seconds)
    if gathered.losses and reading.frame_threads:
        gathered.forget_losses()
        info = probe(path, reading=replace(reading, frame_threads=False), report=gathered)
    else:
        info = VideoInfo(path, size[1], size[0], rate, tuple(times))
    if report is None:
        gathered.show()
    return info


def read_frames(
    path: str | Path,
    *,
    selection: FrameSelection = EVERY_FRAME,
    fit: Fit | None = None,
    reading: ReadOptions = DEFAULT_READING,
    report: SourceReport | None = None,
) -> Iterator[Frame]:
    """Decode the selected frames in presentation order.

    Args:
        path: the video.
        selection: which frames to take.
        fit: the size to scale them to while their colors are converted; None keeps the video's own.
        reading: which stream, and what to do about damage.
        report: gathers what is lost; None shows it on standard error when reading ends.

    Yields:
        Frames of one size. Timestamps are the container's, exact; where it has none, or goes back, they go on evenly.

    Raises:
        InputError: the file cannot be opened, or a frame is lost and `reading` does not allow it.
    """
    path, upright = Path(path), Upright(fit)
    gathered = report or SourceReport(str(path), reading.damaged)
    try:
        for picture in read_pictures(path, reading, gathered):
            seconds = picture.seconds
            if selection.is_past(seconds):
                return
            if selection.takes(picture.index, seconds):
                image = upright(picture.decoded, picture.pixel_aspect)
                yield Frame(picture.index, picture.pts_seconds, image, picture.first_pts_seconds)
    except FFmpegError as error:
        raise InputError(f"cannot convert a frame of {path}: {error.strerror}", hint=REENCODE) from None
    finally:
        if report is None:
            gathered.show()


@dataclass(frozen=True)
class Expected:
    """Properties known from the packets alone: exact for intact files."""

    num_frames: int
    """Frames that will be taken."""
    frame_rate: Fraction
    """Those a second."""
    is_damaged: bool
    """Whether the container knows of damage."""


def expect(path: Path, selection: FrameSelection, reading: ReadOptions) -> Expected:
    """Read, but do not decode, a video.

    Raises:
        InputError: the file cannot be opened.
    """
    with open_container(path) as container:
        stream = video_stream(container, path, reading.stream)
        rate = frame_rate(stream)
        clock, count, first, faults = Clock(1 / rate), 0, Fraction(0), list[int]()
        for index, time in enumerate(_packet_times(container, stream, faults)):
            seconds = clock(time)
            first = seconds if index == 0 else first
            count += selection.takes(index, seconds - first if first else seconds)
    return Expected(count, rate / selection.every, bool(faults))


def _packet_times(
    container: av.container.InputContainer, stream: av.VideoStream, faults: list[int]
) -> Iterator[Fraction | None]:
    """Times of the packets that are shown, sorted as far as decoders reorder them; faults get those with damage."""
    waiting: list[int] = []
    unit_seconds = stream.time_base or Fraction(1)
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                faults.append(packet.dts or 0)
            if packet.size and not packet.is_discard:
                ticks = packet.dts if packet.pts is None else packet.pts
                if ticks is None:
                    yield None
                else:
                    heappush(waiting, ticks)
            if len(waiting) > REORDER_LIMIT:
                yield heappop(waiting) * unit_seconds
    except FFmpegError:
        pass  # decoding will count it
    while waiting:
        yield heappop(waiting) * unit_seconds
