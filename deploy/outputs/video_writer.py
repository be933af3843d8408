"""Frames into a video file at exact times: H.264, or MPEG-4 part 2 where FFmpeg was built without x264."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from deploy.core.errors import OutputError
from deploy.core.files import atomic_path
from deploy.outputs.x264 import REPEATABLE

TIME_BASES = {"libx264": Fraction(1, 360_000), "mpeg4": Fraction(1, 60_000)}
"""Unit of time by codec. In 1/360000 s the frames of 24, 25, 30, 50, 60 a second, their 1000/1001 variants and whole
milliseconds are exact; MPEG-4 has 16 bits for its unit, so there times are rounded."""

_QUALITY = {"libx264": {"crf": "20", "preset": "veryfast"} | REPEATABLE, "mpeg4": {"qscale": "4"}}


class VideoWriter:
    """Writes frames to a file that is whole or absent: it gets its name when the context ends without an error.

        with VideoWriter(path, frame_rate=Fraction(25)) as writer:
            writer.write(frame.image, pts_seconds=frame.pts_seconds)

    Args:
        path: the file to write; its suffix says the container: .mp4 (.mkv rounds times to milliseconds).
        frame_rate: about how many frames a second will come, for the encoder's rate control.
    """

    def __init__(self, path: Path, *, frame_rate: Fraction) -> None:
        self.path = path
        self.codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        self._frame_rate = max(frame_rate, Fraction(1, 1000)).limit_denominator(1001)
        self._time_base = TIME_BASES[self.codec]
        self._stream: av.VideoStream | None = None
        self._last_pts = -1

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            try:
                self._container = av.open(f"file:{temporary}", "w")
            except FFmpegError as error:
                raise self._failure(error) from None
            stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def write(self, image: NDArray[np.uint8], *, pts_seconds: Fraction) -> None:
        """Encode one frame.

        Args:
            image: (H, W, 3) uint8 RGB, every frame of one size. An odd size is padded by repeating the last row or
                column, because H.264 stores color at half the resolution.
            pts_seconds: presentation time. One before 0 or not after the previous frame's is moved to the next time
                that a file can hold.

        Raises:
            OutputError: the encoder or the disk refuses.
        """
        height, width = image.shape[:2]
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        frame.time_base = self._time_base
        frame.pts = self._next_pts(pts_seconds)
        try:
            if self._stream is None:
                self._stream = self._add_stream(frame.width, frame.height)
            self._container.mux(self._stream.encode(frame))
        except FFmpegError as error:
            raise self._failure(error) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._container:
                if kind is None:
                    self._flush()
        except FFmpegError as failure:
            raise self._failure(failure) from error

    def _flush(self) -> None:
        if self._stream is None:
            raise OutputError(f"no frames to write to {self.path}", hint="Write at least one frame.")
        self._container.mux(self._stream.encode(None))

    def _add_stream(self, width_px: int, height_px: int) -> av.VideoStream:
        stream = self._container.add_stream(self.codec, rate=self._frame_rate, options=_QUALITY[self.codec])
        if not isinstance(stream, av.VideoStream):
            raise OutputError(
                f"the video codec {self.codec} is not available", hint="Install the PyAV wheel: pip install av"
            )
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._time_base
        return stream

    def _next_pts(self, pts_seconds: Fraction) -> int:
        self._last_pts = max(round(pts_seconds / self._time_base), self._last_pts + 1)
        return self._last_pts

    def _failure(self, error: FFmpegError) -> OutputError:
        return OutputError(
            f"cannot write {self.path}: {error.strerror}", hint="Check the folder and the free disk space."
        )
