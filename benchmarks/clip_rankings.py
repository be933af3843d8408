"""Rankings of blocks for clips.py that a deployed system does not have: edges, |SR - IN|, labels and measured gains."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.core.grid import Grid
from deploy.detectors.geometry import parse_size
from deploy.prediction.rankings import Blocks, difference_ranking, edge_ranking
from deploy.worth_it.options import WorthOptions
from deploy.worth_it.samples import Image, Sample
from deploy.worth_it.ways import CONTROL_BUDGET, Engine
from labeling.maths.accuracy import Objective
from labeling.maths.importance import Variant

Rank = Callable[[Engine, Sample], Blocks]
REGION_BLOCKS = 3
"""Side of a region of `measured_gain` in blocks."""


def by_edges(engine: Engine, sample: Sample) -> Blocks:
    """Edges of the interpolated frame."""
    return edge_ranking(_planes(engine, sample.lr, 0.0), engine.grid(sample.lr))


def by_difference(engine: Engine, sample: Sample) -> Blocks:
    """Difference between the super-resolved and the interpolated frame."""
    return difference_ranking(_planes(engine, sample.lr, 0.0), _planes(engine, sample.lr, 1.0), engine.grid(sample.lr))


class Labels:
    """What a perfect predictor of each label would say, with the detector of a comparison."""

    def __init__(self, worth: WorthOptions) -> None:
        from labeling.detectors import create_detector

        is_file = worth.detector.is_file()
        self._detector = create_detector(
            "onnx" if is_file else str(worth.detector),
            weights=worth.detector if is_file else None,
            input_size=parse_size(worth.detector_size),
            score_threshold=worth.score_threshold,
        )

    def label(self, objective: Objective, variant: Variant, path_steps: int = 6) -> Rank:
        """The importance that `make_labels.py` computes; `agreement` and `f1` are with the true frame's detections."""

        def rank(engine: Engine, sample: Sample) -> Blocks:
            import torch

            from labeling.labels.labeller import make_accuracy
            from labeling.maths.importance import accuracy_gradient, block_importance, path_gradient

            start, end, true = (torch.from_numpy(planes) for planes in self._planes(engine, sample))
            accuracy = make_accuracy(objective, self._detector, true[None])
            if variant == "path":
                gradient, _ = path_gradient(accuracy, start[None], end[None], path_steps)
            else:
                gradient, _ = accuracy_gradient(accuracy, start[None])
            return block_importance(gradient, start, end, engine.grid(sample.lr), variant).astype(np.float64)

        return rank

    def measured_gain(self, engine: Engine, sample: Sample) -> Blocks:
        """Greedy choice of regions by the softened F1 that each adds to those already enhanced.

        Regions are squares of `REGION_BLOCKS` blocks, ranked by gain per block. After each choice only the gains at
        the top of the queue are measured again (lazy greedy, Minoux 1978), until `CONTROL_BUDGET` of the blocks are
        chosen; the others follow in the order of the last measured gain.
        """
        import torch

        from labeling.labels.labeller import make_accuracy

        grid = engine.grid(sample.lr)
        start, end, true = (torch.from_numpy(planes) for planes in self._planes(engine, sample))
        accuracy = make_accuracy("f1", self._detector, true[None])
        regions = _regions(grid)

        def value(chosen: NDArray[np.bool_]) -> float:
            pixels = torch.from_numpy(grid.upsample_to_sr(chosen.astype(np.float32))) > 0.5
            with torch.no_grad():
                return float(accuracy(torch.where(pixels, end, start)[None])[0])

        return _greedy(regions, value, CONTROL_BUDGET * grid.rows * grid.cols)

    def _planes(self, engine: Engine, sample: Sample) -> tuple[NDArray[np.float32], ...]:
        true = sample.true if sample.true is not None else engine.enhance(sample.lr, 1.0).image
        return _planes(engine, sample.lr, 0.0), _planes(engine, sample.lr, 1.0), _to_planes(true)


def _greedy(
    regions: list[NDArray[np.bool_]], value: Callable[[NDArray[np.bool_]], float], most_blocks: float
) -> Blocks:
    """(rows, cols) ranking: the regions that are chosen first have the largest values."""
    chosen = np.zeros_like(regions[0])
    ranking = np.zeros(chosen.shape)
    base = value(chosen)
    queue: list[tuple[float, int, int]] = [
        (-(value(region) - base) / region.sum(), number, 0) for number, region in enumerate(regions)
    ]
    heapq.heapify(queue)
    step = 0
    while queue and chosen.sum() < most_blocks:
        gain, number, measured_at = heapq.heappop(queue)
        region = regions[number]
        if measured_at < step:
            gain = -(value(chosen | region) - base) / region.sum()
            if queue and gain > queue[0][0]:
                heapq.heappush(queue, (gain, number, step))
                continue
        step += 1
        ranking[region] = 2 + len(regions) - step
        chosen |= region
        base = value(chosen)
    for gain, number, _ in queue:
        ranking[regions[number]] = -gain
    return ranking


def _regions(grid: Grid) -> list[NDArray[np.bool_]]:
    regions = []
    for row in range(0, grid.rows, REGION_BLOCKS):
        for col in range(0, grid.cols, REGION_BLOCKS):
            region = np.zeros((grid.rows, grid.cols), bool)
            region[row : row + REGION_BLOCKS, col : col + REGION_BLOCKS] = True
            regions.append(region)
    return regions


def _planes(engine: Engine, lr: Image, budget: float) -> NDArray[np.float32]:
    """(3, s H, s W) in [0, 1] with nothing, or everything, enhanced."""
    return _to_planes(engine.enhance(lr, budget).image)


def _to_planes(image: Any) -> NDArray[np.float32]:
    planes: NDArray[np.float32] = image.transpose(2, 0, 1).astype(np.float32) / 255
    return planes
