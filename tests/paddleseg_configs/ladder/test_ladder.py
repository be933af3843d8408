"""The ladder: every configuration is short, builds, and keeps the frame's geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddleseg_configs.training.config.settings import load_settings
from paddleseg_configs.training.models.components import LevelBuilder
from paddleseg_configs.training.models.padding import pad_to_multiple
from tests.helpers.paddle_helpers import LEVELS, REPOSITORY, make_dataset

CONFIGS = sorted((REPOSITORY / "paddleseg_configs").glob("*.yml"))
THE_PAPERS = {"mobileseg_mobilenetv2", "mobileseg_mobilenetv3_large", "hardnet", "fcn_hrnet_w18", "deeplabv3p_resnet50"}
ODD = {"height_px": 40, "width_px": 72}


@pytest.fixture(scope="module")
def odd_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of 40 x 72 pixels: neither side is a multiple of 16 or 32."""
    return make_dataset(tmp_path_factory.mktemp("odd") / "dataset", frames={"train": 4, "val": 2, "test": 1}, **ODD)


def test_the_ladder_is_whole_and_short() -> None:
    assert len(CONFIGS) >= 14
    assert {path.stem for path in CONFIGS} >= THE_PAPERS
    for path in CONFIGS:
        lines = path.read_text().splitlines()
        assert len(lines) <= 25 and lines[0].startswith("# ") and "_base_:" in lines[1], path
        assert not [line for line in lines if "pretrained:" in line and not line.endswith("pretrained: null")], path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_model_builds_for_an_odd_size(path: Path, odd_dataset: Path) -> None:
    model: Any = LevelBuilder(load_settings(path, dataset=odd_dataset)).model
    model.eval()
    with paddle.no_grad():
        logits = model(paddle.zeros([1, 3, 40, 72]))[0]
    assert logits.shape == [1, LEVELS, 40, 72] and bool(paddle.isfinite(logits).all())


class Doubling(paddle.nn.Layer):  # type: ignore[misc]
    """Remembers what it was given; gives it back, at half size and at one sixteenth."""

    def forward(self, x: Any) -> list[Any]:
        self.seen = x
        return [x, x[:, :, ::2, ::2], x[:, :, ::16, ::16]]


def test_padding_is_added_below_and_at_the_right_and_taken_away() -> None:
    model, image = Doubling(), np.random.default_rng(0).random((2, 3, 40, 72), np.float32)
    pad_to_multiple(model, **ODD)
    outputs = [output.numpy() for output in model(paddle.to_tensor(image))]
    seen = model.seen.numpy()
    assert seen.shape == (2, 3, 64, 96)
    assert np.array_equal(seen[:, :, :40, :72], image)
    assert (seen[:, :, 40:] == seen[:, :, 39:40]).all() and (seen[:, :, :, 72:] == seen[:, :, :, 71:72]).all()
    assert np.array_equal(outputs[0], image)
    assert np.array_equal(outputs[1], image[:, :, ::2, ::2])
    assert outputs[2].shape == (2, 3, 3, 5)  # 40 and 72 pixels begin 3 and 5 macroblocks


def test_a_size_that_fits_is_left_alone() -> None:
    model = Doubling()
    pad_to_multiple(model, height_px=64, width_px=96)
    image = paddle.ones([1, 3, 64, 96])
    assert model(image)[0] is image


def test_blockseg_says_one_thing_for_each_macroblock(odd_dataset: Path) -> None:
    config = REPOSITORY / "paddleseg_configs" / "blockseg_mobilenetv3_small_x035.yml"
    model: Any = LevelBuilder(load_settings(config, dataset=odd_dataset)).model
    image = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 3, 40, 72)).astype(np.float32))
    model.eval()
    with paddle.no_grad():
        logits = model(image)[0].numpy()
    for row in range(0, 40, 16):
        for col in range(0, 72, 16):
            block = logits[:, :, row : row + 16, col : col + 16]
            assert (block == block[:, :, :1, :1]).all()
    assert len(np.unique(logits[0, 0])) == 3 * 5
    model.train()
    assert [output.shape for output in model(image)] == [[2, LEVELS, 40, 72]] * 2
