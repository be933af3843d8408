"""From sources of frames to enhanced video: decode ahead, enhance, write behind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from deploy.cards.model_card import ModelCard
from deploy.core.errors import InputError, OptionError
from deploy.core.files import write_text
from deploy.core.resize import reduce_frame
from deploy.detectors.detections import Detections
from deploy.detectors.onnx_detector import OnnxDetector
from deploy.enhancement.budgets import seconds_per_px
from deploy.enhancement.enhancer import Enhancer
from deploy.enhancement.frames import EnhancedFrame, PredictedFrame
from deploy.enhancement.options import EnhanceOptions
from deploy.enhancement.results import EnhancedWriter, Wanted
from deploy.enhancement.upscaler import Upscaler
from deploy.enhancement.windows import chosen
from deploy.inference.background import Behind
from deploy.inference.latency import StageClock
from deploy.inference.streams import DEPTH, Streams, keep, open_streams, require_all_there
from deploy.inputs.frame import Frame
from deploy.inputs.sources import FrameSource
from deploy.outputs.going_on import Kept
from deploy.outputs.growing_files import segment_of
from deploy.outputs.growing_folder import growing
from deploy.outputs.output_folder import folder_of_stream
from deploy.prediction.predictor import Predictor

LATENCY_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Decoded:
    """One frame that is to be enhanced."""

    stream: int
    """Position of its stream on the command line."""
    frame: Frame
    """At the size in which it is enhanced."""
    source_size: tuple[int, int]
    """Height and width that it came in."""
    arrived: float
    """When it was decoded, by the monotonic clock."""


Predicted = tuple[Decoded, PredictedFrame]
Done = tuple[Decoded, EnhancedFrame, Detections | None]


class _ToHeight:
    """The size that frames of one source are reduced to; it remembers the one they came in."""

    def __init__(self, most_px: int | None) -> None:
        self._most_px = most_px
        self.source_size = (0, 0)

    def __call__(self, height_px: int, width_px: int) -> tuple[int, int]:
        self.source_size = height_px, width_px
        if self._most_px is None or height_px <= self._most_px:
            return height_px, width_px
        return self._most_px, max(1, round(width_px * self._most_px / height_px))


def enhance(options: EnhanceOptions, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Enhance every selected frame and write the results.

    Args:
        options: what to do.
        say: told in a line each what runs and what it will cost.

    Returns:
        What latency.json holds.

    Raises:
        RegenError: a model, the input, the output folder or an option cannot be used.
    """
    with ExitStack() as stack:
        upscaler = stack.enter_context(Upscaler(options.upscaler, runtime=options.runtime, threads=options.threads))
        enhancers = _open_enhancers(options, upscaler, stack)
        if options.out is not None:
            stack.enter_context(
                growing(
                    options.out,
                    options.work(),
                    options.input,
                    overwrite=options.overwrite,
                    resumable=options.resumable(),
                )
            )
        say(f"upscaler: {upscaler.card.name}, x{upscaler.scale}, {upscaler.runtime}, {_threads(upscaler)}")
        report = _enhance_into(options, enhancers, say)
        if options.out is not None:
            write_text(options.out / "latency.json", json.dumps(report, indent=2) + "\n")
    return report


def _open_enhancers(options: EnhanceOptions, upscaler: Upscaler, stack: ExitStack) -> list[Enhancer]:
    """One a stream: each has its own importance and budget. The models are shared."""
    enhancers: list[Enhancer] = []
    for _ in options.input:
        enhancer = Enhancer(
            enhancers[0].predictor if enhancers else options.predictor,
            upscaler,
            budget=options.budget,
            mode=options.mode,
            threads=options.threads,
            predict_every=options.predict_every,
        )
        enhancers.append(stack.enter_context(enhancer))
    return enhancers


def _enhance_into(options: EnhanceOptions, enhancers: list[Enhancer], say: Callable[[str], None]) -> dict[str, Any]:
    clock, started, about = StageClock(), time.perf_counter(), _about(enhancers[0], options)
    detector = None if options.detector is None else OnnxDetector(options.detector, threads=options.threads)
    card = _card_for_maps(enhancers[0], options)
    fits = [_ToHeight(options.input_height) for _ in options.input]
    with ExitStack() as stack:
        folders: list[Path | None] = [None for _ in options.input]
        kept = [Kept() for _ in options.input]
        if options.out is not None:
            of_streams = [folder_of_stream(options.out, options.input, n) for n in range(len(options.input))]
            folders, kept = [*of_streams], keep(options.input, of_streams, options.segment, options.window)
        sources = open_streams(options, fits, kept, say)
        writers = [
            stack.enter_context(EnhancedWriter(folder, _wanted(source, options), about, card))
            for folder, source in zip(folders, sources, strict=True)
        ]
        write = stack.enter_context(Behind(_write_to(writers, clock), DEPTH))
        decode = partial(_decoded, fits=fits, clock=clock)
        streams = stack.enter_context(Streams(sources, decode, "enhance"))
        predicted = _predicted(streams, sources, enhancers, options.segment, say)
        for work, seen, selected in chosen(predicted, enhancers, options.window):
            enhanced = enhancers[work.stream].enhance(seen, selected)
            for stage, seconds in enhanced.seconds.items():
                clock.add(stage, seconds)
            found = _detected(detector, enhanced, enhancers[work.stream], clock)
            if sources[work.stream].is_live:
                clock.add("lag", time.monotonic() - work.arrived)
            write.put((work, enhanced, found))
    require_all_there(sources)
    for source in sources:
        source.report.show()
    num_frames, wall_seconds = sum(writer.num_frames for writer in writers), time.perf_counter() - started
    return {
        "schema_version": LATENCY_SCHEMA_VERSION,
        **about,
        "num_frames": num_frames,
        "wall_seconds": round(wall_seconds, 3),
        "frames_per_second": round(num_frames / wall_seconds, 2),
        "num_dropped": streams.num_dropped,
        "stages": clock.summary(),
        "inputs": [
            {
                "name": source.report.name,
                "num_frames": writer.num_frames,
                "losses": list(map(asdict, source.report.losses)),
            }
            for source, writer in zip(sources, writers, strict=True)
        ],
    }


def _about(enhancer: Enhancer, options: EnhanceOptions) -> dict[str, Any]:
    """What the results say of how they were made."""
    upscaler = enhancer.upscaler
    return {
        "upscaler": upscaler.card.name,
        "upscaler_sha256": upscaler.card.weights_sha256,
        "runtime": upscaler.runtime,
        "threads": upscaler.threads,
        "mode": enhancer.mode,
        "budget": options.budget,
    }


def _card_for_maps(enhancer: Enhancer, options: EnhanceOptions) -> ModelCard | None:
    if options.maps is None:
        return None
    if not isinstance(enhancer.predictor, Predictor):
        raise OptionError(
            f"--maps with --budget {options.budget}: nothing is predicted",
            hint="Name a --predictor, or leave out --maps.",
        )
    return enhancer.predictor.card


def _threads(upscaler: Upscaler) -> str:
    return "1 thread" if upscaler.threads == 1 else f"{upscaler.threads} threads"


def _cost(work: Decoded, upscaler: Upscaler) -> str:
    """What is to be expected, before the time is spent."""
    height, width = work.frame.image.shape[:2]
    whole, scale = height * width * seconds_per_px(upscaler), upscaler.scale
    size = f"{width * scale} x {height * scale}, {height * width * scale**2 * 3 / 1e6:.1f} MB a frame"
    return f"{width} x {height} becomes {size}; super-resolving the whole frame would take about {whole:.2f} s"


def _wanted(source: FrameSource, options: EnhanceOptions) -> Wanted:
    wants_video = source.is_video if options.video is None else options.video
    return Wanted(
        video_rate=source.frame_rate if wants_video else None,
        segment_seconds=options.segment,
        images=options.frames == "png" or not source.is_video,
        raw=options.raw is not None,
        maps=options.maps,
    )


def _decoded(position: int, source: FrameSource, fits: list[_ToHeight], clock: StageClock) -> Iterator[Decoded]:
    """Decode one stream; runs in a thread of its own. Images come in their own size and are reduced here."""
    fit = fits[position]
    for frame in clock.timed(source.frames, "decode"):
        if not source.is_video:
            height, width = fit(*frame.image.shape[:2])
            frame = replace(frame, image=reduce_frame(frame.image, height_px=height, width_px=width))
        yield Decoded(position, frame, fit.source_size, time.monotonic())


def _predicted(
    streams: Streams[Decoded],
    sources: list[FrameSource],
    enhancers: list[Enhancer],
    segment_seconds: Fraction | None,
    say: Callable[[str], None],
) -> Iterator[Predicted]:
    """Predict each frame; a segment begins with a prediction of its own.

    Where live frames wait, less is enhanced before any is dropped.
    """
    segments = [0 for _ in enhancers]
    for number, work in enumerate(streams):
        enhancer, segment = enhancers[work.stream], segment_of(work.frame.seconds, segment_seconds)
        if segment != segments[work.stream]:
            segments[work.stream] = segment
            enhancer.predict_anew()
        if number == 0:
            say(_cost(work, enhancer.upscaler))
        if sources[work.stream].is_live:
            enhancer.relief = relieved(enhancer.relief, streams.num_waiting(work.stream))
        try:
            yield work, enhancer.predict(work.frame.image, pts_seconds=work.frame.pts_seconds)
        except InputError as error:
            name = work.frame.image_name or f"frame {work.frame.index}"
            raise InputError(f"{name}: {error}", hint=error.hint) from None


def relieved(relief: float, num_waiting: int) -> float:
    """The share of a budget that is used next, where so many live frames wait."""
    return relief * 0.5 if num_waiting > 1 else min(1.0, relief * 1.05 + 0.01)


def _detected(
    detector: OnnxDetector | None, enhanced: EnhancedFrame, enhancer: Enhancer, clock: StageClock
) -> Detections | None:
    if detector is None:
        return None
    with clock.stage("detect"):
        found = detector(enhanced.image)
    enhancer.feedback(found)
    return found


def _write_to(writers: list[EnhancedWriter], clock: StageClock) -> Callable[[Done], None]:
    def write(item: Done) -> None:
        work, enhanced, found = item
        with clock.stage("write"):
            writers[work.stream].write(work.frame, work.source_size, enhanced, found)

    return write
