"""The verdict on made-up measurements."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.core.statistics import bootstrap_interval, segments_of
from deploy.worth_it.measuring import Measured
from deploy.worth_it.verdict import judge
from deploy.worth_it.ways import Kind

NOISE = np.random.default_rng(0).normal(0, 0.02, 40)


def way(kind: Kind, f1: float, milliseconds: float, name: str = "", budget: float | None = None) -> Measured:
    """With noise of its own beside that of the frame, which all ways share."""
    own = np.random.default_rng(len(name) + round(milliseconds)).normal(0, 0.005, 40)
    return Measured(name or kind, kind, budget, f1 + NOISE + own - own.mean(), milliseconds)


def ways(everything: float = 0.9, top: float = 0.88, instead: float = 0.82, instead_ms: float = 100) -> list[Measured]:
    return [
        way("nothing", 0.8, 50, budget=0.0),
        way("everything", everything, 400, budget=1.0),
        way("predicted", top - 0.04, 90, "top 5 %", 0.05),
        way("predicted", top, 120, "top 20 %", 0.2),
        way("control", 0.81, 120, "random 20 %", 0.2),
        way("instead", instead, instead_ms, "larger"),
    ]


def test_worth_it() -> None:
    verdict = judge(ways())
    assert verdict.worth_it is True and verdict.caveat == ""
    assert verdict.sentence == (
        "worth it: enhancing 20% of the blocks gives 80% of the gain in 30% of the time, 6.0 points of F1 above "
        "larger (F1 0.819 in 100 ms)"
    )


def test_what_takes_longer_is_no_alternative() -> None:
    assert judge(ways(instead=0.95, instead_ms=300)).worth_it is True
    verdict = judge(ways(instead=0.95, instead_ms=85))
    assert verdict.worth_it is False and "is not clearly above larger (F1 0.949 in 85 ms)" in verdict.sentence


def test_a_gain_that_is_not_clear() -> None:
    verdict = judge(ways(everything=0.8, top=0.8))
    assert verdict.worth_it is False
    assert verdict.sentence.startswith("not worth it: super-resolving everything gains 0.0 ± 0.")


def test_a_loss_is_called_one() -> None:
    assert "super-resolving everything loses 10.0 ± 0." in judge(ways(everything=0.7, top=0.75)).sentence


def test_everything_may_be_worth_it_where_blocks_are_not() -> None:
    verdict = judge(ways(everything=0.95, top=0.8))
    assert verdict.worth_it and "super-resolving everything gains 15.0 points" in verdict.sentence


def test_what_cannot_be_said() -> None:
    verdict = judge(ways(everything=1.0), "no true frame")
    assert verdict.worth_it is None and "undecided" in verdict.sentence and "agrees with it" in verdict.sentence
    nothing = judge(ways(), "nothing to find")
    assert nothing.worth_it is None and "--score-threshold" in nothing.sentence
    small = judge(ways(), "detector too small")
    assert small.worth_it is False and "enhancement cannot help" in small.sentence


def test_rows_have_the_intervals_of_the_bootstrap() -> None:
    measured = ways()
    rows = judge(measured).rows
    assert [row.way for row in rows] == [way.name for way in measured]
    segments = segments_of([""] * 40, 10)
    for row, each in zip(rows, measured, strict=True):
        assert (row.f1_low, row.f1_high) == pytest.approx(bootstrap_interval(each.f1, segments), abs=1e-4)
        gain = bootstrap_interval(each.f1 - measured[0].f1, segments)
        assert (row.gain_low, row.gain_high) == pytest.approx(gain, abs=1e-4)
    assert rows[0].gain == rows[0].gain_low == 0


def test_few_frames_are_told() -> None:
    few = [Measured(each.name, each.kind, each.budget, each.f1[:5], each.milliseconds) for each in ways()]
    assert "Only 5 frames" in judge(few).caveat
