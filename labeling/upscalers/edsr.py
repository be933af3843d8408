"""EDSR (Lim et al., CVPRW 2017), reading checkpoints in the layout of the official code.

Number of blocks, features and the scale are read off the weights; the factor of the residuals is not in them. The
embedded default, weights/edsr_x3.safetensors, is trained by ``labeling/train_upscaler.py``; its metadata say how.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from deploy.core.errors import OptionError, WeightsError, first_line
from deploy.core.files import sha256_of
from labeling.core.weights import read_metadata, read_state, require_shapes
from labeling.upscalers.network import NetworkUpscaler

DIV2K_MEAN_RGB = (0.4488, 0.4371, 0.4040)
EMBEDDED_WEIGHTS = Path(__file__).parent / "weights" / "edsr_x3.safetensors"


class _ResidualBlock(nn.Module):
    def __init__(self, features: int, res_scale: float) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(features, features), nn.ReLU(), _conv(features, features))
        self.res_scale = res_scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.res_scale * self.body(x)  # type: ignore[no-any-return]


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


def _mean_shift(sign: int) -> nn.Conv2d:
    shift = nn.Conv2d(3, 3, kernel_size=1)
    shift.weight.data = torch.eye(3).view(3, 3, 1, 1)
    shift.bias = nn.Parameter(sign * 255.0 * torch.tensor(DIV2K_MEAN_RGB))
    return shift.requires_grad_(False)


class Edsr(nn.Module):
    """The network. Input and output: (N, 3, H, W) RGB in [0, 255], as in the official code."""

    def __init__(self, *, scale: int, features: int, blocks: int, res_scale: float = 1.0) -> None:
        super().__init__()
        self.scale, self.features, self.blocks, self.res_scale = scale, features, blocks, res_scale
        self.sub_mean, self.add_mean = _mean_shift(-1), _mean_shift(+1)
        self.head = nn.Sequential(_conv(3, features))
        body: list[nn.Module] = [_ResidualBlock(features, res_scale) for _ in range(blocks)]
        self.body = nn.Sequential(*body, _conv(features, features))
        factors = [2, 2] if scale == 4 else [scale]
        shuffles = [m for f in factors for m in (_conv(features, features * f * f), nn.PixelShuffle(f))]
        self.tail = nn.Sequential(nn.Sequential(*shuffles), _conv(features, 3))

    @property
    def receptive_radius_px(self) -> int:
        """How many LR pixels around a pixel its output depends on."""
        return 2 * self.blocks + 4

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H * scale, W * scale)."""
        return self.finish(self.extract(x))

    def extract(self, x: Tensor) -> Tensor:
        """All layers that work at the frame's own size: (N, 3, H, W) -> (N, features, H, W)."""
        x = self.head(self.sub_mean(x))
        return x + self.body(x)  # type: ignore[no-any-return]

    def finish(self, features: Tensor) -> Tensor:
        """The others: (N, features, H, W) -> (N, 3, H * scale, W * scale)."""
        return self.add_mean(self.tail(features))  # type: ignore[no-any-return]


def load_edsr(*, scale: int, weights: Path | None = None, res_scale: str | float | None = None) -> NetworkUpscaler:
    """Load EDSR from `weights` (.safetensors, or an official .pt), or the embedded default.

    Raises:
        OptionError: `res_scale` is no factor.
        WeightsError: missing, unreadable, or not EDSR.
    """
    path = weights or EMBEDDED_WEIGHTS
    factor = None if res_scale is None else _factor(res_scale)
    return edsr_upscaler(read_edsr(path, factor), scale, sha256_of(path), res_scale=factor)


def read_edsr(path: Path, res_scale: float | None = None) -> Edsr:
    """The network of a checkpoint.

    Args:
        path: the checkpoint.
        res_scale: what each block's residual is multiplied by. None is what the file says; where it says nothing, as
            official ones don't, 0.1 from 256 features on and 1 below, as the authors trained.

    Raises:
        WeightsError: missing, unreadable, or not EDSR.
    """
    return _network_for(read_state(path), path, read_metadata(path), res_scale)


def edsr_upscaler(
    network: Edsr, scale: int, weights_sha256: str, tile_px: int = 256, res_scale: float | None = None
) -> NetworkUpscaler:
    """EDSR with the `Upscaler` protocol; tiles overlap by the receptive field, so they join exactly."""
    return NetworkUpscaler(
        "edsr",
        network,
        lambda lr: network(lr * 255.0) / 255.0,
        native_scale=network.scale,
        scale=scale,
        weights_sha256=weights_sha256,
        overlap_px=network.receptive_radius_px,
        tile_px=tile_px,
        record={} if res_scale is None else {"res_scale": res_scale},
    )


def save_edsr(network: Edsr, path: Path, record: dict[str, object]) -> None:
    """Write weights as safetensors in the official layout; `record` describes how they were made."""
    from safetensors.torch import save

    from deploy.core.files import atomic_path

    metadata = {"architecture": "edsr", "res_scale": str(network.res_scale), "record": json.dumps(record)}
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(_with_sorted_header(save(state, metadata)))


def _with_sorted_header(data: bytes) -> bytes:
    """Safetensors writes its metadata in random order; sorted, equal weights are equal bytes and have one hash."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[end:]


def _factor(text: str | float) -> float:
    with suppress(ValueError):
        if 0 < float(text) <= 10:
            return float(text)
    raise OptionError(f"--upscaler-option res_scale={text} is not a factor up to 10", hint="The EDSR authors used 0.1.")


def _network_for(state: dict[str, Tensor], path: Path, metadata: dict[str, str], res_scale: float | None) -> Edsr:
    """Build the network whose shapes the state has, and load it strictly."""
    not_edsr = f"{path} is not an EDSR checkpoint in the official layout"
    hint = "Expected the keys head.0.*, body.N.body.*, tail.0.*, tail.1.* of the official EDSR code."
    try:
        features = state["head.0.weight"].shape[0]
        blocks = len({m[1] for key in state if (m := re.match(r"body\.(\d+)\.body\.0\.weight$", key))})
        growth = state["tail.0.0.weight"].shape[0] / features
        scale = 4 if "tail.0.2.weight" in state else math.isqrt(round(growth))
        if res_scale is None:
            res_scale = float(metadata.get("res_scale", 0.1 if features >= 256 else 1.0))
        make = partial(Edsr, scale=scale, features=features, blocks=blocks, res_scale=res_scale)
        require_shapes(make, state)
        network = make()
        # Official files may leave the fixed mean shifts out.
        missing, unexpected = network.load_state_dict(state, strict=False)
    except (ArithmeticError, LookupError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{not_edsr}: {first_line(error)}", hint=hint) from None
    lost = [key for key in missing if not key.startswith(("sub_mean", "add_mean"))]
    if lost or unexpected:
        raise WeightsError(f"{not_edsr}: missing {lost[:3]}, unexpected {unexpected[:3]}", hint=hint)
    return network
