"""Videos of different sizes and shapes in one dataset: labels, check, report and evaluation at each video's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.cards.model_card import read_card
from deploy.core.errors import DatasetError, WeightsError
from labeling.accmodel.network import HeadName, load_accmodel
from labeling.accmodel.options import TrainAccModelOptions
from labeling.accmodel.training import _examples, train_accmodel
from labeling.dataset.checking import check_dataset
from labeling.dataset.layout import IGNORE_LEVEL
from labeling.dataset.manifest import read_manifest
from labeling.dataset.reader import read_levels, read_split
from labeling.labels.job import plan_job
from labeling.labels.options import LabelOptions
from labeling.maths.split import SPLITS
from labeling.report.options import MakeReportOptions
from labeling.report.page import make_report
from labeling.utility.evaluation import evaluate_utility
from labeling.utility.options import EvaluateUtilityOptions
from labeling.utility.record import read_utility
from tests.helpers.deploy_helpers import card_of, write_model
from tests.helpers.label_helpers import label_three_sizes

SIZES = {"tall": (80, 60), "wide": (80, 100), "small": (56, 120)}
"""Height and width of the LR frames; padded, they are 80 x 120."""


@pytest.fixture(scope="module")
def dataset(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return label_three_sizes(vtest, tmp_path_factory.mktemp("sizes"))


def test_each_video_has_its_own_size(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    assert manifest.schema_version == 3
    assert {s.video_id: (s.frame_height_px, s.frame_width_px) for s in manifest.sources} == SIZES
    assert (manifest.frame_height_px, manifest.frame_width_px) == (80, 120)
    assert (manifest.grid.rows, manifest.grid.cols) == (5, 8)
    for frame in (frame for split in SPLITS for frame in read_split(dataset, manifest, split)):
        height, width = SIZES[frame.video_id]
        for path in (frame.image, frame.label):
            with Image.open(path) as picture:
                assert picture.size == (width, height)
        shape = (-(-height // 16), -(-width // 16))
        assert frame.importance.shape == read_levels(frame, manifest).shape == shape
        assert frame.importance.any()
    assert manifest.splits["val"].level_histogram != () and sum(manifest.splits["val"].level_histogram) == 2 * 56 * 120


def test_the_check_finds_nothing_but_what_is_wrong(dataset: Path) -> None:
    assert not list(check_dataset(dataset))
    label = dataset / "labels" / "small" / "000002.png"
    kept = label.read_bytes()
    try:
        label.write_bytes((dataset / "labels" / "tall" / "000002.png").read_bytes())
        messages = [problem.message for problem in check_dataset(dataset)]
        assert any("is 60 x 80 pixels, but those of small are 120 x 56" in message for message in messages)
    finally:
        label.write_bytes(kept)


def test_the_plan_says_each_size(dataset: Path, tmp_path: Path) -> None:
    videos = tuple(dataset.parent / f"{name}.avi" for name in SIZES)
    options = LabelOptions(videos=videos, out=tmp_path / "x", height=80, gap_seconds=0, upscaler="edsr")
    first, *others = plan_job(options).describe().splitlines()
    assert "at up to 120 x 80, x3; grid lr: 5 x 8 macroblocks" in first
    assert "true high-resolution frames: of some videos" in first
    assert [line.split(":")[0] for line in others] == ["  tall at 60 x 80", "  wide at 100 x 80", "  small at 120 x 56"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_width_px": 121}, "frames of small are larger than 120 x 80"),
        ({"frame_width_px": None}, "go together"),
        ({"frame_width_px": 0}, "greater than or equal to 1"),
    ],
)
def test_manifests_that_contradict_themselves(
    dataset: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    manifest = json.loads((dataset / "manifest.json").read_text())
    (small,) = (source for source in manifest["sources"] if source["video_id"] == "small")
    small.update(change)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match=message):
        read_manifest(tmp_path)


def test_report(dataset: Path, tmp_path: Path) -> None:
    make_report(MakeReportOptions(dataset=dataset, out=tmp_path / "page.html", split="train"))
    page = tmp_path.joinpath("page.html").read_text()
    assert (
        re.search(r"padded to 120 . 80", page) and re.search(r"processed at 60 . 80", page) and "tall, frame 0" in page
    )


def test_predictors_see_scaled_or_padded_frames(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model for the padded size takes every video; one for another shape is refused by the video's name."""
    model, out = write_model(tmp_path / "padded.onnx", card_of(80, 120)), tmp_path / "utility.json"
    evaluate_utility(
        EvaluateUtilityOptions(
            dataset,
            out,
            split="all",
            device="cpu",
            budgets=(0.2,),
            models=(f"padded={model}",),
            max_frames=3,
            more_baselines=True,
        )
    )
    report = read_utility(out)
    assert report.num_frames == 3
    assert {curve.reference for curve in report.curves} == {"sr"}  # "small" has no true frame
    assert "1 of 3 frames have no true high-resolution frame" in capsys.readouterr().out
    assert {"importance", "label", "padded", "edges"} <= {curve.method for curve in report.curves}
    wide = write_model(tmp_path / "wide.onnx", card_of(80, 100))
    with pytest.raises(WeightsError, match="for frames of 100 x 80, but the labels of tall are on 60 x 80"):
        evaluate_utility(EvaluateUtilityOptions(dataset, out, split="all", device="cpu", models=(str(wide),)))


def test_a_padded_prediction_is_that_of_the_frame(tmp_path: Path) -> None:
    """A predictor that sees each pixel alone says of a padded frame what it says of the frame."""
    from deploy.core.grid import Grid
    from deploy.prediction.predictor import Predictor
    from labeling.utility.ranking_methods import predicted_on

    image = np.random.default_rng(0).integers(0, 256, (56, 70, 3), np.uint8)
    with (
        Predictor(write_model(tmp_path / "own.onnx", card_of(56, 70))) as own,
        Predictor(write_model(tmp_path / "padded.onnx", card_of(80, 120))) as padded,
    ):
        found, wanted = predicted_on(Grid(56, 70, 3), image, padded), own(image).importance
    assert found.shape == wanted.shape == (4, 5)
    np.testing.assert_allclose(found[:3, :4], wanted[:3, :4], atol=1e-6)  # the last blocks lie half in the padding


@pytest.mark.parametrize("head", ["levels", "binary", "regression"])
def test_accmodel_learns_from_all_of_them(dataset: Path, tmp_path: Path, head: HeadName) -> None:
    onnx = tmp_path / "acc.onnx" if head == "levels" else None
    options = TrainAccModelOptions(
        dataset, tmp_path / "run", head=head, features="random", iters=2, batch_size=4, onnx=onnx
    )
    assert load_accmodel(train_accmodel(options)).spec.head == head
    if onnx:
        grid = read_card(onnx).grid
        assert (grid.height_px, grid.width_px) == (80, 120)


def test_accmodel_ignores_the_padding(dataset: Path) -> None:
    examples = _examples(dataset, read_manifest(dataset), "train")
    assert examples.levels.shape == (4, 5, 8)
    for index, frame in enumerate(examples.frames):
        rows, cols = frame.importance.shape
        padding = examples.levels[index] == IGNORE_LEVEL
        assert padding[:, cols:].all() and not padding[:rows, :cols].any()
        assert not examples.image(index)[:, SIZES[frame.video_id][1] :].any()
