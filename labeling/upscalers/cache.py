"""Super-resolved frames on disk, so that labeling the same frames again (other detector, other options) is cheaper."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from deploy.core.errors import InputError
from deploy.core.files import read_image, write_image
from labeling.upscalers.base import Upscaler


class CachedUpscaler:
    """An upscaler that looks in a folder first. See `Upscaler`.

    A frame is found by the hash of its pixels and of all that enlarges it, so a file can never stand for another frame,
    network or scale. Files are PNG: exact, since SR frames are whole 1/255.

    Args:
        upscaler: makes what is not there. Its results must be whole 1/255 and depend on the LR frame alone.
        folder: where frames are kept; nothing is ever removed from it.
        precision: in which number type the network computes.
    """

    def __init__(self, upscaler: Upscaler, folder: Path, precision: str) -> None:
        self.name, self.scale, self.weights_sha256 = upscaler.name, upscaler.scale, upscaler.weights_sha256
        self._upscaler, self._folder = upscaler, folder
        self.record, self.description = upscaler.record, upscaler.description
        self._key = f"{self.name} x{self.scale} {self.weights_sha256} {precision}"
        self._key += "".join(f" {key}={value}" for key, value in sorted(self.record.items()))

    def upscale(self, lr: Tensor, reference: Tensor | None) -> Tensor:
        """See `Upscaler.upscale`."""
        return torch.cat([self._upscale_one(frame[None], reference) for frame in lr])

    def _upscale_one(self, lr: Tensor, reference: Tensor | None) -> Tensor:
        pixels = (lr * 255.0).round().byte().cpu().numpy()
        digest = hashlib.sha256(f"{self._key} {pixels.shape}".encode() + pixels.tobytes()).hexdigest()
        path = self._folder / digest[:2] / f"{digest}.png"
        try:
            return torch.tensor(read_image(path)).permute(2, 0, 1)[None].to(lr.device).float() / 255.0
        except InputError:  # missing or damaged: create it again
            sr = self._upscaler.upscale(lr, reference)
            image = (sr[0] * 255.0).round().byte().permute(1, 2, 0).cpu().numpy()
            write_image(path, Image.fromarray(image))
            return sr
