"""All frames of a video file as they are decoded: the common basis of probing and reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av

from deploy.core.errors import InputError
from deploy.inputs.containers import REENCODE, frame_rate, open_container, pixel_aspect, video_stream
from deploy.inputs.cut_off import missing_bytes
from deploy.inputs.decoding import PacketDecoder
from deploy.inputs.report import ReadOptions, SourceReport
from deploy.inputs.upright import shown_size


@dataclass(frozen=True)
class Picture:
    """One frame before its colors are converted."""

    index: int
    """Position in the order shown, from 0."""
    pts_seconds: Fraction
    """Strictly increasing time by the container's clock."""
    first_pts_seconds: Fraction
    """That of the first frame."""
    decoded: av.VideoFrame
    """As the decoder gives it."""
    pixel_aspect: Fraction
    """Width of its pixels over their height."""

    @property
    def seconds(self) -> Fraction:
        """Time since the first frame."""
        return self.pts_seconds - self.first_pts_seconds if self.first_pts_seconds else self.pts_seconds


def read_pictures(path: Path, reading: ReadOptions, report: SourceReport) -> Iterator[Picture]:
    """Decode a video.

    Args:
        path: the video.
        reading: how.
        report: collects losses.

    Yields:
        Pictures of the size of the first, one at a time.

    Raises:
        InputError: it cannot be opened, has no frame, or has lost one and `reading` does not allow it.
    """
    whole, done = _Pass(path, reading, report), 0
    for picture in whole.pictures():
        yield picture
        done += 1
    if whole.lacks_its_tail and reading.frame_threads:
        report.forget_losses()
        again = _Pass(path, replace(reading, frame_threads=False), report)
        for picture in islice(again.pictures(), done, None):
            yield picture
            done += 1
    if not done:
        raise InputError("; ".join([f"no frames in {path}", *map(str, report.losses)]), hint=REENCODE)


class _Pass:
    """One reading of the file."""

    def __init__(self, path: Path, reading: ReadOptions, report: SourceReport) -> None:
        self._path, self._reading, self._report = path, reading, report
        self.lacks_its_tail = False

    def pictures(self) -> Iterator[Picture]:
        with open_container(self._path) as container:
            stream = video_stream(container, self._path, self._reading.stream)
            if self._reading.frame_threads:
                stream.thread_type = "AUTO"
            else:  # nor several slices at once: damage would be mended in another way
                stream.codec_context.thread_count = 1
            missing = missing_bytes(self._path)
            if missing and self._reading.damaged == "stop":
                self._report.lose("cut_off", f"{missing} bytes are missing")
            decoder = PacketDecoder(stream, container.format.name, self._report)
            last = None
            for last in self._of_one_size(decoder, container, pixel_aspect(stream)):
                yield last
            self.lacks_its_tail = decoder.lacks_its_tail
            if missing:
                place = f"{missing} bytes are missing" + (f", after {float(last.pts_seconds):.3f} s" if last else "")
                declared = _declared_frames(container, stream)
                self._report.lose("cut_off", place, max(1, declared - decoder.num_frames))

    def _of_one_size(
        self, decoder: PacketDecoder, container: av.container.InputContainer, aspect: Fraction
    ) -> Iterator[Picture]:
        size, first, index = (0, 0), Fraction(0), 0
        for seconds, decoded in decoder.frames(decoder.packets(container)):
            shown = shown_size(decoded, aspect)
            if index == 0:
                size, first = shown, seconds
            if shown != size:
                self._report.lose("other_size", f"{shown[1]} x {shown[0]} at {float(seconds):.3f} s")
                continue
            yield Picture(index, seconds, first, decoded, aspect)
            index += 1


def _declared_frames(container: av.container.InputContainer, stream: av.VideoStream) -> int:
    """Approximate number of frames before truncation; 0 if unknown."""
    if container.format.name == "avi":
        return stream.frames
    if stream.duration is not None and stream.time_base is not None:
        duration = stream.duration * stream.time_base
    else:
        duration = Fraction(container.duration or 0, av.time_base)
    return round(duration * frame_rate(stream))
