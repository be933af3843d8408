"""Small videos with the faults of real footage. Bars in each picture spell its number in binary, so order shows."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
RATE = 10
HEIGHT, WIDTH = 192, 256
INTERVAL = Fraction(1, RATE)


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> Picture:
    """A moving texture with eight bars, bright where the number's bit is 1, the lowest bit first."""
    texture = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 64), np.uint8)
    image = texture.repeat(8, axis=0).repeat(8, axis=1)[:height, 2 * number : 2 * number + width].copy()
    for bit in range(8):
        image[height // 4 : 3 * height // 4, bit * width // 8 : (bit + 1) * width // 8] = (
            235 if number >> bit & 1 else 20
        )
    return np.repeat(image[..., None], 3, axis=2)


def number_of(image: Picture) -> int:
    """The number that a picture of any size spells."""
    height, width = image.shape[:2]
    rows = slice(height // 4 + height // 16, 3 * height // 4 - height // 16)
    bars = [image[rows, bit * width // 8 + width // 32 : (bit + 1) * width // 8 - width // 32] for bit in range(8)]
    return sum((bar.mean() > 128) << bit for bit, bar in enumerate(bars))


def encode(
    stream: av.VideoStream, numbers: Iterable[int], *, start: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> Iterator[av.Packet[Any]]:
    """Packets of numbered pictures, ten a second; `start` is the time of the first in tenths of a second."""
    stream.height, stream.width = size
    for position, number in enumerate(numbers):
        frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
        frame.pts, frame.time_base = start + position, INTERVAL
        yield from stream.encode(frame)
    yield from stream.encode()


def write(
    path: Path,
    numbers: Iterable[int] = range(48),
    codec: str = "libx264",
    *,
    pix_fmt: str = "yuv420p",
    max_b_frames: int = 0,
    gop_size: int = 12,
    aspect: Fraction | None = None,
    keep: Callable[[int], bool] = lambda position: True,
    change: Callable[[bytes], bytes] | None = None,
    settings: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    start: int = 0,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> Path:
    """Encode numbered pictures; `keep` says which packets are written, `change` what becomes of their bytes."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=settings or {})
        stream.pix_fmt, stream.codec_context.gop_size = pix_fmt, gop_size
        if max_b_frames:
            stream.codec_context.max_b_frames = max_b_frames
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        packets = encode(stream, numbers, start=start, size=size)
        for position, packet in enumerate(packets):
            if keep(position):
                container.mux(packet if change is None else _changed(packet, change))
    return path


def _changed(packet: av.Packet[Any], change: Callable[[bytes], bytes]) -> av.Packet[Any]:
    new: av.Packet[Any] = av.Packet(change(bytes(packet)))
    new.stream, new.time_base, new.is_keyframe = packet.stream, packet.time_base, packet.is_keyframe
    new.pts, new.dts, new.duration = packet.pts, packet.dts, packet.duration
    return new


def with_exif(jpeg: bytes) -> bytes:
    """A JPEG with the EXIF block of a camera."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x010F] = "camera"
    Image.new("L", (8, 8)).save(file, "JPEG", exif=exif)
    data = file.getvalue()
    at = data.index(b"\xff\xe1")
    return jpeg[:2] + data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4])] + jpeg[2:]


def trim(path: Path, start_millis: int, duration_millis: int) -> Path:
    """Cut an MP4 by its edit list alone, as telephones do."""
    data = path.read_bytes()
    at = data.index(b"elst") + 12  # after the version and the number of entries: duration, first media time
    _, media_time = struct.unpack(">Ii", data[at : at + 8])
    with av.open(str(path)) as container:
        ticks = int(Fraction(start_millis, 1000) / (container.streams.video[0].time_base or 1))
    path.write_bytes(data[:at] + struct.pack(">Ii", duration_millis, media_time + ticks) + data[at + 8 :])
    return path


def with_hidden_frames(path: Path, whole: Path) -> Path:
    """Copy a VP9 video of key frames; before every eighth comes a frame that is decoded and never shown.

    Bit 1 of a frame's first byte is show_frame (VP9 Bitstream Specification, 6.2, profile 0).
    """
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"fflags": "-autobsf"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.size:
                packet.stream = stream
                if number % 8 == 1:
                    target.mux(_changed(packet, lambda data: bytes([data[0] & ~2]) + data[1:]))
                target.mux(packet)
    return path


def packet_positions(path: Path) -> list[tuple[int, int]]:
    """(offset, size) of each packet of an MP4 or AVI, in the file's order."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return [(packet.pos or 0, packet.size) for packet in packets if packet.size]


def spoil(path: Path, *numbers: int) -> Path:
    """Overwrite the content of some packets."""
    data = bytearray(path.read_bytes())
    for number in numbers:
        offset, size = packet_positions(path)[number]
        data[offset : offset + size] = bytes(size)
    path.write_bytes(data)
    return path


def cut(path: Path, part: float = 0.6) -> Path:
    """Keep the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path
