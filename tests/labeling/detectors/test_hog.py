"""The HOG detector against OpenCV's own, window for window."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou, nms

from deploy.inputs.video import Frame
from labeling.detectors import DetectorSettings
from labeling.detectors.hog import MARGIN_X, MARGIN_Y, HogDetector

# The whole frame, then parts whose sizes are odd or not multiples of the cell.
CROPS = [(slice(None), slice(None)), (slice(60, 361), slice(130, 517)), (slice(7, 391), slice(3, 300))]


def to_image(frame: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1).float() / 255


def opencv_people_detector() -> cv2.HOGDescriptor:
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
    return hog


@pytest.mark.parametrize("number", range(3))
def test_window_margins_are_opencvs(number: int, vtest_frames: list[Frame]) -> None:
    frame = np.ascontiguousarray(vtest_frames[number].image[CROPS[number]])
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    points, weights = opencv_people_detector().detect(bgr, hitThreshold=-100, winStride=(8, 8), padding=(0, 0))
    margins = HogDetector(DetectorSettings()).window_margins(to_image(frame)).numpy()
    wanted = np.full(margins.shape, np.nan)
    for (x, y), weight in zip(points, weights.ravel(), strict=True):
        wanted[y // 8, x // 8] = weight
    assert not np.isnan(wanted).any(), "OpenCV has other windows"
    error = np.abs(margins - wanted) / np.maximum(np.abs(wanted), 1)
    assert error.max() < 1e-3, f"{error.max():.2e} at window {np.unravel_index(error.argmax(), error.shape)}"


@pytest.mark.parametrize("number", range(3))
def test_detections_are_those_of_detect_multi_scale(number: int, vtest_frames: list[Frame]) -> None:
    frame = vtest_frames[number].image
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    windows, weights = opencv_people_detector().detectMultiScale(
        bgr, hitThreshold=0, winStride=(8, 8), padding=(0, 0), scale=1.1, groupThreshold=0
    )
    x, y, width, height = torch.from_numpy(np.asarray(windows, np.float32)).T
    theirs = torch.stack(
        [
            x + MARGIN_X * width,
            y + MARGIN_Y * height,
            x + (1 - MARGIN_X) * width,
            y + (1 - MARGIN_Y) * height,
        ],
        dim=1,
    )
    margins = torch.from_numpy(np.asarray(weights, np.float32).ravel())
    kept = nms(theirs, margins, 0.3)
    (found,) = HogDetector(DetectorSettings()).detect(to_image(frame)[None])
    assert len(kept) > 0
    # The pyramid is resized by other rounding, so only what is clearly above the threshold must be on both sides.
    overlap = box_iou(theirs[kept], found.boxes)
    clear_theirs = margins[kept] > 0.3
    assert clear_theirs.any() and (overlap[clear_theirs].amax(dim=1) > 0.7).all()
    clear_ours = found.scores > torch.sigmoid(torch.tensor(0.3))
    assert (overlap[:, clear_ours].amax(dim=0) > 0.7).all()
    best = overlap[margins[kept].argmax()].argmax()
    assert found.scores[best].logit() == pytest.approx(float(margins[kept].max()), abs=0.15)


def test_a_batch_is_its_frames_one_by_one(vtest_frames: list[Frame]) -> None:
    images = torch.stack([to_image(frame.image[CROPS[1]]) for frame in vtest_frames])
    detector = HogDetector(DetectorSettings())
    together = detector.detect(images)
    assert len(together) == 3
    for image, detections in zip(images, together, strict=True):
        (alone,) = detector.detect(image[None])
        for field in ("boxes", "scores", "classes"):
            assert torch.equal(getattr(detections, field), getattr(alone, field))


@pytest.mark.parametrize(("height", "width"), [(127, 64), (128, 63), (16, 16), (1, 1)])
def test_a_frame_smaller_than_a_window_has_no_detection(height: int, width: int) -> None:
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (found,) = HogDetector(DetectorSettings(score_threshold=0.01)).detect(image)
    assert found.boxes.shape == (0, 4) and found.scores.shape == (0,) and found.classes.shape == (0,)
    assert found.classes.dtype == torch.int64 and found.boxes.dtype == torch.float32


def test_a_frame_of_one_window() -> None:
    image = torch.rand(3, 128, 64, generator=torch.Generator().manual_seed(0))
    assert HogDetector(DetectorSettings()).window_margins(image).shape == (1, 1)


def test_gradients_are_finite_on_black_and_flat_frames() -> None:
    for value in (0.0, 1 / 255, 0.5, 1.0):
        image = torch.full((3, 136, 72), value, requires_grad=True)
        HogDetector(DetectorSettings()).window_margins(image).sum().backward()
        assert image.grad is not None and torch.isfinite(image.grad).all()
