"""Opening a video, and which of its streams are the pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError
from av.stream import Disposition

from deploy.core.errors import InputError

UNSAFE_CODECS = frozenset({"camstudio"})
"""CamStudio: FFmpeg's decoder shows memory that was never written (CVE-2026-125184, docs/known-holes.md)."""
REENCODE = "Check that the file plays, or re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
_STILLS = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
_MOST_OBLONG_PIXEL = 4
"""Pixels of anamorphic video are at most three times as wide as high, or the reverse."""


def open_container(path: Path) -> av.container.InputContainer:
    """Open a video file.

    Raises:
        InputError: missing, or not a video.
    """
    if not path.exists():
        raise InputError(f"video not found: {path}", hint="Check the path.")
    if not path.is_file():
        raise InputError(f"not a file: {path}", hint="Use a video file.")
    try:
        # By protocol: FFmpeg would take a file named "concat:a|b" or "http:a" for an address.
        return av.open(f"file:{path}", metadata_errors="ignore")
    except FFmpegError as error:
        raise InputError(f"not a readable video: {path} ({error.strerror})", hint=REENCODE) from None


def video_stream(container: av.container.InputContainer, name: object, wanted: int | None = None) -> av.VideoStream:
    """The stream of pictures: the default one, or the largest, never a cover.

    Args:
        container: an open video.
        name: of the video, for messages.
        wanted: index of the stream to take instead.

    Raises:
        InputError: there is none, no decoder for it, or one that is not safe.
    """
    stream = _best(container, name) if wanted is None else _numbered(container, name, wanted)
    if stream.codec_context is None:
        raise InputError(f"{name}: no decoder for this codec", hint=REENCODE)
    if stream.codec_context.name in UNSAFE_CODECS:
        raise InputError(f"{name}: the codec {stream.codec_context.name!r} is not safe to decode", hint=REENCODE)
    return stream


def _best(container: av.container.InputContainer, name: object) -> av.VideoStream:
    streams = [stream for stream in container.streams.video if not stream.disposition & _STILLS]
    if not streams:
        raise InputError(
            f"no video stream in {name}", hint="Use a file with a video stream, not only sound or a cover image."
        )

    def rank(stream: av.VideoStream) -> tuple[bool, bool, int]:
        codec = stream.codec_context
        size = 0 if codec is None else codec.width * codec.height
        return codec is not None, bool(stream.disposition & Disposition.default), size

    return max(streams, key=rank)  # of equal ones the first


def _numbered(container: av.container.InputContainer, name: object, wanted: int) -> av.VideoStream:
    for stream in container.streams.video:
        if stream.index == wanted:
            return stream
    known = ", ".join(str(stream.index) for stream in container.streams.video) or "none"
    raise InputError(f"{name}: stream {wanted} is not a video stream", hint=f"Its video streams: {known}.")


def frame_rate(stream: av.VideoStream) -> Fraction:
    """Average frames per second, if the container knows it."""
    rate = Fraction(stream.average_rate or stream.base_rate or 25)
    return rate if rate > 0 else Fraction(25)


def pixel_aspect(stream: av.VideoStream) -> Fraction:
    """Width of a stored pixel over its height, as shown; 1 if not stated."""
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    return aspect if Fraction(1, _MOST_OBLONG_PIXEL) <= aspect <= _MOST_OBLONG_PIXEL else Fraction(1)
