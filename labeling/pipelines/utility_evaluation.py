"""Measure what rankings of macroblocks are worth; see `labeling/evaluate_utility.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deploy.core.errors import DatasetError, InputError, OptionError, WeightsError
from deploy.core.files import read_image, sha256_of, write_text
from deploy.core.grid import Grid
from deploy.core.progress import track
from deploy.core.video import FrameSelection
from deploy.predictor import Predictor
from labeling.dataset.manifest import MANIFEST_NAME, Manifest, SourceRecord, read_manifest
from labeling.dataset.reader import LabelledFrame, read_levels, read_split
from labeling.dataset.utility_record import UtilityCurve, UtilityPoint, UtilityReport
from labeling.detectors import DETECTORS, Detector
from labeling.frames import FramePair, FrameSize, read_pairs, to_tensor
from labeling.maths.rankings import box_ranking, difference_ranking, edge_ranking, shuffle_ties
from labeling.maths.utility import Boxes, MatchCounts, bootstrap_interval, match, mean_f1, pooled_f1, recovery
from labeling.pipelines.enhancing import detect_boxes, detect_enhanced, segments_of
from labeling.pipelines.labeller import pick_device
from labeling.upscalers import UPSCALERS, Upscaler
from labeling.upscalers.simple import interpolate

if TYPE_CHECKING:
    from labeling.evaluate_utility import EvaluateUtilityOptions

ReferenceName = Literal["true", "sr"]
Rankings = Mapping[str, NDArray[np.float64]]
Counts = dict[tuple[str, float], MatchCounts]
"""(method, budget) -> how the detections match; every method also has the budgets 0 and 1."""


@dataclass(frozen=True)
class Bench:
    """What a dataset was labelled with, loaded again."""

    manifest: Manifest
    grid: Grid
    detector: Detector
    upscaler: Upscaler
    interpolation: Literal["bicubic", "bilinear"]
    device: str


def evaluate_utility(options: EvaluateUtilityOptions) -> None:
    """Evaluate, write ``options.out`` and print a table."""
    manifest = read_manifest(options.dataset)
    bench = _load_bench(options, manifest)
    predictors = _load_predictors(options.models, bench.grid)
    frames = _choose_frames(options, manifest)
    counts: dict[ReferenceName, list[Counts]] = {"true": [], "sr": []}
    for frame, pair in track(_with_pairs(frames, bench), total=len(frames), label="evaluating"):
        for reference, frame_counts in _evaluate_frame(frame, pair, bench, predictors, options.budgets).items():
            counts[reference].append(frame_counts)
    segments = segments_of([frame.video_id for frame in frames], options.segments)
    curves = [
        _curve(method, reference, frame_counts, segments)
        for reference, frame_counts in counts.items()
        if frame_counts
        for method in dict.fromkeys(method for method, _ in frame_counts[0])
    ]
    report = UtilityReport(
        split=options.split,
        num_frames=len(frames),
        num_segments=len(np.unique(segments)),
        manifest_sha256=sha256_of(options.dataset / MANIFEST_NAME),
        models={
            predictor.card.name: sha256_of(path) for predictor, path in zip(predictors, options.models, strict=True)
        },
        curves=tuple(curves),
    )
    write_text(options.out, report.model_dump_json(indent=2) + "\n")
    print(format_table(report))
    print(f"wrote {options.out}")


def format_table(report: UtilityReport) -> str:
    """F1 by method and budget, as text."""
    lines = [f"F1 on {report.num_frames} frames of {report.split} (95 % interval over {report.num_segments} segments)"]
    for reference in dict.fromkeys(curve.reference for curve in report.curves):
        chosen = [curve for curve in report.curves if curve.reference == reference]
        lines.append(f"against the detections on the {'true' if reference == 'true' else 'super-resolved'} frame")
        lines.append("  blocks enhanced     " + "".join(f"{point.budget:>8.0%}" for point in chosen[0].points))
        lines += [f"  {curve.method:20s}" + "".join(f"{p.f1_mean:8.3f}" for p in curve.points) for curve in chosen]
    return "\n".join(lines)


def _load_bench(options: EvaluateUtilityOptions, manifest: Manifest) -> Bench:
    record = manifest.detector
    classes = record.settings.get("classes", ())
    detector = DETECTORS.create(
        record.name,
        weights=options.detector_weights,
        score_threshold=record.settings["score_threshold"],
        classes=tuple(classes) if isinstance(classes, tuple | list) else (),
        offline=options.offline,
    )
    upscaler = UPSCALERS.create(manifest.upscaler.name, scale=manifest.grid.scale, weights=options.upscaler_weights)
    for kind, loaded, recorded in (("detector", detector, record), ("upscaler", upscaler, manifest.upscaler)):
        if loaded.weights_sha256 != recorded.weights_sha256:
            raise WeightsError(
                f"the {kind}'s weights are not those that made the labels", hint=f"Name the same --{kind}-weights."
            )
    device = pick_device(options.device)
    interpolation: Literal["bicubic", "bilinear"] = (
        "bilinear" if manifest.options.get("interpolation") == "bilinear" else "bicubic"
    )
    return Bench(manifest, manifest.make_grid(), detector, upscaler, interpolation, device)


def _load_predictors(models: Sequence[Path], grid: Grid) -> list[Predictor]:
    predictors = [Predictor(path) for path in models]
    for predictor, path in zip(predictors, models, strict=True):
        if predictor.card.grid != grid:
            raise WeightsError(
                f"{path} was made for {predictor.card.grid}, the labels are on {grid}", hint="Retrain it."
            )
    names = [predictor.card.name for predictor in predictors]
    if len(set(names)) < len(names):
        raise OptionError(f"two models share a name: {names}", hint="Export them under different names.")
    return predictors


def _choose_frames(options: EvaluateUtilityOptions, manifest: Manifest) -> list[LabelledFrame]:
    frames = list(read_split(options.dataset, manifest, options.split))
    if not frames:
        raise DatasetError(f"{options.dataset} has no {options.split} frames", hint="Choose another --split.")
    picks = np.unique(np.linspace(0, len(frames) - 1, min(options.max_frames, len(frames))).round().astype(int))
    return [frames[pick] for pick in picks]


def _with_pairs(frames: Sequence[LabelledFrame], bench: Bench) -> Iterator[tuple[LabelledFrame, FramePair]]:
    """Decode the chosen frames of each source again, at both sizes."""
    grid = bench.grid
    for source in bench.manifest.sources:
        wanted = {frame.index: frame for frame in frames if frame.video_id == source.video_id}
        if not wanted:
            continue
        path = _checked_source(source)
        enough = source.height_px >= grid.height_px * grid.scale and source.width_px >= grid.width_px * grid.scale
        size = FrameSize(grid.height_px, grid.width_px, grid.scale, enough)
        for pair in read_pairs(path, size, FrameSelection()):
            if pair.frame.index in wanted:
                yield wanted.pop(pair.frame.index), pair
            if not wanted:
                break


def _checked_source(source: SourceRecord) -> Path:
    path = Path(source.path)
    if not path.is_file() or sha256_of(path) != source.sha256:
        raise InputError(
            f"the video that was labelled is not at {path} any more (or has changed)",
            hint="Put it back, or label again.",
        )
    return path


def _evaluate_frame(
    frame: LabelledFrame, pair: FramePair, bench: Bench, predictors: Sequence[Predictor], budgets: Sequence[float]
) -> dict[ReferenceName, Counts]:
    with torch.no_grad():
        lr = to_tensor(pair.lr, bench.device)
        interpolated = interpolate(lr, bench.grid.scale, bench.interpolation)
        true = None if pair.reference is None else to_tensor(pair.reference, bench.device)
        sr = bench.upscaler.upscale(lr, true)
    found_in, found_sr = detect_boxes(bench.detector, torch.cat([interpolated, sr]))
    references: dict[ReferenceName, Boxes] = {"sr": found_sr}
    if true is not None:
        references["true"] = detect_boxes(bench.detector, true)[0]
    rankings = _rankings(frame, interpolated[0], sr[0], found_in, bench, predictors)
    found = detect_enhanced(rankings, budgets, bench.detector, interpolated, sr, bench.grid)
    return {
        name: {key: match(boxes, reference) for key, boxes in found.items()} for name, reference in references.items()
    }


def _rankings(
    frame: LabelledFrame,
    interpolated: Tensor,
    sr: Tensor,
    found: Boxes,
    bench: Bench,
    predictors: Sequence[Predictor],
) -> Rankings:
    """Every method's ranking of the blocks; ties are broken at random, the same way on every run."""
    grid = bench.grid
    arrays = interpolated.cpu().numpy(), sr.cpu().numpy()
    rankings: dict[str, NDArray[np.generic]] = {
        "importance": frame.importance,
        "label": read_levels(frame, bench.manifest),
    }
    image = read_image(frame.image)
    for predictor in predictors:
        rankings[predictor.card.name] = predictor(image).importance
    rankings |= {
        "|SR - IN|": difference_ranking(*arrays, grid),
        "edges": edge_ranking(arrays[0], grid),
        "detector boxes": box_ranking(found.boxes, grid),
        "random": np.zeros((grid.rows, grid.cols)),
    }
    return {
        name: shuffle_ties(ranking, (frame.index, position))
        for position, (name, ranking) in enumerate(rankings.items())
    }


def _curve(
    method: str, reference: ReferenceName, frames: Sequence[Counts], segments: NDArray[np.int64]
) -> UtilityCurve:
    budgets = sorted(budget for name, budget in frames[0] if name == method)
    f1_none, f1_all = (mean_f1([counts[method, budget] for counts in frames]) for budget in (0.0, 1.0))
    points = []
    for budget in budgets:
        matches = [counts[method, budget] for counts in frames]
        low, high = bootstrap_interval(np.array([counts.f1 for counts in matches]), segments)
        f1 = mean_f1(matches)
        points.append(
            UtilityPoint(
                budget=budget,
                f1_mean=f1,
                f1_low=low,
                f1_high=high,
                f1_pooled=pooled_f1(matches),
                recovery=recovery(f1, f1_none, f1_all),
            )
        )
    return UtilityCurve(method=method, reference=reference, points=tuple(points))
