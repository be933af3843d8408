"""Compute every way of labeling a frame with as few passes of the detector as possible."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deploy.core.grid import Grid
from deploy.prediction.rankings import difference_ranking
from labeling.detectors import Detections, Detector
from labeling.detectors.recorded import RecordedDetector
from labeling.maths.accuracy import LOOK_BELOW, Accuracy, Agreement, Objective, SoftF1, SumOfScores
from labeling.maths.importance import Norm, Variant, block_importance

Judge = Literal["true", "sr", "none"]
Measure = tuple[Objective, Judge]
"""An accuracy, and whose detections it holds to be right."""
Maps = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Candidate:
    """A way to compute importance."""

    variant: Variant
    objective: Objective
    judge: Judge = "none"
    steps: int = 0
    """Points on the path; 0 is the IN frame alone."""
    norm: Norm = 1

    @property
    def name(self) -> str:
        """Name in tables."""
        judge = "" if self.judge == "none" else f" ({self.judge})"
        steps = f", {self.steps} step{'s' if self.steps > 1 else ''}" if self.steps else ""
        return f"{self.variant}, {self.objective}{judge}{steps}{', norm 2' if self.norm == 2 else ''}"

    @property
    def positions(self) -> tuple[Fraction, ...]:
        """Positions on the path from IN (0) to SR (1) where gradients are needed."""
        if not self.steps:
            return (Fraction(0),)
        return tuple(Fraction(2 * step + 1, 2 * self.steps) for step in range(self.steps))


def candidates(judges: tuple[Judge, ...]) -> tuple[Candidate, ...]:
    """All candidates. The first is the method of RegenHance's paper, the third that of its code."""
    judged = [
        candidate
        for judge in judges
        for candidate in (
            Candidate("delta", "agreement", judge),
            Candidate("path", "agreement", judge, 6),
            Candidate("delta", "f1", judge),
            *(Candidate("path", "f1", judge, steps) for steps in (1, 2, 6)),
        )
    ]
    return (
        Candidate("delta", "scores"),
        Candidate("delta", "scores", norm=2),
        Candidate("gradient", "scores"),
        Candidate("path", "scores", steps=6),
        *judged,
    )


@dataclass(frozen=True, eq=False)
class FrameUnderStudy:
    """One frame, enlarged with every method, and its reference detections."""

    interpolated: Tensor
    """(1, 3, H, W) IN."""
    sr: Tensor
    """(1, 3, H, W) SR."""
    right: dict[Judge, Detections]
    """Detections on the true frame, if there is one, and on the SR frame."""

    def accuracies(self, detector: Detector) -> dict[Measure, Accuracy]:
        """Every accuracy of a detector (or of recorded detections)."""
        judged: dict[Measure, Accuracy] = {("scores", "none"): SumOfScores(detector)}
        for judge, right in self.right.items():
            judged["agreement", judge] = Agreement(detector, right)
            judged["f1", judge] = SoftF1(detector, right)
        return judged


def importance_maps(frame: FrameUnderStudy, detector: Detector, grid: Grid) -> Maps:
    """(rows, cols) importance by every candidate's name."""
    wanted: dict[Fraction, set[Measure]] = defaultdict(set)
    chosen = candidates(tuple(frame.right))
    for candidate in chosen:
        for position in candidate.positions:
            wanted[position].add((candidate.objective, candidate.judge))
    gradients = {
        (position, measure): gradient
        for position, measures in wanted.items()
        for measure, gradient in _gradients(frame, detector, float(position), measures).items()
    }
    maps = {}
    for candidate in chosen:
        measure = (candidate.objective, candidate.judge)
        gradient = torch.stack([gradients[position, measure] for position in candidate.positions]).mean(dim=0)
        maps[candidate.name] = block_importance(
            gradient, frame.interpolated[0], frame.sr[0], grid, candidate.variant, candidate.norm
        )
    return maps


def sampled_effects(
    frame: FrameUnderStudy, detector: Detector, grid: Grid, num_blocks: int, seed: tuple[int, ...]
) -> tuple[NDArray[np.int64], dict[Measure, NDArray[np.float64]]]:
    """Enhance single blocks, one from each stratum of |SR - IN|, and measure the change of every accuracy.

    Returns:
        (num_blocks,) flat indices of the blocks, and by accuracy (num_blocks,) its exact change.
    """
    difference = difference_ranking(frame.interpolated[0].cpu().numpy(), frame.sr[0].cpu().numpy(), grid)
    strata = np.array_split(np.argsort(difference, axis=None, kind="stable"), min(num_blocks, difference.size))
    random = np.random.default_rng(seed)
    blocks = np.array([random.choice(stratum) for stratum in strata], np.int64)
    before = _values(frame, detector, frame.interpolated)
    effects = defaultdict(list)
    for row, col in zip(*np.unravel_index(blocks, difference.shape), strict=True):
        area = (slice(None), slice(None), *grid.sr_area(int(row), int(col)))
        mixed = frame.interpolated.clone()
        mixed[area] = frame.sr[area]
        for measure, value in _values(frame, detector, mixed).items():
            effects[measure].append(value - before[measure])
    return blocks, {measure: np.array(changes) for measure, changes in effects.items()}


def _gradients(
    frame: FrameUnderStudy, detector: Detector, position: float, measures: set[Measure]
) -> dict[Measure, Tensor]:
    """Run one forward pass, and a backward pass for each accuracy."""
    pixels = torch.lerp(frame.interpolated, frame.sr, position).requires_grad_(True)
    accuracies = frame.accuracies(_look(detector, pixels))
    values = {measure: accuracies[measure](pixels)[0] for measure in measures}
    return {
        measure: torch.autograd.grad(value, pixels, retain_graph=True)[0][0]
        if value.requires_grad
        else torch.zeros_like(pixels[0])
        for measure, value in values.items()
    }


def _values(frame: FrameUnderStudy, detector: Detector, image: Tensor) -> dict[Measure, float]:
    with torch.no_grad():
        accuracies = frame.accuracies(_look(detector, image))
        return {measure: float(accuracy(image)[0]) for measure, accuracy in accuracies.items()}


def _look(detector: Detector, image: Tensor) -> RecordedDetector:
    return RecordedDetector(detector, detector.detect(image, score_threshold=LOOK_BELOW * detector.score_threshold)[0])
