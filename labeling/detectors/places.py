"""What a detector says of every place before suppression: the dense answer that a network can be trained against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from labeling.detectors.base import Detector


@dataclass(frozen=True, eq=False)
class Places:
    """The answer for one frame at all K places of the network's output; equal sizes of frames give equal places."""

    boxes: Tensor
    """(K, 4) x0, y0, x1, y1 in pixels of the frame, differentiable."""
    scores: Tensor
    """(K, C) of the kept classes, in [0, 1], differentiable."""


@runtime_checkable
class DenseDetector(Detector, Protocol):
    """A detector whose answer before suppression can be had."""

    def places(self, image: Tensor) -> Places:
        """The answer for one frame.

        Args:
            image: (1, 3, H, W) float RGB in [0, 1]. The network runs at the frame's own size where its file can.
        """
        ...
