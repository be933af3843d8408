"""The comparison of models as Markdown and as a self-contained page."""

from __future__ import annotations

from pathlib import Path

import jinja2

from deploy.core.files import write_text
from labeling.report import figures as report_figures
from labeling.utility.record import UtilityReport
from paddleseg_configs.ladder.record import LadderReport
from paddleseg_configs.ladder.tables import curves_by_method, tables

_TEMPLATES = (Path(__file__).parent, Path(report_figures.__file__).parent / "templates")
_MOST_CURVES = 8


def write_pages(report: LadderReport, out: Path) -> None:
    """Write ``OUT.md`` and ``OUT.html``."""
    found = tables(report)
    parts = ["# Models compared", _summary(report), *(table.markdown() for table in found)]
    markdown, html = (out.with_name(f"{out.name}{suffix}") for suffix in (".md", ".html"))
    write_text(markdown, "\n\n".join(parts) + "\n")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True)
    template = environment.get_template("page.html.j2")
    write_text(html, template.render(report=report, summary=_summary(report), tables=found, figures=_figures(report)))
    print(f"wrote {markdown} and {html}")


def _summary(report: LadderReport) -> str:
    how = report.settings
    budget = f"at most {how.max_iters} iterations"
    budget += "" if how.minutes is None else f" and {how.minutes:g} minutes"
    overrides = f" Overrides: {', '.join(how.opts)}." if how.opts else ""
    return (
        f"Dataset: {how.dataset}. Each model: {budget} of {how.batch_size} frames, seed {how.seed}; the best of six "
        f"checkpoints on the validation split, evaluated on the held-out test split.{overrides} "
        f"Machine: {how.machine}."
    )


def _figures(report: LadderReport) -> list[tuple[str, str]]:
    """(caption, data URI) of each figure."""
    if report.utility is None:
        return []
    colours = report_figures.colours_by_method([curve.method for curve in report.utility.curves])
    return [_pareto(report, report.utility, colours), *_curves(report.utility, colours)]


def _pareto(report: LadderReport, utility: UtilityReport, colours: dict[str, str]) -> tuple[str, str]:
    reference = utility.curves[0].reference
    curves = curves_by_method(utility, reference)
    points = {}
    for row in report.rows:
        if row.measured and "onnxruntime" in row.measured.latency and row.name in curves:
            area = curves[row.name].f1_area
            points[row.name] = (row.measured.latency["onnxruntime"].p50_ms, area.value, area.low, area.high)
    baselines = ("label", "detector boxes", "random")
    lines = {str(name): curves[name].f1_area.value for name in baselines if name in curves}
    figure = report_figures.points_with_intervals(
        points, lines, "ms per frame, one thread, ONNX Runtime", "area under the F1 curve", colours
    )
    return "Detection accuracy against time; bars are 95 % intervals", figure


def _curves(utility: UtilityReport, colours: dict[str, str]) -> list[tuple[str, str]]:
    figures = []
    for reference in dict.fromkeys(curve.reference for curve in utility.curves):
        chosen = list(curves_by_method(utility, reference).values())
        kept = [curve for curve in chosen if curve.method in ("label", "random", "|SR - IN|", "detector boxes")]
        shown = kept + [curve for curve in chosen if curve not in kept][: _MOST_CURVES - len(kept)]
        budgets = [100 * point.budget for point in shown[0].points[:-1]]
        heights = {curve.method: [point.f1_mean for point in curve.points[:-1]] for curve in shown}
        judge = "true" if reference == "true" else "super-resolved"
        caption = f"F1 against the {judge} frame; the best models and some baselines"
        figure = report_figures.plain_curves(budgets, heights, "macroblocks enhanced, %", "F1", colours)
        figures.append((caption, figure))
    return figures
