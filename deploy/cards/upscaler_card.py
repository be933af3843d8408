"""The card of an exported upscaler: everything needed to run it on regions. JSON next to the ONNX file and inside it.

The file takes ``rgb``, (batch, H, W, 3) uint8 RGB, and ``margins``, (4,) int64: how many pixels at the top, left,
bottom and right only surround. It gives ``sr``, (batch, h * scale, w * scale, 3) uint8 RGB, without the margins. Where
there is no margin the network pads as at a frame's border.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from deploy.cards.model_card import card_path, read_card_text
from deploy.core.errors import WeightsError
from deploy.core.files import write_text

SCHEMA_VERSION = 1
METADATA_KEY = "regen_upscaler_card"
INPUT, MARGINS, OUTPUT = "rgb", "margins", "sr"
"""Names of the file's tensors."""
LARGEST_SCALE = 8
LARGEST_RADIUS_PX = 512
Colors = Literal["rgb8"]
_HINT = "Export the upscaler again: python export/export_upscaler.py"


@dataclass(frozen=True)
class UpscalerCard:
    """Everything that crosses from export to deployment.

    Raises:
        WeightsError: a field breaks its rule.
    """

    name: str
    """Name of the network."""
    scale: int
    """Size of the result over that of the frame, 2 to 8."""
    whole_frame: bool
    """Whether a pixel may depend on the whole frame (global pooling, attention): such a network takes no regions."""
    receptive_radius_px: int
    """Radius in pixels that a result depends on: with this margin, regions equal the whole frame (mode "exact").
    0 where that is the whole frame."""
    fast_halo_px: int
    """The least surroundings with which regions of real frames differed by at most 1 of 255 (mode "fast")."""
    license: str
    """Of the weights, in SPDX's terms, or "unknown"."""
    weights_sha256: str
    """Hash of the weights' file."""
    halo_errors: dict[str, int] = field(default_factory=dict)
    """Surroundings in pixels -> the largest difference of 255 that was measured with them."""
    parity: dict[str, float] = field(default_factory=dict)
    """Agreement of the ONNX file with the PyTorch network, measured on export."""
    versions: dict[str, str] = field(default_factory=dict)
    """Packages that took part."""
    colors: Colors = "rgb8"
    """Input and output: RGB bytes, 0 to 255."""
    schema_version: int = SCHEMA_VERSION
    """Version of this layout."""

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            _refuse("schema_version", self.schema_version, f"must be {SCHEMA_VERSION}")
        if self.colors not in get_args(Colors):
            _refuse("colors", self.colors, f"must be one of {', '.join(get_args(Colors))}")
        for name in ("name", "license", "weights_sha256"):
            if not isinstance(getattr(self, name), str):
                _refuse(name, getattr(self, name), "must be text")
        for name in ("halo_errors", "parity", "versions"):
            if not isinstance(getattr(self, name), dict):
                _refuse(name, getattr(self, name), "must be a table")
        if not isinstance(self.whole_frame, bool):
            _refuse("whole_frame", self.whole_frame, "must be true or false")
        self._require_integer("scale", 2, LARGEST_SCALE)
        self._require_integer("receptive_radius_px", 0, LARGEST_RADIUS_PX)
        self._require_integer("fast_halo_px", 0, self.receptive_radius_px)

    def to_json(self) -> str:
        """The card as JSON text."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, origin: str) -> UpscalerCard:
        """Parse and validate a card.

        Args:
            text: what `to_json` gave.
            origin: where the text is from, for messages.

        Raises:
            WeightsError: not JSON, or a field is missing, unknown or wrong.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            unknown = set(data) - {entry.name for entry in fields(cls)}
            if unknown:
                _refuse("unknown fields", sorted(unknown), "must not be present")
            return cls(**data)
        except (AttributeError, RecursionError, TypeError, ValueError, WeightsError) as error:
            raise WeightsError(f"bad upscaler card in {origin}: {error}", hint=_HINT) from None

    def _require_integer(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            _refuse(name, value, f"must be an integer from {low} to {high}")


def write_upscaler_card(model: Path, card: UpscalerCard) -> None:
    """Write the card next to the ONNX file, atomically."""
    write_text(card_path(model), card.to_json())


def read_upscaler_card(model: Path) -> UpscalerCard:
    """Read the card next to an ONNX file.

    Raises:
        WeightsError: missing or bad.
    """
    text = read_card_text(model, "upscaler card", "files that export/export_upscaler.py wrote")
    return UpscalerCard.from_json(text, origin=str(card_path(model)))


def _refuse(name: str, value: object, rule: str) -> NoReturn:
    raise WeightsError(f"upscaler card: {name}={value!r} {rule}", hint=_HINT)
