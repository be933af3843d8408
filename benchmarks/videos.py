"""Compare frames and times of all videos in a folder with an independent decoding. One row per video.

    python benchmarks/videos.py FOLDER [--json FILE]

The other decoding is PyAV's plain loop over FFmpeg's own choice of stream, one frame after the other on one thread,
and, where the program is there, ffprobe's count. Exit code 1: a number of frames, a time or a pixel differs. Frames
that are counted as lost belong to neither side.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
import numpy as np
import tyro
from av.error import FFmpegError

from deploy.core.cli import run
from deploy.core.errors import InputError, RegenError
from deploy.core.files import write_text
from deploy.core.progress import track
from deploy.core.tables import Table
from deploy.inputs.frame import EVERY_FRAME, Frame
from deploy.inputs.report import DEFAULT_READING, ReadOptions, SourceReport
from deploy.inputs.video import expect, read_frames

SUFFIXES = frozenset(
    (".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm")
)
Plain = tuple[Fraction | None, av.VideoFrame]


@dataclass(frozen=True)
class VideosOptions:
    """Options of the comparison."""

    folder: tyro.conf.Positional[Path]
    """Folder with videos, searched recursively."""
    json: Path | None = None
    """Write the figures to this file."""


@dataclass(frozen=True)
class Comparison:
    """One video, read in both ways."""

    name: str
    """Path below the folder."""
    frames: int = 0
    """As the project reads it."""
    plain_frames: int = 0
    """As PyAV's plain loop gives them, without damaged ones and those of another size."""
    other_times: int = 0
    """Frames whose time is not the container's, though that is later than the frame before."""
    other_pixels: int = 0
    """Frames that are shown as they are stored, and differ in a pixel."""
    lost: int = 0
    """Frames that are counted as lost."""
    ffprobe_frames: int | None = None
    """As ffprobe counts them; None without that program."""
    refused: str = ""
    """Why the project does not read it."""

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs. What ffprobe counts beyond must be known as lost."""
        probed = self.ffprobe_frames is None or self.frames <= self.ffprobe_frames <= self.frames + self.lost
        return self.frames == self.plain_frames and not self.other_times + self.other_pixels and probed


def main() -> None:
    """Parse the command line, compare, print."""
    options = tyro.cli(VideosOptions, description=__doc__)
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise InputError(f"no videos in {options.folder}", hint=f"Names end in {', '.join(sorted(SUFFIXES))}.")
    found = [compare(path, options.folder) for path in track(paths, total=len(paths), label="videos", unit="video")]
    print(table(found).text())
    if options.json:
        write_text(options.json, json.dumps([asdict(row) for row in found], indent=2) + "\n")
    sys.exit(0 if all(row.is_equal or row.refused for row in found) else 1)


def compare(path: Path, folder: Path) -> Comparison:
    """Read one video in both ways."""
    name, report = str(path.relative_to(folder)), SourceReport(path.name)
    counts = {"frames": 0, "plain_frames": 0, "other_times": 0, "other_pixels": 0}
    last: Fraction | None = None
    try:
        is_damaged = expect(path, EVERY_FRAME, DEFAULT_READING).is_damaged
        ours = read_frames(path, reading=ReadOptions(frame_threads=not is_damaged), report=report)
        for frame, plain in zip_longest(ours, plain_frames(path)):
            counts["frames"] += frame is not None
            counts["plain_frames"] += plain is not None
            if frame is not None and plain is not None:
                counts["other_times"] += has_other_time(frame, plain, last)
                counts["other_pixels"] += has_other_pixels(frame, plain)
                last = frame.pts_seconds
    except RegenError as error:
        return Comparison(name, refused=str(error).replace(str(path), path.name))
    lost = sum(loss.count for loss in report.losses)
    return Comparison(name, **counts, lost=lost, ffprobe_frames=ffprobe_frames(path))


def plain_frames(path: Path) -> Iterator[Plain]:
    """Frames of FFmpeg's best stream that are whole and of the first one's size; AVI and ASF have no order of times."""
    with av.open(f"file:{path}", metadata_errors="ignore") as container:
        unordered = container.format.name in ("avi", "asf")
    times = iter(sorted(frame.pts * frame.time_base for frame in decoded_frames(path)) if unordered else ())
    size = None
    for decoded in decoded_frames(path):
        own = next(times, None) if decoded.pts is None or unordered else decoded.pts * decoded.time_base
        size = size or (decoded.width, decoded.height)
        if size == (decoded.width, decoded.height):
            yield own, decoded


def decoded_frames(path: Path) -> Iterator[av.VideoFrame]:
    """What the decoder gives and does not call damaged."""
    with av.open(f"file:{path}", metadata_errors="ignore") as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                yield from (decoded for decoded in packet.decode() if not decoded.is_corrupt)
            except FFmpegError:
                continue


def has_other_time(frame: Frame, plain: Plain, last: Fraction | None) -> bool:
    """Whether a frame lacks the container's time, which is later than the last frame's."""
    own = plain[0]
    return own is not None and (last is None or own > last) and frame.pts_seconds != own


def has_other_pixels(frame: Frame, plain: Plain) -> bool:
    """Whether a frame that is neither turned nor stretched nor HDR has other pixels."""
    decoded = plain[1]
    if frame.image.shape[:2] != (decoded.height, decoded.width) or decoded.color_trc in (16, 18):
        return False
    return not decoded.rotation and not np.array_equal(frame.image, decoded.to_ndarray(format="rgb24"))


def ffprobe_frames(path: Path) -> int | None:
    """How many frames ffprobe decodes; None without the program."""
    program = shutil.which("ffprobe")
    if program is None:
        return None
    with av.open(f"file:{path}", metadata_errors="ignore") as container:
        index = str(container.streams.best("video").index)
    command = [program, "-v", "quiet", "-threads", "1", "-select_streams", index, "-count_frames"]
    command += ["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", f"file:{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().split(",")[0]
    return int(said) if said.isdigit() else None


def table(rows: list[Comparison]) -> Table:
    """A row a video."""
    header = ("video", "frames", "plain", "other times", "other pixels", "lost", "ffprobe", "")
    cells = []
    for row in rows:
        numbers = (row.frames, row.plain_frames, row.other_times, row.other_pixels, row.lost)
        probed = "-" if row.ffprobe_frames is None else str(row.ffprobe_frames)
        verdict = f"refused: {row.refused}" if row.refused else "equal" if row.is_equal else "DIFFERENT"
        cells.append((row.name, *map(str, numbers), probed, verdict))
    return Table("", header, tuple(cells))


if __name__ == "__main__":
    run(main)
