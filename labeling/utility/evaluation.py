"""Measure the utility of rankings of macroblocks; see `labeling/evaluate_utility.py`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from deploy.core.errors import DatasetError, OptionError, WeightsError
from deploy.core.files import sha256_of, write_text
from deploy.core.grid import Grid
from deploy.core.progress import track
from deploy.core.resize import same_shape
from deploy.core.statistics import segments_of
from deploy.core.tables import Table
from deploy.detectors.matching import Boxes, match
from deploy.prediction.predictor import Predictor
from labeling.core.arguments import name_and_path
from labeling.core.frames import FramePair
from labeling.dataset.manifest import MANIFEST_NAME, Manifest, read_manifest
from labeling.dataset.reader import FrameKey, LabelledFrame, read_split
from labeling.maths.split import SPLITS, evenly_spaced
from labeling.networks.devices import pick_device
from labeling.networks.loading import recorded_detector, recorded_upscaler
from labeling.networks.stored_weights import find_weights
from labeling.utility.cache import UtilityCache
from labeling.utility.curves import Counts, ReferenceName, make_curve
from labeling.utility.enhanced_detection import detect_boxes, detect_enhanced
from labeling.utility.findings import utility_findings
from labeling.utility.looks import look_at
from labeling.utility.options import EvaluateUtilityOptions
from labeling.utility.pairs import enlarge, with_pairs
from labeling.utility.ranking_methods import Bench, Rankers, frames_before
from labeling.utility.record import UtilityReport


def evaluate_utility(options: EvaluateUtilityOptions) -> None:
    """Evaluate, write ``options.out`` and print a table."""
    manifest = read_manifest(options.dataset)
    bench = load_bench(options, manifest)
    with ExitStack() as stack:
        predictors = _load_predictors(options.models, manifest, stack)
        before = frames_before(options.dataset, manifest) if options.more_baselines else None
        rankers = Rankers(bench, predictors, before, _other_labels(options.other_labels, manifest))
        frames = _choose_frames(options, manifest)
        found = _evaluate_frames(frames, rankers, options)
        looks = look_at(frames, rankers)
    budgets = sorted({0.0, *options.budgets, 1.0})
    segments = segments_of([frame.video_id for frame in frames], options.segments)
    curves = [
        make_curve(method, reference, frame_counts, segments, budgets)
        for reference, frame_counts in found.items()
        if len(frame_counts) == len(frames)
        for method in rankers.identities()
    ]
    if 0 < len(found["true"]) < len(frames):
        print(
            f"note: {len(frames) - len(found['true'])} of {len(frames)} frames have no true high-resolution frame: all "
            "are compared only with the super-resolved frame"
        )
    report = UtilityReport(
        split=options.split,
        num_frames=len(frames),
        num_segments=len(np.unique(segments)),
        segments=tuple(segments.tolist()),
        manifest_sha256=sha256_of(options.dataset / MANIFEST_NAME),
        models={name: sha256_of(predictor.path) for name, predictor in predictors.items()},
        curves=tuple(curves),
        looks=looks,
    )
    write_text(options.out, report.model_dump_json(indent=2) + "\n")
    print(format_table(report))
    for finding in utility_findings(report):
        print(f"  note: {finding}")
    print(f"wrote {options.out}")


def _evaluate_frames(
    frames: Sequence[LabelledFrame], rankers: Rankers, options: EvaluateUtilityOptions
) -> dict[ReferenceName, list[Counts]]:
    """Compute the results of every method on each frame, by reference; cached results are reused."""
    made_of = (sha256_of(options.dataset / MANIFEST_NAME), options.split)
    kept = options.cache or options.out.with_name(f".{options.out.name}.cache")
    cache = UtilityCache(kept, made_of, rankers.identities())
    left = [frame for frame in frames if cache.missing(frame.key, options.budgets)]
    done = len(frames) - len(left)
    for frame, pair in track(
        with_pairs(left, rankers.bench.manifest), total=len(frames), done=done, label="evaluating"
    ):
        missing = cache.missing(frame.key, options.budgets)
        cache.add(frame.key, evaluate_frame(frame, pair, rankers, missing, options.budgets))
    counts: dict[ReferenceName, list[Counts]] = {"true": [], "sr": []}
    for frame in frames:
        for reference, frame_counts in cache.counts(frame.key).items():
            counts[reference].append(frame_counts)
    return counts


def format_table(report: UtilityReport) -> str:
    """F1 by method and budget, as text."""
    parts = [f"F1 on {report.num_frames} frames of {report.split}; intervals are in the file"]
    parts += [report.caveat] if report.caveat else []
    for reference in dict.fromkeys(curve.reference for curve in report.curves):
        chosen = [curve for curve in report.curves if curve.reference == reference]
        title = f"against the detections on the {'true' if reference == 'true' else 'super-resolved'} frame"
        header = ("blocks enhanced", *(f"{point.budget:.0%}" for point in chosen[0].points))
        rows = tuple((curve.method, *(f"{point.f1_mean:.3f}" for point in curve.points)) for curve in chosen)
        parts.append(Table(title, header, rows).text())
    return "\n".join(parts)


def load_bench(options: EvaluateUtilityOptions, manifest: Manifest) -> Bench:
    """Load the detector and the upscaler that made a dataset's labels.

    Raises:
        WeightsError: the available weights differ.
    """
    folders = options.weights_folder
    detector_weights = options.detector_weights or find_weights(manifest.detector.weights_sha256, folders)
    detector = recorded_detector(manifest.detector, detector_weights, offline=options.offline)
    upscaler_weights = options.upscaler_weights or find_weights(manifest.upscaler.weights_sha256, folders)
    upscaler = recorded_upscaler(manifest.upscaler, upscaler_weights, manifest.grid.scale)
    device = pick_device(options.device)
    interpolation: Literal["bicubic", "bilinear"] = (
        "bilinear" if manifest.options.get("interpolation") == "bilinear" else "bicubic"
    )
    return Bench(manifest, detector, upscaler, interpolation, device)


def _load_predictors(models: Sequence[str], manifest: Manifest, stack: ExitStack) -> dict[str, Predictor]:
    """Load the predictors by name; `stack` closes them.

    Raises:
        WeightsError: a predictor is for frames of another shape.
        OptionError: two predictors have the same name.
    """
    predictors: dict[str, Predictor] = {}
    for model in models:
        given, path = name_and_path(model, "--models") if "=" in model else ("", Path(model))
        predictor = stack.enter_context(Predictor(path))
        if not predictor.card.any_size:
            _require_shapes(model, predictor.card.grid, manifest)
        name = given or predictor.card.name
        if name in predictors:
            raise OptionError(f"two models have the name {name}", hint="Use NAME=MODEL.onnx.")
        predictors[name] = predictor
    return predictors


def _require_shapes(model: str, grid: Grid, manifest: Manifest) -> None:
    """Raise WeightsError unless a model takes every video's frames: of its shape, or padded as in its training."""
    of_dataset = manifest.make_grid()
    if (grid.height_px, grid.width_px) == (of_dataset.height_px, of_dataset.width_px):
        return
    for own, videos in manifest.grids.items():
        if not same_shape((grid.height_px, grid.width_px), (own.height_px, own.width_px)):
            raise WeightsError(
                f"{model} is for frames of {grid.width_px} x {grid.height_px}, but the labels of {videos[0]} are on "
                f"{own.width_px} x {own.height_px}",
                hint=f"Export it for frames of this shape, or of {of_dataset.width_px} x {of_dataset.height_px}.",
            )


def _other_labels(datasets: Sequence[str], manifest: Manifest) -> dict[str, dict[FrameKey, LabelledFrame]]:
    found = {}
    for dataset in datasets:
        name, path = name_and_path(dataset, "--other-labels")
        other = read_manifest(path)
        for video_id in (source.video_id for source in other.sources):
            if other.make_grid(video_id) != manifest.make_grid(video_id):
                raise OptionError(
                    f"--other-labels {dataset} has a different grid for {video_id}",
                    hint="Label each video at one size.",
                )
        frames = [frame for split in SPLITS for frame in read_split(path, other, split)]
        found[name] = {frame.key: frame for frame in frames}
    return found


def _choose_frames(options: EvaluateUtilityOptions, manifest: Manifest) -> list[LabelledFrame]:
    splits = SPLITS if options.split == "all" else (options.split,)
    frames = [frame for split in splits for frame in read_split(options.dataset, manifest, split)]
    if not frames:
        raise DatasetError(f"{options.dataset} has no {options.split} frames", hint="Choose another --split.")
    order = {source.video_id: position for position, source in enumerate(manifest.sources)}
    frames.sort(key=lambda frame: (order[frame.video_id], frame.index))
    return evenly_spaced(frames, options.max_frames)


def evaluate_frame(
    frame: LabelledFrame, pair: FramePair, rankers: Rankers, methods: Sequence[str], budgets: Sequence[float]
) -> dict[ReferenceName, Counts]:
    """Enhance the top blocks of one frame by each method, and match the detections with each reference."""
    bench, grid = rankers.bench, rankers.bench.manifest.make_grid(frame.video_id)
    enlarged = enlarge(pair, bench, grid.scale)
    interpolated, sr, true = enlarged.interpolated, enlarged.sr, enlarged.true
    found_in, found_sr = detect_boxes(bench.detector, torch.cat([interpolated, sr]))
    references: dict[ReferenceName, Boxes] = {"sr": found_sr}
    if true is not None:
        references["true"] = detect_boxes(bench.detector, true)[0]
    every = rankers.rank(frame, interpolated[0], sr[0], found_in)
    rankings = {method: every[method] for method in methods}
    found = detect_enhanced(rankings, budgets, bench.detector, interpolated, sr, grid)
    return {
        name: {key: match(boxes, reference) for key, boxes in found.items()} for name, reference in references.items()
    }
