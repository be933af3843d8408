"""Measure how much faster enhancing regions is than super-resolving whole frames, without the detector.

    python benchmarks/enhance.py --json runs/results/enhance.json --page runs/results/enhance.md

Reduces and encodes each clip as a camera would send it. Then measures in turn, frame by frame, so that other load
affects all equally: the whole frame in one piece and in tiles (the fastest counts), and `Enhancer` with every budget.
Both sides include decoding.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of NumPy, before it is imported; the networks' are an option

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from deploy import Enhancer, FrameSelection, Predictor, Upscaler, read_frames
from deploy.core.cli import run
from deploy.core.errors import InputError
from deploy.core.files import write_text
from deploy.core.grid import Grid
from deploy.core.resize import reduce_frame
from deploy.core.tables import Table
from deploy.enhancement import regions as regions_module
from deploy.enhancement.regions import find_regions
from deploy.outputs.video_writer import VideoWriter

STAGES = ("decode", "predict", "select", "regions", "pack", "network", "paste")
ASSETS = Path(__file__).resolve().parents[2] / "shared" / "assets"
DEMO_CLIP = Path(__file__).resolve().parents[1] / "datasets" / "cache" / "vtest.avi"
TILES_PX = (64, 96, 128)
"""Sides of the tiles that are tried for whole frames, without their surroundings."""
WARM_UP = 2


@dataclass(frozen=True)
class EnhanceBenchmark:
    """Options of the benchmark."""

    clips: tuple[Path, ...] = ()
    """Videos; by default four of ../shared/assets/clips/test or of $REGEN_ASSETS, otherwise the demo clip."""
    upscalers: tuple[str, ...] = ("embedded",)
    """Exported upscalers, or "embedded"."""
    predictor: Path | None = None
    """An exported predictor; by default the included one."""
    budgets: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3)
    """Shares of the blocks."""
    threads: tuple[int, ...] = (1, 2)
    """CPU threads of the networks."""
    runtimes: tuple[Literal["onnxruntime", "openvino"], ...] = ("onnxruntime", "openvino")
    """Runtimes of the upscaler."""
    heights: tuple[int, ...] = (180, 360)
    """Heights of the low-resolution frames."""
    frames: int = 12
    """Frames of each clip, without those for warm-up."""
    json: Path | None = None
    """Write the figures to this file."""
    page: Path | None = None
    """Write the tables to this Markdown file."""


@dataclass
class Case:
    """Times of one clip at one size with one upscaler."""

    whole: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds per frame by method."""
    stages: dict[float, list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))
    """Seconds per frame by stage, by budget."""
    areas: dict[float, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """By budget: padded and enhanced pixels of each frame as shares of it."""


def default_clips() -> tuple[Path, ...]:
    """Real clips, if there are any."""
    assets = Path(os.environ.get("REGEN_ASSETS", ASSETS))
    found = [*sorted(assets.glob("clips/test/*.mp4")), *sorted(assets.glob("*.mp4"))][::2][:4]
    return tuple(found) or (DEMO_CLIP,)


def as_sent(clip: Path, height_px: int, count: int, folder: Path) -> Path:
    """The clip as a camera of that height would send it: every few frames, spread over it, H.264."""
    path = folder / f"{clip.stem}-{height_px}.mp4"
    with VideoWriter(path, frame_rate=Fraction(25)) as writer:
        for number, frame in enumerate(read_frames(clip, selection=FrameSelection(every=5))):
            if number == count:
                break
            height, width = frame.image.shape[:2]
            if height < height_px:
                raise InputError(f"{clip} has {height} rows, fewer than {height_px}", hint="Leave it out.")
            width = round(width * height_px / height / 2) * 2
            writer.write(reduce_frame(frame.image, height_px=height_px, width_px=width), pts_seconds=frame.seconds)
    return path


def tiled(upscaler: Upscaler, image: NDArray[np.uint8], side_px: int | None, halo_px: int) -> float:
    """Seconds for the whole frame, in tiles of about this side; None takes one piece."""
    height, width = image.shape[:2]
    grid = Grid(height, width)
    limit = 2**40 if side_px is None else (side_px + 2 * halo_px) ** 2
    regions_module.MOST_PX, before = limit, regions_module.MOST_PX
    try:
        parts = find_regions(np.ones((grid.rows, grid.cols), bool), grid, halo_px)
    finally:
        regions_module.MOST_PX = before
    started = time.perf_counter()
    result = np.empty((height * upscaler.scale, width * upscaler.scale, 3), np.uint8)
    for part in parts:
        result[part.enlarged(upscaler.scale)] = upscaler(np.ascontiguousarray(image[part.padded])[None], part.margins)[
            0
        ]
    return time.perf_counter() - started


def measure(options: EnhanceBenchmark, path: Path, upscaler: Upscaler, predictor: Predictor) -> Case:
    """Whole frames and all budgets, a frame of each in turn."""
    case, halo = Case(), upscaler.halo_px("fast")
    enhancers = {share: Enhancer(predictor, upscaler, budget=f"{100 * share:g}%") for share in options.budgets}
    streams = {share: enhancer.video(path) for share, enhancer in enhancers.items()}
    for number, frame in enumerate(read_frames(path)):
        warm = number >= WARM_UP
        ways = {"one piece": None, **{f"tiles of {side} px": side for side in TILES_PX}}
        for name, side in ways.items():
            seconds = tiled(upscaler, frame.image, side, halo)
            if warm:
                case.whole[name].append(seconds)
        for share, stream in streams.items():
            enhanced = next(stream)
            if warm:
                case.stages[share].append(enhanced.seconds)
                pixels = frame.image.shape[0] * frame.image.shape[1]
                padded = sum(region.padded_px for region in enhanced.regions) / pixels
                useful = sum(region.height * region.width for region in enhanced.regions) / pixels
                case.areas[share].append((padded, useful))
    return case


def rows_of(case: Case) -> Iterator[dict[str, Any]]:
    """A row a budget."""
    way = min(case.whole, key=lambda name: float(np.median(case.whole[name])))
    for share, frames in case.stages.items():
        decode = np.array([frame["decode"] for frame in frames])
        whole = np.array(case.whole[way]) + decode
        ours = np.array([sum(frame.values()) for frame in frames])
        ratios = whole / ours
        stages = {stage: float(np.mean([frame.get(stage, 0.0) for frame in frames])) for stage in STAGES}
        around = sum(stages[stage] for stage in STAGES if stage not in ("decode", "network"))
        yield {
            "budget": share,
            "whole_way": way,
            "whole_seconds": float(np.median(whole)),
            "enhance_seconds": float(np.median(ours)),
            "speedup": float(np.median(ratios)),
            "speedup_p10": float(np.percentile(ratios, 10)),
            "speedup_p90": float(np.percentile(ratios, 90)),
            **{f"{stage}_seconds": seconds for stage, seconds in stages.items()},
            "around_share": around / sum(stages.values()),
            "padded_share": float(np.mean([padded for padded, _ in case.areas[share]])),
            "useful_share_of_padded": float(
                np.mean([useful / padded for padded, useful in case.areas[share] if padded])
            ),
            "num_frames": len(frames),
        }


def measure_all(options: EnhanceBenchmark, folder: Path) -> list[dict[str, Any]]:
    """Every combination."""
    rows: list[dict[str, Any]] = []
    for clip in options.clips or default_clips():
        for height in options.heights:
            sent = as_sent(clip, height, options.frames + WARM_UP, folder)
            for threads in options.threads:
                with Predictor(options.predictor, threads=threads) as predictor:
                    for name in options.upscalers:
                        for runtime in options.runtimes:
                            path = None if name == "embedded" else name
                            with Upscaler(path, runtime=runtime, threads=threads) as upscaler:
                                about = {
                                    "clip": clip.stem,
                                    "upscaler": upscaler.card.name,
                                    "runtime": runtime,
                                    "threads": threads,
                                    "height_px": height,
                                }
                                print(" ".join(map(str, about.values())), file=sys.stderr, flush=True)
                                found = rows_of(measure(options, sent, upscaler, predictor))
                                rows += [about | row for row in found]
    return rows


def table(rows: list[dict[str, Any]]) -> Table:
    """Over the clips: medians, and the range of the clips' medians."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in ("upscaler", "height_px", "runtime", "threads", "budget"))].append(row)

    def middle(group: list[dict[str, Any]], name: str) -> float:
        return float(np.median([row[name] for row in group]))

    lines = []
    for key, group in groups.items():
        speedups = [row["speedup"] for row in group]
        lines.append(
            (
                *map(str, key[:4]),
                f"{key[4]:.0%}",
                f"{1e3 * middle(group, 'whole_seconds'):.0f}",
                f"{1e3 * middle(group, 'enhance_seconds'):.0f}",
                f"{np.median(speedups):.2f} ({min(speedups):.2f} to {max(speedups):.2f})",
                *(f"{1e3 * middle(group, f'{stage}_seconds'):.2f}" for stage in STAGES),
                f"{middle(group, 'around_share'):.1%}",
                f"{middle(group, 'padded_share'):.2f}",
            )
        )
    head = ("upscaler", "height", "runtime", "threads", "budget", "whole ms", "enhance ms", "times as fast (clips)")
    return Table("", (*head, *STAGES, "around", "area"), tuple(lines))


def main() -> None:
    """Measure and write."""
    options = tyro.cli(EnhanceBenchmark, description=__doc__)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure_all(options, Path(folder))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_text(options.json, json.dumps({"rows": rows}, indent=2) + "\n")
    if options.page is not None:
        options.page.parent.mkdir(parents=True, exist_ok=True)
        write_text(options.page, table(rows).markdown() + "\n")
    print(table(rows).text())


if __name__ == "__main__":
    run(main)
