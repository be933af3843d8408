"""The comparison of labels as Markdown and as a self-contained page."""

from __future__ import annotations

from pathlib import Path

import jinja2

from deploy.core.files import write_text
from labeling.report import figures as report_figures
from labeling.study.record import LabelStudy, StudyRun
from labeling.study.tables import run_name, scores_of, tables

_TEMPLATES = Path(report_figures.__file__).parent / "templates"
SHOWN = (
    "path, f1 (true), 1 step", "path, f1 (sr), 1 step", "path, scores, 6 steps", "delta, scores", "gradient, scores",
    "|SR - IN|", "edges", "random",
)  # fmt: skip
"""Methods that the figures show."""


def write_pages(study: LabelStudy, out: Path) -> None:
    """Write ``NAME-tables.md`` and ``NAME.html`` next to ``NAME.json``."""
    if not study.runs:
        return
    found = tables(study)
    markdown = out.with_name(f"{out.stem}-tables.md")
    write_text(markdown, "\n\n".join(table.markdown() for table in found) + "\n")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True)
    figures = [(run_name(run), reference, _figure(run, reference)) for run in study.runs for reference in run.f1]
    page = environment.get_template("label_study.html.j2").render(tables=found, figures=figures, runs=study.runs)
    write_text(out.with_suffix(".html"), page)
    print(f"wrote {out}, {markdown.name} and {out.with_suffix('.html').name}")


def _figure(run: StudyRun, reference: str) -> str:
    budgets = [0.0, *(100 * budget for budget in run.settings.budgets), 100.0]
    methods = [method for method in SHOWN if method in run.f1[reference]]
    curves = {method: scores_of([run], reference, method).mean(axis=0).tolist() for method in methods}
    return report_figures.plain_curves(budgets, curves, "macroblocks enhanced, %", "F1")
