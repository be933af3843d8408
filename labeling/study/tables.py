"""Tables of the runs of a comparison of labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.core.statistics import bootstrap_interval, segments_of
from deploy.core.tables import Table
from labeling.study.record import LabelStudy, StudyRun

BASELINES = ("|SR - IN|", "edges")
"""Baselines that a label must beat."""


def tables(study: LabelStudy) -> list[Table]:
    """Make all tables, the most important first."""
    found = []
    for reference in ("true", "sr"):
        runs = [run for run in study.runs if reference in run.f1]
        if not runs:
            continue
        found.append(_f1_table(runs, reference, f"All {len(runs)} runs, F1 against the {_frame(reference)} frame"))
        found += [_difference_table(runs, reference, baseline) for baseline in BASELINES]
    found.append(
        _correlation_table(study.runs, "All runs, median rank correlation with exact effects of single blocks")
    )
    for run in study.runs:
        found += [
            _f1_table([run], reference, f"{run_name(run)}: F1, {_frame(reference)} frame") for reference in run.f1
        ]
        found.append(_correlation_table([run], f"{run_name(run)}: median rank correlation"))
    return found


def run_name(run: StudyRun) -> str:
    """Name of a run: video, detector and sizes."""
    settings = run.settings
    return (
        f"{settings.video}, {settings.detector.name} ({settings.width_px} x {settings.height_px} x{settings.scale}, "
        f"blocks of {settings.block_px} px, {len(settings.frame_index)} frames)"
    )


def scores_of(runs: Sequence[StudyRun], reference: str, method: str) -> NDArray[np.float64]:
    """(frames, budgets + 2) F1 of one method, with the frames of all runs concatenated."""
    return np.concatenate([np.array(run.f1[reference][method]) for run in runs])


def _frame(reference: str) -> str:
    return "true high-resolution" if reference == "true" else "super-resolved"


def _methods(runs: Sequence[StudyRun], reference: str) -> list[str]:
    """Methods that every run has."""
    return [name for name in runs[0].f1[reference] if all(name in run.f1[reference] for run in runs)]


def _budgets(runs: Sequence[StudyRun]) -> tuple[str, ...]:
    return tuple(f"{100 * budget:g} %" for budget in (0.0, *runs[0].settings.budgets, 1.0))


def _groups(runs: Sequence[StudyRun]) -> NDArray[np.int64]:
    """Segments of neighboring frames; no segment spans two runs."""
    groups: list[NDArray[np.int64]] = []
    for run in runs:
        own = segments_of([""] * len(run.settings.frame_index), run.settings.segments)
        groups.append(own + (groups[-1].max() + 1 if groups else 0))
    return np.concatenate(groups)


def _f1_table(runs: Sequence[StudyRun], reference: str, title: str) -> Table:
    groups, rows = _groups(runs), []
    means = {method: scores_of(runs, reference, method) for method in _methods(runs, reference)}
    order = sorted(means, key=lambda method: -means[method][:, 1:-1].mean())
    for method in order:
        cells = []
        for values in means[method].T:
            low, high = bootstrap_interval(values, groups)
            cells.append(f"{values.mean():.3f} ({low:.2f}, {high:.2f})")
        rows.append((method, *cells))
    return Table(title, ("blocks enhanced", *_budgets(runs)), tuple(rows))


def _difference_table(runs: Sequence[StudyRun], reference: str, baseline: str) -> Table:
    groups, rows = _groups(runs), []
    base = scores_of(runs, reference, baseline)
    for method in _methods(runs, reference):
        difference = (scores_of(runs, reference, method) - base)[:, 1:-1]
        cells = []
        for values in (*difference.T, difference.mean(axis=1)):
            low, high = bootstrap_interval(values, groups)
            star = " *" if low > 0 else ""
            cells.append(f"{values.mean():+.3f} ({low:+.2f}, {high:+.2f}){star}")
        if " | " not in method:
            rows.append((method, *cells))
    title = f"All runs, F1 minus that of {baseline}, {_frame(reference)} frame (* the interval is above zero)"
    return Table(title, ("blocks enhanced", *_budgets(runs)[1:-1], "mean"), tuple(rows))


def _correlation_table(runs: Sequence[StudyRun], title: str) -> Table:
    effects = [name for name in runs[0].correlations if all(name in run.correlations for run in runs)]
    candidates = [
        name for name in runs[0].correlations[effects[0]] if all(name in run.correlations[effects[0]] for run in runs)
    ]
    rows = [
        (name, *(_median([value for run in runs for value in run.correlations[effect][name]]) for effect in effects))
        for name in candidates
    ]
    return Table(title, ("importance", *effects), tuple(rows))


def _median(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.median(known):.2f}" if known else "-"
