"""A small dataset that follows the contract, and what the training and export tests share."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.core.grid import Grid
from deploy.outputs.overlay import level_palette
from labeling.dataset.manifest import GridRecord, Manifest, ModelRecord, SourceRecord, SplitRecord, write_manifest
from labeling.maths.split import SPLITS

REPOSITORY = Path(__file__).resolve().parents[2]
ULTRA_LIGHT = REPOSITORY / "paddleseg_configs" / "mobileseg_mobilenetv3_small_x035.yml"
HEIGHT, WIDTH, LEVELS = 64, 96, 5
FRAMES = {"train": 12, "val": 4, "test": 2}


def write_level_png(path: Path, levels: NDArray[np.uint8], num_levels: int = LEVELS) -> None:
    """Write (H, W) levels as a palette PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(levels)
    image.putpalette(level_palette(num_levels))
    image.save(path)


def draw(
    grid: Grid, random: np.random.Generator, num_levels: int = LEVELS
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A noisy frame whose brightness by macroblock follows the levels drawn for it: a task that can be learned."""
    blocks = random.integers(0, num_levels, (grid.rows, grid.cols)).astype(np.uint8)
    levels = grid.upsample(blocks)
    noise = random.normal(0, 8, (grid.height_px, grid.width_px, 3))
    frame = np.clip(30 + levels[..., None] * (225 // num_levels) + noise, 0, 255).astype(np.uint8)
    return frame, levels


def make_dataset(
    folder: Path,
    *,
    height_px: int = HEIGHT,
    width_px: int = WIDTH,
    frames: dict[str, int] = FRAMES,
    num_levels: int = LEVELS,
) -> Path:
    """Write a dataset of random levels: every split is a video of its own."""
    grid = Grid(height_px=height_px, width_px=width_px, scale=3)
    random, jitter = np.random.default_rng(7), np.random.default_rng(8)
    (folder / "importance").mkdir(parents=True)
    splits: dict[Any, SplitRecord] = {}
    for split in SPLITS:
        count = frames.get(split, 0)
        lines, histogram, importance = [], np.zeros(num_levels, int), []
        for number in range(count):
            frame, levels = draw(grid, random, num_levels)
            names = [f"{kind}/{split}_video/{number:06d}.png" for kind in ("origin_images", "labels")]
            (folder / names[0]).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame).save(folder / names[0])
            write_level_png(folder / names[1], levels, num_levels)
            lines.append(" ".join(names))
            importance.append(grid.pool(levels) / 1000 + jitter.random((grid.rows, grid.cols)) / 2000)
            histogram += np.bincount(levels.ravel(), minlength=num_levels)
        (folder / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines))
        np.savez(
            folder / "importance" / f"{split}_video.npz",
            importance=np.array(importance, np.float32).reshape(count, grid.rows, grid.cols),
            frame_index=np.arange(count),
            num_detections=np.ones(count, np.int64),
            split=np.full(count, split),
        )
        splits[split] = SplitRecord(num_frames=count, level_histogram=tuple(histogram.tolist()))
    (folder / "labels.txt").write_text("".join(f"level_{level}\n" for level in range(num_levels)))
    write_manifest(folder, _manifest(grid, splits, num_levels))
    return folder


def _manifest(grid: Grid, splits: dict[Any, SplitRecord], num_levels: int) -> Manifest:
    sources = tuple(
        SourceRecord(
            video_id=f"{split}_video",
            path=f"{split}.mp4",
            sha256="0" * 64,
            width_px=grid.width_px * 3,
            height_px=grid.height_px * 3,
            frame_rate="25",
            num_frames=record.num_frames,
        )
        for split, record in splits.items()
        if record.num_frames
    )
    return Manifest(
        frame_height_px=grid.height_px,
        frame_width_px=grid.width_px,
        grid=GridRecord(name="lr", block_px=16, scale=3, rows=grid.rows, cols=grid.cols),
        num_levels=num_levels,
        scope="frame",
        curve="quantile",
        calibrations={},
        level_edges={},
        detector=ModelRecord(name="none", weights_sha256=""),
        upscaler=ModelRecord(name="none", weights_sha256=""),
        options={},
        sources=sources,
        splits=splits,
        versions={},
    )


@cache
def shared_run(base: Path) -> tuple[Path, Path]:
    """A dataset and the weights of a model trained on it for a while, made once for all tests.

    Args:
        base: the session's temporary folder.
    """
    from paddleseg_configs.training.config.settings import load_settings
    from paddleseg_configs.training.run.loop import TrainOptions, train

    dataset = make_dataset(base / "shared_dataset")
    overrides = [("iters", "80"), ("batch_size", "4"), ("lr_scheduler.warmup_iters", "5")]
    settings = load_settings(ULTRA_LIGHT, dataset=dataset, overrides=overrides)
    options = TrainOptions(save_dir=base / "shared_run", save_interval=80, log_iters=1, do_eval=True)
    return dataset, train(settings, options) / "model.pdparams"


def run_module(module: str, *arguments: object, timeout_seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run ``python -m module`` in the repository."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=timeout_seconds, check=False)
