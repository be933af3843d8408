"""Compare reductions of the low-resolution frame by the gain of super-resolution: area, antialiased bicubic, Lanczos.

    python benchmarks/reduction.py CLIP [CLIP ...] --detector-weights yolox_nano.onnx --detector-size 960x544

For frames of each clip: reduces the true frame in each way, enlarges it by bicubic interpolation and by each
upscaler, and compares the detector's F1 against its detections on the true frame. Means over clips, with 95 % bootstrap
intervals over clips for the gain of each upscaler over bicubic.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from deploy.core.cli import run
from deploy.core.files import write_text
from deploy.core.progress import track
from deploy.core.resize import REDUCTIONS, reduce_frame
from deploy.core.statistics import bootstrap_interval
from deploy.core.tables import Table
from deploy.detectors.geometry import parse_size
from deploy.detectors.matching import match
from deploy.inputs.video import FrameSelection, probe, read_frames
from labeling.core.frames import to_tensor
from labeling.detectors import Detector, create_detector
from labeling.maths.split import evenly_spaced
from labeling.upscalers import UPSCALERS, Upscaler
from labeling.upscalers.simple import interpolate
from labeling.utility.enhanced_detection import detect_boxes


@dataclass(frozen=True)
class ReductionOptions:
    """Options of the benchmark."""

    clips: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Videos; their frames are the true frames."""
    detector_weights: Path
    """ONNX file of the detector."""
    detector_size: str | None = None
    """Input size (width x height) of the detector."""
    carn_weights: Path | None = None
    """CARN checkpoint, to compare as well."""
    height: int = 180
    """Height of the low-resolution frame."""
    scale: int = 3
    """Super-resolution factor."""
    frames: int = 10
    """Frames per clip, evenly spaced."""
    json: Path | None = None
    """Write the figures to this file."""


def main() -> None:
    """Parse the command line and measure."""
    options = tyro.cli(ReductionOptions, description=__doc__)
    detector = create_detector("onnx", weights=options.detector_weights, input_size=parse_size(options.detector_size))
    upscalers = {"edsr": UPSCALERS.create("edsr", scale=options.scale, weights=None)}
    if options.carn_weights:
        upscalers["carn"] = UPSCALERS.create("carn", scale=options.scale, weights=options.carn_weights)
    rows = [row for clip in options.clips for row in measure(clip, detector, upscalers, options)]
    print(table(rows, tuple(upscalers)).text())
    if options.json:
        write_text(options.json, json.dumps({"options": asdict(options), "rows": rows}, indent=1, default=str) + "\n")


def measure(
    clip: Path, detector: Detector, upscalers: dict[str, Upscaler], options: ReductionOptions
) -> list[dict[str, object]]:
    """A row for each way of reduction: mean F1 by way of enlarging."""
    info = probe(clip)
    picks = frozenset(evenly_spaced(range(info.num_frames), options.frames))
    height = options.height
    width = round(info.width_px * height / info.height_px)
    if info.height_px < height * options.scale:  # as large as it can be
        height, width = info.height_px // options.scale, info.width_px // options.scale
    found: dict[tuple[str, str], list[float]] = {}
    frames = read_frames(clip, selection=FrameSelection(indices=picks))
    for frame in track(frames, total=len(picks), label=clip.stem):
        true = reduce_frame(frame.image, height_px=height * options.scale, width_px=width * options.scale)
        (reference,) = detect_boxes(detector, to_tensor(true, "cpu"))
        for reduction in REDUCTIONS:
            lr = to_tensor(reduce_frame(frame.image, height_px=height, width_px=width, reduction=reduction), "cpu")
            with torch.no_grad():
                enlarged = {"bicubic": interpolate(lr, options.scale)}
                enlarged |= {name: upscaler.upscale(lr, None) for name, upscaler in upscalers.items()}
            for name, image in enlarged.items():
                found.setdefault((reduction, name), []).append(match(detect_boxes(detector, image)[0], reference).f1)
    return [
        {"clip": clip.stem, "height_px": height, "width_px": width, "reduction": reduction, "frames": len(picks)}
        | {name: round(float(np.mean(values)), 4) for (made, name), values in found.items() if made == reduction}
        for reduction in REDUCTIONS
    ]


def table(rows: list[dict[str, object]], upscalers: tuple[str, ...]) -> Table:
    """Means over clips."""
    lines = []
    for reduction in REDUCTIONS:
        chosen = [row for row in rows if row["reduction"] == reduction]
        base = np.array([row["bicubic"] for row in chosen], float)
        cells = [f"{base.mean():.3f}"]
        for name in upscalers:
            gain = np.array([row[name] for row in chosen], float) - base
            low, high = bootstrap_interval(gain, np.arange(len(gain)))
            cells.append(f"{gain.mean():+.3f} ({low:+.3f}, {high:+.3f}), {int((gain > 0).sum())} of {len(gain)}")
        lines.append((reduction, *cells))
    header = ("reduced by", "bicubic", *(f"{name}: gain, clips that gain" for name in upscalers))
    return Table("F1 against the true frame's detections", header, tuple(lines))


if __name__ == "__main__":
    run(main)
