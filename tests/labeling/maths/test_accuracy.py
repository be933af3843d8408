"""The differentiable accuracies against their definitions, written as loops over made-up detections."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from labeling.detectors.base import Detections
from labeling.maths.accuracy import Agreement, SoftF1, SumOfScores, match_candidates

FRAME = torch.zeros(1, 3, 8, 8)


def detections(*objects: tuple[float, float, int]) -> Detections:
    """From (left edge, score, class): boxes of 10 x 10."""
    boxes = torch.tensor([[x, 0.0, x + 10.0, 10.0] for x, _, _ in objects]).reshape(-1, 4)
    scores = torch.tensor([score for _, score, _ in objects], requires_grad=True)
    return Detections(boxes, scores, torch.tensor([kind for _, _, kind in objects], dtype=torch.int64))


@dataclass
class Fixed:
    """A detector that always finds the same."""

    found: Detections
    name: str = "fixed"
    class_names: tuple[str, ...] = ("person", "car")
    weights_sha256: str = ""
    score_threshold: float = 0.3
    classes: tuple[str, ...] = ("person", "car")

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        keep = self.found.scores.detach() >= (score_threshold or self.score_threshold)
        return [Detections(self.found.boxes[keep], self.found.scores[keep], self.found.classes[keep])]


REFERENCE = detections((0, 0.8, 0), (100, 0.6, 1), (200, 0.5, 0))
#        the first, the first once more, the second below the threshold, its place in another class, nothing there
FOUND = detections(
    (1, 0.7, 0), (3, 0.5, 0), (102, 0.2, 1), (100, 0.4, 0), (300, 0.35, 1), (400, 0.1, 1), (500, 0.01, 1)
)


def soft(score: float) -> float:
    return 1 / (1 + math.exp(-(score - 0.3) / 0.1))


def test_candidates_are_matched_by_class_place_and_score() -> None:
    partner, is_other = match_candidates(FOUND, REFERENCE)
    assert partner.tolist() == [0, 2, -1]
    assert is_other.tolist() == [False, False, False, True, True, True, True]


def test_sum_of_scores() -> None:
    value, count = SumOfScores(Fixed(FOUND))(FRAME)
    assert float(value) == pytest.approx(0.7 + 0.5 + 0.4 + 0.35) and count == 4


def test_agreement() -> None:
    value, count = Agreement(Fixed(FOUND), REFERENCE)(FRAME)
    assert float(value) == pytest.approx(-(abs(0.7 - 0.8) + abs(0.2 - 0.6) + 0.5) - 0.4 - 0.35) and count == 4


def test_soft_f1() -> None:
    value, count = SoftF1(Fixed(FOUND), REFERENCE)(FRAME)
    matched = soft(0.7) + soft(0.2)
    false_alarms = soft(0.4) + soft(0.35) + soft(0.1)
    assert float(value) == pytest.approx((2 * matched + 1) / (matched + false_alarms + 3 + 1)) and count == 4


@pytest.mark.parametrize("kind", [Agreement, SoftF1])
def test_better_detections_are_more_accurate(kind: type[Agreement] | type[SoftF1]) -> None:
    """Rising with the right scores and falling with the wrong ones."""
    value, _ = kind(Fixed(FOUND), REFERENCE)(FRAME)
    (slope,) = torch.autograd.grad(value, FOUND.scores)
    assert slope[0] > 0 and slope[2] > 0 and slope[3] < 0 and slope[4] < 0
    assert slope[1] == 0 and slope[6] == 0, "a duplicate, or what is not looked at, takes part"
    perfect, _ = kind(Fixed(REFERENCE), REFERENCE)(FRAME)
    assert perfect > value


@pytest.mark.parametrize(("kind", "best"), [(Agreement, 0.0), (SoftF1, 1.0)])
def test_empty_frames(kind: type[Agreement] | type[SoftF1], best: float) -> None:
    nothing = detections()
    value, count = kind(Fixed(nothing), nothing)(FRAME)
    assert float(value) == best and count == 0 and not value.requires_grad
    value, count = kind(Fixed(nothing), REFERENCE)(FRAME)
    assert float(value) < best and count == 0 and not value.requires_grad
    # False alarms on an empty frame: removing them is worth something.
    (slope,) = torch.autograd.grad(kind(Fixed(FOUND), nothing)(FRAME)[0], FOUND.scores)
    assert (slope[[0, 1, 3, 4]] < 0).all()
