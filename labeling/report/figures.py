"""The figures of the report page, as SVG data URIs."""

from __future__ import annotations

import base64
import io
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labeling.dataset.manifest import Manifest
from labeling.utility.record import UtilityCurve, UtilityReport

# Text stays text, and the same input gives the same bytes.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "regen", "font.size": 10})

_BASELINE_STYLES = {
    "|SR - IN|": ("#8c6d31", "--"),
    "edges": ("#7b7b7b", "--"),
    "detector boxes": ("#3182bd", "--"),
    "random": ("#bdbdbd", ":"),
}
_MODEL_COLOURS = ("#d62728", "#2ca02c", "#9467bd", "#e377c2")
_VALIDATION_COLOURS = {"quadratic_kappa": "#d62728", "top_block_recall": "#2ca02c"}
_LABEL_STYLES = {"importance": ("#000000", "-"), "label": ("#000000", "-.")}


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
    """Share of the blocks at each level, a row a video.

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
    """F1 against the share of blocks enhanced, one line a method; bands are 95 % intervals of label and models."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    colours = iter(_MODEL_COLOURS * 9)
    for curve in utility.curves:
        if curve.reference == reference:
            known = {**_BASELINE_STYLES, **_LABEL_STYLES}.get(curve.method)
            _draw_curve(axes, curve, known or (next(colours), "-"), band=curve.method not in _BASELINE_STYLES)
    target = "true high-resolution" if reference == "true" else "super-resolved"
    axes.set(xlabel="macroblocks enhanced, %", ylabel=f"F1 against detections on the {target} frame")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    return _data_uri(figure)


def plain_curves(x: list[float], curves: dict[str, list[float]], x_label: str, y_label: str) -> str:
    """Lines by name over common abscissae."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, values in curves.items():
        axes.plot(x, values, marker=".", linewidth=1.6, label=name)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small", loc="lower right")
    return _data_uri(figure)


def points_with_intervals(
    points: dict[str, tuple[float, float, float, float]], lines: dict[str, float], x_label: str, y_label: str
) -> str:
    """Named points (x, y, low, high) over a logarithmic axis, those that none is better and cheaper than joined.

    `lines` are horizontal, by name.
    """
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    for (name, height), style in zip(lines.items(), ("-.", "--", ":", "-") * len(lines), strict=False):
        axes.axhline(height, color="#7b7b7b", linestyle=style, linewidth=1, label=name)
    for name, (x, y, low, high) in points.items():
        axes.errorbar(x, y, [[y - low], [high - y]], fmt="o", markersize=4, linewidth=0.8, color="#3182bd")
        # Along its interval: names beside each other would cover one another where models are worth the same.
        text = axes.annotate(name, (x, low), textcoords="offset points", xytext=(2, 2))
        text.set(rotation=90, va="bottom", fontsize=6.5)
    best: list[tuple[float, float]] = []
    for x, y, *_ in sorted(points.values()):
        if not best or y > best[-1][1]:
            best.append((x, y))
    if best:
        axes.plot(*zip(*best, strict=True), color="#d62728", linewidth=1.2, label="Pareto front")
    axes.set(xlabel=x_label, ylabel=y_label, xscale="log")
    axes.grid(alpha=0.3)
    figure.legend(frameon=False, fontsize="small", loc="outside upper center", ncols=len(lines) + 1)
    return _data_uri(figure)


def training_curve(rows: list[dict[str, Any]]) -> str:
    """Loss by iteration, and what validation measured."""
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
