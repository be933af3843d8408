"""The dataset contract as PaddleSeg sees it, and configurations that must fit it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from deploy.core.errors import DatasetError, OptionError
from paddleseg_configs.training.config.settings import load_settings
from paddleseg_configs.training.data.augmentation import AlignedHorizontalFlip
from paddleseg_configs.training.data.level_dataset import MacroblockLevels, read_pairs
from paddleseg_configs.training.data.samples import SampleStream
from paddleseg_configs.training.models.components import LevelBuilder, loss_terms
from paddleseg_configs.training.models.losses import LevelCrossEntropy
from tests.helpers.paddle_helpers import FRAMES, HEIGHT, LEVELS, ULTRA_LIGHT, WIDTH, make_dataset, write_level_png

FRAME = "origin_images/train_video/000000.png"
LABEL = "labels/train_video/000000.png"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "dataset")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("untouched") / "dataset")


def write_config(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump({"_base_": str(ULTRA_LIGHT), **changes}))
    return path


def test_paddleseg_reads_the_same_lists(untouched: Path) -> None:
    from paddleseg.datasets import Dataset
    from paddleseg.transforms import Normalize

    lists = {f"{split}_path": str(untouched / f"{split}.txt") for split in FRAMES}
    for split, count in FRAMES.items():
        stock = Dataset(mode=split, dataset_root=str(untouched), transforms=[Normalize()], num_classes=LEVELS, **lists)
        ours = MacroblockLevels(mode=split, dataset_root=str(untouched), transforms=[Normalize()])
        assert len(stock) == len(ours) == count
        image, levels = ours[0]
        assert np.array_equal(stock[0]["img"], image)
        assert np.array_equal(np.squeeze(stock[0]["label"]), levels)
        assert image.shape == (3, HEIGHT, WIDTH)
        assert image.dtype == np.float32
        assert levels.dtype == np.int64


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (f"{FRAME}  {LABEL}", "one space"),
        (f" {FRAME} {LABEL}", "one space"),
        (f"{FRAME}\t{LABEL}", "one space"),
        (FRAME, "one space"),
        ("", "one space"),
        (f"../dataset/{FRAME} {LABEL}", "points outside the dataset folder"),
        (f"{FRAME} /etc/passwd", "points outside the dataset folder"),
        (f"{FRAME} labels/train_video/999999.png", "does not exist"),
    ],
)
def test_bad_lines_are_refused(dataset: Path, line: str, complaint: str) -> None:
    (dataset / "train.txt").write_text(f"{FRAME} {LABEL}\n{line}\n")
    with pytest.raises(DatasetError, match=complaint) as caught:
        read_pairs(dataset, "train")
    assert "train.txt:2" in str(caught.value)


def test_bad_labels_are_refused_by_name(dataset: Path) -> None:
    levels = np.zeros((HEIGHT, WIDTH), np.uint8)
    data = MacroblockLevels(mode="train", dataset_root=str(dataset), transforms=[])
    levels[3, 4] = LEVELS
    write_level_png(dataset / LABEL, levels)
    with pytest.raises(DatasetError, match=rf"000000.png has level {LEVELS}"):
        data[0]
    write_level_png(dataset / LABEL, levels[:, :-16])
    with pytest.raises(DatasetError, match="80 x 64 pixels"):
        data[0]
    (dataset / LABEL).write_bytes((dataset / FRAME).read_bytes())
    with pytest.raises(DatasetError, match="RGB"):
        data[0]
    (dataset / LABEL).write_bytes(b"no image")
    with pytest.raises(DatasetError, match="cannot read label"):
        data[0]


@pytest.mark.parametrize("name", ["Resize", "ResizeStepScaling", "RandomPaddingCrop", "RandomHorizontalFlip"])
def test_transforms_that_move_pixels_are_refused(untouched: Path, tmp_path: Path, name: str) -> None:
    """Mistake 12."""
    config = write_config(tmp_path / "c.yml", train_dataset={"transforms": [{"type": name}, {"type": "Normalize"}]})
    settings = load_settings(config, dataset=untouched)
    with pytest.raises(OptionError, match="between macroblocks"):
        _ = LevelBuilder(settings).train_dataset


@pytest.mark.parametrize(("width_px", "flips"), [(96, True), (90, False)])
def test_flip_keeps_macroblocks(tmp_path: Path, width_px: int, flips: bool) -> None:
    root = make_dataset(tmp_path / "dataset", width_px=width_px, frames={"train": 1})
    plain = MacroblockLevels(mode="train", dataset_root=str(root), transforms=[])
    flipped = MacroblockLevels(mode="train", dataset_root=str(root), transforms=[AlignedHorizontalFlip(prob=1.0)])
    for before, after in zip(plain[0], flipped[0], strict=True):
        assert np.array_equal(before[..., ::-1] if flips else before, after)
    blocks = plain.manifest.make_grid().pool(flipped[0][1])
    assert np.array_equal(blocks, blocks.round()), "a macroblock has more than one level"


def test_samples_depend_on_seed_and_position_only(untouched: Path) -> None:
    settings = load_settings(ULTRA_LIGHT, dataset=untouched)
    first, second = (SampleStream(LevelBuilder(settings).train_dataset, 5) for _ in range(2))
    in_order = [first[position] for position in range(30)]
    for position in (17, 3, 29):
        for once, again in zip(in_order[position], second[position], strict=True):
            assert np.array_equal(once, again)
    other = SampleStream(LevelBuilder(settings).train_dataset, 6)
    assert any(not np.array_equal(in_order[position][0], other[position][0]) for position in range(3))
    epoch = sorted(in_order[position][1].tobytes() for position in range(12))
    assert len(set(epoch)) > 6


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": {"num_classes": 7}}, "model.num_classes is 7, but the dataset has 5"),
        ({"train_dataset": {"num_classes": 19}}, "train_dataset.num_classes is 19"),
        ({"train_dataset": {"type": "Cityscapes"}}, "must have type MacroblockLevels"),
        ({"model": 3}, "no model section"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"loss": {"coef": [1], "types": [{"type": "CrossEntropyLoss"}] * 2}}, "length of types"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(
    untouched: Path, tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(OptionError, match=complaint):
        load_settings(write_config(tmp_path / "c.yml", **changes), dataset=untouched)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [", "not valid YAML"),
        ("- 1", "not a YAML mapping"),
        ("a: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("_base_: c.yml", "inherits itself"),
        ("_base_: absent.yml", "cannot read configuration"),
    ],
)
def test_bad_files_are_refused(untouched: Path, tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "c.yml"
    path.write_text(text)
    with pytest.raises(OptionError, match=complaint):
        load_settings(path, dataset=untouched)


@pytest.mark.parametrize(("key", "value"), [("iters", ""), ("nothing.here", "1"), ("iters", "[")])
def test_bad_overrides_are_refused(untouched: Path, key: str, value: str) -> None:
    with pytest.raises(OptionError, match="--opts"):
        load_settings(ULTRA_LIGHT, dataset=untouched, overrides=[(key, value)])


@pytest.mark.parametrize(("key", "word"), [("batchsize", "batch_size"), ("loss.typez", "types"), ("modle", "model")])
def test_parts_that_nobody_reads_are_refused(untouched: Path, key: str, word: str) -> None:
    with pytest.raises(OptionError, match=f"no entry '{key.split('.')[-1]}'") as caught:
        load_settings(ULTRA_LIGHT, dataset=untouched, overrides=[(key, "1")])
    assert caught.value.hint == f"Did you mean {word}?"


def test_loss_is_the_weighted_mean_and_repeats_over_outputs(untouched: Path) -> None:
    import paddle

    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 3, 4, 5)).astype(np.float32)
    levels, weight = random.integers(0, 3, (2, 4, 5)), np.array([0.5, 2.0, 0.0])
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    picked = -np.take_along_axis(logs, levels[:, None], 1)[:, 0]
    expected = (picked * weight[levels]).sum() / weight[levels].sum()
    loss = LevelCrossEntropy(weight.tolist())(paddle.to_tensor(logits), paddle.to_tensor(levels))
    assert float(loss) == pytest.approx(expected, rel=1e-5)

    builder = LevelBuilder(load_settings(ULTRA_LIGHT, dataset=untouched, overrides=[("loss.coef", "[1, 0.4]")]))
    assert [coefficient for _, coefficient in loss_terms(builder, 4)] == [1, 0.4, 0.4, 0.4]
    with pytest.raises(OptionError, match="2 entries"):
        loss_terms(builder, 1)


def test_stock_losses_run_on_this_paddle(untouched: Path) -> None:
    """Paddle 3 refuses the integer and floating-point arithmetic in PaddleSeg's own losses; ours is mended."""
    import paddle
    from paddleseg.models.losses import CrossEntropyLoss, DiceLoss, LovaszSoftmaxLoss

    logits = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32))
    levels = paddle.to_tensor(np.random.default_rng(1).integers(0, 3, (2, 4, 5)))
    for loss in (CrossEntropyLoss(), CrossEntropyLoss(weight=[1, 2, 3]), DiceLoss(), LovaszSoftmaxLoss()):
        assert np.isfinite(float(loss(logits, levels)))
