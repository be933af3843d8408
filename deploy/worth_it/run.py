"""The order of everything: frames, detector, ways, measuring, verdict, files; see `deploy/worth.py`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from deploy.core.errors import OptionError
from deploy.core.files import write_text
from deploy.core.progress import track
from deploy.core.tables import Table
from deploy.detectors.detections import Detections
from deploy.detectors.geometry import rounded_up
from deploy.outputs.lr_codec import LrCodec
from deploy.worth_it.annotations import Annotations, read_annotations
from deploy.worth_it.detectors import AnyDetector, Detectors, OpenDetector
from deploy.worth_it.measuring import Bench, Look
from deploy.worth_it.options import WorthOptions
from deploy.worth_it.precision import require_library
from deploy.worth_it.samples import Plan, Sample, read_samples
from deploy.worth_it.verdict import Situation, Verdict, cells_of, heads_of, judge
from deploy.worth_it.ways import (
    CONTROL_BUDGET,
    BoxesBefore,
    Engine,
    Kind,
    Way,
    enhancing_ways,
    larger_way,
    lighter_way,
    sliced_way,
)

OF_PREVIOUS = (
    "The predictor gets the previous frame's detections, as with Enhancer.feedback; the time to find them is not "
    "counted, since a stream already has them."
)
SHOWN = f"top {CONTROL_BUDGET:.0%} by predictor"


@dataclass(frozen=True, eq=False)
class Answer:
    """The result of the comparison."""

    verdict: Verdict
    kinds: tuple[Kind, ...]
    """Of each row."""
    notes: tuple[str, ...]
    """Further notes, one sentence each."""
    looks: tuple[Look, ...]
    """Frames to show."""


def find_out(
    options: WorthOptions,
    engine: Engine,
    open_detector: OpenDetector,
    lighter: Engine | None = None,
    choose: Callable[[Engine, AnyDetector, list[Way]], list[Way]] = lambda engine, detector, ways: ways,
) -> Answer:
    """Measure and judge.

    Args:
        options: the command's options.
        engine: enlarges frames.
        open_detector: makes the detector.
        lighter: another engine of the same factor, whose upscaler is tried on whole frames.
        choose: the ways to try, given the usual ones; it may leave out any but the first two, and `SHOWN`.

    Raises:
        RegenError: an input that cannot be used.
    """
    annotations = None if options.annotations is None else read_annotations(options.annotations)
    if annotations is not None:
        require_library()
    codec = None if options.lr_codec is None else LrCodec.parse(options.lr_codec)
    samples = read_samples(
        options.video,
        engine.scale,
        options.frames,
        options.height,
        options.reduce,
        (lambda index, image_name: True) if annotations is None else annotations.knows,
        codec,
        options.selection,
    )
    plan = samples.plan
    detectors = Detectors(options, open_detector, plan.sr_size)
    notes = [_of_sizes(plan, len(samples), options.lr_codec), *detectors.notes]
    situation: Situation = "fair" if plan.has_true else "no true frame"
    if detectors.own.zoom(plan.sr_size) * engine.scale <= 1:
        situation = "detector too small"
        enough = rounded_up(plan.sr_size)
        notes.append(f"Run again with --detector-size {enough[1]}x{enough[0]}, or export it at that size.")
    before = BoxesBefore(engine, detectors.own, detectors.least_score)
    if engine.takes_previous:
        notes.append(OF_PREVIOUS)
    ways = [
        *enhancing_ways(engine, detectors.own, before),
        *_alternatives(engine, detectors, plan, before if len(samples) > 1 else None),
    ]
    if lighter is not None:
        ways.append(lighter_way("the embedded upscaler", lighter, detectors.own))
    ways = choose(engine, detectors.own, ways)
    truth = None if annotations is None else _truth_of(annotations, detectors.own, plan)
    bench = Bench(ways, detectors.own, SHOWN, options.score_threshold, truth)
    measured = bench.run(track(samples, total=len(samples), label="measuring"))
    notes.insert(1, f"The detector finds {bench.num_wanted} objects in them.")
    if bench.num_wanted == 0 and situation != "detector too small":
        situation = "nothing to find"
    verdict = judge(measured, situation)
    notes += [verdict.caveat] if verdict.caveat else []
    return Answer(verdict, tuple(way.kind for way in ways), tuple(notes), tuple(bench.looks))


def table_of(verdict: Verdict) -> Table:
    """The rows for a terminal."""
    return Table("", ("way", *heads_of(verdict)), tuple((row.way, *cells_of(row)) for row in verdict.rows))


def write_answer(answer: Answer, options: WorthOptions, engine: Engine) -> list[str]:
    """Write the files that were asked for; their names."""
    written = []
    if options.json is not None:
        content = asdict(answer.verdict) | {"notes": answer.notes, "verdict": answer.verdict.sentence}
        del content["sentence"]
        write_text(options.json, json.dumps(content, indent=2) + "\n")
        written.append(str(options.json))
    if options.out is not None:
        from deploy.worth_it.page import make_page

        page = make_page(options.video.name, answer.verdict, answer.kinds, answer.notes, answer.looks, engine)
        write_text(options.out, page)
        written.append(str(options.out))
    return written


def _alternatives(engine: Engine, detectors: Detectors, plan: Plan, before: BoxesBefore | None) -> list[Way]:
    ways = [sliced_way(engine, detectors.own)]
    if before is not None:
        ways.append(before.way())
    ways += [
        larger_way(engine.scale, detector, size, detector.zoom(plan.sr_size)) for detector, size in detectors.larger
    ]
    return ways


def _truth_of(annotations: Annotations, detector: AnyDetector, plan: Plan) -> Callable[[Sample], Detections]:
    if not annotations.classes & set(detector.classes):
        known = ", ".join(sorted(annotations.classes)) or "none"
        raise OptionError(
            f"none of the annotated classes ({known}) is a detected class: {', '.join(detector.classes)}",
            hint="Name the detector's classes as in the annotations (--class-names), or choose classes with --classes.",
        )

    def truth(sample: Sample) -> Detections:
        of_frame = annotations.of_frame(sample.index, sample.image_name, detector.class_names, detector.classes)
        return of_frame.moved(sample.zoom).clipped(plan.sr_size)

    return truth


def _of_sizes(plan: Plan, count: int, codec: str | None) -> str:
    low, high = f"{plan.width_px} x {plan.height_px}", f"{plan.sr_size[1]} x {plan.sr_size[0]}"
    reference = "the true frames" if plan.has_true else "the super-resolved frames, since the source has no true ones"
    made = plan.reduction if codec is None else f"{plan.reduction}, {codec}"
    return (
        f"{count} frames of {low} ({made}), x{plan.scale} to {high}; F1 against the same detector's "
        f"detections on {reference}."
    )


Say = Callable[[str], None]


def show(answer: Answer, say: Say, written: Sequence[str]) -> None:
    """Print the answer."""
    say(table_of(answer.verdict).text())
    for note in answer.notes:
        say(note)
    say(answer.verdict.sentence)
    for name in written:
        say(f"wrote {name}")
