"""Bicubic enlargement against OpenCV's and against labeling's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from deploy.enhancement.interpolation import Bicubic
from labeling.upscalers.simple import interpolate


@pytest.mark.parametrize(("height", "width"), [(180, 320), (37, 53), (16, 33), (5, 3), (1, 1)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_it_is_labellings(height: int, width: int, scale: int) -> None:
    rng = np.random.default_rng(height)
    bicubic = Bicubic(height, width, scale)
    for _ in range(2):  # buffers are used again
        frame = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        out = np.empty((height * scale, width * scale, 3), np.uint8)
        bicubic(frame, out)
        planes = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
        expected = (interpolate(planes, scale)[0].permute(1, 2, 0).numpy() * 255).round()
        assert np.abs(out - expected).max() <= 1 and (out != expected).mean() < 0.02
        opencv = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        assert np.abs(out - opencv.astype(int)).max() <= 2
