"""Predict levels of image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddleseg.transforms import Compose
from PIL import Image

from deploy.core.errors import DatasetError
from deploy.core.files import read_image, write_image
from deploy.core.progress import track
from deploy.outputs.overlay import level_palette
from labeling.dataset.manifest import Manifest
from paddleseg_configs.training.config.settings import Settings
from paddleseg_configs.training.data.augmentation import with_padding
from paddleseg_configs.training.models.components import LevelBuilder
from paddleseg_configs.training.run.evaluation import predict_probabilities


def _read_frame(path: Path, manifest: Manifest) -> NDArray[np.uint8]:
    """Read (H, W, 3) uint8 RGB with a frame size of the dataset.

    Raises:
        InputError: not a readable image.
        DatasetError: wrong size.
    """
    frame = read_image(path)
    sizes = dict.fromkeys((grid.height_px, grid.width_px) for grid in (*manifest.grids, manifest.make_grid()))
    if frame.shape[:2] not in sizes:
        known = ", ".join(f"{width} x {height}" for height, width in sizes)
        raise DatasetError(
            f"{path} is {frame.shape[1]} x {frame.shape[0]} pixels, but the dataset's frames are {known}",
            hint="Frames are never resized: use those written by labeling (origin_images).",
        )
    return frame


def write_predictions(settings: Settings, model: Any, images: Sequence[tuple[Path, Path]], save_dir: Path) -> None:
    """Write the predicted levels of each image as a palette PNG.

    Args:
        settings: settings of the model.
        model: a model in evaluation mode.
        images: image files, each with the path of its prediction below `save_dir`.
        save_dir: output folder.
    """
    transforms = Compose(with_padding(LevelBuilder(settings).val_transforms, settings.manifest), to_rgb=False)
    palette = level_palette(settings.manifest.num_levels)
    for path, name in track(images, total=len(images), label="predicting", unit="image"):
        frame = _read_frame(path, settings.manifest).astype(np.float32)
        inputs = paddle.to_tensor(transforms({"img": frame})["img"][None])
        levels = predict_probabilities(model, inputs)[0].argmax(0).astype(np.uint8)
        levels = levels[: frame.shape[0], : frame.shape[1]]  # without the padding
        picture = Image.fromarray(levels)
        picture.putpalette(palette)
        write_image(save_dir / name, picture)
