"""Frames from what a user has: a video, a folder of images, one image, a webcam or a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from threading import Event

from deploy.core.errors import InputError, OptionError
from deploy.core.files import IMAGE_SUFFIXES, read_image
from deploy.inputs.live import is_live, read_live
from deploy.inputs.video import Fit, Frame, FrameSelection, probe, read_frames

IMAGE_RATE = Fraction(25)
"""Images have no times; a folder is taken as a video of so many frames a second."""
LIVE_RATE = Fraction(25)
"""About how many frames a second a camera gives, for the overlay video's rate control; its times are exact."""


@dataclass(frozen=True)
class FrameSource:
    """The frames that were asked for, and what is known of them beforehand."""

    frames: Iterator[Frame]
    """Selected frames in presentation order; decoding errors surface here."""
    num_frames: int
    """How many will come; 0 for a live stream: nobody knows."""
    frame_rate: Fraction
    """Selected frames a second."""
    image_names: tuple[str, ...] = ()
    """File name by frame index; empty for a video."""
    is_live: bool = False
    """Whether frames come as they happen: who is too slow loses some."""
    stop: Event = field(default_factory=Event)
    """Set it to keep a live stream that broke from being connected again."""

    @property
    def is_video(self) -> bool:
        """Whether the frames are moving pictures, of a file or a live stream, not single images."""
        return not self.image_names


def open_source(name: str | Path, selection: FrameSelection, fit: Fit | None = None) -> FrameSource:
    """Open a video, an image, a folder of images, which are taken in the order of their names, or a live stream.

    Args:
        name: what the user gave.
        selection: which frames to take.
        fit: the size to scale frames of videos and streams to while they are decoded; images keep their own.

    Raises:
        InputError: nothing there, or nothing that can be read.
        OptionError: no frame is selected.
    """
    if is_live(str(name)):
        stop = Event()
        frames = read_live(str(name), selection, fit=fit, stop=stop)
        return FrameSource(frames, 0, LIVE_RATE / selection.every, is_live=True, stop=stop)
    path = Path(name)
    if path.is_dir():
        source = _from_images(_images_in(path), selection)
    elif path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
        source = _from_images([path], selection)
    else:
        source = _from_video(path, selection, fit)
    if source.num_frames == 0:
        raise OptionError(f"no frame of {path} is selected", hint="Check the start and stop times.")
    return source


def _from_video(path: Path, selection: FrameSelection, fit: Fit | None) -> FrameSource:
    info = probe(path)
    count = sum(selection.takes(index, time) for index, time in enumerate(info.times))
    return FrameSource(read_frames(path, selection=selection, fit=fit), count, info.frame_rate / selection.every)


def _from_images(paths: list[Path], selection: FrameSelection) -> FrameSource:
    taken = [index for index in range(len(paths)) if selection.takes(index, index / IMAGE_RATE)]
    frames = (Frame(index, index / IMAGE_RATE, read_image(paths[index])) for index in taken)
    return FrameSource(frames, len(taken), IMAGE_RATE / selection.every, tuple(path.name for path in paths))


def _images_in(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"no images in {folder}", hint=f"Give a folder of images ({known}), or a video file.")
    return paths
