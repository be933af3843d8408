"""Compare the speed of training with a loss over macroblocks and with a loss over pixels.

    python benchmarks/train_speed.py --json speed.json
    python benchmarks/train_speed.py --quality DATASET --seeds 3

Iterations of both kinds take turns in one process: loading, augmentation, forward, loss, backward, optimizer, as in
training, on frames of noise whose brightness follows their labels. --quality trains both kinds to the end on a dataset
instead and compares kappa and recall, seed by seed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from deploy.core.cli import run
from deploy.core.files import write_text
from deploy.core.progress import track
from deploy.core.tables import Table

MODELS = ("mobileseg_mobilenetv3_small_x035", "mobileseg_mobilenetv2", "ddrnet23_slim")
SIZES = ((180, 320), (360, 640))
METRICS = ("quadratic_kappa", "top_block_recall", "rank_correlation")


@dataclass(frozen=True)
class SpeedOptions:
    """Options of the benchmark."""

    models: tuple[str, ...] = MODELS
    """Names of configurations."""
    iterations: int = 5
    """Number of pairs of iterations, after the first."""
    batch_size: int = 8
    """Frames per iteration."""
    threads: int = 1
    """CPU threads of Paddle; set OMP_NUM_THREADS for the BLAS library."""
    quality: Path | None = None
    """Instead of timing, train both kinds fully on this dataset."""
    seeds: int = 3
    """Number of trainings of each kind, for --quality."""
    iters: int = 300
    """Iterations per training, for --quality."""
    json: Path | None = None
    """Write the figures to this file."""


def main() -> None:
    """Parse the command line and measure."""
    options = tyro.cli(SpeedOptions, description=__doc__)
    import paddle

    paddle.set_device("cpu")
    paddle.set_flags({"FLAGS_paddle_num_threads": options.threads})
    rows = list(_qualities(options, options.quality)) if options.quality else list(_speeds(options))
    header = tuple(rows[0])
    print(Table("", header, tuple(tuple(_shown(row[name]) for name in header) for row in rows)).text())
    if options.json:
        record = {"batch_size": options.batch_size, "threads": options.threads, "rows": rows}
        write_text(options.json, json.dumps(record, indent=1) + "\n")


def _speeds(options: SpeedOptions) -> Iterator[dict[str, Any]]:
    """A row for each model and size: median seconds of an iteration, their ratio, and its quartiles over the pairs."""
    from paddleseg_configs.training.config.settings import load_settings

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.helpers.paddle_helpers import make_dataset

    with tempfile.TemporaryDirectory(prefix="train-speed-") as folder:
        for height, width in SIZES:
            frames = {"train": options.batch_size, "val": 0, "test": 0}
            dataset = make_dataset(
                Path(folder) / f"{height}", height_px=height, width_px=width, frames=frames, num_levels=10
            )
            for model in options.models:
                overrides = [("batch_size", str(options.batch_size))]
                settings = load_settings(Path(f"{model}.yml"), dataset=dataset, overrides=overrides)
                pixel, block = _seconds(settings, options, Path(folder) / "run")
                ratios = pixel / block
                low, high = np.quantile(ratios, (0.25, 0.75))
                yield {
                    "model": model,
                    "height_px": height,
                    "width_px": width,
                    "pixel_seconds": round(float(np.median(pixel)), 4),
                    "block_seconds": round(float(np.median(block)), 4),
                    "ratio": round(float(np.median(ratios)), 3),
                    "ratio_low": round(float(low), 3),
                    "ratio_high": round(float(high), 3),
                }


def _seconds(settings: Any, options: SpeedOptions, folder: Path) -> tuple[Any, Any]:
    """Seconds of each iteration with a loss over pixels and over blocks, (pairs,) each; the first pair is left out."""
    from paddleseg_configs.training.data.samples import batches
    from paddleseg_configs.training.run.loop import TrainOptions, _Training

    training = _Training(settings, TrainOptions(save_dir=folder), "")
    training.model.train()
    found: dict[str, list[float]] = {"pixel": [], "block": []}
    count = 2 * (options.iterations + 1)
    stream = batches(training.dataset, seed=0, batch_size=options.batch_size, first=0, last=count, num_workers=0)
    label = f"{settings.manifest.frame_width_px} x {settings.manifest.frame_height_px}"
    for index in track(range(count), total=count, label=label):
        kind = "block" if index % 2 else "pixel"
        training._loss = (_pixel_loss if kind == "pixel" else _Training._loss).__get__(training)  # type: ignore[method-assign]
        started = time.perf_counter()
        images, levels = next(stream)
        training._step(index, images, levels)
        found[kind].append(time.perf_counter() - started)
    training.log.close()
    return np.array(found["pixel"][1:]), np.array(found["block"][1:])


def _pixel_loss(training: Any, images: Any, levels: Any) -> Any:
    """The loss of before: over every pixel of logits that were enlarged to the frame's size."""
    outputs = training.network(images)
    losses = [
        weight * function(output, levels) for (function, weight), output in zip(training.terms, outputs, strict=True)
    ]
    return sum(losses[1:], start=losses[0])


def _qualities(options: SpeedOptions, dataset: Path) -> Iterator[dict[str, Any]]:
    """A row for each model and metric: block minus pixel, seed by seed, with a 95 % interval of the mean."""
    from scipy.stats import t

    from paddleseg_configs.training.config.settings import load_settings
    from paddleseg_configs.training.models.components import LevelBuilder
    from paddleseg_configs.training.run import loop
    from paddleseg_configs.training.run.evaluation import evaluate

    kinds = {"pixel": _pixel_loss, "block": loop._Training._loss}
    for model in options.models:
        settings = load_settings(Path(f"{model}.yml"), dataset=dataset, overrides=[("iters", str(options.iters))])
        figures: dict[str, list[Any]] = {kind: [] for kind in kinds}
        for seed in range(options.seeds):
            for kind, loss in kinds.items():
                with tempfile.TemporaryDirectory(prefix="train-quality-") as folder:
                    loop._Training._loss = loss  # type: ignore[method-assign]
                    run_options = loop.TrainOptions(save_dir=Path(folder), save_interval=options.iters, seed=seed)
                    last = loop.train(replace(settings), run_options)
                    builder = LevelBuilder(settings)
                    from paddleseg_configs.training.paddle_fixes.weights import load_weights

                    load_weights(builder.model, last / "model.pdparams")
                    builder.model.eval()
                    figures[kind].append(evaluate(builder.model, builder.val_dataset).figures())
        loop._Training._loss = kinds["block"]  # type: ignore[method-assign]
        for metric in METRICS:
            pixel, block = (np.array([entry[metric] for entry in figures[kind]]) for kind in kinds)
            difference = block - pixel
            reach = t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / len(difference) ** 0.5
            yield {
                "model": model,
                "metric": metric,
                "pixel": round(float(pixel.mean()), 4),
                "block": round(float(block.mean()), 4),
                "difference": round(float(difference.mean()), 4),
                "low": round(float(difference.mean() - reach), 4),
                "high": round(float(difference.mean() + reach), 4),
            }


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    run(main)
