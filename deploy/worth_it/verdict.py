"""From measurements to rows with intervals and a verdict in one sentence. No input or output.

Worth it: enhancement beats the best alternative that takes no more time, and the lower end of the interval of the
paired difference is above zero. Since several budgets are tested, the intervals are widened (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deploy.core.statistics import middle_95, resampled_means, segments_of
from deploy.worth_it.measuring import Measured

SEGMENTS = 10
"""Parts of the video that the bootstrap resamples as a whole."""
ENOUGH_FRAMES = 30
"""With fewer, intervals come with a caveat."""
EQUAL_TIME = 1.05
"""Methods that take up to this factor of the time count as equally fast, since times vary."""
LEAST_GAIN = 0.005
"""Gain in F1 below which a share of it is meaningless."""
Situation = Literal["fair", "no true frame", "detector too small", "nothing to find"]
"""fair: compared with the true frame. In the other situations the verdict is limited."""


@dataclass(frozen=True)
class Row:
    """One way, for the table and the file."""

    way: str
    budget: float | None
    f1: float
    f1_low: float
    f1_high: float
    gain: float
    """F1 over that of the interpolated frame, paired by frame."""
    gain_low: float
    gain_high: float
    milliseconds: float
    ap50: float | None = None
    """Against annotations, if given."""
    mean_ap: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The answer."""

    sentence: str
    worth_it: bool | None
    """None if it is undecided."""
    rows: tuple[Row, ...]
    caveat: str = ""
    """Note on intervals from few frames."""


def judge(measured: Sequence[Measured], situation: Situation = "fair") -> Verdict:
    """Rows and sentence.

    Args:
        measured: every way on the same frames; the first is the interpolated one.
        situation: what the comparison can show.
    """
    nothing = measured[0]
    segments = segments_of([""] * len(nothing.f1), SEGMENTS)
    rows = tuple(_row(way, nothing, segments) for way in measured)
    worth_it, sentence = _decide(measured, segments, situation)
    few = f"Only {len(nothing.f1)} frames: the intervals are rough; try --frames {2 * ENOUGH_FRAMES}."
    return Verdict(sentence, worth_it, rows, few if len(nothing.f1) < ENOUGH_FRAMES else "")


def _row(way: Measured, nothing: Measured, segments: NDArray[np.int64]) -> Row:
    gains = way.f1 - nothing.f1
    draws = resampled_means(np.stack([way.f1, gains], axis=1), segments)
    f1_low, f1_high = middle_95(draws[:, 0])
    gain_low, gain_high = middle_95(draws[:, 1])
    return Row(
        way=way.name,
        budget=way.budget,
        f1=round(float(way.f1.mean()), 4),
        f1_low=round(f1_low, 4),
        f1_high=round(f1_high, 4),
        gain=round(float(gains.mean()), 4),
        gain_low=round(gain_low, 4),
        gain_high=round(gain_high, 4),
        milliseconds=round(way.milliseconds, 2),
        ap50=None if way.ap50 is None else round(way.ap50, 4),
        mean_ap=None if way.mean_ap is None else round(way.mean_ap, 4),
    )


def _decide(measured: Sequence[Measured], segments: NDArray[np.int64], situation: Situation) -> tuple[bool | None, str]:
    nothing = measured[0]
    everything = next(way for way in measured if way.kind == "everything")
    if situation == "detector too small":
        return (
            False,
            "not worth it: your detector shrinks frames below the low-resolution size, so enhancement cannot help",
        )
    if situation == "nothing to find":
        return None, "undecided: your detector finds nothing in these frames (see --classes and --score-threshold)"
    if situation == "no true frame":
        return None, _without_true_frame(measured, everything)
    candidates = [way for way in measured if way.kind in ("predicted", "everything")]
    tail = 0.025 / len(candidates)
    lows = {way.name: _lower_bound(way, _best_instead(way, measured), segments, tail) for way in candidates}
    best = max(candidates, key=lambda way: (lows[way.name] > 0, way.kind == "predicted", lows[way.name]))
    instead = _best_instead(best, measured)
    if lows[best.name] > 0:
        ahead = 100 * (best.f1 - instead.f1).mean()
        return True, f"worth it: {_worth(best, nothing, everything)}, {ahead:.1f} points of F1 above {_said(instead)}"
    gains = everything.f1 - nothing.f1
    low, high = middle_95(resampled_means(gains[:, None], segments)[:, 0])
    mean = round(100 * float(gains.mean()), 1)
    does = "loses" if mean < 0 else "gains"
    sentence = f"not worth it: super-resolving everything {does} {abs(mean):.1f} ± {50 * (high - low):.1f} points of F1"
    if low > 0:
        sentence += f", but {_said(best)} is not clearly above {_said(instead)}"
    return False, sentence


def _best_instead(way: Measured, measured: Sequence[Measured]) -> Measured:
    """The most accurate alternative that takes no more time; the interpolated frame if there is none."""
    others = [other for other in measured if other.kind in ("nothing", "instead") and other is not way]
    quick = [other for other in others if other.milliseconds <= EQUAL_TIME * way.milliseconds]
    return max(quick or [measured[0]], key=lambda other: float(other.f1.mean()))


def _lower_bound(way: Measured, instead: Measured, segments: NDArray[np.int64], tail: float) -> float:
    draws = resampled_means((way.f1 - instead.f1)[:, None], segments)[:, 0]
    return float(np.quantile(draws, tail))


def _worth(best: Measured, nothing: Measured, everything: Measured) -> str:
    gain, whole = float((best.f1 - nothing.f1).mean()), float((everything.f1 - nothing.f1).mean())
    if best is everything:
        return f"super-resolving everything gains {100 * gain:.1f} points of F1"
    share = f"{gain / whole:.0%} of the gain" if whole >= LEAST_GAIN else f"{100 * gain:.1f} points of F1"
    quicker = best.milliseconds / everything.milliseconds
    return f"enhancing {best.budget:.0%} of the blocks gives {share} in {quicker:.0%} of the time"


def _without_true_frame(measured: Sequence[Measured], everything: Measured) -> str:
    predicted = [way for way in measured if way.kind == "predicted"]
    best = max(predicted, key=lambda way: float(way.f1.mean()))
    agreement, quicker = best.f1.mean(), best.milliseconds / everything.milliseconds
    return (
        "undecided: the source has no true frame of the super-resolved size, so detections are compared with those on "
        "the super-resolved frame, which counts as correct. Enhancing "
        f"{best.budget:.0%} of the blocks agrees with it to {agreement:.3f} (nothing: {measured[0].f1.mean():.3f}) in "
        f"{quicker:.0%} of the time"
    )


def _said(way: Measured) -> str:
    return f"{way.name} (F1 {way.f1.mean():.3f} in {way.milliseconds:.0f} ms)"


def heads_of(verdict: Verdict) -> tuple[str, ...]:
    """Names of the columns of `cells_of`."""
    heads = ("F1", "95 %", "points over nothing", "95 %", "ms per frame")
    return heads if verdict.rows[0].ap50 is None else (*heads, "AP50", "mAP")


def cells_of(row: Row) -> tuple[str, ...]:
    """The figures of a row, as text."""
    cells = (
        f"{row.f1:.3f}",
        f"{row.f1_low:.3f} to {row.f1_high:.3f}",
        f"{100 * row.gain:+.1f}",
        f"{100 * row.gain_low:+.1f} to {100 * row.gain_high:+.1f}",
        f"{row.milliseconds:.0f}",
    )
    return cells if row.ap50 is None else (*cells, f"{row.ap50:.3f}", f"{row.mean_ap:.3f}")
