"""From sources of frames to a folder of results: decode ahead, infer, select over all streams, write behind."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import InputError
from deploy.core.files import write_text
from deploy.inference.background import Behind
from deploy.inference.latency import StageClock
from deploy.inference.options import InferenceOptions, RuntimeOptions
from deploy.inference.streams import DEPTH, Streams, keep, open_streams, require_all_there
from deploy.inputs.live import shown_name
from deploy.inputs.sources import FrameSource
from deploy.inputs.video import Fit, Frame
from deploy.outputs.going_on import Kept
from deploy.outputs.growing_files import segment_of
from deploy.outputs.growing_folder import growing
from deploy.outputs.output_folder import folder_of_stream
from deploy.outputs.results import PictureOptions, ResultWriter
from deploy.prediction.predictor import Prediction, Predictor
from deploy.prediction.view import View

LATENCY_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Decoded:
    """One frame that is to be predicted."""

    stream: int
    """Position of its stream on the command line."""
    frame: Frame
    """As decoded; those of videos and streams have been scaled to the size that their view asks for."""
    view: View
    """How it goes through the model."""
    lr: NDArray[np.uint8]
    """(height_px, width_px, 3) uint8 RGB, at the size of the prediction's grid."""
    batch: NDArray[Any]
    """As the model takes it, several times as large as the frame."""


@dataclass(frozen=True)
class Predicted:
    """One frame with its prediction. It does not keep the model's input: frames may wait long."""

    stream: int
    """Position of its stream on the command line."""
    frame: Frame
    """As decoded."""
    lr: NDArray[np.uint8]
    """(height_px, width_px, 3) uint8 RGB."""
    prediction: Prediction
    """What the model says."""
    is_own: bool
    """Whether of this very frame, not of an earlier one."""


Selected = tuple[Predicted, NDArray[np.bool_]]
"""One frame and its (rows, cols) macroblocks to enhance."""


def open_predictor(options: RuntimeOptions) -> Predictor:
    """The predictor that options name."""
    return Predictor(
        options.model,
        backend=options.backend,
        threads=options.threads,
        spinning=options.spinning,
        lr_height=options.lr_height,
        fit=options.fit,
    )


def infer(options: InferenceOptions, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Predict every selected frame and write the results.

    Args:
        options: what to do.
        say: told in a line each which backend runs, and where an interrupted run goes on.

    Returns:
        What latency.json holds: backend, number of frames, frames a second, and milliseconds by stage.

    Raises:
        RegenError: the model, the input, the output folder or an option cannot be used. What was done stays.
    """
    with open_predictor(options) as predictor:
        if options.model is None:
            say(f"predictor: {predictor.card.name}, included with the project (use your own with --model)")
        say(f"backend: {predictor.backend_report}")
        with growing(
            options.out, options.work(), options.input, overwrite=options.overwrite, resumable=options.resumable()
        ):
            folders = [folder_of_stream(options.out, options.input, n) for n in range(len(options.input))]
            kept = keep(options.input, folders, options.map_options.segment_seconds, options.window)
            sources = open_streams(options, [_fit(name, predictor) for name in options.input], kept, say)
            with ExitStack() as stack:
                writers = [
                    stack.enter_context(_writer(folder, source, options, done))
                    for folder, source, done in zip(folders, sources, kept, strict=True)
                ]
                report = _infer_into(writers, sources, predictor, options)
            require_all_there(sources)
            write_text(options.out / "latency.json", json.dumps(report, indent=2) + "\n")
    for source in sources:
        source.report.show()
    return report


def _infer_into(
    writers: list[ResultWriter], sources: list[FrameSource], predictor: Predictor, options: InferenceOptions
) -> dict[str, Any]:
    clock, started = StageClock(), time.perf_counter()
    decode = partial(_prepare, predictor=predictor, clock=clock)
    with Behind(_write_to(writers, clock, options), DEPTH) as write, Streams(sources, decode, "inference") as streams:
        for work in _selected(_predicted(streams, predictor, clock, options), clock, options):
            write.put(work)
    for name, writer in zip(options.input, writers, strict=True):
        if writer.num_frames == 0:
            raise InputError(f"no frame of {shown_name(name)} could be decoded", hint="Check that the file plays.")
    num_frames = sum(writer.num_frames for writer in writers)
    report = _report(predictor, num_frames, time.perf_counter() - started, clock)
    return report | {"num_dropped": streams.num_dropped, "inputs": list(map(_about, sources, writers))}


def _about(source: FrameSource, writer: ResultWriter) -> dict[str, Any]:
    """What latency.json says of one input."""
    return {
        "name": source.report.name,
        "num_frames": writer.num_frames,
        "first_pts_seconds": float(writer.first_pts_seconds),
        "losses": [asdict(loss) for loss in source.report.losses],
        "notes": source.report.notes,
    }


def _fit(name: str, predictor: Predictor) -> Fit:
    def fit(height_px: int, width_px: int) -> tuple[int, int]:
        with _naming(shown_name(name)):
            return predictor.view(height_px, width_px).decoded_px

    return fit


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Say whose frame it is that cannot be used."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}", hint=error.hint) from None


def _writer(folder: Path, source: FrameSource, options: InferenceOptions, done: Kept) -> ResultWriter:
    wants_video = source.is_video if options.overlay_video is None else options.overlay_video
    num_frames = source.num_frames and done.num_frames + source.num_frames
    pictures = PictureOptions(source.frame_rate if wants_video else None, options.overlays, num_frames)
    return ResultWriter(folder, pictures, options.map_options, num_before=done.num_frames)


def _prepare(position: int, source: FrameSource, predictor: Predictor, clock: StageClock) -> Iterator[Decoded]:
    """Decode and preprocess one stream; runs in a thread of its own."""
    for frame in clock.timed(source.frames, "decode"):
        with clock.stage("preprocess"), _naming(frame.image_name or source.report.name):
            view = predictor.view(*frame.image.shape[:2])
            pixels = view.to_input(frame.image)
            lr = pixels if view.grid == view.card.grid else frame.image
            batch = view.to_batch(pixels)
        yield Decoded(position, frame, view, lr, batch)


def _predicted(
    items: Iterable[Decoded], predictor: Predictor, clock: StageClock, options: InferenceOptions
) -> Iterator[Predicted]:
    """Predict each frame, or reuse the last prediction of its stream: a segment begins with one of its own."""
    rules = [options.reuse() for _ in options.input]
    segments = [0 for _ in options.input]
    last: dict[int, Prediction] = {}
    for work in items:
        segment = segment_of(work.frame.seconds, options.map_options.segment_seconds)
        if segment != segments[work.stream]:
            segments[work.stream], rules[work.stream] = segment, options.reuse()
        wanted = rules[work.stream].wants(work.lr)
        if wanted:
            with clock.stage("infer"):
                output = predictor.backend.run(work.batch)
            with clock.stage("postprocess"):
                last[work.stream] = predictor.postprocess(output, work.view)
        yield Predicted(work.stream, work.frame, work.lr, last[work.stream], wanted)


def _selected(items: Iterator[Predicted], clock: StageClock, options: InferenceOptions) -> Iterator[Selected]:
    """Collect the frames of each window, choose among all their macroblocks, and pass them on."""
    rule, length = options.rule, options.window
    waiting: list[Predicted] = []
    window = 0

    def choose() -> Iterator[Selected]:
        with clock.stage("select"):
            maps = [work.prediction.importance for work in waiting]
            masks = rule.select(maps, window, length or Fraction(1)) if maps else []
        yield from zip(waiting, masks, strict=True)

    for number, work in enumerate(items):
        current = number if length is None else math.floor(work.frame.seconds / length)
        if current != window:
            yield from choose()
            waiting, window = [], current
        waiting.append(work)
    yield from choose()


def _write_to(writers: list[ResultWriter], clock: StageClock, options: InferenceOptions) -> Callable[[Selected], None]:
    def write(item: Selected) -> None:
        work, selected = item
        with clock.stage("write"):
            writer = writers[work.stream]
            line = writer.write(work.frame, work.lr, work.prediction, selected, predicted=work.is_own)
            if options.blocks:
                print(json.dumps({"stream": work.stream} | line), flush=True)

    return write


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
