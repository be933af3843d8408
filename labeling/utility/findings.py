"""Negative findings of an evaluation: no benefit of super-resolution, or no evidence for one."""

from __future__ import annotations

import numpy as np

from deploy.core.statistics import middle_95, resampled_means
from labeling.utility.record import UtilityCurve, UtilityReport

OTHERS = ("|SR - IN|", "edges", "detector boxes", "random")
"""Rankings that are neither labels nor predictors; their losses are not findings."""


def utility_findings(report: UtilityReport) -> list[str]:
    """Findings, one sentence each; none if super-resolving everything clearly gains and no label or predictor loses."""
    judged = [curve for curve in report.curves if curve.reference == "true"]
    if not judged:
        return [
            "the source has no true high-resolution frames: F1 is against the super-resolved frame, correct by "
            "definition; this cannot show whether super-resolution helps"
        ]
    found = []
    gain, low, high = _gain(judged[0], len(judged[0].points) - 1, report)
    if low <= 0:
        does = "loses" if gain < 0 else "gains"
        found.append(
            f"super-resolving everything {does} {abs(gain):.1f} ± {(high - low) / 2:.1f} points of F1 against the true "
            "frames: it has no clear benefit for this detector (regen worth compares the alternatives)"
        )
    for curve in judged:
        if curve.method not in OTHERS and not curve.method.startswith("boxes +"):
            worse = [
                f"{point.budget:.0%}"
                for column, point in enumerate(curve.points[1:-1], start=1)
                if _gain(curve, column, report)[2] < 0
            ]
            if worse:
                found.append(f"enhancing the top {', '.join(worse)} by {curve.method} is worse than no enhancement")
    return found


def _gain(curve: UtilityCurve, column: int, report: UtilityReport) -> tuple[float, float, float]:
    """Gain in points of F1 over no enhancement at a point of the curve, paired by frame: mean and 95 % interval."""
    f1 = np.array(curve.f1_frames)
    gains = 100 * (f1[:, column] - f1[:, 0])
    low, high = middle_95(resampled_means(gains[:, None], np.array(report.segments))[:, 0])
    return float(gains.mean()), low, high
