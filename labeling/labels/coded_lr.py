"""Low-resolution frames as a camera sends them: the reduced video is encoded once, as a video, and decoded again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.stream import VideoStream
from numpy.typing import NDArray

from deploy.core.errors import OptionError, OutputError
from deploy.core.files import atomic_path
from deploy.core.progress import track
from deploy.core.resize import Reduction
from deploy.inputs.report import ReadOptions
from deploy.inputs.video import FrameSelection, VideoInfo
from labeling.core.frames import FrameSize, LrStream, read_pairs

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


def encode_lr(
    info: VideoInfo,
    size: FrameSize,
    selection: FrameSelection,
    reading: ReadOptions,
    reduction: Reduction,
    codec: LrCodec,
    path: Path,
) -> LrStream:
    """Encode every frame of a video between start and stop at low resolution, unless that was done before.

    Args:
        info: the video.
        size: of the low-resolution frame.
        selection: from where to where; every frame between is encoded.
        reading: how the video is read.
        reduction: how frames are reduced.
        codec: how they are encoded.
        path: the file to write; it appears whole. One thread encodes: equal frames make equal bytes.

    Raises:
        OutputError: it cannot be written.
    """
    indices = [n for n, seconds in enumerate(info.seconds) if n not in info.unusable and selection.takes(n, seconds)]
    if not path.exists():
        pairs = read_pairs(info.path, replace(size, has_reference=False), selection, reading, reduction=reduction)
        frames = track(pairs, total=len(indices), label=f"encoding {info.path.stem}")
        with atomic_path(path) as temporary:
            try:
                _encode((pair.lr for pair in frames), info.frame_rate, size, codec, temporary)
            except FFmpegError as error:
                raise OutputError(
                    f"cannot encode {path}: {error.strerror}", hint="Check the free disk space."
                ) from None
    return LrStream(path, {index: position for position, index in enumerate(indices)})


def _encode(frames: Iterator[NDArray[np.uint8]], rate: Fraction, size: FrameSize, codec: LrCodec, path: Path) -> None:
    options = {"preset": "medium"} | ({"crf": str(codec.crf)} if codec.crf is not None else {})
    if codec.encoder == "libx265":
        options["x265-params"] = "pools=none:frame-threads=1:log-level=none"
    with av.open(f"file:{path}", "w", format="matroska") as container:
        stream = container.add_stream(codec.encoder, rate=rate.limit_denominator(1001), options=options)
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{codec.encoder} wrote no video")
        stream.height, stream.width = size.height_px + size.height_px % 2, size.width_px + size.width_px % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        if codec.bits_per_second:
            stream.bit_rate = codec.bits_per_second
        for image in frames:
            even = np.pad(image, ((0, stream.height - len(image)), (0, stream.width - image.shape[1]), (0, 0)), "edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode(None))
