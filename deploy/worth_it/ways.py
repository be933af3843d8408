"""Methods of detection in a low-resolution frame: enhancement and its alternatives."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures

from deploy.core.grid import Grid
from deploy.detectors.detections import Detections
from deploy.prediction.rankings import box_ranking, shuffle_ties
from deploy.worth_it.samples import Image, Sample
from deploy.worth_it.slicing import detect_in_slices

BUDGETS = (0.05, 0.1, 0.2, 0.3)
"""Shares of the blocks that the predictor chooses."""
CONTROL_BUDGET = 0.2
"""Share that blocks by chance and those of the frame before get."""
Kind = Literal["nothing", "everything", "predicted", "control", "instead"]
"""Role of a method in the verdict: `instead` is an alternative to enhancement by importance."""
Ranking = NDArray[np.float32]
Detect = Callable[[Image], Detections]


@dataclass(frozen=True, eq=False)
class Enhanced:
    """A frame that was enlarged, some of its blocks by super-resolution."""

    image: Image
    """(s H, s W, 3) uint8 RGB."""
    selected: NDArray[np.bool_]
    """(rows, cols) the blocks that were super-resolved."""


class Engine(Protocol):
    """What enlarges frames."""

    scale: int
    """Size of the result over that of the frame."""
    takes_previous: bool
    """Whether the predictor looks at detections of the frame before."""

    def grid(self, lr: Image) -> Grid:
        """The blocks of a frame."""
        ...

    def enhance(
        self, lr: Image, budget: float, ranking: Ranking | None = None, previous: Detections | None = None
    ) -> Enhanced:
        """Super-resolve the top blocks, interpolate the others.

        Args:
            lr: (H, W, 3) uint8 RGB.
            budget: share of the blocks; 0 interpolates all, 1 super-resolves all.
            ranking: (rows, cols), larger is earlier; None asks the predictor.
            previous: what was found in the frame before, in pixels of the super-resolved frame, for a predictor that
                takes it.
        """
        ...


@dataclass(frozen=True, eq=False)
class Found:
    """What one way finds in one frame."""

    detections: Detections
    """In pixels of the super-resolved frame."""
    enhanced: Enhanced | None = None
    """What they were found in, where blocks were enhanced."""


@dataclass(frozen=True)
class Way:
    """One way to detect."""

    name: str
    """For people."""
    kind: Kind
    """See `Kind`."""
    run: Callable[[Sample], Found]
    """From the low-resolution frame to detections; its time is counted."""
    prepare: Callable[[Sample], None] | None = None
    """Takes in the frame before; its time is not counted."""
    budget: float | None = None
    """Share of the blocks that are super-resolved."""


def enhancing_ways(engine: Engine, detect: Detect, before: BoxesBefore | None = None) -> list[Way]:
    """Nothing, everything, by predictor, and by chance.

    Args:
        engine: enlarges frames.
        detect: the detector.
        before: detects in the frame before, for a predictor that takes that; its time is not counted.
    """
    giving = before if engine.takes_previous else None

    def by(budget: float, rank: Callable[[Sample], Ranking] | None = None) -> Callable[[Sample], Found]:
        def run(sample: Sample) -> Found:
            enhanced = engine.enhance(sample.lr, budget, rank(sample) if rank else None)
            return Found(detect(enhanced.image), enhanced)

        return run

    def by_predictor(budget: float) -> Way:
        def run(sample: Sample) -> Found:
            enhanced = engine.enhance(sample.lr, budget, previous=giving.found if giving else None)
            return Found(detect(enhanced.image), enhanced)

        return Way(f"top {budget:.0%} by predictor", "predicted", run, giving.look if giving else None, budget)

    def chance(sample: Sample) -> Ranking:
        grid = engine.grid(sample.lr)
        seed = zlib.crc32(b"chance"), sample.index
        return shuffle_ties(np.zeros((grid.rows, grid.cols)), seed).astype(np.float32)

    return [
        Way("nothing (interpolated)", "nothing", by(0.0), budget=0.0),
        Way("everything super-resolved", "everything", by(1.0), budget=1.0),
        *map(by_predictor, BUDGETS),
        Way(f"random {CONTROL_BUDGET:.0%}", "control", by(CONTROL_BUDGET, chance), budget=CONTROL_BUDGET),
    ]


class BoxesBefore:
    """Blocks around the detections of the frame before, which itself was enhanced so; its own time is not counted."""

    def __init__(self, engine: Engine, detect: Detect, least_score: float = 0.0) -> None:
        self._engine, self._detect, self._least_score = engine, detect, least_score
        self._sample: Sample | None = None
        self.found: Detections | None = None
        """In the frame before the one looked at last, in pixels of the super-resolved frame; None where none is."""

    def way(self) -> Way:
        """As the others."""
        name = f"boxes of the frame before, {CONTROL_BUDGET:.0%}"
        return Way(name, "instead", self._run, self.look, CONTROL_BUDGET)

    def look(self, sample: Sample) -> None:
        """Detect in the frame before; once, however many ways ask."""
        if sample is self._sample:
            return
        self._sample, self.found = sample, None
        if sample.before is not None:
            self.found = self._detected(self._engine.enhance(sample.before, 0.0))
            self.found = self._detected(self._enhanced(sample.before))

    def _run(self, sample: Sample) -> Found:
        enhanced = self._enhanced(sample.lr)
        return Found(self._detect(enhanced.image), enhanced)

    def _detected(self, enhanced: Enhanced) -> Detections:
        return self._detect(enhanced.image).from_score(self._least_score)

    def _enhanced(self, lr: Image) -> Enhanced:
        boxes = np.zeros((0, 4), np.float32) if self.found is None else self.found.xyxy
        ranking = box_ranking(boxes, self._engine.grid(lr)).astype(np.float32)
        return self._engine.enhance(lr, CONTROL_BUDGET, ranking)


def sliced_way(engine: Engine, detect: Detect) -> Way:
    """Slices of the interpolated frame."""
    return Way(
        "2 x 2 slices, interpolated",
        "instead",
        lambda sample: Found(detect_in_slices(engine.enhance(sample.lr, 0.0).image, detect)),
    )


def larger_way(scale: int, detect: Detect, network: tuple[int, int], zoom: float) -> Way:
    """A larger network on the interpolated frame.

    Args:
        scale: of the super-resolved frame, in whose pixels boxes are given.
        detect: the detector at that size.
        network: its height and width.
        zoom: network pixels to a pixel of the super-resolved frame; above 1 the frame is interpolated that far.
    """

    def run(sample: Sample) -> Found:
        factor = scale * max(1.0, zoom)
        height, width = sample.lr.shape[:2]
        size = round(width * factor), round(height * factor)
        found = detect(np.asarray(Pictures.fromarray(sample.lr).resize(size, Pictures.Resampling.BICUBIC)))
        return Found(found.moved((width * scale / size[0], height * scale / size[1])))

    return Way(f"detector at {network[1]}x{network[0]}, interpolated", "instead", run)


def lighter_way(name: str, light: Engine, detect: Detect) -> Way:
    """Another, lighter network on the whole frame."""

    def run(sample: Sample) -> Found:
        enhanced = light.enhance(sample.lr, 1.0)
        return Found(detect(enhanced.image), enhanced)

    return Way(f"everything by {name}", "instead", run)
