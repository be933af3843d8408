"""Seconds a frame by stage of labelling: decode, upscale, forward, backward, pooling, write.

    python benchmarks/label_speed.py [--video datasets/cache/vtest.avi] [--frames 20] [--json FILE]

The baseline that later work is compared with. Stages are timed one after the other in one process, on the frames and
with the code of ``labeling/make_labels.py``.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import tyro

from deploy.core.cli import run
from deploy.core.files import write_text


@dataclass(frozen=True)
class BenchmarkOptions:
    """What to time."""

    video: Path = Path(__file__).parents[1] / "datasets" / "cache" / "vtest.avi"
    """Video whose frames are labelled."""
    height: int = 192
    """Height of the low-resolution frame."""
    scale: int = 3
    """Super-resolution factor."""
    detector: str = "hog"
    """Registry name."""
    detector_weights: Path | None = None
    """Its file, where it needs one."""
    upscaler: str = "edsr"
    """Registry name."""
    frames: int = 20
    """Frames to time, after two to warm up."""
    device: str = "cpu"
    """cpu or cuda."""
    json: Path | None = None
    """File for the figures."""


def main() -> None:
    """Parse the command line, time, print."""
    options = tyro.cli(BenchmarkOptions, description=__doc__)
    figures = time_stages(options)
    total = sum(figures["seconds_per_frame"].values())
    for stage, seconds in figures["seconds_per_frame"].items():
        print(f"{stage:10s} {seconds * 1e3:9.2f} ms  {100 * seconds / total:5.1f} %")
    print(f"{'total':10s} {total * 1e3:9.2f} ms  ({figures['threads']} threads, {figures['device']})")
    if options.json:
        write_text(options.json, json.dumps(figures, indent=2) + "\n")


def time_stages(options: BenchmarkOptions) -> dict:
    """Label frames stage by stage and return the mean seconds of each."""
    import torch

    from deploy.core.grid import Grid
    from deploy.core.video import FrameSelection, probe
    from labeling.frames import frame_size, read_pairs, to_tensor
    from labeling.maths.importance import block_importance
    from labeling.options import LabelOptions
    from labeling.pipelines.assemble_dataset import WorkFolder
    from labeling.pipelines.labeller import make_labeller
    from labeling.upscalers.simple import interpolate

    label_options = LabelOptions(
        videos=(options.video,), out=Path("unused"), height=options.height, scale=options.scale,
        upscaler=options.upscaler, detector=options.detector, detector_weights=options.detector_weights,
        device=options.device,
    )  # fmt: skip
    size = frame_size(probe(options.video), options.height, options.scale)
    grid = Grid(size.height_px, size.width_px, options.scale)
    labeller = make_labeller(label_options, grid)
    seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        if labeller.device != "cpu":
            torch.cuda.synchronize()
        seconds[name].append(time.perf_counter() - started)

    pairs = read_pairs(options.video, size, FrameSelection(every=10))
    with tempfile.TemporaryDirectory() as folder:
        work = WorkFolder(Path(folder))
        for _ in range(options.frames + 2):
            with stage("decode"):
                pair = next(pairs, None)
            if pair is None:
                break
            with stage("upscale"):
                lr = to_tensor(pair.lr, labeller.device)
                interpolated = interpolate(lr, options.scale)
                reference = None if pair.reference is None else to_tensor(pair.reference, labeller.device)
                sr = labeller.upscaler.upscale(lr, reference)
            with stage("forward"):
                pixels = interpolated.requires_grad_(True)
                detections = labeller.detector.detect(pixels)[0]
            with stage("backward"):
                gradient = (
                    torch.autograd.grad(detections.scores.sum(), pixels)[0][0]
                    if len(detections.scores)
                    else torch.zeros_like(pixels[0])
                )
            with stage("pooling"):
                importance = block_importance(gradient, interpolated[0].detach(), sr[0], grid, "delta")
            with stage("write"):
                work.store_image("benchmark", pair.frame.index, pair.lr)
                work.store_frame("benchmark", pair.frame.index, importance, len(detections.scores))
    means = {
        name: sum(islice(values, 2, None)) / (len(values) - 2) for name, values in seconds.items() if len(values) > 2
    }
    return {
        "seconds_per_frame": means,
        "frames": len(seconds["write"]) - 2,
        "lr_size": [size.width_px, size.height_px],
        "scale": options.scale,
        "detector": options.detector,
        "upscaler": options.upscaler,
        "device": labeller.device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    run(main)
