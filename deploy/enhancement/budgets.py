"""How much of each frame is enhanced: a share, blocks a second, an importance, or milliseconds."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import OptionError
from deploy.enhancement.importance import Importance, value_for_area
from deploy.prediction.postprocess import best, count_of

if TYPE_CHECKING:
    from deploy.enhancement.regions import Region
    from deploy.enhancement.upscaler import Upscaler

BudgetKind = Literal["share", "rate", "threshold", "time"]
_NUMBER = r"(\d+(?:\.\d+)?)"
_FORMS: dict[BudgetKind, re.Pattern[str]] = {
    "share": re.compile(_NUMBER + "%"),
    "rate": re.compile(_NUMBER + "/s"),
    "threshold": re.compile("threshold-" + _NUMBER),
    "time": re.compile(_NUMBER + "ms"),
}
_MOST = {"share": 100, "threshold": 1}
_HINT = "Use 20% (of the blocks), 3000/s (blocks per second), threshold-0.5 (importance) or 15ms (per frame)."
_TRIES = 8
_TRIAL_PX = ((28, 28), (76, 76))
_TARGET = 0.95
"""Of the time that is there: what is left makes up for frames that take longer than they should."""
_MEMORY = 0.8
"""Weight of what was known before against one new measurement."""


@dataclass(frozen=True)
class Budget:
    """What may be spent.

    Raises:
        OptionError: an amount outside its range.
    """

    kind: BudgetKind
    """What is counted."""
    amount: Fraction
    """Share in [0, 1]; blocks a second; importance in [0, 1]; milliseconds a frame."""

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read "20%", "3000/s", "threshold-0.5" or "15ms".

        Raises:
            OptionError: something else, or an amount outside its range.
        """
        for kind, form in _FORMS.items():
            if match := form.fullmatch(text):
                if Fraction(match[1]) > _MOST.get(kind, math.inf):
                    raise OptionError(f"budget={text!r} must be at most {_MOST[kind]}", hint=_HINT)
                return cls(kind, Fraction(match[1]) / (100 if kind == "share" else 1))
        raise OptionError(f"budget={text!r} is not a valid budget", hint=_HINT)


def highest(values: Importance, count: int) -> NDArray[np.bool_]:
    """(rows, cols) bool: so many blocks; among equals the first in row-major order."""
    return best(values.ravel(), count).reshape(values.shape)


class Chooser:
    """Chooses the blocks of each frame of a stream.

    Args:
        budget: what may be spent.
        upscaler: for a budget of time it is measured.
    """

    def __init__(self, budget: Budget, upscaler: Upscaler) -> None:
        self.budget = budget
        self._model = TimeModel(seconds_per_px(upscaler)) if budget.kind == "time" else None
        self.reset()

    def reset(self) -> None:
        """Begin a new stream. What is known of this machine stays."""
        self._rate = BlockRate(self.budget.amount)

    def choose(
        self,
        importance: Importance,
        pts_seconds: Fraction | None,
        padded_px: Callable[[NDArray[np.bool_]], int],
    ) -> NDArray[np.bool_]:
        """The blocks to enhance, (rows, cols) bool: those of the highest `value_for_area`, or by a threshold alone.

        Args:
            importance: (rows, cols) float32 in [0, 1].
            pts_seconds: the frame's time.
            padded_px: pixels that go through the network for a choice.

        Raises:
            OptionError: a budget a second, and no time.
        """
        chosen = partial(highest, value_for_area(importance))
        if self.budget.kind == "threshold":
            return importance >= float(self.budget.amount)
        if self._model is not None:
            seconds = float(self.budget.amount) / 1000
            return chosen(self._model.count(seconds, importance.size, lambda count: padded_px(chosen(count))))
        if self.budget.kind == "share":
            return chosen(count_of(self.budget.amount, importance.size))
        if pts_seconds is None:
            raise OptionError("a budget in blocks per second needs the frames' times", hint="Pass pts_seconds.")
        return chosen(self._rate.count(pts_seconds))

    def learn(self, regions: Sequence[Region], seconds: Mapping[str, float]) -> None:
        """Take in what a frame has cost, by stage."""
        if self._model is not None:
            network = seconds.get("network", 0.0)
            pixels = sum(region.padded_px for region in regions)
            self._model.learn(pixels, network, sum(seconds.values()) - network)


class BlockRate:
    """Blocks a second over the frames of one stream; fractions are carried over exactly.

    Args:
        per_second: blocks.
        first_seconds: how long the first frame lasts: nothing tells that before the second.
    """

    def __init__(self, per_second: Fraction, first_seconds: Fraction = Fraction(1, 25)) -> None:
        self._rate, self._interval = per_second, first_seconds
        self._last: Fraction | None = None
        self._left = Fraction(0)

    def count(self, pts_seconds: Fraction) -> int:
        """How many blocks the frame at this time gets. What one frame does not use is lost."""
        if self._last is not None and pts_seconds > self._last:
            self._interval = pts_seconds - self._last
        self._last = pts_seconds
        self._left += self._rate * self._interval
        whole = math.floor(self._left)
        self._left -= whole
        return whole


class TimeModel:
    """What regions cost on this machine: measured at the start, corrected while running.

    Args:
        seconds_per_px: of a padded pixel, by a first measurement.
    """

    def __init__(self, seconds_per_px: float) -> None:
        self.seconds_per_px, self.fixed_seconds = seconds_per_px, 0.0
        self._px_per_block = 0.0

    def count(self, seconds: float, total: int, padded_px: Callable[[int], int]) -> int:
        """How many blocks can be enhanced in a time.

        Args:
            seconds: the time.
            total: blocks of the frame.
            padded_px: pixels that go through the network for so many of the best blocks.
        """
        there = (seconds * _TARGET - self.fixed_seconds) / self.seconds_per_px
        low, high, count = 0, total, self._first_guess(there, total)
        for _ in range(_TRIES):
            pixels = padded_px(count) if count else 0
            if pixels <= there:
                low = count
            else:
                high = count - 1
            if low >= high or (pixels <= there and pixels > 0.9 * there):
                break
            share = there / pixels if pixels else 2.0
            count = min(max(round(count * share), low + 1), high)
        if low:
            self._px_per_block = max(padded_px(low), 1) / low
        return low

    def learn(self, padded_px: int, network_seconds: float, other_seconds: float) -> None:
        """Take in what a frame has cost."""
        if padded_px:
            self.seconds_per_px += (1 - _MEMORY) * (network_seconds / padded_px - self.seconds_per_px)
        self.fixed_seconds += (1 - _MEMORY) * (other_seconds - self.fixed_seconds)

    def _first_guess(self, there: float, total: int) -> int:
        if there <= 0:
            return 0
        return min(max(round(there / self._px_per_block), 1), total) if self._px_per_block else total


def seconds_per_px(upscaler: Upscaler) -> float:
    """A first measurement of what a padded pixel costs on this machine."""
    pixels, seconds = 0, 0.0
    for height, width in _TRIAL_PX:
        canvas = np.zeros((1, height, width, 3), np.uint8)
        upscaler(canvas)
        started = time.perf_counter()
        upscaler(canvas)
        seconds += time.perf_counter() - started
        pixels += height * width
    return seconds / pixels
