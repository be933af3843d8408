"""The interface of upscalers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Upscaler(Protocol):
    """Enlarges low-resolution frames by an integer factor.

    Factories in the registry take the keywords ``scale: int`` and ``weights: Path | None``, and the options that its
    table names. An upscaler that applies a network may have ``enlarge_once(lr)``, one application of whatever factor:
    `labeling.upscalers.consistency` tries that.
    """

    name: str
    """The registry's name."""
    scale: int
    """Output size over input size."""
    weights_sha256: str
    """Hash of the weight file; empty without weights."""
    record: dict[str, str | float]
    """Its options, needed to recreate the upscaler."""
    description: str
    """A description of what was found by running it; empty if the name is enough."""

    def upscale(self, lr: Tensor, reference: Tensor | None) -> Tensor:
        """Enlarge frames.

        Args:
            lr: (N, 3, H, W) float32 RGB in [0, 1].
            reference: (N, 3, H * scale, W * scale) true high-resolution frames in [0, 1], where they exist.

        Returns:
            (N, 3, H * scale, W * scale) float32 RGB in [0, 1].
        """
        ...
