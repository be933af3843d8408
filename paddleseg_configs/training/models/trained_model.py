"""A trained model and the data to run it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deploy.core.errors import OptionError
from paddleseg_configs.training.config.settings import Settings
from paddleseg_configs.training.data.level_dataset import MacroblockLevels
from paddleseg_configs.training.models.components import LevelBuilder
from paddleseg_configs.training.paddle_fixes.weights import load_weights


def load_trained(settings: Settings, weights: Path) -> Any:
    """Build the configuration's model with trained weights, in evaluation mode.

    Raises:
        WeightsError: the weights do not match the model.
    """
    model = LevelBuilder(settings).model
    load_weights(model, weights)
    model.eval()
    return model


def split_dataset(settings: Settings, split: str) -> MacroblockLevels:
    """A split with the transforms for evaluation, without randomness."""
    section = {**settings.config.val_dataset_cfg, "mode": split}
    dataset: MacroblockLevels = LevelBuilder(settings).build_component(section)
    return dataset


Color = tuple[float, float, float]


def normalization_of(settings: Settings) -> tuple[Color, Color]:
    """Mean and standard deviation per channel, from the Normalize transform of evaluation.

    Raises:
        OptionError: evaluation does more than normalize, or training normalizes differently.
    """
    found = []
    for section in (settings.config.val_dataset_cfg, settings.config.train_dataset_cfg):
        items = section.get("transforms") or []
        found.append([item for item in items if item.get("type") == "Normalize"])
    evaluation, training = (
        section.get("transforms") or []
        for section in (settings.config.val_dataset_cfg, settings.config.train_dataset_cfg)
    )
    if len(evaluation) != 1 or found[0] != found[1] or len(found[0]) != 1 or training[-1:] != found[0]:
        raise OptionError(
            "the last training transform and the only evaluation transform must be the same Normalize",
            hint="Share it with a YAML anchor, as in _base_/macroblock_levels.yml.",
        )
    return _color(found[0][0].get("mean", [0.5])), _color(found[0][0].get("std", [0.5]))


def _color(values: Any) -> Color:
    red, green, blue = np.broadcast_to(np.asarray(values, np.float64), 3).tolist()
    return red, green, blue
