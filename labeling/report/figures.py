"""The figures of the report page, as SVG data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.colors
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labeling.dataset.manifest import Manifest
from labeling.utility.record import UtilityCurve, UtilityReport

# Keep text as text, and make the output reproducible.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "regen", "font.size": 10})

_BASELINE_STYLES = {
    "|SR - IN|": ("#8c6d31", "--"),
    "edges": ("#7b7b7b", "--"),
    "detector boxes": ("#3182bd", "--"),
    "random": ("#bdbdbd", ":"),
}
_MORE_COLOURS = tuple(
    matplotlib.colors.to_hex(mpl.colormaps["tab20"](number)) for number in (*range(0, 20, 2), *range(1, 20, 2))
)
_MARKERS = "osD^v<>P"
_VALIDATION_COLOURS = {"quadratic_kappa": "#d62728", "top_block_recall": "#2ca02c"}
_LABEL_STYLES = {"importance": ("#000000", "-"), "label": ("#475569", "-.")}


def colours_by_method(methods: Sequence[str]) -> dict[str, str]:
    """Assign a color to each method for all figures of a page; baselines and labels always have the same."""
    fixed = {name: style[0] for name, style in {**_BASELINE_STYLES, **_LABEL_STYLES}.items()}
    others = [name for name in dict.fromkeys(methods) if name not in fixed]
    return fixed | {name: _MORE_COLOURS[number % len(_MORE_COLOURS)] for number, name in enumerate(others)}


def level_histogram(manifest: Manifest) -> str:
    """Share of label pixels at each level, by split."""
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    axes = figure.subplots()
    levels = np.arange(manifest.num_levels)
    width = 0.8 / len(manifest.splits)
    for position, (name, split) in enumerate(manifest.splits.items()):
        share = 100 * np.array(split.level_histogram) / max(1, sum(split.level_histogram))
        axes.bar(levels + (position - 1) * width, share, width, label=f"{name} ({split.num_frames} frames)")
    axes.set(xlabel="importance level", ylabel="share of pixels, %")
    axes.set_xticks(levels if len(levels) <= 20 else levels[:: len(levels) // 10])
    axes.legend(frameon=False)
    return _data_uri(figure)


def video_histograms(shares: dict[str, NDArray[np.float64]]) -> str:
    """Share of the blocks at each level, one row per video.

    Args:
        shares: by video, (levels,) from 0 to 1.
    """
    figure = Figure(figsize=(8, 1.6 + 0.35 * len(shares)), layout="constrained")
    axes = figure.subplots()
    table = 100 * np.stack(list(shares.values()))
    picture = axes.imshow(table, cmap="inferno", aspect="auto", vmin=0, vmax=max(table.max(), 1e-9))
    axes.set(xlabel="importance level", yticks=range(len(shares)), yticklabels=list(shares))
    figure.colorbar(picture, label="% of blocks")
    return _data_uri(figure)


def utility_curves(utility: UtilityReport, reference: Literal["true", "sr"]) -> str:
    """F1 by share of enhanced blocks, one line per method; bands are 95 % intervals of label and models."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    colours = colours_by_method([curve.method for curve in utility.curves])
    for curve in utility.curves:
        if curve.reference == reference:
            known = {**_BASELINE_STYLES, **_LABEL_STYLES}.get(curve.method)
            _draw_curve(axes, curve, known or (colours[curve.method], "-"), band=curve.method not in _BASELINE_STYLES)
    target = "true high-resolution" if reference == "true" else "super-resolved"
    axes.set(xlabel="macroblocks enhanced, %", ylabel=f"F1 against detections on the {target} frame")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    return _data_uri(figure)


def plain_curves(
    x: list[float],
    curves: dict[str, list[float]],
    x_label: str,
    y_label: str,
    colours: Mapping[str, str] | None = None,
) -> str:
    """Lines by name over common x values; `colours` by name, otherwise in order."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, values in curves.items():
        axes.plot(x, values, marker=".", linewidth=1.6, label=name, color=colours[name] if colours else None)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    figure.legend(frameon=False, fontsize="small", loc="outside right upper")
    return _data_uri(figure)


def points_with_intervals(
    points: dict[str, tuple[float, float, float, float]],
    lines: dict[str, float],
    x_label: str,
    y_label: str,
    colours: Mapping[str, str],
) -> str:
    """Named points (x, y, low, high) over a logarithmic axis, those that none is better and cheaper than joined.

    `lines` are horizontal, by name. Names are in the legend, so that they do not overlap.
    """
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    for (name, height), style in zip(lines.items(), ("-.", "--", ":", "-") * len(lines), strict=False):
        axes.axhline(height, color=colours[name], linestyle=style, linewidth=1, label=name)
    best: list[tuple[float, float]] = []
    for x, y, *_ in sorted(points.values()):
        if not best or y > best[-1][1]:
            best.append((x, y))
    if best:
        axes.plot(*zip(*best, strict=True), color="#1c1c1e", linewidth=0.8, label="Pareto front")
    for number, (name, (x, y, low, high)) in enumerate(points.items()):
        marker = _MARKERS[number % len(_MARKERS)]
        spread = [[y - low], [high - y]]
        axes.errorbar(x, y, spread, fmt=marker, markersize=5, linewidth=0.8, color=colours[name], label=name)
    axes.set(xlabel=x_label, ylabel=y_label, xscale="log")
    axes.grid(alpha=0.3)
    figure.legend(frameon=False, fontsize="small", loc="outside right upper")
    return _data_uri(figure)


def training_curve(rows: list[dict[str, Any]]) -> str:
    """Loss and validation results by iteration."""
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    axes = figure.subplots()
    losses = np.array([(row["iter"], row["loss"]) for row in rows if row.get("loss") is not None])
    if len(losses):
        axes.plot(*losses.T, color="#3182bd", linewidth=1, label="training loss")
    axes.set(xlabel="iteration", ylabel="training loss")
    right = axes.twinx()
    right.set(ylim=(0, 1), ylabel="on the validation split")
    for metric, colour in _VALIDATION_COLOURS.items():
        evaluations = [(row["iter"], row["eval"][metric]) for row in rows if "eval" in row]
        points = np.array([point for point in evaluations if point[1] is not None])
        if len(points):
            right.plot(*points.T, "o-", color=colour, markersize=3, label=metric)
    figure.legend(frameon=False, loc="outside upper center", ncols=3)
    return _data_uri(figure)


def _draw_curve(axes: Any, curve: UtilityCurve, style: tuple[str, str], *, band: bool) -> None:
    budget = [100 * point.budget for point in curve.points]
    axes.plot(
        budget,
        [p.f1_mean for p in curve.points],
        style[1],
        color=style[0],
        marker=".",
        label=curve.method,
        linewidth=1.6,
    )
    if band:
        low, high = [p.f1_low for p in curve.points], [p.f1_high for p in curve.points]
        axes.fill_between(budget, low, high, color=style[0], alpha=0.08, linewidth=0)


def _data_uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
