"""Videos of different sizes in training: padded to the dataset's size, and what is padded counts nowhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deploy.cards.model_card import read_card
from export.exporter import export_onnx
from export.options import ExportOptions
from labeling.dataset.layout import IGNORE_LEVEL
from labeling.dataset.manifest import read_manifest
from paddleseg_configs.training.config.settings import load_settings
from paddleseg_configs.training.data.augmentation import AlignedHorizontalFlip
from paddleseg_configs.training.data.level_dataset import MacroblockLevels
from paddleseg_configs.training.models.trained_model import load_trained, split_dataset
from paddleseg_configs.training.run.evaluation import evaluate
from paddleseg_configs.training.run.loop import TrainOptions, train
from paddleseg_configs.training.run.prediction import write_predictions
from tests.helpers.label_helpers import label_three_sizes
from tests.helpers.paddle_helpers import ULTRA_LIGHT


@pytest.fixture(scope="module")
def dataset(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return label_three_sizes(vtest, tmp_path_factory.mktemp("sizes"))


def test_samples_are_padded(dataset: Path) -> None:
    from paddleseg.transforms import Normalize

    data = MacroblockLevels(mode="train", dataset_root=str(dataset), transforms=[Normalize()])
    widths = {data.grid(index).width_px for index in range(len(data))}
    assert widths == {60, 100}
    for index in range(len(data)):
        image, levels = data[index]
        grid = data.grid(index)
        assert image.shape == (3, 80, 120) and levels.shape == (80, 120)
        padding = np.ones((80, 120), bool)
        padding[: grid.height_px, : grid.width_px] = False
        assert np.array_equal(levels == IGNORE_LEVEL, padding)
        np.testing.assert_allclose(image[:, padding], 0, atol=0.5 / 127)  # 128 of 255: what a picture can hold
        assert np.abs(image[:, ~padding]).mean() > 0.1


def test_frames_are_flipped_by_their_own_width(dataset: Path, tmp_path: Path) -> None:
    """A frame of no whole number of macroblocks stays, though the padded one has seven and a half."""
    plain, flipped = (
        MacroblockLevels(mode="val", dataset_root=str(dataset), transforms=transforms)
        for transforms in ([], [AlignedHorizontalFlip(prob=1.0)])
    )
    assert np.array_equal(plain[0][0], flipped[0][0])


def block_levels(data: MacroblockLevels, index: int) -> np.ndarray:
    """The levels of a frame's own macroblocks, one after the other."""
    grid, label = data.grid(index), data[index][1]
    return np.rint(grid.pool(label[: grid.height_px, : grid.width_px])).astype(int).ravel()


def test_training_evaluation_and_export(dataset: Path, tmp_path: Path) -> None:
    overrides = [("iters", "4"), ("batch_size", "2"), ("lr_scheduler.warmup_iters", "1")]
    settings = load_settings(ULTRA_LIGHT, dataset=dataset, overrides=overrides)
    run = TrainOptions(save_dir=tmp_path / "run", save_interval=4, log_iters=1, do_eval=True)
    weights = train(settings, run) / "model.pdparams"
    model = load_trained(settings, weights)
    val, manifest = split_dataset(settings, "val"), read_manifest(dataset)
    found = evaluate(model, val, batch_size=2)
    assert found.num_frames == 2 and 0 <= found.pixel_accuracy <= 1
    recalls, histogram = np.array(found.level_recall), np.array(manifest.splits["val"].level_histogram)
    assert np.array_equal(np.isnan(recalls), histogram == 0)
    blocks = np.bincount(np.concatenate([block_levels(val, index) for index in range(2)]), minlength=len(histogram))
    hits = np.nansum(recalls * blocks) / blocks.sum()
    assert found.pixel_accuracy == pytest.approx(hits)  # over the macroblocks of the frames, not of the padding

    frame = dataset / "origin_images" / "small" / "000000.png"
    write_predictions(settings, model, [(frame, Path("small.png"))], tmp_path)
    from PIL import Image

    with Image.open(tmp_path / "small.png") as picture:
        assert picture.size == (120, 56)

    chosen = ExportOptions(config=ULTRA_LIGHT, weights=weights, dataset=dataset, out=tmp_path / "m.onnx", split="train")
    for options in (chosen, replace(chosen, out=tmp_path / "bytes.onnx", input="rgb8", output="importance")):
        export_onnx(options)  # compares the file with the model, on padded frames
        grid = read_card(options.out).grid
        assert grid == manifest.make_grid() and (grid.height_px, grid.width_px) == (80, 120)
