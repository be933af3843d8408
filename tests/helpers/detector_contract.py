"""What every detector must do, whoever made it: checked on two frames and weights that detect something.

A file of tests inherits `DetectorContract` and has a fixture ``maker``, a `Make`, for each of its detectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from deploy.detectors.classes import COCO_CLASSES
from labeling.detectors import Detections, Detector
from labeling.maths.accuracy import SumOfScores
from labeling.maths.importance import accuracy_gradient

Make = Callable[..., Any]
"""Keyword settings (``score_threshold``, ``classes``) -> a `Detector` of all COCO classes unless said otherwise."""


def busy(make: Make, images: Tensor) -> Detector:
    """With a threshold that leaves some twenty detections a frame or more."""
    with torch.no_grad():
        found = make(score_threshold=0.011).detect(images)
    assert all(len(frame.scores) > 5 for frame in found), "random weights detect nothing"
    detector: Detector = make(score_threshold=0.999 * min(float(frame.scores[:20][-1]) for frame in found))
    return detector


class DetectorContract:
    """The tests."""

    def test_shapes_ranges_and_gradients(self, maker: Make, images: Tensor) -> None:
        height, width = images.shape[2:]
        detector = busy(maker, images)
        assert len(detector.weights_sha256) == 64 and len(detector.class_names) == 80
        pixels = images.clone().requires_grad_(True)
        found = detector.detect(pixels)
        assert len(found) == 2 and all(len(frame.scores) for frame in found)
        for frame in found:
            assert frame.boxes.shape == (len(frame.scores), 4) and frame.boxes.dtype == torch.float32
            assert not frame.boxes.requires_grad and frame.scores.requires_grad and frame.classes.dtype == torch.int64
            assert (frame.scores >= detector.score_threshold).all() and (frame.scores <= 1).all()
            assert (frame.scores.diff() <= 0).all(), "not best first"
            assert (frame.boxes[:, 2:] > frame.boxes[:, :2]).all()
            assert (frame.boxes >= 0).all() and (frame.boxes <= torch.tensor([width, height, width, height])).all()
        (gradient,) = torch.autograd.grad(found[0].scores[0], pixels)
        left, top, right, bottom = found[0].boxes[0].round().int().tolist()
        assert gradient[0, :, top : max(bottom, top + 1), left : max(right, left + 1)].abs().sum() > 0
        assert gradient[1].abs().sum() == 0, "a frame's score hangs on another frame"

    def test_a_batch_is_its_frames(self, maker: Make, images: Tensor) -> None:
        detector = busy(maker, images)
        with torch.no_grad():
            for image, together in zip(images, detector.detect(images), strict=True):
                (alone,) = detector.detect(image[None])
                assert_same(together, alone)

    def test_threshold_classes_and_nothing(self, maker: Make, images: Tensor) -> None:
        detector = busy(maker, images)
        with torch.no_grad():
            found = detector.detect(images)[0]
            assert len(detector.detect(images, score_threshold=0.011)[0].scores) >= len(found.scores)
            wanted = COCO_CLASSES[int(found.classes[0])]
            only = maker(classes=(wanted,), score_threshold=detector.score_threshold)
            kept = only.detect(images)[0]
            assert len(kept.scores) and {COCO_CLASSES[kind] for kind in kept.classes} == {wanted}
        gradient, count = accuracy_gradient(SumOfScores(maker(score_threshold=0.99999)), images[:1])
        assert count == 0 and gradient.abs().max() == 0

    def test_gpu_agrees(self, maker: Make, images: Tensor) -> None:
        if not torch.cuda.is_available():
            pytest.skip("PyTorch finds no GPU")
        detector = busy(maker, images)
        with torch.no_grad():
            here = detector.detect(images)
            there = detector.detect(images.cuda())
        for one, other in zip(here, there, strict=True):
            assert other.boxes.is_cuda and other.scores.is_cuda
            assert_same(Detections(other.boxes.cpu(), other.scores.cpu(), other.classes.cpu()), one)


def assert_same(found: Detections, wanted: Detections) -> None:
    """One to one; the order of equal scores is free."""
    assert len(found.scores) == len(wanted.scores)
    near = (found.boxes[:, None] - wanted.boxes[None]).abs().amax(dim=2) < 0.1
    near &= (found.scores[:, None] - wanted.scores[None]).abs() < 1e-4
    near &= found.classes[:, None] == wanted.classes[None]
    assert near.any(dim=0).all() and near.any(dim=1).all()
