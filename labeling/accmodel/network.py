"""AccModel: importance of macroblocks from frozen detector features (after AccMPEG, MLSys 2022)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from deploy.core.errors import WeightsError, first_line
from deploy.core.files import atomic_path
from deploy.core.grid import Grid, GridName
from deploy.core.resize import REDUCTIONS, Reduction
from labeling.accmodel.features import CHANNELS, FrozenFeatures
from labeling.core.weights import require_shapes

HeadName = Literal["levels", "binary", "regression"]
_STRIDE_PX = 16
_MULTIPLE_PX = 32


@dataclass(frozen=True)
class AccModelSpec:
    """Everything about an AccModel except its weights."""

    head: HeadName
    """levels: a class for each importance level; binary: important or not, as published; regression: a value."""
    level_values: tuple[float, ...]
    """Importance in [0, 1] of each class; (0, 1) for binary and regression."""
    scale: int
    """Of the grid; see `Grid`."""
    block_px: int
    grid: GridName
    height_px: int
    """Height of the LR frames that it was trained on."""
    features: str
    """Where the frozen weights are from."""
    reduction: Reduction = "area"
    """How those frames were reduced."""

    def grid_of(self, height_px: int, width_px: int) -> Grid:
        """The macroblocks of a frame of any size."""
        return Grid(height_px, width_px, scale=self.scale, block_px=self.block_px, name=self.grid)


class AccModel(nn.Module):
    """Frozen features and a head of three convolutions at the grid's resolution.

    Args:
        spec: the model to build.
        features: the frozen extractor.
        channels: width of the head.
    """

    level_values: Tensor

    def __init__(self, spec: AccModelSpec, features: FrozenFeatures, channels: int = 64) -> None:
        super().__init__()
        self.spec, self.channels = spec, channels
        self.features = features
        outputs = 1 if spec.head == "regression" else len(spec.level_values)
        self.head = nn.Sequential(
            nn.Conv2d(sum(CHANNELS), channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, outputs, 3, padding=1),
        )
        self.register_buffer("level_values", torch.tensor(spec.level_values).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) float32 RGB in [0, 1] of any size -> (N, len(level_values), rows, cols) logits.

        A regression head returns its value v as the logits 0 and v, so that softmax gives sigmoid(v), its importance.
        """
        height, width = (int(side) for side in images.shape[2:])  # plain numbers, also while a graph is traced
        grid = self.spec.grid_of(height, width)
        below, right = -height % _MULTIPLE_PX, -width % _MULTIPLE_PX
        padded = _repeat_last(_repeat_last(images, 2, below), 3, right)
        size = [(height + below) // _STRIDE_PX, (width + right) // _STRIDE_PX]
        maps = [
            functional.interpolate(found, size, mode="bilinear", align_corners=False) for found in self.features(padded)
        ]
        stacked = torch.cat(maps, dim=1)[:, :, : -(-height // _STRIDE_PX), : -(-width // _STRIDE_PX)]
        if tuple(stacked.shape[2:]) != (grid.rows, grid.cols):  # blocks that are not 16 px of the LR frame
            stacked = functional.interpolate(stacked, (grid.rows, grid.cols), mode="bilinear", align_corners=False)
        logits: Tensor = self.head(stacked)
        return torch.cat([torch.zeros_like(logits), logits], dim=1) if self.spec.head == "regression" else logits

    def importance(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) float32 RGB in [0, 1] -> (N, 1, rows, cols) importance in [0, 1]."""
        importance: Tensor = (self(images).softmax(dim=1) * self.level_values).sum(dim=1, keepdim=True)
        return importance


def _repeat_last(images: Tensor, axis: int, count: int) -> Tensor:
    """Append the last slice along `axis` `count` times (the exporter gives ``functional.pad`` no fixed shape)."""
    last = images.narrow(axis, int(images.shape[axis]) - 1, 1)
    return torch.cat([images, *[last] * count], dim=axis) if count else images


def to_images(frames: list[NDArray[np.uint8]], device: str) -> Tensor:
    """(H, W, 3) uint8 RGB frames -> (N, 3, H, W) float32 in [0, 1], for training and prediction."""
    batch = torch.from_numpy(np.stack(frames)).to(device)
    return batch.permute(0, 3, 1, 2).float() / 255.0


def save_accmodel(model: AccModel, path: Path) -> None:
    """Write the weights and the specification as safetensors."""
    from safetensors.torch import save

    metadata = {"accmodel": json.dumps({**asdict(model.spec), "channels": model.channels})}
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(state, metadata))


def load_accmodel(path: Path) -> AccModel:
    """Load a model written by `save_accmodel`, in evaluation mode.

    Raises:
        WeightsError: the file is missing, damaged, or not an AccModel.
    """
    from safetensors import SafetensorError, safe_open

    hint = "Use a file written by labeling/train_accmodel.py."
    if not path.is_file():
        raise WeightsError(f"model not found: {path}", hint=hint)
    try:
        with safe_open(str(path), framework="pt") as stream:
            record = json.loads((stream.metadata() or {})["accmodel"])
            state = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        channels = record.pop("channels")
        record["level_values"] = tuple(record["level_values"])
        spec = AccModelSpec(**record)
        spec.grid_of(spec.height_px, spec.height_px)  # rejects invalid grids
        if spec.reduction not in REDUCTIONS:
            raise ValueError(f"its reduction is {spec.reduction!r}")
        if spec.head not in get_args(HeadName):
            raise ValueError(f"its head is {spec.head!r}")
        require_shapes(lambda: AccModel(spec, FrozenFeatures(), channels), state)
        model = AccModel(spec, FrozenFeatures(), channels)
        model.load_state_dict(state)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        SafetensorError,
        TypeError,
        ValueError,
    ) as error:
        reason = first_line(error)
        raise WeightsError(f"{path} is not an AccModel: {reason}", hint=hint) from None
    return model.eval()
