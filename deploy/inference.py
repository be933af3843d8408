"""From a source of frames to a folder of results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.core.errors import InputError, OptionError
from deploy.core.files import write_text
from deploy.core.progress import track
from deploy.core.video import FrameSelection
from deploy.latency import StageClock
from deploy.output_folder import check_output, replacing
from deploy.postprocess import top_blocks
from deploy.predictor import Predictor
from deploy.preprocess import fit_frame, to_batch
from deploy.results import PictureOptions, ResultWriter
from deploy.sources import FrameSource, open_source

LATENCY_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class InferenceOptions:
    """Options of one run; the command line's, by the same names.

    Raises:
        OptionError: a number is out of its range.
    """

    model: Path
    """The .onnx file."""
    input: Path
    """A video, a folder of images or an image."""
    out: Path
    """The folder to create."""
    overwrite: bool = False
    """Replace the results of an earlier run."""
    backend: str = "auto"
    """"auto" or a backend's name."""
    threads: int | None = None
    """CPU threads; None takes one a CPU of this process."""
    spinning: bool = False
    """Whether idle CPU threads keep polling."""
    every: int = 1
    """Take one frame in so many."""
    start_seconds: float = 0.0
    """First presentation time to take."""
    stop_seconds: float | None = None
    """First presentation time not to take; None means the end."""
    top: float = 0.2
    """Fraction of the macroblocks to enhance, in [0, 1]."""
    overlays: int = 5
    """Number of overlay PNGs."""
    overlay_video: bool | None = None
    """Whether to write overlay.mp4; None means for videos only."""

    def __post_init__(self) -> None:
        if not 0 <= self.top <= 1:
            raise OptionError(f"top={self.top} must be in [0, 1]", hint="Use --top 0.2 for one macroblock in five.")
        if self.overlays < 0:
            raise OptionError(f"overlays={self.overlays} is negative", hint="Use --overlays 0 for none.")


def infer(options: InferenceOptions, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Predict every selected frame and write the results.

    Args:
        options: what to do.
        say: told in one line which backend runs, and why.

    Returns:
        What latency.json holds: backend, number of frames, frames a second, and milliseconds by stage.

    Raises:
        RegenError: the model, the input, the output folder or an option cannot be used. Nothing is left behind.
    """
    selection = FrameSelection(options.start_seconds, options.stop_seconds, options.every)
    check_output(options.out, options.input, overwrite=options.overwrite)
    with Predictor(options.model, options.backend, options.threads, spinning=options.spinning) as predictor:
        say(f"backend: {predictor.backend_report}")
        source = open_source(options.input, selection)
        with replacing(options.out) as folder:
            report = _infer_into(folder, source, predictor, options)
            write_text(folder / "latency.json", json.dumps(report, indent=2) + "\n")
    return report


def _infer_into(folder: Path, source: FrameSource, predictor: Predictor, options: InferenceOptions) -> dict[str, Any]:
    wants_video = source.is_video if options.overlay_video is None else options.overlay_video
    rate = source.frame_rate if wants_video else None
    pictures = PictureOptions(rate, options.overlays, source.num_frames)
    clock, started = StageClock(), time.perf_counter()
    with ResultWriter(folder, predictor.card.grid, pictures, source.image_names) as writer:
        for frame in track(clock.timed(source.frames, "decode"), total=source.num_frames, label="inference"):
            with clock.stage("preprocess"):
                lr = fit_frame(frame.image, predictor.card)
                batch = to_batch(lr, predictor.card)
            with clock.stage("infer"):
                output = predictor.backend.run(batch)
            with clock.stage("postprocess"):
                prediction = predictor.postprocess(output)
                selected = top_blocks(prediction.importance, options.top)
            with clock.stage("write"):
                writer.write(frame, lr, prediction, selected)
        if writer.num_frames == 0:
            raise InputError(f"no frame of {options.input} could be decoded", hint="Check that the file plays.")
    return _report(predictor, writer.num_frames, time.perf_counter() - started, clock)


def _report(predictor: Predictor, num_frames: int, wall_seconds: float, clock: StageClock) -> dict[str, Any]:
    grid = predictor.card.grid
    return {
        "schema_version": LATENCY_SCHEMA_VERSION,
        "model": predictor.card.name,
        "backend": predictor.backend_report,
        "precision": predictor.backend.precision,
        "threads": predictor.backend.threads,
        "height_px": grid.height_px,
        "width_px": grid.width_px,
        "num_frames": num_frames,
        "wall_seconds": round(wall_seconds, 3),
        "frames_per_second": round(num_frames / wall_seconds, 2),
        "stages": clock.summary(),
    }
