"""CARN and CARN-M (Ahn et al., ECCV 2018), reading checkpoints in the layout of the authors' code.

A cascade: every block sees the concatenation of the outputs before it. CARN-M has grouped convolutions and one residual
block used three times. One checkpoint holds the factors 2, 3 and 4. Which of the two it is, and the number of groups,
are read off the weights.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from deploy.core.errors import OptionError, WeightsError
from deploy.core.files import sha256_of
from labeling.core.weights import load_into, read_state
from labeling.upscalers.network import NetworkUpscaler

FEATURES = 64
RECEPTIVE_RADIUS_PX = 24
"""Convolutions of 3 x 3 in a row: entry, 9 residual blocks of two, upsampling of up to two, exit (at the SR size)."""


class _Body(nn.Module):
    """A sequence under the name that the checkpoints have for it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)  # type: ignore[no-any-return]


class _Residual(_Body):
    def __init__(self, groups: int, pointwise: bool) -> None:
        layers = [_conv(FEATURES, groups), nn.ReLU(), _conv(FEATURES, groups)]
        super().__init__(*layers, *([nn.ReLU(), nn.Conv2d(FEATURES, FEATURES, 1)] if pointwise else []))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + x)


class _Cascade(nn.Module):
    """Three stages b1, b2, b3, each followed by a 1 x 1 convolution c1, c2, c3 over all that came before."""

    def __init__(self, stages: list[nn.Module]) -> None:
        super().__init__()
        self.b1, self.b2, self.b3 = stages
        self.c1, self.c2, self.c3 = (_Body(nn.Conv2d(FEATURES * n, FEATURES, 1), nn.ReLU()) for n in (2, 3, 4))

    def forward(self, x: Tensor) -> Tensor:
        seen = output = x
        for stage, join in ((self.b1, self.c1), (self.b2, self.c2), (self.b3, self.c3)):
            seen = torch.cat([seen, stage(output)], dim=1)
            output = join(seen)
        return output


class _Shift(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shifter = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shifter(x)  # type: ignore[no-any-return]


class Carn(_Cascade):
    """The network. Input and output: (N, 3, H, W) RGB in [0, 1]."""

    def __init__(self, *, mobile: bool, groups: int) -> None:
        super().__init__([_block(mobile, groups) for _ in range(3)])
        self.sub_mean, self.add_mean = _Shift(), _Shift()
        self.entry, self.exit = nn.Conv2d(3, FEATURES, 3, padding=1), nn.Conv2d(FEATURES, 3, 3, padding=1)
        self.upsample = nn.ModuleDict(
            {f"up{scale}": _Body(*_shuffles(scale, groups if mobile else 1)) for scale in (2, 3, 4)}
        )

    def enlarge(self, x: Tensor, scale: int) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H * scale, W * scale), scale 2, 3 or 4."""
        return self.finish(self.extract(x), scale)

    def extract(self, x: Tensor) -> Tensor:
        """All layers that work at the frame's own size: (N, 3, H, W) -> (N, FEATURES, H, W)."""
        return super().forward(self.entry(self.sub_mean(x)))

    def finish(self, features: Tensor, scale: int) -> Tensor:
        """The others: (N, FEATURES, H, W) -> (N, 3, H * scale, W * scale)."""
        return self.add_mean(self.exit(self.upsample[f"up{scale}"](features)))  # type: ignore[no-any-return]


def _conv(outputs: int, groups: int) -> nn.Conv2d:
    return nn.Conv2d(FEATURES, outputs, 3, padding=1, groups=groups)


def _block(mobile: bool, groups: int) -> nn.Module:
    if mobile:
        return _SharedCascade(_Residual(groups, pointwise=True))
    return _Cascade([_Residual(1, pointwise=False) for _ in range(3)])


class _SharedCascade(_Cascade):
    """CARN-M: one residual block three times; the checkpoint holds it once, as b1."""

    def __init__(self, shared: nn.Module) -> None:
        super().__init__([shared, nn.Identity(), nn.Identity()])

    def forward(self, x: Tensor) -> Tensor:
        seen = output = x
        for join in (self.c1, self.c2, self.c3):
            seen = torch.cat([seen, self.b1(output)], dim=1)
            output = join(seen)
        return output


def _shuffles(scale: int, groups: int) -> list[nn.Module]:
    factors = [2, 2] if scale == 4 else [scale]
    return [layer for f in factors for layer in (_conv(FEATURES * f * f, groups), nn.ReLU(), nn.PixelShuffle(f))]


def load_carn(*, scale: int, weights: Path | None = None) -> NetworkUpscaler:
    """Load CARN or CARN-M.

    Raises:
        OptionError: no file was named.
        WeightsError: missing, unreadable, or of another network.
    """
    if weights is None:
        raise OptionError(
            "upscaler 'carn' needs a file",
            hint="Add --upscaler-weights carn_m.pth (from the checkpoints of nmhkahn/CARN-pytorch).",
        )
    state = read_state(weights)
    convolution = state.get("b1.b1.body.0.weight")
    if convolution is None or convolution.ndim != 4 or convolution.shape[1] not in (8, 16, 32, 64):
        raise WeightsError(f"{weights} is not a CARN checkpoint", hint="Use the authors' carn.pth or carn_m.pth.")
    network = Carn(mobile="b1.b1.body.4.weight" in state, groups=FEATURES // convolution.shape[1])
    load_into(network, state, weights, "CARN")
    # The factor whose power is the least that reaches the scale.
    native_scale = min((2, 3, 4), key=lambda factor: factor ** math.ceil(math.log(scale, factor) - 1e-9))
    return NetworkUpscaler(
        "carn",
        network,
        lambda lr: network.enlarge(lr, native_scale),
        native_scale=native_scale,
        scale=scale,
        weights_sha256=sha256_of(weights),
        overlap_px=RECEPTIVE_RADIUS_PX,
    )
