"""EDSR (Lim et al., CVPRW 2017), reading checkpoints in the layout of the official code.

Number of blocks, features and the scale are read off the weights. The embedded default, weights/edsr_x3.safetensors, is
trained by ``labeling/train_upscaler.py``; its metadata say how.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from deploy.core.errors import WeightsError
from deploy.core.files import sha256_of
from labeling.upscalers.tiling import upscale_in_tiles

DIV2K_MEAN_RGB = (0.4488, 0.4371, 0.4040)
_WEIGHTS_FOLDER = Path(__file__).parent / "weights"
_TRAIN_HINT = "Train one: python labeling/train_upscaler.py VIDEO ... --scale {scale} --out edsr_x{scale}.safetensors"


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
        x = self.head(self.sub_mean(x))
        x = self.tail(x + self.body(x))
        return self.add_mean(x)  # type: ignore[no-any-return]


class EdsrUpscaler:
    """EDSR behind the `Upscaler` protocol: [0, 1] in and out, tiled so that memory is bounded."""

    name = "edsr"

    def __init__(self, network: Edsr, weights_sha256: str, tile_px: int = 256) -> None:
        self.network = network.eval().requires_grad_(False)
        self.scale = network.scale
        self.weights_sha256 = weights_sha256
        self.tile_px = tile_px

    @torch.no_grad()
    def upscale(self, lr: Tensor, reference: Tensor | None) -> Tensor:
        """See `Upscaler.upscale`."""
        self.network.to(lr.device)
        radius_px = self.network.receptive_radius_px
        sr = upscale_in_tiles(
            lambda tile: self.network(tile * 255.0) / 255.0,
            lr,
            scale=self.scale,
            tile_px=self.tile_px,
            overlap_px=radius_px,
        )
        return sr.clamp(0.0, 1.0)


def load_edsr(*, scale: int, weights: Path | None = None) -> EdsrUpscaler:
    """Load EDSR from `weights` (.safetensors, or an official .pt), or the embedded default for x3.

    Raises:
        WeightsError: missing, unreadable, not EDSR, or made for another scale.
    """
    path = weights or _WEIGHTS_FOLDER / f"edsr_x{scale}.safetensors"
    if not path.is_file():
        what = f"no embedded EDSR for x{scale}" if weights is None else f"EDSR weights not found: {path}"
        raise WeightsError(what, hint=_TRAIN_HINT.format(scale=scale) + ", or use --upscaler bicubic.")
    state, metadata = _read_state(path)
    network = _network_for(state, path, metadata)
    if network.scale != scale:
        raise WeightsError(f"{path} is EDSR x{network.scale}, asked for x{scale}", hint=f"Use --scale {network.scale}.")
    return EdsrUpscaler(network, sha256_of(path))


def save_edsr(network: Edsr, path: Path, record: dict[str, object]) -> None:
    """Write weights as safetensors in the official layout; `record` says how they were made."""
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


def _read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="pt") as stream:
                return {key: stream.get_tensor(key) for key in stream.keys()}, stream.metadata() or {}  # noqa: SIM118
        except SafetensorError as error:
            raise WeightsError(f"not a safetensors file: {path} ({error})", hint="Copy the file again.") from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler meets
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"not a plain checkpoint: {path} ({first_line})", hint="Give an official EDSR .pt."
        ) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} is not a dictionary of tensors", hint="Give an official EDSR .pt state dict.")
    return state, {}


def _network_for(state: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> Edsr:
    """Build the network whose shapes the state has, and load it strictly."""
    not_edsr = f"{path} is not an EDSR checkpoint in the official layout"
    hint = "Expected the keys head.0.*, body.N.body.*, tail.0.*, tail.1.* of the official EDSR code."
    try:
        features = state["head.0.weight"].shape[0]
        blocks = len({m[1] for key in state if (m := re.match(r"body\.(\d+)\.body\.0\.weight$", key))})
        growth = state["tail.0.0.weight"].shape[0] / features
        scale = 4 if "tail.0.2.weight" in state else math.isqrt(round(growth))
        res_scale = float(metadata.get("res_scale", 0.1 if features >= 256 else 1.0))
        network = Edsr(scale=scale, features=features, blocks=blocks, res_scale=res_scale)
        # Official files may leave the fixed mean shifts out.
        missing, unexpected = network.load_state_dict(state, strict=False)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{not_edsr}: {str(error).splitlines()[0]}", hint=hint) from None
    lost = [key for key in missing if not key.startswith(("sub_mean", "add_mean"))]
    if lost or unexpected:
        raise WeightsError(f"{not_edsr}: missing {lost[:3]}, unexpected {unexpected[:3]}", hint=hint)
    return network
