"""Frames per second of labeling's networks on a GPU: detectors x number types x batch sizes, and the share of the peak.

    python benchmarks/label_gpu.py VIDEO [--out runs/results/label_gpu.md]

A frame is: EDSR enlarges it, the detector's forward pass on the interpolated frame, the gradient of its scores with
respect to the pixels. EfficientDet's weights are random where none are in the cache: they are as fast.
Floating-point operations are those that PyTorch counts; the peak is the best of some large matrix products in the same
number type, in the same run.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from label_speed import BenchmarkOptions, find_weights, two_sizes

from deploy.core.cli import run
from deploy.core.files import write_text
from deploy.core.tables import Table


@dataclass(frozen=True)
class GpuOptions:
    """Options of the benchmark."""

    video: Annotated[Path, tyro.conf.Positional] = Path(__file__).parents[1] / "datasets" / "cache" / "vtest.avi"
    """Video whose first frame is labeled repeatedly."""
    height: int = 360
    """Height of the low-resolution frame."""
    scale: int = 3
    """Super-resolution factor."""
    detectors: tuple[str, ...] = ("efficientdet-d0", "centernet")
    """Names of detectors that need no --detector-weights."""
    precisions: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    """Number types."""
    batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Batch sizes."""
    seconds: float = 3.0
    """Duration of each case, after warm-up."""
    device: str = "cuda"
    """cuda, cuda:N, or cpu (to test the command)."""
    out: Path | None = None
    """Write the table to this Markdown file."""


def main() -> None:
    """Parse the command line, time, print."""
    options = tyro.cli(GpuOptions, description=__doc__)
    from labeling.networks.devices import pick_device

    pick_device(options.device)  # says so where there is no GPU
    table = "\n".join(_table(options)) + "\n"
    print(table)
    if options.out:
        write_text(options.out, table)


def _table(options: GpuOptions) -> list[str]:
    import torch

    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else "CPU"
    lines = [
        "# Labeling's networks on a GPU",
        "",
        "<!-- parsed only: needs an NVIDIA GPU -->",
        "```bash",
        f"python benchmarks/label_gpu.py {options.video.name} --height {options.height} --device {options.device}",
        "```",
        "",
        f"{name}, torch {torch.__version__}; EDSR (embedded) x{options.scale} from {options.height} lines.",
        "",
    ]
    cells: list[tuple[str, ...]] = []
    peaks = {precision: _peak(options.device, precision) for precision in options.precisions}
    for detector in options.detectors:
        for precision in options.precisions:
            step, images = _networks(options, detector, precision)
            for batch in options.batches:
                row = _measure(step, images, batch, options)
                head = detector, precision, str(batch)
                if row is None:
                    cells.append((*head, "out of memory", "", "", "", ""))
                    continue
                rate, work = row
                share, peak = rate * work / peaks[precision], peaks[precision] / 1e12
                figures = f"{rate:.1f}", f"{work / 1e9:.1f}", f"{share * peak:.3g}", f"{peak:.3g}", f"{share:.0%}"
                cells.append((*head, *figures))
    header = ("detector", "number type", "batch", "frames/s", "GFLOP a frame", "TFLOP/s", "peak, TFLOP/s")
    return [*lines, Table("", (*header, "share of the peak"), tuple(cells)).markdown()]


def _networks(options: GpuOptions, detector: str, precision: str) -> tuple[Any, Any]:
    """A function of a batch that does a frame's work, and the LR frame (1, 3, H, W)."""
    import torch

    from deploy.inputs.video import FrameSelection, read_frames
    from labeling.core.frames import to_tensor
    from labeling.detectors import create_detector
    from labeling.networks.devices import autocast
    from labeling.upscalers import UPSCALERS
    from labeling.upscalers.simple import interpolate

    image = next(iter(read_frames(options.video, selection=FrameSelection()))).image
    size = (options.height, round(image.shape[1] * options.height / image.shape[0]))
    lr, sr = two_sizes(image, size, options.scale)
    with tempfile.TemporaryDirectory() as folder:
        chosen = BenchmarkOptions(video=options.video, detector=detector)
        found = create_detector(detector, weights=find_weights(chosen, sr, Path(folder))[0])
    upscaler = UPSCALERS.create("edsr", scale=options.scale, weights=None)

    def step(frames: Any) -> None:
        with autocast(options.device, precision):
            upscaler.upscale(frames, None)
            pixels = interpolate(frames, options.scale).requires_grad_(True)
            total = sum(one.scores.sum() for one in found.detect(pixels))
        if isinstance(total, torch.Tensor) and total.requires_grad:
            torch.autograd.grad(total, pixels)

    return step, to_tensor(lr, options.device)


def _measure(step: Any, image: Any, batch: int, options: GpuOptions) -> tuple[float, float] | None:
    """Frames a second and floating-point operations a frame; None where memory is short."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    frames = image.expand(batch, -1, -1, -1).contiguous()
    try:
        with FlopCounterMode(display=False) as counter:
            step(frames)
        repeats, started = 0, _now(options.device)
        while repeats < 2 or _now(options.device) - started < options.seconds:
            step(frames)
            repeats += 1
        return batch * repeats / (_now(options.device) - started), counter.get_total_flops() / batch
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None


def _peak(device: str, precision: str) -> float:
    """Operations a second of the best of some large matrix products."""
    import torch

    best = 0.0
    for side in (2048, 4096, 8192) if device.startswith("cuda") else (1024,):
        matrix = torch.randn(side, side, device=device, dtype=getattr(torch, precision))
        matrix @ matrix
        started = _now(device)
        for _ in range(10):
            matrix @ matrix
        best = max(best, 20 * side**3 / (_now(device) - started))
    return best


def _now(device: str) -> float:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    run(main)
