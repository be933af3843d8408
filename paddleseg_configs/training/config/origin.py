"""Record of the dataset that weights were trained on, stored next to them to prevent export for another one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from deploy.core.errors import OptionError, WeightsError, first_line
from labeling.dataset.manifest import Record, Sha256
from paddleseg_configs.training.config.settings import Settings

ORIGIN = "trained_on.json"


class Origin(Record):
    """``trained_on.json`` next to ``model.pdparams``."""

    schema_version: Literal[1] = 1
    manifest_sha256: Sha256
    """Hash of the dataset's manifest."""
    height_px: int
    width_px: int
    num_levels: int

    @classmethod
    def of(cls, settings: Settings) -> Origin:
        """The dataset of a configuration."""
        manifest = settings.manifest
        return cls(
            manifest_sha256=settings.manifest_sha256,
            height_px=manifest.frame_height_px,
            width_px=manifest.frame_width_px,
            num_levels=manifest.num_levels,
        )

    def text(self) -> str:
        """Content of the file."""
        return self.model_dump_json(indent=2) + "\n"

    def __str__(self) -> str:
        return f"frames of {self.width_px} x {self.height_px}, {self.num_levels} levels"


def read_origin(folder: Path) -> Origin | None:
    """Read the record in a folder of weights; None if there is none.

    Raises:
        WeightsError: it cannot be read.
    """
    path = folder / ORIGIN
    try:
        return Origin.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise WeightsError(f"cannot read {path}: {first_line(error)}", hint="Remove it, or train again.") from None


def check_origin(weights: Path, settings: Settings) -> None:
    """Compare the dataset that weights were trained on, if recorded next to them, with the current one.

    Raises:
        OptionError: its frames have a different size.
        WeightsError: the record cannot be read.
    """
    origin, present = read_origin(weights.parent), Origin.of(settings)
    if origin is None:
        return
    if (origin.height_px, origin.width_px) != (present.height_px, present.width_px):
        raise OptionError(
            f"{weights} was trained on {origin}; {settings.dataset} has {present}",
            hint="Specify the dataset it was trained on: --dataset DIR",
        )
    if origin.manifest_sha256 != present.manifest_sha256:
        print(f"note: {weights} was trained on another dataset; levels are interpreted as in {settings.dataset}")
