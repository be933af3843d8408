"""Frames of a camera or a network stream: reconnects when the stream breaks, times that only go forward."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any

import av
from av.error import FFmpegError

from deploy.core.errors import InputError
from deploy.core.resize import same_shape
from deploy.inputs.containers import pixel_aspect, video_stream
from deploy.inputs.decoding import PacketDecoder, Timed
from deploy.inputs.frame import Fit, Frame, FrameSelection
from deploy.inputs.report import DEFAULT_READING, ReadOptions, SourceReport
from deploy.inputs.upright import Upright, shown_size

_PROTOCOLS = ("rtsp://", "rtsps://", "http://", "https://")
_WEBCAM = "webcam:"


@dataclass(frozen=True)
class LiveOptions:
    """How to deal with a stream that breaks."""

    timeout_seconds: float = 5.0
    """How long to wait for a connection or a frame."""
    reconnects: int = 5
    """Number of failed attempts in a row after which the stream counts as ended."""
    wait_seconds: float = 0.5
    """Before the first new try; doubled each time, up to 10 s."""


def is_live(name: str) -> bool:
    """Whether this input is a stream or a webcam ("webcam:0") rather than a file."""
    return name.startswith((*_PROTOCOLS, _WEBCAM))


def shown_name(name: str) -> str:
    """An input's name for messages: a URL without its password and its query, which may contain a key."""
    return re.sub(r"\?.*", "?***", re.sub(r"//[^/]*@", "//***@", name)) if is_live(name) else name


def file_name_of(name: str) -> str:
    """What to call an input in file names: an address without protocol, password and query; a file without suffix."""
    if is_live(name):
        return re.sub(r"^[^/]*//([^/]*@)?|\?.*", "", name)
    return Path(name).stem


def read_live(
    name: str,
    selection: FrameSelection,
    options: LiveOptions = LiveOptions(),
    fit: Fit | None = None,
    stop: Event | None = None,
    reading: ReadOptions = DEFAULT_READING,
    report: SourceReport | None = None,
) -> Iterator[Frame]:
    """Decode the selected frames of a stream as they come, until it ends for good or `selection` does.

    A stream that breaks is connected again. So is one that ends, except over HTTP, where the server may well send a
    recording: a whole answer is its end.

    Times are exact within a connection, from 0 at the first frame; after a break the clock's seconds since then go on.

    Args:
        name: an RTSP or HTTP address, or "webcam:0".
        selection: which frames to take.
        options: patience.
        fit: the size to scale frames to; None keeps the stream's own.
        stop: once it is set, a stream that broke is not connected again.
        reading: which of its video streams, and what to do about damage.
        report: gathers what is lost, such as frames of another shape than the first, and whether the stream is gone.

    Raises:
        InputError: no frame ever came, or one is lost and `reading` does not allow it.
    """
    stop, report = stop or Event(), report or SourceReport(shown_name(name), reading.damaged)
    index, attempt, begun, last = 0, 0, 0.0, Fraction(-1)
    upright, shape = Upright(fit), (0, 0)
    while True:
        reason = "it ended"
        try:
            offset = Fraction(0) if index == 0 else Fraction(time.monotonic() - begun).limit_denominator(1000)
            for (seconds, decoded), aspect in _connection(name, options, reading, report):
                size = shown_size(decoded, aspect)
                if index == 0:
                    begun, shape = time.monotonic(), size
                pts_seconds = max(offset + seconds, last + Fraction(1, 1000)) if index else Fraction(0)
                if selection.is_past(pts_seconds):
                    return
                if not same_shape(size, shape):
                    report.lose("other_size", f"{size[1]} x {size[0]} at {float(pts_seconds):.3f} s")
                    continue
                if selection.takes(index, pts_seconds):
                    yield Frame(index, pts_seconds, upright(decoded, aspect))
                index, attempt, last = index + 1, 0, pts_seconds
            if index and name.startswith("http"):
                return
        except (FFmpegError, OSError) as error:
            reason = str(error.strerror or error)
        attempt += 1
        if attempt > options.reconnects or stop.is_set():
            break
        wait = min(options.wait_seconds * 2 ** (attempt - 1), 10.0)
        print(
            f"{shown_name(name)}: {reason}; reconnecting in {wait:.1f} s ({attempt} of {options.reconnects})",
            file=sys.stderr,
        )
        if stop.wait(wait):
            break
    if index == 0:
        raise InputError(
            f"no frame from {shown_name(name)}: {reason}",
            hint="Check the address, and whether another player can open it.",
        )
    report.gone = "" if stop.is_set() else reason


def _connection(
    name: str, options: LiveOptions, reading: ReadOptions, report: SourceReport
) -> Iterator[tuple[Timed, Fraction]]:
    """Frames of one connection with their seconds since its first, and the aspect of their pixels."""
    settings: dict[str, Any] = {"timeout": options.timeout_seconds}
    if name.startswith(_WEBCAM):
        name, settings["format"] = f"/dev/video{name.removeprefix(_WEBCAM)}", "v4l2"
    elif name.startswith("rtsp"):
        settings["options"] = {"rtsp_transport": "tcp"}  # lost packets would be gray blocks
    with av.open(name, metadata_errors="ignore", **settings) as container:
        stream, first = video_stream(container, shown_name(name), reading.stream), None
        decoder, aspect = PacketDecoder(stream, container.format.name, report), pixel_aspect(stream)
        for seconds, decoded in decoder.frames(container.demux(stream)):
            first = seconds if first is None else first
            yield (seconds - first, decoded), aspect
