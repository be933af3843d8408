"""The model card: everything needed to run an exported predictor. JSON next to the ONNX file and embedded in it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from deploy.core.errors import InputError, RegenError, WeightsError, first_line
from deploy.core.files import write_text
from deploy.core.grid import Grid
from deploy.core.resize import Reduction

SCHEMA_VERSION = 3
"""1, before there was a choice of `reduction`: such cards read as "area". 2, before there were models of any size."""
MIN_SIDE_PX = 64
"""Of frames that a model of any size takes."""
METADATA_KEY = "regen_model_card"
InputKind = Literal["normalised", "rgb8"]
OutputKind = Literal["logits", "levels", "importance"]
Precision = Literal["fp32", "fp16", "int8-cpu", "int8-trt"]
_CHOICES = (
    ("input_kind", InputKind),
    ("output_kind", OutputKind),
    ("precision", Precision),
    ("reduction", Reduction),
)


@dataclass(frozen=True)
class ModelCard:
    """Everything that crosses from export to deployment.

    Raises:
        WeightsError: a field breaks its rule.
    """

    name: str
    """Name of the ladder model."""
    grid: Grid
    """The macroblock grid; its frame size is the model's input size, or of a model of any size that of its training."""
    level_values: tuple[float, ...]
    """Normalized importance in [0, 1] of each level, increasing."""
    mean: tuple[float, float, float]
    """Per RGB channel, in [0, 1]: input = (rgb / 255 - mean) / std."""
    std: tuple[float, float, float]
    """Per RGB channel, in [0, 1]."""
    input_name: str
    """Input tensor; `input_shape` says its layout."""
    output_name: str
    """Output tensor; `output_shape` says its layout."""
    dynamic_batch: bool
    """Whether the batch is dynamic; otherwise it is 1."""
    dataset_manifest_sha256: str
    """Hash of the manifest of the dataset that the model was trained on."""
    parity: dict[str, float] = field(default_factory=dict)
    """Agreement of the ONNX file with its Paddle original, measured on export."""
    versions: dict[str, str] = field(default_factory=dict)
    """Packages that took part."""
    color_order: str = "RGB"
    """Order of the input's channels."""
    input_kind: InputKind = "normalised"
    """Input: (batch, 3, H, W) float32 normalized colors, or (batch, H, W, 3) uint8 RGB ("rgb8")."""
    output_kind: OutputKind = "logits"
    """Output: (batch, num_levels, H, W) float32 logits, (batch, rows, cols) uint8 levels of the macroblocks, or
    (batch, rows, cols) float32 importance."""
    precision: Precision = "fp32"
    """Arithmetic of the network between its two ends. int8-cpu: unsigned activations; int8-trt: signed."""
    reduction: Reduction = "area"
    """How frames are reduced to the model's size, as those were that it learned from."""
    any_size: bool = False
    """Whether it takes frames of any size from 64 x 64 pixels and returns a value for each of their blocks."""
    previous: bool = False
    """Whether a fourth channel contains the score map of the previous frame's detections, for any-size models."""
    trained_on: dict[str, str] = field(default_factory=dict)
    """Training data: clips, detectors, upscaler, kind of LR frames, licenses."""
    schema_version: int = SCHEMA_VERSION
    """Version of this layout."""

    def __post_init__(self) -> None:
        if self.schema_version not in range(1, SCHEMA_VERSION + 1):
            _refuse("schema_version", self.schema_version, f"must be 1 to {SCHEMA_VERSION}")
        if self.color_order != "RGB":
            _refuse("color_order", self.color_order, "must be RGB")
        for name, kind in _CHOICES:
            if getattr(self, name) not in get_args(kind):
                _refuse(name, getattr(self, name), f"must be one of {', '.join(get_args(kind))}")
        for name in ("name", "input_name", "output_name", "dataset_manifest_sha256"):
            if not isinstance(getattr(self, name), str):
                _refuse(name, getattr(self, name), "must be text")
        for name in ("parity", "versions", "trained_on"):
            if not isinstance(getattr(self, name), dict):
                _refuse(name, getattr(self, name), "must be a table")
        for name in ("dynamic_batch", "any_size", "previous"):
            if not isinstance(getattr(self, name), bool):
                _refuse(name, getattr(self, name), "must be true or false")
        if self.previous and not self.any_size:
            _refuse("previous", True, "is for models of any size")
        if self.any_size:
            ends = (self.input_kind, self.output_kind, self.dynamic_batch, self.grid.name)
            if ends != ("rgb8", "importance", True, "lr"):
                _refuse("any_size", True, "needs input rgb8, output importance, a dynamic batch and grid lr")
        values = self.level_values
        if not all(map(math.isfinite, (*values, *self.mean, *self.std))):
            _refuse("level_values, mean, std", (values, self.mean, self.std), "must be finite")
        if len(values) < 2 or any(b <= a for a, b in pairwise(values)):
            _refuse("level_values", values, "must be two or more, increasing")
        if values[0] < 0 or values[-1] > 1:
            _refuse("level_values", values, "must lie in [0, 1]")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            _refuse("mean, std", (self.mean, self.std), "must be three numbers each, std positive")

    @property
    def num_levels(self) -> int:
        """Number of importance levels."""
        return len(self.level_values)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one frame of the input, without the batch."""
        size = (self.grid.height_px, self.grid.width_px)
        return (*size, self.num_channels) if self.input_kind == "rgb8" else (self.num_channels, *size)

    @property
    def num_channels(self) -> int:
        """Channels of the input: red, green and blue, and with `previous` the scores."""
        return 4 if self.previous else 3

    @property
    def input_type(self) -> type[np.generic]:
        """Type of the input's elements."""
        return np.uint8 if self.input_kind == "rgb8" else np.float32

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one frame of the output, without the batch."""
        if self.output_kind == "logits":
            return self.num_levels, self.grid.height_px, self.grid.width_px
        return self.grid.rows, self.grid.cols

    @property
    def output_type(self) -> type[np.generic]:
        """Type of the output's elements."""
        return np.uint8 if self.output_kind == "levels" else np.float32

    def at(self, height_px: int, width_px: int) -> ModelCard:
        """The card of the same model for frames of another size.

        Raises:
            InputError: the model takes one size only, or they are smaller than 64 x 64.
        """
        grid = self.grid
        if (height_px, width_px) == (grid.height_px, grid.width_px):
            return self
        if not self.any_size:
            raise InputError(
                f"frame of {width_px} x {height_px}, but the model takes {grid.width_px} x {grid.height_px}",
                hint="Resize it, or use an any-size model.",
            )
        if min(height_px, width_px) < MIN_SIDE_PX:
            raise InputError(
                f"frame of {width_px} x {height_px} pixels is smaller than {MIN_SIDE_PX} x {MIN_SIDE_PX}",
                hint="Use larger frames.",
            )
        return replace(self, grid=replace(grid, height_px=height_px, width_px=width_px))

    def for_batch(self, shape: tuple[int, ...]) -> ModelCard:
        """The card for the frames of a batch of the file's input."""
        return self.at(*shape[1:3]) if self.any_size else self

    def to_json(self) -> str:
        """The card as JSON text."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, origin: str) -> ModelCard:
        """Parse and validate a card.

        Args:
            text: what `to_json` gave.
            origin: where the text is from, for messages.

        Raises:
            WeightsError: not JSON, or a field is missing, unknown or wrong.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            unknown = set(data) - {f.name for f in fields(cls)}
            if unknown:
                _refuse("unknown fields", sorted(unknown), "must not be present")
            data["grid"] = Grid(**data["grid"])
            for name in ("level_values", "mean", "std"):
                data[name] = tuple(float(number) for number in data[name])
            return cls(**data)
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            RegenError,
            TypeError,
            ValueError,
        ) as error:
            raise WeightsError(f"bad model card in {origin}: {error}", hint="Export the model again.") from None


def card_path(model: Path) -> Path:
    """Path of the card of ``model.onnx``: ``model.json`` next to it."""
    return model.with_suffix(".json")


def write_card(model: Path, card: ModelCard) -> None:
    """Write the card next to the model, atomically."""
    write_text(card_path(model), card.to_json())


def read_card(model: Path) -> ModelCard:
    """Read the card next to a model.

    Raises:
        WeightsError: missing or bad.
    """
    text = read_card_text(model, "model card", "models that export/export_onnx.py wrote")
    return ModelCard.from_json(text, origin=str(card_path(model)))


def read_card_text(model: Path, what: str, whose: str) -> str:
    """The JSON next to an ONNX file.

    Args:
        model: the file.
        what: the card is, for the message.
        whose: which files have one.

    Raises:
        WeightsError: missing, or not text.
    """
    path = card_path(model)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = "file not found" if isinstance(error, FileNotFoundError) else first_line(error)
        raise WeightsError(
            f"cannot read {path}, the {what} of {model}: {said}",
            hint=f"Only {whose} have one; keep its .json next to the .onnx.",
        ) from None


def _refuse(name: str, value: object, rule: str) -> None:
    raise WeightsError(f"model card: {name}={value!r} {rule}", hint="Export the model again.")
