"""Detections of the frame before: stored in a dataset, learned from, exported, and given at run time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from deploy import Predictor
from deploy.cards.model_card import read_card
from deploy.core.errors import DatasetError, OptionError
from deploy.detectors.detections import Detections
from deploy.inputs.video import read_frames
from deploy.prediction.previous import score_map
from export.exporter import export_onnx
from export.options import ExportOptions
from labeling.dataset.manifest import ModelRecord, read_manifest
from labeling.dataset.merging import merge_datasets
from labeling.dataset.previous import add_previous
from labeling.dataset.reader import read_previous
from paddleseg_configs.training.config.settings import load_settings
from paddleseg_configs.training.data.augmentation import AlignedHorizontalFlip
from paddleseg_configs.training.data.level_dataset import MacroblockLevels
from paddleseg_configs.training.run.loop import TrainOptions, train
from tests.helpers.deploy_helpers import write_video
from tests.helpers.paddle_helpers import HEIGHT, REPOSITORY, WIDTH, make_dataset

CONFIG = REPOSITORY / "paddleseg_configs" / "general" / "anysize_previous.yml"
RECORD = ModelRecord(name="onnx", weights_sha256="")


def detect(image: NDArray[np.uint8]) -> Detections:
    """One box whose left edge says which frame of the video it is of."""
    left = 3.0 * round(float(image.mean()) / 10)
    box = np.array([[left, 0, left + 30, 60]], np.float32)
    return Detections(box, np.array([0.8], np.float32), np.zeros(1, np.int64), ("thing",))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset whose videos are files: frame n is of gray 10 n."""
    folder = make_dataset(tmp_path / "dataset")
    for split in ("train", "val", "test"):
        frames = [np.full((3 * HEIGHT, 3 * WIDTH, 3), 10 * index, np.uint8) for index in range(13)]
        write_video(tmp_path / f"{split}.mp4", frames)
    manifest = read_manifest(folder)
    sources = [s.model_copy(update={"path": str(tmp_path / f"{s.video_id[:-6]}.mp4")}) for s in manifest.sources]
    text = manifest.model_copy(update={"sources": tuple(sources)}).model_dump_json()
    (folder / "manifest.json").write_text(text)
    return folder


def test_scores_of_boxes() -> None:
    boxes = np.array([[-5, 1.5, 2.2, 3], [1, 0, 3, 2], [50, 50, 60, 60]], np.float32)
    found = score_map(boxes, np.array([0.2, 1.0, 0.5]), 4, 5)
    assert found.tolist() == [[0, 255, 255, 0, 0], [51, 255, 255, 0, 0], [51, 51, 51, 0, 0], [0, 0, 0, 0, 0]]
    assert not score_map(np.zeros((0, 4)), np.zeros(0), 4, 5).any()


def test_each_frame_has_the_detections_of_the_video_frame_before(dataset: Path) -> None:
    before = read_manifest(dataset)
    assert "previous" not in before.model_dump() and "previous" not in (dataset / "manifest.json").read_text()
    count = add_previous(dataset, detect, RECORD)
    manifest = read_manifest(dataset)
    assert count == 18 and manifest.previous == RECORD and manifest.schema_version == 4
    shown = [round(float(frame.image.mean()) / 10) for frame in read_frames(dataset.parent / "train.mp4")]
    for index in range(12):
        frame = dataset / "origin_images" / "train_video" / f"{index:06d}.png"
        scores = read_previous(dataset, frame, manifest)
        expected = np.zeros((HEIGHT, WIDTH), np.uint8)
        if index:
            expected[:20, shown[index - 1] : shown[index - 1] + 10] = 204
        assert np.array_equal(scores, expected), index


def test_it_goes_on_where_it_was(dataset: Path) -> None:
    add_previous(dataset, detect, RECORD)
    path = dataset / "previous" / "val_video" / "000002.png"
    whole, kept = path.read_bytes(), dataset / "previous" / "val_video" / "000001.png"
    path.unlink()
    Image.fromarray(np.full((HEIGHT, WIDTH), 7, np.uint8)).save(kept)
    add_previous(dataset, detect, RECORD)
    assert path.read_bytes() == whole and np.asarray(Image.open(kept)).min() == 7
    (dataset.parent / "val.mp4").unlink()
    path.unlink()
    with pytest.raises(Exception, match=r"val\.mp4"):
        add_previous(dataset, detect, RECORD)


def test_maps_move_with_their_frames(dataset: Path) -> None:
    with pytest.raises(OptionError, match="no detections of previous frames"):
        MacroblockLevels(mode="train", dataset_root=str(dataset), transforms=[], previous_prob=1)
    add_previous(dataset, detect, RECORD)
    common = {"mode": "train", "dataset_root": str(dataset)}
    plain = MacroblockLevels(transforms=[], previous_prob=1, **common)
    flipped = MacroblockLevels(transforms=[AlignedHorizontalFlip(prob=1.0)], previous_prob=1, **common)
    without = MacroblockLevels(transforms=[], previous_prob=0, **common)
    position = next(n for n, (path, _) in enumerate(plain.file_list) if path.endswith("000005.png"))
    image, _ = plain[position]
    assert image.shape == (4, HEIGHT, WIDTH)
    np.testing.assert_allclose(np.unique(image[3]), [-1, 0.6], atol=1e-6)
    assert np.array_equal(flipped[position][0], image[..., ::-1])
    assert np.array_equal(without[position][0][:3], image[:3]) and (without[position][0][3] == -1).all()
    path = dataset / "previous" / "train_video" / "000005.png"
    path.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"cannot read .*000005\.png"):
        plain[position]


def test_merged_datasets_keep_them(dataset: Path, tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "other")
    add_previous(dataset, detect, RECORD)
    with pytest.raises(OptionError, match=f"previous detections of {other} is False"):
        merge_datasets([dataset, other], tmp_path / "merged")


def test_trained_exported_and_given_at_run_time(dataset: Path, tmp_path: Path) -> None:
    add_previous(dataset, detect, RECORD)
    overrides = [("iters", "3"), ("batch_size", "2")]
    settings = load_settings(CONFIG, dataset=dataset, overrides=overrides)
    weights = train(settings, TrainOptions(save_dir=tmp_path / "run", do_eval=True)) / "model.pdparams"
    options = ExportOptions(config=CONFIG, weights=weights, dataset=dataset, out=tmp_path / "m.onnx", size="any")
    with pytest.raises(OptionError, match="uses the previous frame's detections"):
        export_onnx(ExportOptions(config=CONFIG, weights=weights, dataset=dataset, out=tmp_path / "m.onnx"))
    parity = export_onnx(options)
    assert parity.label_agreement == 1 and read_card(options.out).previous
    image = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    boxes = np.array([[100, 80, 300, 240]], np.float32)
    with Predictor(options.out, lr_height=180) as predictor:
        alone, empty = predictor(image), predictor(image, previous=(np.zeros((0, 4)), None, None))
        given = predictor(image, previous=(boxes, np.array([0.9]), None))
        view = predictor.view(360, 640)
        batch = view.to_batch(view.to_input(image), (boxes, np.array([0.9], np.float32), np.zeros(1, np.int64)))
        assert batch.shape == (1, 180, 320, 4) and (batch[0, 40:120, 50:150, 3] == 230).all()
        assert np.count_nonzero(batch[..., 3]) == 80 * 100
        with pytest.raises(OptionError, match="cannot be read"):
            predictor(image, previous="a car")
    assert np.array_equal(alone.importance, empty.importance)
    assert not np.array_equal(alone.importance, given.importance)
