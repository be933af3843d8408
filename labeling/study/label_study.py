"""Compare ways of labeling; see `labeling/evaluate_labels.py`. Completed frames are stored until a run is complete."""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deploy.core.errors import OptionError
from deploy.core.files import read_npz, sha256_of, write_npz, write_text
from deploy.core.grid import Grid
from deploy.core.progress import track
from deploy.core.work_folder import hold
from deploy.detectors.matching import match
from deploy.inputs.video import FrameSelection, VideoInfo, probe
from deploy.prediction.rankings import box_ranking, difference_ranking, edge_ranking, shuffle_ties
from labeling.core.frames import FramePair, FrameSize, frame_size, read_pairs, to_tensor
from labeling.detectors import Detections, Detector
from labeling.maths.quantise import Curve, Knots, fit_knots, normalise, to_levels
from labeling.maths.rank_correlation import rank_correlation
from labeling.maths.split import evenly_spaced
from labeling.networks.devices import pick_device
from labeling.networks.loading import load_networks, model_records
from labeling.study.candidates import FrameUnderStudy, Judge, importance_maps, sampled_effects
from labeling.study.options import EvaluateLabelsOptions
from labeling.study.page import write_pages
from labeling.study.record import LabelStudy, StudyRun, StudySettings, read_study
from labeling.upscalers import Upscaler
from labeling.upscalers.simple import interpolate
from labeling.utility.enhanced_detection import as_boxes, detect_enhanced

Stored = dict[str, NDArray[Any]]
CURVES: tuple[Curve, ...] = ("quantile", "log", "linear", "clipped")
NUM_LEVELS = (5, 10, 15, 20)
LEVELLED = ("delta, scores", "path, f1 (true), 2 steps", "path, f1 (sr), 2 steps")
"""Candidates that are also judged as labels: in 10 levels by every curve, in other numbers by quantiles."""


@dataclass(frozen=True)
class Study:
    """One video, one detector."""

    detector: Detector
    upscaler: Upscaler
    device: str
    grid: Grid
    info: VideoInfo
    settings: StudySettings

    def frames(self, indices: set[int]) -> Iterator[tuple[int, FrameUnderStudy]]:
        """Decode and enlarge frames, and compute their reference detections."""
        grid = self.grid
        size = FrameSize.of(grid.height_px, grid.width_px, grid.scale, self.info)
        for pair in read_pairs(
            self.info.path, size, FrameSelection(indices=frozenset(indices)), reduction=self.settings.reduction
        ):
            yield pair.frame.index, self._enlarge(pair)
            if pair.frame.index == max(indices):
                return

    def _enlarge(self, pair: FramePair) -> FrameUnderStudy:
        with torch.no_grad():
            lr = to_tensor(pair.lr, self.device)
            true = None if pair.reference is None else to_tensor(pair.reference, self.device)
            sr = self.upscaler.upscale(lr, true)
            judges: dict[Judge, torch.Tensor] = {"sr": sr} if true is None else {"true": true, "sr": sr}
            right = {judge: self.detector.detect(image)[0] for judge, image in judges.items()}
        return FrameUnderStudy(interpolate(lr, self.grid.scale), sr, right)


def evaluate_labels(options: EvaluateLabelsOptions) -> None:
    """Add a run for each video to ``options.out``; then write the table and the page.

    Raises:
        RegenError: invalid options, videos or weights.
    """
    work = options.out.resolve().with_name(f".{options.out.name}.partial")
    with hold(work / "lock"):
        record = read_study(options.out)
        _check_budgets(options, record)
        for video in options.videos:
            study = _plan(options, video)
            if any(run.settings == study.settings for run in record.runs):
                print(f"{video.name} with {options.detector}: already done")
                continue
            scratch = work / _key(study.settings)
            record = record.with_run(_run(study, scratch))
            write_text(options.out, record.model_dump_json(indent=1) + "\n")
            shutil.rmtree(scratch)
        write_pages(record, options.out)


def _check_budgets(options: EvaluateLabelsOptions, record: LabelStudy) -> None:
    """Tables show all runs side by side."""
    wanted = tuple(sorted(options.budgets))
    for run in record.runs:
        if run.settings.budgets != wanted:
            raise OptionError(
                f"--budgets {_words(wanted)} differ from those of the runs in {options.out}",
                hint=f"Use --budgets {_words(run.settings.budgets)}, or another --out.",
            )


def _words(budgets: tuple[float, ...]) -> str:
    return " ".join(map(str, budgets))


def _plan(options: EvaluateLabelsOptions, video: Path) -> Study:
    info = probe(video)
    size = frame_size(info, options.height or info.height_px // options.scale, options.scale)
    grid = Grid(size.height_px, min(size.width_px, info.width_px // options.scale), options.scale, options.block_px)
    detector, upscaler = load_networks(options)
    picks = evenly_spaced(range(info.num_frames), options.frames)
    records = model_records(detector, upscaler)
    settings = StudySettings(
        video=video.name, video_sha256=sha256_of(video), detector=records[0], upscaler=records[1],
        height_px=grid.height_px, width_px=grid.width_px, scale=grid.scale, block_px=grid.block_px,
        budgets=tuple(sorted(options.budgets)), frame_index=tuple(picks), num_blocks=options.blocks,
        segments=options.segments, seed=options.seed, reduction=options.reduce,
    )  # fmt: skip
    return Study(detector, upscaler, pick_device(options.device), grid, info, settings)


def _key(settings: StudySettings) -> str:
    return hashlib.sha256(settings.model_dump_json().encode() + _versions()["torch"].encode()).hexdigest()[:12]


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "numpy", "av")}


def _run(study: Study, work: Path) -> StudyRun:
    """Compute every frame's importance and effects, then the scale of the levels, then the F1 of all rankings."""
    settings, name = study.settings, f"{study.settings.video}, {study.settings.detector.name}"
    missing = {index for index in settings.frame_index if not (work / f"{index}.npz").exists()}
    total = len(settings.frame_index)
    started = time.monotonic()
    frames = study.frames(missing) if missing else iter(())
    for index, frame in track(frames, total=total, done=total - len(missing), label=f"importance, {name}"):
        _store_maps(work / f"{index}.npz", study, index, frame)
    maps = {index: _load(work / f"{index}.npz") for index in settings.frame_index}
    scales = _scales(maps)
    missing = {index for index in settings.frame_index if not (work / f"{index}-f1.npz").exists()}
    frames = study.frames(missing) if missing else iter(())
    for index, frame in track(frames, total=total, done=total - len(missing), label=f"utility, {name}"):
        write_npz(work / f"{index}-f1.npz", **_f1(study, index, frame, maps[index], scales))
    f1 = [_load(work / f"{index}-f1.npz") for index in settings.frame_index]
    return StudyRun(
        settings=settings,
        versions=_versions(),
        seconds=round(time.monotonic() - started, 1),
        correlations=_correlations(list(maps.values())),
        f1=_by_reference(f1),
    )


def _store_maps(path: Path, study: Study, index: int, frame: FrameUnderStudy) -> None:
    """Keys: ``map:CANDIDATE``, ``effect:NAME``, ``blocks``."""
    seed = (study.settings.seed, index)
    blocks, effects = sampled_effects(frame, study.detector, study.grid, study.settings.num_blocks, seed)
    maps = importance_maps(frame, study.detector, study.grid)
    write_npz(
        path,
        blocks=blocks,
        **{f"map:{name}": values for name, values in maps.items()},
        **{
            f"effect:{objective}{'' if judge == 'none' else f' ({judge})'}": values
            for (objective, judge), values in effects.items()
        },
    )


def _load(path: Path) -> Stored:
    return read_npz(path)


def _scales(frames: Mapping[int, Stored]) -> dict[tuple[str, Curve], Knots]:
    """Normalizations over all frames of the run, as over a dataset."""
    known = next(iter(frames.values()))
    return {
        (name, curve): fit_knots(np.stack([frame[f"map:{name}"] for frame in frames.values()]), curve)
        for name in LEVELLED
        if f"map:{name}" in known
        for curve in CURVES
    }


def _f1(
    study: Study, index: int, frame: FrameUnderStudy, maps: Stored, scales: dict[tuple[str, Curve], Knots]
) -> Stored:
    """``REFERENCE:METHOD`` -> (budgets + 2,) F1, at 0, at each budget, at 1."""
    rankings = {key.removeprefix("map:"): values for key, values in maps.items() if key.startswith("map:")}
    for name, curve in scales:
        for num_levels in NUM_LEVELS if curve == "quantile" else (10,):
            value = normalise(maps[f"map:{name}"], scales[name, curve])
            rankings[f"{name} | {curve}, {num_levels} levels"] = to_levels(value, num_levels)
    rankings |= _baselines(study, frame)
    rankings = {
        name: shuffle_ties(ranking, (study.settings.seed, index, position))
        for position, (name, ranking) in enumerate(rankings.items())
    }
    budgets = study.settings.budgets
    found = detect_enhanced(rankings, budgets, study.detector, frame.interpolated, frame.sr, study.grid)
    return {
        f"{judge}:{name}": np.array([match(found[name, b], as_boxes(right)).f1 for b in (0.0, *budgets, 1.0)])
        for judge, right in frame.right.items()
        for name in rankings
    }


def _baselines(study: Study, frame: FrameUnderStudy) -> Stored:
    grid, interpolated, sr = study.grid, frame.interpolated[0].cpu().numpy(), frame.sr[0].cpu().numpy()
    with torch.no_grad():
        found = study.detector.detect(frame.interpolated)[0]
    return {
        "|SR - IN|": difference_ranking(interpolated, sr, grid),
        "edges": edge_ranking(interpolated, grid),
        "detector boxes": box_ranking(as_boxes(found).boxes, grid),
        "detector boxes, least sure first": _unsure_first(found, grid),
        "random": np.zeros((grid.rows, grid.cols)),
    }


def _unsure_first(found: Detections, grid: Grid) -> NDArray[np.float64]:
    """Blocks of the box with the lowest score first."""
    ranking = np.full((grid.rows, grid.cols), -np.inf)
    for box, score in zip(found.boxes.cpu().numpy(), found.scores.detach().cpu().numpy(), strict=True):
        inside = box_ranking(box[None], grid) >= 0
        ranking[inside] = np.maximum(ranking[inside], 1 - score)
    return ranking


def _correlations(frames: list[Stored]) -> dict[str, dict[str, tuple[float | None, ...]]]:
    effects = [key.removeprefix("effect:") for key in frames[0] if key.startswith("effect:")]
    names = [key.removeprefix("map:") for key in frames[0] if key.startswith("map:")]
    table: dict[str, dict[str, tuple[float | None, ...]]] = {}
    for effect in effects:
        table[effect] = {n: tuple(_rank_correlation(f, n, f[f"effect:{effect}"]) for f in frames) for n in names}
        table[f"|{effect}|"] = {
            n: tuple(_rank_correlation(f, n, np.abs(f[f"effect:{effect}"])) for f in frames) for n in names
        }
    return table


def _rank_correlation(frame: Stored, name: str, effect: NDArray[np.float64]) -> float | None:
    correlation = rank_correlation(frame[f"map:{name}"].ravel()[frame["blocks"]], effect)
    return None if math.isnan(correlation) else round(correlation, 4)


def _by_reference(frames: list[Stored]) -> dict[str, dict[str, tuple[tuple[float, ...], ...]]]:
    table: dict[str, dict[str, tuple[tuple[float, ...], ...]]] = {}
    for key in frames[0]:
        judge, _, name = key.partition(":")
        table.setdefault(judge, {})[name] = tuple(tuple(frame[key].round(4).tolist()) for frame in frames)
    return table
