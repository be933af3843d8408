"""Logits of macroblocks are those that deployment averages from frame-sized ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle.nn import functional

from deploy.core.grid import Grid
from labeling.dataset.layout import IGNORE_LEVEL
from paddleseg_configs.training.config.settings import load_settings
from paddleseg_configs.training.models.block_logits import block_labels, block_logits
from paddleseg_configs.training.models.components import LevelBuilder
from tests.helpers.paddle_helpers import make_dataset

CONFIGS = Path(__file__).parents[3] / "paddleseg_configs"
LEVELS = 10
QUICK = ["blockseg_mobilenetv3_small_x035", "ddrnet23_slim", "fastscnn", "lpsnet_s", "mobileseg_mobilenetv3_small_x035"]
SLOW = sorted({path.stem for path in CONFIGS.glob("*.yml")} - set(QUICK))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("blocks") / "dataset")


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_block_logits_are_the_means_of_the_enlarged_ones(dataset: Path, name: str) -> None:
    settings = load_settings(CONFIGS / f"{name}.yml", dataset=dataset)
    model, grid, levels = LevelBuilder(settings).model, settings.manifest.make_grid(), settings.manifest.num_levels
    images = paddle.randn([2, 3, grid.height_px, grid.width_px])
    for mode in (model.eval, model.train):
        mode()
        state = {key: value.clone() for key, value in model.state_dict().items()}
        with paddle.no_grad():
            paddle.seed(0)  # of dropout
            whole = model(images)
            model.set_state_dict(state)
            paddle.seed(0)
            blocks = block_logits(model, images, grid, levels)
        model.set_state_dict(state)
        assert len(whole) == len(blocks) >= 1
        for pixels, found in zip(whole, blocks, strict=True):
            expected = grid.pool(pixels.numpy())
            assert found.shape == list(expected.shape)
            np.testing.assert_allclose(found.numpy(), expected, atol=2e-6 * np.abs(expected).max())
    assert functional.interpolate.__module__.startswith("paddle")  # nothing stays patched


@pytest.mark.parametrize("grid", [Grid(40, 72), Grid(50, 70, 3, 16, "sr"), Grid(33, 31, 2, 16, "sr")])
def test_labels_of_blocks_are_those_that_were_enlarged(grid: Grid) -> None:
    levels = np.random.default_rng(0).integers(0, LEVELS, (grid.rows, grid.cols))
    levels[0, 0] = IGNORE_LEVEL
    pixels = grid.upsample(levels)
    found = block_labels(paddle.to_tensor(pixels[None]), grid).numpy()[0]
    seen = np.isin(np.arange(grid.rows), grid.row_of_lr_pixel)[:, None] & np.isin(
        np.arange(grid.cols), grid.col_of_lr_pixel
    )
    assert np.array_equal(found[seen], levels[seen]) and found.shape == levels.shape


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="for a grid of 72 x 40"):
        block_logits(None, paddle.zeros([1, 3, 40, 40]), Grid(40, 72), LEVELS)
