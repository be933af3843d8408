"""Predict levels of image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddleseg.transforms import Compose
from PIL import Image

from deploy.core.files import write_image
from deploy.core.progress import track
from deploy.outputs.overlay import level_palette
from paddleseg_configs.training.config.settings import Settings
from paddleseg_configs.training.data.level_dataset import read_frame
from paddleseg_configs.training.models.components import LevelBuilder
from paddleseg_configs.training.run.evaluation import predict_probabilities


def write_predictions(settings: Settings, model: Any, images: Sequence[tuple[Path, Path]], save_dir: Path) -> None:
    """Write the predicted levels of each image as a palette PNG.

    Args:
        settings: that the model was built from.
        model: in evaluation mode.
        images: image file and path of its prediction below `save_dir`.
        save_dir: where predictions go.
    """
    transforms = Compose(LevelBuilder(settings).val_transforms, to_rgb=False)
    palette = level_palette(settings.manifest.num_levels)
    for path, name in track(images, total=len(images), label="predicting", unit="image"):
        frame = read_frame(path, settings.manifest).astype(np.float32)
        inputs = paddle.to_tensor(transforms({"img": frame})["img"][None])
        levels = predict_probabilities(model, inputs)[0].argmax(0).astype(np.uint8)
        picture = Image.fromarray(levels)
        picture.putpalette(palette)
        write_image(save_dir / name, picture)
