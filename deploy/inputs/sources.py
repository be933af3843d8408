"""Frames from a video, a folder of images, one image, a webcam or a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from threading import Event

from deploy.core.errors import InputError, OptionError
from deploy.core.files import sha256_of
from deploy.inputs.frame import Fit, Frame, FrameSelection
from deploy.inputs.images import (
    IMAGE_RATE,
    is_image_source,
    list_images,
    probe_images,
    read_images,
    sha256_of_images,
)
from deploy.inputs.live import is_live, read_live, shown_name
from deploy.inputs.report import DEFAULT_READING, ReadOptions, SourceReport
from deploy.inputs.video import VideoInfo, expect, probe, read_frames

LIVE_RATE = Fraction(25)
"""Approximate frames per second of a camera, for the overlay video's rate control; its times are exact."""


@dataclass(frozen=True)
class FrameSource:
    """The requested frames, and what is known about them in advance."""

    frames: Iterator[Frame]
    """Selected frames in presentation order; decoding errors surface here."""
    num_frames: int
    """Approximate number of frames; 0 for a live stream (unknown)."""
    frame_rate: Fraction
    """Selected frames per second."""
    report: SourceReport = field(default_factory=lambda: SourceReport("input"))
    """Collects losses and notes."""
    is_video: bool = True
    """Whether the frames are moving pictures, of a file or a live stream, not single images."""
    is_live: bool = False
    """Whether frames come as they happen: who is too slow loses some."""
    stop: Event = field(default_factory=Event)
    """Set it to keep a live stream that broke from being connected again."""


def open_source(
    name: str | Path, selection: FrameSelection, fit: Fit | None = None, reading: ReadOptions = DEFAULT_READING
) -> FrameSource:
    """Open a video, an image, a folder of images, which are taken in natural order, or a live stream.

    Args:
        name: the input given by the user.
        selection: which frames to take.
        fit: the size to scale frames of videos and streams to while they are decoded; images keep their own.
        reading: which stream, and what to do about damage.

    Raises:
        InputError: nothing there, or nothing that can be read.
    """
    report = SourceReport(shown_name(str(name)), reading.damaged)
    if is_live(str(name)):
        stop = Event()
        frames = read_live(str(name), selection, fit=fit, stop=stop, reading=reading, report=report)
        return FrameSource(frames, 0, LIVE_RATE / selection.every, report, is_live=True, stop=stop)
    path = Path(name)
    if is_image_source(path):
        images = list_images(path, report)
        count = sum(selection.takes(index, index / IMAGE_RATE) for index in range(len(images)))
        frames, rate = read_images(images, selection, report), IMAGE_RATE / selection.every
        return FrameSource(_some(frames, report), count, rate, report, is_video=False)
    size = path.stat().st_size if path.is_file() else 0
    expected = expect(path, selection, reading)
    reading = replace(reading, frame_threads=not expected.is_damaged)
    frames = read_frames(path, selection=selection, fit=fit, reading=reading, report=report)
    frames = _whole(_some(frames, report), path, size)
    return FrameSource(frames, expected.num_frames, expected.frame_rate, report)


def _whole(frames: Iterator[Frame], path: Path, size: int) -> Iterator[Frame]:
    """The frames of a file, which must not become shorter meanwhile: its readers would take that for its end."""
    yield from frames
    if path.is_file() and path.stat().st_size < size:
        raise InputError(
            f"{path} was cut off while it was read: {path.stat().st_size} bytes, {size} before",
            hint="Give the whole file to the same command again.",
        )


def _some(frames: Iterator[Frame], report: SourceReport) -> Iterator[Frame]:
    """The frames themselves, of which there must be one."""
    frame = None
    for frame in frames:
        yield frame
    if frame is None and report.losses:
        lost = "; ".join(map(str, report.losses))
        raise InputError(f"no frame of {report.name} can be used: {lost}", hint="Check that the file plays.")
    if frame is None:
        raise OptionError(f"no frame of {report.name} is selected", hint="Check the start and stop times.")


def probe_source(path: Path, selection: FrameSelection, reading: ReadOptions, report: SourceReport) -> VideoInfo:
    """Size, rate and times of a video, an image or a folder of images; of images, those selected are read.

    Raises:
        InputError: it cannot be used, or something is lost and `reading` does not allow it.
    """
    if is_image_source(path):
        return probe_images(path, list_images(path, report), selection, report)
    return probe(path, reading=reading, report=report)


def read_source(path: Path, selection: FrameSelection, reading: ReadOptions, report: SourceReport) -> Iterator[Frame]:
    """The selected frames of what `probe_source` takes, in the same order and with the same indices and times.

    Raises:
        InputError: see `probe_source`.
    """
    if is_image_source(path):
        return read_images(list_images(path, report), selection, report)
    return read_frames(path, selection=selection, reading=reading, report=report)


def sha256_of_source(path: Path) -> str:
    """Hash of a file's content, or of the names and contents of a folder's images."""
    return sha256_of_images(list_images(path, SourceReport(str(path)))) if path.is_dir() else sha256_of(path)
