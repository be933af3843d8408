"""Dense outputs of a detector, before suppression: a network can be trained with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from labeling.detectors.base import Detector


@dataclass(frozen=True, eq=False)
class Places:
    """Outputs for one frame at all K locations of the network's output; equal frame sizes have the same locations."""

    boxes: Tensor
    """(K, 4) x0, y0, x1, y1 in pixels of the frame, differentiable."""
    scores: Tensor
    """(K, C) of the kept classes, in [0, 1], differentiable."""


@runtime_checkable
class DenseDetector(Detector, Protocol):
    """A detector that can return its outputs before suppression."""

    def places(self, image: Tensor) -> Places:
        """Return the outputs for one frame.

        Args:
            image: (1, 3, H, W) float RGB in [0, 1]. The network runs at the frame's own size if its file supports it.
        """
        ...
