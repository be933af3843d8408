"""Which macroblocks are enhanced, over all frames of all streams that share a window of time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deploy.enhancement.budgets import Budget, BudgetKind
from deploy.enhancement.enhancer import Enhancer
from deploy.enhancement.frames import PredictedFrame
from deploy.enhancement.importance import value_for_area
from deploy.inference.streams import SomeWork
from deploy.prediction.selection import SelectionRule

_RULES: dict[BudgetKind, Literal["top", "threshold", "budget"]] = {
    "share": "top",
    "threshold": "threshold",
    "rate": "budget",
}


def chosen(
    items: Iterable[tuple[SomeWork, PredictedFrame]], enhancers: list[Enhancer], window_seconds: Fraction | None
) -> Iterator[tuple[SomeWork, PredictedFrame, NDArray[np.bool_]]]:
    """Choose macroblocks.

    Args:
        items: frames in order of time.
        enhancers: one a stream, of one budget.
        window_seconds: collect the frames of so long and choose among all of them; None takes each alone, as does a
            budget of milliseconds.

    Yields:
        The same with (rows, cols) bool.
    """
    budget = enhancers[0].budget
    if window_seconds is None or budget.kind == "time":
        for work, predicted in items:
            yield work, predicted, enhancers[work.stream].choose(predicted)
        return
    waiting: list[tuple[SomeWork, PredictedFrame]] = []
    window = 0
    for work, predicted in items:
        current = math.floor(work.frame.seconds / window_seconds)
        if current != window:
            yield from _shared(waiting, budget, window, window_seconds)
            waiting, window = [], current
        waiting.append((work, predicted))
    yield from _shared(waiting, budget, window, window_seconds)


def _shared(
    waiting: list[tuple[SomeWork, PredictedFrame]], budget: Budget, window: int, window_seconds: Fraction
) -> Iterator[tuple[SomeWork, PredictedFrame, NDArray[np.bool_]]]:
    if waiting:
        rule = SelectionRule(_RULES[budget.kind], budget.amount)
        maps = [predicted.importance for _, predicted in waiting]
        if budget.kind != "threshold":
            maps = list(map(value_for_area, maps))
        masks = rule.select(maps, window, window_seconds)
        for (work, predicted), mask in zip(waiting, masks, strict=True):
            yield work, predicted, mask
