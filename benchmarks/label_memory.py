"""Check that memory and speed of labeling stay constant: label a long video and monitor the process.

    python benchmarks/label_memory.py [VIDEO] [--frames 10000] [--json FILE]

The video's frames are repeated until there are enough, reduced to a small size so that it ends soon. The threshold is
so low that frames have detections, and so their super-resolution and their gradient. Time is processor seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import psutil
import tyro
from PIL import Image

from deploy.core.cli import run
from deploy.core.errors import InputError
from deploy.core.files import write_text
from deploy.inputs.video import probe, read_frames

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class MemoryOptions:
    """Options of the benchmark."""

    video: Annotated[Path, tyro.conf.Positional] = ROOT / "datasets" / "cache" / "vtest.avi"
    """Source of the frames."""
    frames: int = 10_000
    """Number of frames."""
    height: int = 48
    """Height of the low-resolution frame; the long video is three times as high."""
    score_threshold: float = 0.05
    """Score threshold of the detector."""
    every_seconds: float = 1.0
    """Interval between two measurements."""
    json: Path | None = None
    """Write the figures to this file."""


def main() -> None:
    """Parse the command line, label, print."""
    options = tyro.cli(MemoryOptions, description=__doc__)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "long.mkv"
        write_long(options.video, video, frames=options.frames, height_px=options.height * 3)
        seen = _watch(options, video, Path(folder) / "dataset")
    figures = _summary(seen, options.frames)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if options.json:
        write_text(options.json, json.dumps(figures, indent=2) + "\n")


def write_long(source: Path, path: Path, *, frames: int, height_px: int) -> None:
    """Write the frames of a clip in a circle, reduced, x264."""
    info = probe(source)
    width_px = round(info.width_px * height_px / info.height_px / 2) * 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = height_px, width_px
        again = chain.from_iterable(read_frames(source) for _ in count())
        for frame in islice(again, frames):
            small = Image.fromarray(frame.image).resize((width_px, height_px), Image.Resampling.BOX)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(small), format="rgb24")))
        container.mux(stream.encode())


def _watch(options: MemoryOptions, video: Path, out: Path) -> list[tuple[float, int, float]]:
    """(processor seconds, frames done, resident MB) from the first frame to the last."""
    command = [sys.executable, str(ROOT / "labeling" / "make_labels.py"), str(video), "--out", str(out)]
    settings = ["--height", str(options.height), "--score-threshold", str(options.score_threshold)]
    process = subprocess.Popen([*command, *settings], stderr=subprocess.DEVNULL)
    labelling, seen = psutil.Process(process.pid), []
    while process.poll() is None:
        time.sleep(options.every_seconds)
        work = next(out.parent.glob(f".{out.name}.partial-*/frames/*"), None)
        done = sum(1 for _ in work.iterdir()) if work else 0
        try:
            used = labelling.cpu_times()
            seen.append((used.user + used.system, done, labelling.memory_info().rss / 2**20))
        except psutil.NoSuchProcess:
            break
    if process.wait() or not seen:
        raise InputError(f"labeling ended with {process.returncode}", hint="Run the command by hand to see why.")
    return seen


def _summary(seen: list[tuple[float, int, float]], frames: int) -> dict[str, object]:
    """Memory and speed in tenths of the work."""
    running = [entry for entry in seen if 0 < entry[1] < frames]
    tenths = [[e for e in running if e[1] * 10 // frames == tenth] for tenth in range(10)]
    memory = [round(float(np.median([rss for _, _, rss in part])), 1) if part else None for part in tenths]
    cost = [
        round(1e3 * (part[-1][0] - part[0][0]) / (part[-1][1] - part[0][1]), 1) if len(part) > 1 else None
        for part in tenths
    ]
    return {
        "frames": frames,
        "resident_mb_by_tenth": memory,
        "processor_ms_per_frame_by_tenth": cost,
        "resident_mb_at_most": round(max(rss for _, _, rss in seen), 1),
    }


if __name__ == "__main__":
    run(main)
