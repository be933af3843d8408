"""The comparison of models as tables of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from deploy.core.statistics import middle_95, resampled_means
from deploy.core.tables import Table
from labeling.maths.utility import area
from labeling.utility.record import UtilityCurve, UtilityReport
from paddleseg_configs.ladder.record import LadderReport, ModelRow

THE_PAPERS = "mobileseg_mobilenetv2"
METRICS = ("quadratic_kappa", "mean_level_error", "rank_correlation", "top_block_recall", "mean_iou")


def tables(report: LadderReport) -> list[Table]:
    """Every table of the report."""
    found = [_costs(report.rows), _levels(report.rows)]
    if report.utility is not None:
        for reference in dict.fromkeys(curve.reference for curve in report.utility.curves):
            curves = curves_by_method(report.utility, reference)
            found += [
                _worth(curves, report.utility, reference),
                _recovery(curves, reference),
                _f1(curves, reference),
            ]
    return found


def curves_by_method(utility: UtilityReport, reference: Literal["true", "sr"]) -> dict[str, UtilityCurve]:
    """The curves against one reference, best area first."""
    chosen = [curve for curve in utility.curves if curve.reference == reference]
    return {curve.method: curve for curve in sorted(chosen, key=lambda curve: -curve.f1_area.value)}


def difference(first: UtilityCurve, second: UtilityCurve, segments: Sequence[int]) -> tuple[float, float, float]:
    """Area under the F1 curve of `first` minus that of `second`, frame by frame, with its 95 % bootstrap interval."""
    budgets = [point.budget for point in first.points]
    pairs = area(budgets, np.array(first.f1_frames)) - area(budgets, np.array(second.f1_frames))
    low, high = middle_95(resampled_means(pairs[:, None], np.array(segments))[:, 0])
    return float(pairs.mean()), low, high


def _costs(rows: Sequence[ModelRow]) -> Table:
    backends = list(dict.fromkeys(name for row in rows if row.measured for name in row.measured.latency))
    header = ("model", "parameters, M", "GMAC", *(f"ms p50 / p95, {name}" for name in backends))
    lines = []
    for row in rows:
        if row.measured is None:
            lines.append((row.name, f"failed: {row.failure}", *[""] * (len(header) + 1)))
            continue
        times = [row.measured.latency.get(name) for name in backends]
        shown = [f"{time.p50_ms:.1f} / {time.p95_ms:.1f}" if time else "" for time in times]
        parameters = "" if row.parameters is None else f"{row.parameters / 1e6:.2f}"
        trained = [f"{row.iters}", f"{row.epochs:.0f}", f"{row.seconds_per_iter:.2f}"] if row.iters else ["", "", ""]
        lines.append((row.name, parameters, f"{row.measured.gmac:.2f}", *shown, *trained))
    note = "Time per frame on one thread, from RGB bytes to the importance map, pre- and post-processing in NumPy. "
    runtimes = {time.runtime for row in rows if row.measured for time in row.measured.latency.values()}
    return Table(
        "Cost",
        (*header, "iterations", "epochs", "s/iteration"),
        tuple(lines),
        note + "; ".join(sorted(runtimes)),
    )


def _levels(rows: Sequence[ModelRow]) -> Table:
    lines = [(row.name, *(_number(row.measured.metrics.get(name)) for name in METRICS)) for row in rows if row.measured]
    note = "By macroblock, on the test split. rank_correlation: Spearman with the raw importance, mean over frames."
    return Table("Accuracy of the levels", ("model", *METRICS), tuple(lines), note)


def _worth(curves: Mapping[str, UtilityCurve], utility: UtilityReport, reference: str) -> Table:
    others = [name for name in ("random", "detector boxes", THE_PAPERS) if name in curves]
    lines = []
    for name, curve in curves.items():
        compared = [_interval(*difference(curve, curves[other], utility.segments), signed=True) for other in others]
        at_20 = [_interval(p.f1_mean, p.f1_low, p.f1_high) for p in curve.points if p.budget == 0.2]
        shown = _interval(curve.f1_area.value, curve.f1_area.low, curve.f1_area.high)
        lines.append((name, shown, *(at_20 or [""]), *compared))
    first = next(iter(curves.values()))
    note = (
        f"F1 with nothing enhanced {first.points[0].f1_mean:.3f}, with everything {first.points[-1].f1_mean:.3f}. "
        f"Area: mean F1 over the budgets from 0 to {first.points[-2].budget:.0%}. {utility.num_frames} frames, "
        f"{utility.num_segments} segments; differences paired by frame; 95 % bootstrap intervals over segments. "
        + utility.caveat
    ).strip()
    header = ("method", "area under F1", "F1 at 20 %", *(f"area minus {other}" for other in others))
    return Table(f"Detection accuracy, {_judge(reference)}", header, tuple(lines), note)


def _recovery(curves: Mapping[str, UtilityCurve], reference: str) -> Table:
    first = next(iter(curves.values()))
    inner = range(1, len(first.points) - 1)
    lines = []
    for name, curve in curves.items():
        points = [curve.points[number] for number in inner]
        whole = curve.recovery_area
        shown = _interval(whole.value, whole.low, whole.high) if whole else "not clear"
        lines.append((name, shown, *(_interval(p.recovery, p.recovery_low, p.recovery_high) for p in points)))
    header = ("method", "area", *(f"{first.points[number].budget:.0%}" for number in inner))
    note = "(F1_k - F1_0) / (F1_100 - F1_0). No interval if enhancing everything has no clear gain."
    return Table(f"Recovery by share of blocks enhanced, {_judge(reference)}", header, tuple(lines), note)


def _f1(curves: Mapping[str, UtilityCurve], reference: str) -> Table:
    first = next(iter(curves.values()))
    header = ("method", *(f"{point.budget:.0%}" for point in first.points))
    lines = tuple((name, *(f"{point.f1_mean:.3f}" for point in curve.points)) for name, curve in curves.items())
    return Table(f"F1 by share of blocks enhanced, {_judge(reference)}", header, lines, "Mean over frames.")


def _judge(reference: str) -> str:
    return f"against the {'true' if reference == 'true' else 'super-resolved'} frame"


def _interval(value: float | None, low: float | None, high: float | None, *, signed: bool = False) -> str:
    if value is None:
        return ""
    shown = f"{value:+.3f}" if signed else f"{value:.3f}"
    return shown if low is None or high is None else f"{shown} ({low:.3f}, {high:.3f})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
