"""Build the report page: pictures and tables from files that other stages wrote."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.cards.model_card import ModelCard, read_card
from deploy.core.errors import InputError, OptionError
from deploy.core.files import read_image, read_npz, write_text
from deploy.outputs.overlay import colors_of, importance_overlay
from deploy.worth_it.pictures import MEANINGS
from labeling.dataset.findings import all_findings
from labeling.dataset.manifest import Manifest, read_manifest
from labeling.dataset.reader import LabelledFrame, importance_levels, normalised_importance, read_levels, read_split
from labeling.maths.split import SPLITS, SplitName, evenly_spaced
from labeling.report import figures as report_figures
from labeling.report.lost_and_found import detection_samples
from labeling.report.options import MakeReportOptions
from labeling.report.side_by_side import side_by_side, time_table
from labeling.utility.findings import utility_findings
from labeling.utility.record import UtilityReport, read_utility

_TEMPLATES = Path(__file__).parent / "templates"
_LEAST_WIDTH_PX = 384


@dataclass(frozen=True)
class Picture:
    """An image in the page."""

    data_uri: str
    """PNG or SVG, in base64."""
    alt: str
    """Text that describes it."""


def make_report(options: MakeReportOptions) -> None:
    """Write the page.

    Raises:
        InputError: a given file is missing or damaged.
    """
    manifest = read_manifest(options.dataset)
    utility = read_utility(options.utility) if options.utility else None
    frames = {split: list(read_split(options.dataset, manifest, split)) for split in SPLITS}
    findings = all_findings(manifest, frames) + (utility_findings(utility) if utility else [])
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True)
    page = environment.get_template("report.html.j2").render(
        manifest=manifest,
        split=options.split,
        samples=_samples(options, manifest, frames[options.split]),
        findings=findings,
        histogram=Picture(report_figures.level_histogram(manifest), "Share of each importance level in each split"),
        videos=Picture(
            report_figures.video_histograms(_shares_by_video(manifest, frames)), "Share of each level in each video"
        ),
        utility=utility,
        curves=_curves(utility),
        detections=_detections(utility, frames, manifest),
        meanings=MEANINGS,
        training=_training(options.training),
        card=_card(options.model),
        latency=_latency(options.predictions, "deploy/trt_infer.py"),
        enhanced=_enhanced(options, manifest, frames[options.split]),
        times=_times(options),
    )
    write_text(options.out, page)
    print(f"wrote {options.out}")
    for finding in findings:
        print(f"  warning: {finding}")


def _shares_by_video(
    manifest: Manifest, frames: dict[SplitName, list[LabelledFrame]]
) -> dict[str, NDArray[np.float64]]:
    """Share of the blocks at each level, by video, over all splits."""
    counts = {source.video_id: np.zeros(manifest.num_levels) for source in manifest.sources}
    for frame in (frame for split in frames.values() for frame in split):
        counts[frame.video_id] += np.bincount(importance_levels(frame, manifest).ravel(), minlength=manifest.num_levels)
    return {video_id: count / max(1.0, count.sum()) for video_id, count in counts.items()}


def _samples(options: MakeReportOptions, manifest: Manifest, frames: list[LabelledFrame]) -> list[dict[str, Any]]:
    """Some frames of the split, each with its pictures by caption."""
    predicted = _predictions(options.predictions, manifest)
    return [
        {
            "title": f"{frame.video_id}, frame {frame.index}",
            "pictures": _row(frame, manifest, predicted),
        }
        for frame in evenly_spaced(frames, options.samples)
    ]


def _row(frame: LabelledFrame, manifest: Manifest, predicted: dict[int, NDArray[np.float32]]) -> dict[str, Picture]:
    grid, image = manifest.make_grid(frame.video_id), read_image(frame.image)
    value = normalised_importance(frame, manifest)
    levels = grid.upsample(read_levels(frame, manifest) / (manifest.num_levels - 1))
    row = {
        "frame": _picture(image, "The low-resolution frame"),
        "importance": _picture(
            importance_overlay(image, value.astype(np.float32), grid), "Importance of each macroblock"
        ),
        "levels": _picture(colors_of(levels), "Importance levels, the label"),
    }
    if frame.index in predicted:
        row["prediction"] = _picture(importance_overlay(image, predicted[frame.index], grid), "Predicted importance")
    return row


def _picture(image: NDArray[np.uint8], alt: str) -> Picture:
    zoom = max(1, -(-_LEAST_WIDTH_PX // image.shape[1]))
    enlarged = Image.fromarray(image.repeat(zoom, axis=0).repeat(zoom, axis=1))
    buffer = io.BytesIO()
    enlarged.save(buffer, "PNG")
    return Picture("data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(), alt)


def _predictions(folder: Path | None, manifest: Manifest) -> dict[int, NDArray[np.float32]]:
    """Frame index -> predicted importance map. Predictions lack the video, so the dataset must have only one."""
    if folder is None:
        return {}
    if len(manifest.sources) != 1:
        raise OptionError(
            f"--predictions {folder} are for one video, but the dataset has {len(manifest.sources)}",
            hint="Omit them; the models' own figures are still shown.",
        )
    path = folder / "importance.npz"
    stored = read_npz(path)
    maps, indices = (stored.get(name, np.empty(0)) for name in ("importance", "frame_index"))
    if maps.shape[1:] != (manifest.grid.rows, manifest.grid.cols):
        raise InputError(
            f"{path} contains maps of {maps.shape[1:]}, which do not match the dataset's grid",
            hint="Use predictions of a model for this dataset.",
        )
    return {int(index): importance for index, importance in zip(indices, maps, strict=True)}


def _curves(utility: UtilityReport | None) -> list[Picture]:
    if utility is None:
        return []
    references = dict.fromkeys(curve.reference for curve in utility.curves)
    return [
        Picture(
            report_figures.utility_curves(utility, reference), f"F1 by share of blocks enhanced, {reference} reference"
        )
        for reference in references
    ]


def _detections(
    utility: UtilityReport | None, frames: dict[SplitName, list[LabelledFrame]], manifest: Manifest
) -> list[dict[str, str]]:
    everything = {frame.key: frame for split in frames.values() for frame in split}
    return [] if utility is None else detection_samples(utility, everything, manifest)


def _training(folder: Path | None) -> Picture | None:
    if folder is None:
        return None
    path = folder / "metrics.jsonl"
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}", hint="Train again.") from None
    return Picture(report_figures.training_curve(rows), "Training loss and validation metric by iteration")


def _card(model: Path | None) -> ModelCard | None:
    return read_card(model) if model else None


def _enhanced(options: MakeReportOptions, manifest: Manifest, frames: list[LabelledFrame]) -> list[dict[str, Any]]:
    """Title and rows of pictures, by caption, of some enhanced frames."""
    if options.enhanced is None or options.whole is None:
        return []
    return [
        {
            "title": sample.title,
            "rows": [
                {caption: _picture(picture, f"{sample.title}: {caption}{which}") for caption, picture in row.items()}
                for row, which in ((sample.whole, ""), (sample.detail, ", a part"))
            ],
        }
        for sample in side_by_side(options.enhanced, options.whole, manifest, frames)
    ]


def _times(options: MakeReportOptions) -> list[tuple[str, float | None, float | None]]:
    enhanced, whole = (_latency(folder, "deploy/enhance.py") for folder in (options.enhanced, options.whole))
    return [] if enhanced is None or whole is None else time_table(enhanced, whole)


def _latency(folder: Path | None, command: str) -> dict[str, Any] | None:
    if folder is None:
        return None
    path = folder / "latency.json"
    try:
        latency: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}", hint=f"Run {command} again.") from None
    return latency
