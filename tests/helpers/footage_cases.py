"""What is right for each small video with a fault: which pictures, when, and in what shape."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from tests.helpers.footage import (
    HEIGHT,
    RATE,
    WIDTH,
    encode,
    picture,
    trim,
    with_exif,
    with_hidden_frames,
    write,
)

WHOLE = tuple(range(48))


@dataclass(frozen=True)
class Case:
    """A video and what it shows. Times are in tenths of a second."""

    name: str
    make: Callable[[Path], Path]
    """Makes it in an empty folder."""
    numbers: tuple[int, ...] = WHOLE
    times: tuple[int, ...] | None = None
    """Since the first frame; None is one after the other."""
    lost: int = 0
    """Frames that are counted as lost."""
    shared: tuple[str, ...] = ()
    """Files of the shared folder of which the same is true."""

    @property
    def seconds(self) -> list[Fraction]:
        times = range(len(self.numbers)) if self.times is None else self.times
        return [Fraction(time, RATE) for time in times]


def joined(folder: Path, first: Path, second: Path) -> Path:
    (folder / "joined.ts").write_bytes(first.read_bytes() + second.read_bytes())
    return folder / "joined.ts"


def preview_first(folder: Path) -> Path:
    """Stream 0 is a preview, stream 1 the default."""
    with av.open(str(folder / "preview.mp4"), "w") as container:
        small, large = (container.add_stream("libx264", rate=RATE) for _ in range(2))
        small.pix_fmt = large.pix_fmt = "yuv420p"
        small.disposition, large.disposition = Disposition(0), Disposition.default
        packets = list(encode(small, range(10), size=(48, 64))), list(encode(large, WHOLE))
        for packet in sorted((*packets[0], *packets[1]), key=lambda packet: (packet.dts or 0) * packet.time_base):
            container.mux(packet)
    return folder / "preview.mp4"


def with_cover(folder: Path) -> Path:
    """A cover that is larger than the video, as stream 1."""
    with av.open(str(folder / "cover.mp4"), "w") as container:
        cover, video = container.add_stream("mjpeg", rate=RATE), container.add_stream("libx264", rate=RATE)
        cover.height, cover.width, cover.pix_fmt, cover.disposition = 480, 640, "yuvj420p", Disposition.attached_pic
        video.pix_fmt = "yuv420p"
        packets = [*encode(video, WHOLE)]
        container.mux(cover.encode(av.VideoFrame.from_ndarray(picture(0, 480, 640), format="rgb24")))
        container.mux(cover.encode())
        container.mux(packets)
    return folder / "cover.mp4"


def write_hdr(path: Path, transfer: int = 16) -> Path:
    """Bars of 0.35 and 176 candelas a square metre by the curve of PQ (16; 18 is HLG), in the colors of BT.2020."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = transfer, 9, 9
        for number in WHOLE:
            luma = 162 + (picture(number)[..., 0].astype(int) - 20) * (555 - 162) // 215
            planes = np.concatenate([luma.clip(64, 940), np.full((HEIGHT // 2, WIDTH), 512)]).astype(np.uint16)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p10le")))
        container.mux(stream.encode())
    return path


def cover_first(folder: Path) -> Path:
    """The same as stream 0: tags stand before tracks."""
    path = with_cover(folder)
    data = path.read_bytes()
    at = data.index(b"moov") - 4
    end, boxes = at + int.from_bytes(data[at : at + 4]), list[bytes]()
    start = at + 8
    while start < end:
        size = int.from_bytes(data[start : start + 4])
        boxes.append(data[start : start + size])
        start += size
    boxes.sort(key=lambda box: box[4:8] == b"trak")
    path.write_bytes(data[: at + 8] + b"".join(boxes) + data[end:])
    return path


CASES = (
    Case("plain", lambda folder: write(folder / "v.mp4", max_b_frames=2)),
    Case(
        "unknown side data",
        lambda folder: write(folder / "v.avi", range(12), "mjpeg", pix_fmt="yuvj420p", change=with_exif),
        tuple(range(12)),
        shared=("01_mjpeg_exif.avi",),
    ),
    Case(
        "trimmed head",
        lambda folder: trim(write(folder / "v.mp4"), 3000, 1800),
        tuple(range(30, 48)),
        shared=("02_trimmed_head.mp4",),
    ),
    Case(
        "trimmed tail",
        lambda folder: trim(write(folder / "v.mp4"), 0, 2000),
        tuple(range(20)),
        shared=("02_trimmed_tail.mp4",),
    ),
    Case(
        "empty chunks",
        lambda folder: write(
            folder / "v.avi", WHOLE, "mjpeg", pix_fmt="yuvj444p", keep=lambda number: not 10 <= number < 15
        ),
        (*range(10), *range(15, 48)),
        (*range(10), *range(15, 48)),
        shared=("03_dropped_frames.avi",),
    ),
    Case(
        "begins inside a group",
        lambda folder: write(folder / "v.ts", max_b_frames=2, gop_size=24, keep=lambda number: number >= 15),
        tuple(range(24, 48)),
        lost=9,
        shared=("04_cut_midgop.ts",),
    ),
    Case(
        "hidden frames",
        lambda folder: with_hidden_frames(
            folder / "v.webm",
            write(
                folder / "plain.webm",
                WHOLE,
                "libvpx-vp9",
                gop_size=1,
                settings={"cpu-used": "8", "deadline": "realtime"},
            ),
        ),
        shared=("05_vp9_hidden.webm",),
    ),
    Case(
        "clock restarts",
        lambda folder: joined(
            folder, write(folder / "a.ts", max_b_frames=2), write(folder / "b.ts", max_b_frames=2, start=-5)
        ),
        WHOLE + WHOLE,
        shared=("06_clock_restarts.ts",),
    ),
    Case(
        "clock at 1000 s",
        lambda folder: write(folder / "v.ts", start=1000 * RATE),
        shared=("08_clock_1000.ts", "08_clock_5000.ts"),
    ),
    Case("clock of 33 bits wraps", lambda folder: write(folder / "v.ts", start=2**33 // 9000 - 20)),
    Case("preview first", preview_first, shared=("09_preview_first.mp4",)),
    Case("cover", with_cover),
    Case("cover first", cover_first, shared=("09_cover_first.mp4",)),
    Case(
        "not square",
        lambda folder: write(folder / "v.mp4", aspect=Fraction(16, 11), size=(HEIGHT, 176)),
        shared=("10_not_square.mp4",),
    ),
    Case(
        "turned",
        lambda folder: joined(folder, write(folder / "a.ts"), write(folder / "b.ts", size=(WIDTH, HEIGHT))),
        lost=48,
        shared=("11_turned.ts",),
    ),
    Case("high dynamic range", lambda folder: write_hdr(folder / "v.mkv"), shared=("13_hdr_pq.mp4",)),
    Case("times of decoding, ASF", lambda folder: write(folder / "v.asf", max_b_frames=2), shared=("14_bframes.asf",)),
    Case("times of decoding, AVI", lambda folder: write(folder / "v.avi", max_b_frames=2)),
)
"""Pictures are 256 x 192 when they are shown."""


def paths_of(case: Case, folder: Path) -> list[Path]:
    """The file that is made, and those of the shared folder ($REGEN_CASES), if it is there, of which the same holds."""
    named = os.environ.get("REGEN_CASES")
    shared = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "cases"
    return [case.make(folder), *(shared / name for name in case.shared if (shared / name).is_file())]


each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
