"""Compute the raw importance of a frame's macroblocks with the networks and settings from the options."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labeling.core.frames import FramePair, to_tensor
from labeling.detectors import Detector
from labeling.labels.options import LabelOptions
from labeling.maths.accuracy import Accuracy, Agreement, Objective, SoftF1, SumOfScores
from labeling.maths.importance import accuracy_gradient, block_importance, path_gradient
from labeling.networks.devices import autocast, pick_device
from labeling.networks.loading import load_networks
from labeling.upscalers import Upscaler
from labeling.upscalers.cache import CachedUpscaler
from labeling.upscalers.simple import interpolate

_LEAST_SCORE = 1e-4


@dataclass(frozen=True)
class Labeller:
    """The two networks and the settings that turn a frame into block importance."""

    detector: Detector
    """Whose accuracy counts."""
    upscaler: Upscaler
    """What enhancing a block would do."""
    options: LabelOptions
    """Variant, objective, interpolation and the macroblocks."""
    device: str
    """Where tensors live."""

    def label(self, pair: FramePair, *, always_differentiate: bool = False) -> tuple[NDArray[np.float32], int]:
        """Compute (rows, cols) raw importance of one frame, and count detections on its interpolated frame.

        Args:
            pair: the frame.
            always_differentiate: if nothing is detected, differentiate candidates of any score, as a test.
        """
        with autocast(self.device, "float32" if self.options.precision == "float16" else self.options.precision):
            importance, num_detections = self._label(pair)
            if always_differentiate and num_detections == 0:
                pixels = interpolate(to_tensor(pair.lr, self.device), self.options.scale).requires_grad_(True)
                scores = self.detector.detect(pixels, score_threshold=_LEAST_SCORE)[0].scores
                if scores.requires_grad:
                    torch.autograd.grad(scores.sum(), pixels)
            return importance, num_detections

    def _label(self, pair: FramePair) -> tuple[NDArray[np.float32], int]:
        options, grid = self.options, self.options.make_grid(*pair.lr.shape[:2])
        lr = to_tensor(pair.lr, self.device)
        true = None if pair.reference is None else to_tensor(pair.reference, self.device)
        interpolated = interpolate(lr, options.scale, options.interpolation)
        if options.objective == "scores" and options.variant != "path":
            gradient, num_detections = accuracy_gradient(SumOfScores(self.detector), interpolated)
            if num_detections == 0:  # no object, so nothing to enhance
                return np.zeros((grid.rows, grid.cols), np.float32), 0
            sr = interpolated if options.variant == "gradient" else self._enhance(lr, true)
        else:
            sr = self._enhance(lr, true)
            accuracy = make_accuracy(options.objective, self.detector, self._right_frame(sr, true))
            if options.variant == "path":
                gradient, num_detections = path_gradient(accuracy, interpolated, sr, options.path_steps)
            else:
                gradient, num_detections = accuracy_gradient(accuracy, interpolated)
        blocks = block_importance(gradient, interpolated[0], sr[0], grid, options.variant, options.norm)
        return blocks, num_detections

    def _enhance(self, lr: Tensor, true: Tensor | None) -> Tensor:
        with torch.no_grad(), autocast(self.device, self.options.precision):
            return self.upscaler.upscale(lr, true)

    def _right_frame(self, sr: Tensor, true: Tensor | None) -> Tensor:
        return sr if true is None or self.options.reference == "sr" else true


def make_accuracy(objective: Objective, detector: Detector, right_frame: Tensor) -> Accuracy:
    """Make the accuracy to differentiate; its reference is the detections on `right_frame` (1, 3, H, W)."""
    if objective == "scores":
        return SumOfScores(detector)
    with torch.no_grad():
        reference = detector.detect(right_frame)[0]
    return Agreement(detector, reference) if objective == "agreement" else SoftF1(detector, reference)


def make_labeller(options: LabelOptions) -> Labeller:
    """Load the detector and the upscaler from the options.

    Raises:
        RegenError: unknown name, invalid weights, or missing device.
    """
    device = pick_device(options.device)
    detector, upscaler = load_networks(options)
    if options.sr_cache and upscaler.weights_sha256:  # interpolation is faster than a disk
        upscaler = CachedUpscaler(upscaler, options.sr_cache, options.precision)
    return Labeller(detector, upscaler, options, device)
