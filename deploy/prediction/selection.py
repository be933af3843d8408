"""Which macroblocks to enhance, over all frames of all streams that share a window of time.

One queue for all: a busy camera may take the budget of a quiet one. Equal importance is decided by time, then by the
stream's position on the command line, then in row-major order, so that the selection is reproducible.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import OptionError
from deploy.prediction.postprocess import best, count_of

_FORMS = {
    "top": re.compile(r"top-(\d+(?:\.\d+)?)%"),
    "threshold": re.compile(r"threshold-(\d+(?:\.\d+)?)"),
    "budget": re.compile(r"budget-(\d+(?:\.\d+)?)(?:-per-second)?"),
}
_HINT = "Use top-20% (of the macroblocks), threshold-0.5 (importance) or budget-3000-per-second (macroblocks)."


@dataclass(frozen=True)
class SelectionRule:
    """How many macroblocks are enhanced.

    Raises:
        OptionError: an amount outside its range.
    """

    kind: Literal["top", "threshold", "budget"]
    """The best share of a window, all at or above an importance, or a number per second."""
    amount: Fraction
    """Share in [0, 1]; importance in [0, 1]; macroblocks per second."""

    def __post_init__(self) -> None:
        if self.amount < 0 or (self.kind != "budget" and self.amount > 1):
            raise OptionError(f"selection {self.kind} of {float(self.amount)} is out of range", hint=_HINT)

    @classmethod
    def parse(cls, text: str) -> SelectionRule:
        """Read "top-20%", "threshold-0.5" or "budget-3000-per-second".

        Raises:
            OptionError: something else.
        """
        for kind, form in _FORMS.items():
            match = form.fullmatch(text)
            if match:
                amount = Fraction(match[1]) / (100 if kind == "top" else 1)
                return cls(kind, amount)  # type: ignore[arg-type]  # kind is a key of the table
        raise OptionError(f"--select {text!r} is not a valid rule", hint=_HINT)

    def select(
        self, importance: Sequence[NDArray[np.float32]], window: int, window_seconds: Fraction
    ) -> list[NDArray[np.bool_]]:
        """Choose among the macroblocks of all frames of one window.

        Args:
            importance: (rows, cols) float32 of each frame, in order of time, then of stream.
            window: its number, from 0; a budget's fractions are carried over exactly.
            window_seconds: length of a window, for budgets.

        Returns:
            (rows, cols) bool of each frame.
        """
        values = np.concatenate([frame.ravel() for frame in importance])
        if self.kind == "threshold":
            chosen = values >= float(self.amount)
        else:
            chosen = best(values, self._count(len(values), window, window_seconds))
        ends = np.cumsum([frame.size for frame in importance])[:-1]
        parts = np.split(chosen, ends)
        return [part.reshape(frame.shape) for part, frame in zip(parts, importance, strict=True)]

    def _count(self, total: int, window: int, window_seconds: Fraction) -> int:
        if self.kind == "top":
            return count_of(self.amount, total)
        rate = self.amount * window_seconds
        return math.floor(rate * (window + 1)) - math.floor(rate * window)
