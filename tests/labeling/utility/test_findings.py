"""What stands on a report where super-resolution does not pay."""

from __future__ import annotations

from typing import Literal

import numpy as np

from deploy.detectors.matching import MatchCounts
from labeling.utility.curves import Counts, make_curve
from labeling.utility.findings import utility_findings
from labeling.utility.record import UtilityReport


def report_of(reference: Literal["true", "sr"] = "true", **methods: tuple[float, float, float]) -> UtilityReport:
    """F1 with nothing, 20 % and everything enhanced, by method; each frame differs from the others."""
    segments = np.arange(40) // 4
    budgets = (0.0, 0.2, 1.0)
    frames: list[Counts] = []
    for number in range(40):
        shift = 0.1 * np.sin(number)
        known = {(name, budget): f1 for name, row in methods.items() for budget, f1 in zip(budgets, row, strict=True)}
        frames.append({key: MatchCounts(round(1000 * (f1 + shift)), 1000, 1000) for key, f1 in known.items()})
    curves = tuple(make_curve(name, reference, frames, segments, budgets) for name in methods)
    return UtilityReport(
        split="test", num_frames=40, num_segments=10, segments=tuple(segments.tolist()), manifest_sha256="0" * 64,
        models={}, curves=curves,
    )  # fmt: skip


def test_nothing_is_found_where_it_pays() -> None:
    assert utility_findings(report_of(importance=(0.5, 0.6, 0.7), random=(0.5, 0.4, 0.7))) == []


def test_no_clear_gain() -> None:
    (found,) = utility_findings(report_of(importance=(0.5, 0.5, 0.5)))
    assert found.startswith("super-resolving everything gains 0.0 ± 0.0 points of F1 against the true frames")
    (found,) = utility_findings(report_of(importance=(0.5, 0.5, 0.4)))
    assert found.startswith("super-resolving everything loses 10.0")


def test_a_ranking_that_loses_to_nothing() -> None:
    found = utility_findings(report_of(importance=(0.5, 0.4, 0.7), edges=(0.5, 0.4, 0.7)))
    assert found == ["enhancing the top 20% by importance is worse than no enhancement"]


def test_without_true_frames() -> None:
    (found,) = utility_findings(report_of("sr", importance=(0.5, 0.6, 1.0)))
    assert "correct by definition" in found
