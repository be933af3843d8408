"""What upscaling networks share: tiles, any integer scale, and results as a screen would get them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from labeling.upscalers.tiling import upscale_in_tiles


class NetworkUpscaler:
    """A network of a fixed factor behind the `Upscaler` protocol.

    For another scale it is applied until the frame is large enough, and the result is reduced with antialiasing.
    Results are rounded to whole 1/255, as every enhanced frame that is stored or sent on is.

    Args:
        name: the registry's name.
        network: moved to the frames' device.
        run: (N, 3, H, W) in [0, 1] -> (N, 3, H * native_scale, W * native_scale) in about [0, 1].
        native_scale: the network's factor.
        scale: the wanted factor.
        weights_sha256: hash of the weights.
        overlap_px: context around a tile, in pixels of the network's input.
        tile_px: side of a tile; None for networks that must see the whole frame.
        record: the options that it was given, for the manifest.
        description: what was found by running it.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        run: Callable[[Tensor], Tensor],
        *,
        native_scale: int,
        scale: int,
        weights_sha256: str,
        overlap_px: int,
        tile_px: int | None = 256,
        record: Mapping[str, str | float] | None = None,
        description: str = "",
    ) -> None:
        self.name, self.scale, self.weights_sha256, self.record = name, scale, weights_sha256, dict(record or {})
        self.description = description
        self.network = network.eval().requires_grad_(False)
        self._run, self.native_scale = run, native_scale
        self._overlap_px, self.tile_px = overlap_px, tile_px

    @torch.no_grad()
    def upscale(self, lr: Tensor, reference: Tensor | None) -> Tensor:
        """See `Upscaler.upscale`."""
        height, width = lr.shape[2] * self.scale, lr.shape[3] * self.scale
        sr = lr
        while sr.shape[2] < height:
            sr = self.enlarge_once(sr)
        if sr.shape[2] > height:
            sr = functional.interpolate(sr, (height, width), mode="bicubic", antialias=True, align_corners=False)
        return (sr.clamp(0.0, 1.0) * 255.0).round() / 255.0

    @torch.no_grad()
    def enlarge_once(self, lr: Tensor) -> Tensor:
        """Apply the network once, at its own factor.

        Args:
            lr: (N, 3, H, W) float32 RGB in [0, 1].

        Returns:
            (N, 3, H * native_scale, W * native_scale) float32 RGB, neither clipped nor rounded.
        """
        self.network.to(lr.device)
        tile_px = self.tile_px or max(lr.shape[2:])
        return upscale_in_tiles(
            self._run, lr, scale=self.native_scale, tile_px=tile_px, overlap_px=self._overlap_px
        ).float()
