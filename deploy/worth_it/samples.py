"""Test frames: low-resolution frames, and the true frames that super-resolution should restore."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import InputError, OptionError
from deploy.core.resize import Reduction, area_resize, reduce_frame
from deploy.inputs.frame import EVERY_FRAME, Frame, FrameSelection
from deploy.inputs.report import ReadOptions, SourceReport
from deploy.inputs.sources import probe_source, read_source
from deploy.inputs.video import read_frames
from deploy.outputs.lr_codec import LrCodec, encode_frames

Image = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""
MOST_LINES = 288
"""Of the low-resolution frame unless its height is given: a comparison of larger ones takes long."""
LEAST_LINES = 64
"""With fewer a detector finds nothing, and the source counts as too small for a true frame."""


@dataclass(frozen=True)
class Plan:
    """Sizes of the frames of one comparison."""

    height_px: int
    """Of the low-resolution frame."""
    width_px: int
    """Likewise."""
    scale: int
    """Size of the super-resolved frame over it."""
    has_true: bool
    """Whether the source has a true frame of the super-resolved size."""
    crop: tuple[int, int] | None = None
    """Rows and columns of the source, from the top left, that are the true frame as they are; None resizes."""
    reduction: Reduction = "area"
    """How low-resolution frames are made."""

    @property
    def sr_size(self) -> tuple[int, int]:
        """Height and width of the super-resolved frame."""
        return self.height_px * self.scale, self.width_px * self.scale

    def reduce(self, image: Image) -> Image:
        """The low-resolution frame of a source's frame."""
        if self.crop is not None:
            image = image[: self.crop[0], : self.crop[1]]
        return reduce_frame(image, height_px=self.height_px, width_px=self.width_px, reduction=self.reduction)

    def zoom(self, image: Image) -> tuple[float, float]:
        """Pixels of the super-resolved frame to one of the source's frame, across and down."""
        height, width = self.crop or image.shape[:2]
        return self.sr_size[1] / width, self.sr_size[0] / height

    def true(self, image: Image) -> Image | None:
        """The true frame of a source's frame; None where the source is too small."""
        if not self.has_true:
            return None
        if self.crop is not None:
            return np.ascontiguousarray(image[: self.crop[0], : self.crop[1]])
        height, width = self.sr_size
        return area_resize(image, height_px=height, width_px=width)


@dataclass(frozen=True, eq=False)
class Sample:
    """One frame to try."""

    index: int
    """Position in the source."""
    lr: Image
    """At low resolution."""
    true: Image | None
    """As it really is, at the super-resolved size."""
    before: Image | None
    """The source's frame before it, at low resolution; None for its first."""
    image_name: str = ""
    """File name of an image; empty for a frame of a video."""
    zoom: tuple[float, float] = (1.0, 1.0)
    """Pixels of the super-resolved frame to one of the source, across and down."""


def plan_sizes(
    height_px: int, width_px: int, scale: int, height: int | None = None, reduction: Reduction = "area"
) -> Plan:
    """Sizes that leave a true frame to compare with, where the source is large enough for that.

    Args:
        height_px: of the source.
        width_px: of the source.
        scale: of the upscaler.
        height: of the low-resolution frame, where the user gave it.
        reduction: how it is made.

    Raises:
        OptionError: a height above the source's.
    """
    largest = height_px // scale
    if height is None:
        height = min(largest, MOST_LINES) if largest >= LEAST_LINES else min(height_px, MOST_LINES)
    if height > height_px:
        raise OptionError(
            f"height={height} is more than the source's {height_px} lines", hint=f"Use --height {largest} or less."
        )
    if height == largest:
        width = width_px // scale
        return Plan(height, width, scale, True, (height * scale, width * scale), reduction)
    width = max(1, width_px * height // height_px)
    return Plan(height, width, scale, height * scale <= height_px and width * scale <= width_px, None, reduction)


def read_samples(
    path: Path,
    scale: int,
    frames: int,
    height: int | None,
    reduction: Reduction,
    usable: Callable[[int, str], bool] = lambda index, image_name: True,
    codec: LrCodec | None = None,
    selection: FrameSelection = EVERY_FRAME,
) -> Samples:
    """Find the frames to try.

    Args:
        path: a video or a folder of images.
        scale: of the upscaler.
        frames: how many, at most, spread evenly.
        height: of the low-resolution frame; None chooses it.
        reduction: how it is made.
        usable: whether a frame, by its index and its image's file name, may be tried.
        codec: what the low-resolution video is encoded with; None leaves it as it is.
        selection: the part of the source to test.

    Raises:
        InputError: the source cannot be read, or none of its frames may be tried.
        OptionError: a height above the source's, a codec for images, or no frame between the given times.
    """
    report = SourceReport(str(path))
    info = probe_source(path, FrameSelection(), ReadOptions(), report)
    plan = plan_sizes(info.height_px, info.width_px, scale, height, reduction)
    shown = [index for index in range(info.num_frames) if index not in info.unusable]
    before: dict[int, int | None] = dict(zip(shown, [None, *shown], strict=False))
    names = info.image_names or [""] * info.num_frames
    # The first frame has none before it, and is left out where there are others.
    seconds = info.seconds
    selected = [index for index in shown[1:] or shown if selection.takes(index, seconds[index])]
    if not selected:
        raise OptionError(f"no frame of {path} is selected", hint="Check the start and stop times.")
    chosen = [index for index in selected if usable(index, names[index])]
    if not chosen:
        raise InputError(f"none of the {len(selected)} frames of {path} can be used", hint="Check the annotations.")
    picks = np.unique(np.linspace(0, len(chosen) - 1, min(frames, len(chosen))).round().astype(int))
    wanted = {chosen[pick]: before[chosen[pick]] for pick in picks.tolist()}
    if codec is not None and info.image_names:
        raise OptionError("lr_codec is for videos, and these are images", hint="Leave --lr-codec out.")
    return Samples(path, plan, wanted, ReadOptions(frame_threads=not report.losses), codec, info.frame_rate)


@dataclass(frozen=True)
class Samples:
    """The frames to try, decoded one after the other."""

    path: Path
    plan: Plan
    wanted: dict[int, int | None]
    """Index of a frame -> that of the frame before it."""
    reading: ReadOptions
    codec: LrCodec | None = None
    """What the low-resolution video is encoded with."""
    frame_rate: Fraction = Fraction(1)
    """Of the source."""

    def __len__(self) -> int:
        return len(self.wanted)

    def __iter__(self) -> Iterator[Sample]:
        needed = frozenset(self.wanted) | {index for index in self.wanted.values() if index is not None}
        coded = {} if self.codec is None else self._coded(self.codec, needed)
        before: dict[int, Image] = {}
        for frame in self._read(FrameSelection(indices=needed)):
            lr = coded[frame.index] if coded else self.plan.reduce(frame.image)
            if frame.index in self.wanted:
                previous = self.wanted[frame.index]
                found = None if previous is None else before.get(previous)
                true, zoom = self.plan.true(frame.image), self.plan.zoom(frame.image)
                yield Sample(frame.index, lr, true, found, frame.image_name, zoom)
            before = {frame.index: lr}
            if frame.index >= max(needed):
                return
        raise InputError(f"{self.path} ends before frame {max(needed)}", hint="Check that it plays to the end.")

    def _read(self, selection: FrameSelection) -> Iterator[Frame]:
        return read_source(self.path, selection, self.reading, SourceReport(str(self.path)))

    def _coded(self, codec: LrCodec, needed: frozenset[int]) -> dict[int, Image]:
        """Low-resolution frames as they come out of a codec that has seen every frame up to the last one needed."""
        indices: list[int] = []

        def reduced() -> Iterator[Image]:
            for frame in self._read(FrameSelection()):
                indices.append(frame.index)
                yield self.plan.reduce(frame.image)
                if frame.index >= max(needed):
                    return

        with TemporaryDirectory() as folder:
            encoded = Path(folder) / "lr.mkv"
            encode_frames(reduced(), self.frame_rate, codec, encoded)
            positions = {position for position, index in enumerate(indices) if index in needed}
            frames = read_frames(encoded, selection=FrameSelection(indices=frozenset(positions)))
            size = np.s_[: self.plan.height_px, : self.plan.width_px]
            return {indices[frame.index]: np.ascontiguousarray(frame.image[size]) for frame in frames}
