"""Encoding of low-resolution frames: the codecs that a camera may send with, and files of such video."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.stream import VideoStream
from numpy.typing import NDArray

from deploy.core.errors import OptionError, OutputError
from deploy.core.files import atomic_path
from deploy.outputs.x264 import REPEATABLE

_ENCODERS = {"h264": "libx264", "h265": "libx265"}
_BITS = {"": 1, "k": 1_000, "M": 1_000_000}


@dataclass(frozen=True)
class LrCodec:
    """How the reduced video is encoded."""

    encoder: str
    """FFmpeg's name."""
    crf: int | None
    """Constant quality, 0 to 51."""
    bits_per_second: int | None
    """Or a rate."""

    @classmethod
    def parse(cls, text: str) -> LrCodec:
        """Read "h264:crf30" or "h265:600k".

        Raises:
            OptionError: something else, or an encoder that this build of FFmpeg lacks.
        """
        match = re.fullmatch(r"(h264|h265):(?:crf(\d{1,2})|(\d+(?:\.\d+)?)([kM]?))", text)
        quality = int(match[2]) if match and match[2] else None
        rate = int(float(match[3]) * _BITS[match[4]]) if match and match[3] else None
        if match is None or (quality or 0) > 51 or rate == 0:
            raise OptionError(
                f"--lr-codec {text!r} is not a codec", hint="Use h264:crf30 (0 to 51) or a bit rate, h264:600k."
            )
        encoder = _ENCODERS[match[1]]
        if encoder not in av.codecs_available:
            raise OptionError(
                f"--lr-codec {text}: the installed FFmpeg has no {encoder}", hint="Use h264, or the PyAV wheel."
            )
        return cls(encoder, quality, rate)


def encode_frames(frames: Iterator[NDArray[np.uint8]], rate: Fraction, codec: LrCodec, path: Path) -> None:
    """Encode frames of one size.

    Args:
        frames: (H, W, 3) uint8 RGB, at least one. Odd sides get one more row or column; cut it off after decoding.
        rate: frames a second.
        codec: how.
        path: the file to write; it appears whole. One thread encodes: equal frames make equal packets.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_path(path) as temporary:
        try:
            _encode(frames, rate, codec, temporary)
        except FFmpegError as error:
            raise OutputError(f"cannot encode {path}: {error.strerror}", hint="Check the free disk space.") from None


def _encode(frames: Iterator[NDArray[np.uint8]], rate: Fraction, codec: LrCodec, path: Path) -> None:
    first = next(frames)
    height_px, width_px = first.shape[:2]
    options = {"preset": "medium"} | ({"crf": str(codec.crf)} if codec.crf is not None else {})
    if codec.encoder == "libx264":
        options |= REPEATABLE
    if codec.encoder == "libx265":
        options["x265-params"] = "pools=none:frame-threads=1:log-level=none"
    with av.open(f"file:{path}", "w", format="matroska") as container:
        stream = container.add_stream(codec.encoder, rate=rate.limit_denominator(1001), options=options)
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{codec.encoder} wrote no video")
        stream.height, stream.width = height_px + height_px % 2, width_px + width_px % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        if codec.bits_per_second:
            stream.bit_rate = codec.bits_per_second
        for image in chain([first], frames):
            even = np.pad(image, ((0, stream.height - len(image)), (0, stream.width - image.shape[1]), (0, 0)), "edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode(None))
