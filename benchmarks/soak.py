"""Check that memory and file descriptors stay constant over many frames on two streams.

    python benchmarks/soak.py --model MODEL.onnx [--enhance] [--frames 10000] [--json FILE]

A clip's frames are repeated into two long videos of the model's height; deploy/trt_infer.py predicts, or
deploy/enhance.py enhances, both as two streams. Exit code 0: from the fifth tenth of the work to the last, memory grew
by no more than `GROWTH_BYTES_A_FRAME` (until then the allocator's pools grow) and the number of descriptors not at all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import tyro
from label_memory import write_long

from deploy.cards.model_card import read_card
from deploy.core.cli import run
from deploy.core.errors import InputError, RegenError
from deploy.core.files import write_text

ROOT = Path(__file__).resolve().parents[1]
STREAMS = 2
GROWTH_BYTES_A_FRAME = 512
"""What may stay of each frame: its time, its index, the durations of its stages, its place in the overlay video."""


@dataclass(frozen=True)
class SoakOptions:
    """Options of the test."""

    model: Path
    """The .onnx file, with its card next to it."""
    video: Path = ROOT / "datasets" / "cache" / "vtest.avi"
    """Source of the frames, with the model's aspect ratio."""
    frames: int = 10_000
    """Number of frames in both streams together."""
    enhance: bool = False
    """Also super-resolve 10 % of the blocks, on frames of 64 lines."""
    every_seconds: float = 0.2
    """Interval between two measurements."""
    json: Path | None = None
    """Write the figures to this file."""


@dataclass(frozen=True)
class Look:
    """The process at one moment."""

    frames: int
    """Written so far."""
    resident_bytes: int
    descriptors: int


def main() -> None:
    """Parse the command line, infer, print."""
    options = tyro.cli(SoakOptions, description=__doc__)
    height_px = 64 if options.enhance else read_card(options.model).grid.height_px
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        long = Path(folder) / "long.mkv"
        write_long(options.video, long, frames=options.frames // STREAMS, height_px=height_px)
        figures = summary(watch(options, long, Path(folder) / "maps"), options.frames)
    print(text := json.dumps(figures, indent=2) + "\n")
    if options.json:
        write_text(options.json, text)
    if figures["growth_bytes_a_frame"] > GROWTH_BYTES_A_FRAME or figures["more_descriptors"] > 0:
        raise RegenError(
            "memory or descriptors grow during inference", hint="Look for references to frames or open files."
        )


def watch(options: SoakOptions, video: Path, out: Path) -> list[Look]:
    """Infer, and look at the process until it ends."""
    inputs = [str(video)] * STREAMS
    if options.enhance:
        command = ["deploy/enhance.py", "--predictor", options.model.resolve(), "--budget", "10%"]
    else:
        command = ["deploy/trt_infer.py", "--model", options.model.resolve(), "--backend", "onnxruntime"]
    command = [sys.executable, *command, "--input", *inputs, "--out", out, "--threads", "1"]
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=subprocess.DEVNULL)
    inference, looks = psutil.Process(process.pid), []
    while process.poll() is None:
        time.sleep(options.every_seconds)
        growing = [*out.parent.glob(f".{out.name}.partial/*/*/blocks.jsonl"), *out.glob("*/blocks.jsonl")]
        lines = sum(path.read_bytes().count(b"\n") for path in growing)
        try:
            looks.append(Look(lines, inference.memory_info().rss, inference.num_fds()))
        except psutil.NoSuchProcess:
            break
    if process.wait() or not looks:
        raise InputError(f"inference ended with {process.returncode}", hint="Run the command by hand to see why.")
    return looks


def summary(looks: list[Look], frames: int) -> dict[str, float | list[float]]:
    """Medians by tenth of the work, and the growth from the fifth to the last.

    Raises:
        InputError: a tenth has no measurement.
    """
    tenths = [
        [look for look in looks if 0 < look.frames < frames and look.frames * 10 // frames == n] for n in range(10)
    ]
    if not all(tenths):
        raise InputError("too few measurements", hint="Use more frames, or a smaller --every-seconds.")
    memory = [float(np.median([look.resident_bytes for look in tenth])) for tenth in tenths]
    descriptors = [float(np.median([look.descriptors for look in tenth])) for tenth in tenths]
    return {
        "frames": frames,
        "streams": STREAMS,
        "resident_mib_by_tenth": [round(value / 2**20, 1) for value in memory],
        "descriptors_by_tenth": descriptors,
        "growth_bytes_a_frame": round((memory[-1] - memory[4]) / (0.5 * frames), 1),
        "more_descriptors": descriptors[-1] - descriptors[4],
    }


if __name__ == "__main__":
    run(main)
