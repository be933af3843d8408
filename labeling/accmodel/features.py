"""The frozen feature extractor: MobileNetV2 with the extra layers of an SSDLite detector."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.models.mobilenetv2 import InvertedResidual

from deploy.core.errors import WeightsError
from labeling.core.weights import cached_download, read_state

IMAGENET_URL = "https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth"
"""torchvision's MobileNet_V2_Weights.IMAGENET1K_V2."""
_EXTRAS = ((1280, 512, 0.2), (512, 256, 0.25), (256, 256, 0.5), (256, 64, 0.25))
"""Input channels, output channels and expansion of the layers after MobileNetV2, each of stride 2 (SSDLite)."""
_SPLIT = 14
"""The layer of MobileNetV2 within which features of stride 16 are taken, after its expansion to 576 channels."""
CHANNELS = (576, 1280, 512, 256, 256, 64)
"""Channels of each map that `forward` gives; strides 16, 32, 64, 128, 256, 512."""


class FrozenFeatures(nn.Module):
    """Feature maps that an SSDLite detector uses. All parameters and statistics are frozen.

    Submodules have the names of torchvision's MobileNetV2 (``features``) and of the extra layers (``extras``).
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = mobilenet_v2(weights=None).features
        self.extras = nn.ModuleList(
            InvertedResidual(inputs, outputs, stride=2, expand_ratio=ratio) for inputs, outputs, ratio in _EXTRAS
        )
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, since batch statistics are frozen, too."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) float32 RGB in [0, 1] -> maps of `CHANNELS`, finest first."""
        x = self.features[:_SPLIT]((images - self.mean) / self.std)
        expansion, *rest = self.features[_SPLIT].conv
        maps = [expansion(x)]
        x = self.features[_SPLIT + 1 :](nn.Sequential(*rest)(maps[0]))
        maps.append(x)
        for extra in self.extras:
            x = extra(x)
            maps.append(x)
        return maps


def load_features(weights: str | Path, *, offline: bool = False) -> tuple[FrozenFeatures, str]:
    """Build the extractor.

    Args:
        weights: "imagenet" (torchvision's, downloaded once), "random" (from torch's generator), or a file in
            torchvision's layout, or in that of ``mb2-ssd-lite`` (qfgaohao/pytorch-ssd), including its extra layers.
        offline: never use the network.

    Returns:
        The extractor and a description of its weights.

    Raises:
        WeightsError: the weights cannot be downloaded or read, or belong to another network.
    """
    features = FrozenFeatures()
    if str(weights) == "random":
        _scale_to_noise(features)
        return features, "random"
    imagenet = str(weights) == "imagenet"
    path = cached_download(IMAGENET_URL, offline=offline) if imagenet else Path(weights)
    state = read_state(path)
    if any(name.startswith("base_net.") for name in state):
        _adopt(features.features, state, "base_net.", path)
        _adopt(features.extras, state, "extras.", path)
        # That detector was trained on (RGB - 127) / 128.
        features.mean.fill_(127 / 255)
        features.std.fill_(128 / 255)
        return features, f"mb2-ssd-lite, {path.name}"
    _adopt(features.features, state, "features.", path)
    return features, f"MobileNetV2, {path.name}; random extra layers"


def _scale_to_noise(features: FrozenFeatures) -> None:
    """Set batch normalization statistics from noise images; otherwise the signal vanishes in random layers."""
    layers = [module for module in features.modules() if isinstance(module, nn.BatchNorm2d)]
    for layer in layers:
        layer.momentum, layer.training = 1.0, True
    with torch.no_grad():
        features(torch.rand(4, 3, 256, 256))
    for layer in layers:
        layer.momentum, layer.training = 0.1, False


def _adopt(module: nn.Module, state: dict[str, Tensor], prefix: str, path: Path) -> None:
    """Copy the tensors below `prefix`: by name, or by order if the names follow another layout."""
    own = module.state_dict()
    counters = [name for name in own if name.endswith("num_batches_tracked")]  # not in every file
    given = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    given = {**{name: own[name] for name in counters}, **given} if given.keys() <= own.keys() else given
    if given.keys() == own.keys():
        given = {name: given[name] for name in own}
    if [tensor.shape for tensor in given.values()] != [tensor.shape for tensor in own.values()]:
        raise WeightsError(
            f"{path}: its {len(given)} tensors {prefix}* do not match the {len(own)} of this network",
            hint="Use torchvision's MobileNetV2 or pytorch-ssd's mb2-ssd-lite.",
        )
    module.load_state_dict(dict(zip(own, given.values(), strict=True)))
