"""What enlarges frames: an `Enhancer` for each budget, on one upscaler and one predictor."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np

from deploy.core.closeable import Closing
from deploy.core.grid import Grid
from deploy.detectors.detections import Detections
from deploy.enhancement.enhancer import AnyPredictor, Enhancer
from deploy.enhancement.upscaler import Upscaler
from deploy.prediction.feedback import boxes_of
from deploy.prediction.predictor import Predictor
from deploy.worth_it.samples import Image
from deploy.worth_it.ways import Enhanced, Ranking


class EnhancerEngine(Closing):
    """Runs the same as `Enhancer`; see `Engine`.

    Args:
        predictor: an .onnx file, or any function that `Enhancer` takes; None takes the embedded predictor.
        upscaler: an .onnx file; None takes the embedded one.
        threads: CPU threads; None takes one a CPU of this process.

    Raises:
        WeightsError: a file cannot be used.
    """

    def __init__(
        self, predictor: Path | Predictor | AnyPredictor | None, upscaler: Path | None, threads: int | None = None
    ) -> None:
        self._upscaler = Upscaler(upscaler, threads=threads)
        self.scale = self._upscaler.scale
        self._own: list[Closing] = [self._upscaler]
        if not callable(predictor):
            predictor = Predictor(predictor, threads=threads)
            self._own.append(predictor)
        self._predictor: Any = predictor
        self.takes_previous = _takes_previous(predictor)
        self._previous: Detections | None = None
        self._ranking: Ranking = np.zeros((1, 1), np.float32)
        self._enhancers: dict[tuple[float, bool], Enhancer] = {}

    def grid(self, lr: Image) -> Grid:
        """See `Engine.grid`."""
        return Grid(lr.shape[0], lr.shape[1], self.scale)

    def enhance(
        self, lr: Image, budget: float, ranking: Ranking | None = None, previous: Detections | None = None
    ) -> Enhanced:
        """See `Engine.enhance`."""
        self._previous = previous
        if ranking is not None:
            self._ranking = _unit(ranking)
        found = self._enhancer(budget, is_given=ranking is not None).frame(lr)
        return Enhanced(found.image, found.selected)

    def close(self) -> None:
        """Free the networks."""
        for model in (*self._enhancers.values(), *self._own):
            model.close()

    def _enhancer(self, budget: float, *, is_given: bool) -> Enhancer:
        key = budget, is_given
        if key not in self._enhancers:
            needs_none = budget in (0, 1)
            predictor = None if needs_none else (lambda _: self._ranking) if is_given else self._predicted
            self._enhancers[key] = Enhancer(predictor, self._upscaler, budget=f"{100 * budget:g}%")
        return self._enhancers[key]

    def _predicted(self, lr: Image) -> Any:
        """The predictor's importance, with the detections that `Enhancer.feedback` would pass."""
        if not self.takes_previous:
            return self._predictor(lr)
        previous = None if self._previous is None else boxes_of(self._previous, self.scale)
        return self._predictor(lr, previous=previous)


def _takes_previous(predictor: Predictor | AnyPredictor) -> bool:
    if isinstance(predictor, Predictor):
        return predictor.card.previous
    return "previous" in inspect.signature(predictor).parameters


def _unit(ranking: Ranking) -> Ranking:
    """Into [0, 1], in the same order."""
    low, high = float(ranking.min()), float(ranking.max())
    scaled: Ranking = ((ranking - low) / max(high - low, 1e-9)).astype(np.float32)
    return scaled
