"""The evaluation as users call it: every split, weights by their hashes, predictors of other sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.core.errors import WeightsError
from deploy.core.files import sha256_of
from labeling.labels.label_videos import label_videos
from labeling.labels.options import LabelOptions
from labeling.report.options import MakeReportOptions
from labeling.report.page import make_report
from labeling.utility.evaluation import evaluate_utility
from labeling.utility.options import EvaluateUtilityOptions
from labeling.utility.record import read_utility
from tests.helpers.deploy_helpers import card_of, write_model
from tests.helpers.label_helpers import crop_clip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged upscaler's, but in a file of another hash."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    packaged = Path("labeling/upscalers/weights/edsr_x3.safetensors").resolve()
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    with safe_open(str(packaged), framework="np") as stream:
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        save_file(tensors, path, metadata={**stream.metadata(), "copied": "yes"})
    return path


@pytest.fixture(scope="module")
def dataset(vtest: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    a, b = (crop_clip(vtest, folder / f"{name}.avi", count=4, start_seconds=n) for n, name in enumerate("ba"))
    out = folder / "dataset"
    label_videos(
        LabelOptions(
            val=(a,), test=(b,), out=out, height=80, every=2, upscaler="edsr", upscaler_weights=weights, device="cpu",
            lr_codec="h264:crf30",
        )
    )  # fmt: skip
    return out


def test_every_split_with_weights_that_are_found(dataset: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "utility.json"
    with pytest.raises(WeightsError, match="not those that made the labels"):
        evaluate_utility(EvaluateUtilityOptions(dataset, out, split="all", device="cpu"))
    wide = write_model(tmp_path / "wide.onnx", card_of(160, 200))
    evaluate_utility(
        EvaluateUtilityOptions(
            dataset,
            out,
            split="all",
            device="cpu",
            budgets=(0.2,),
            weights_folder=(weights.parent,),
            models=(f"wide={wide}",),
        )
    )
    report = read_utility(out)
    assert (report.split, report.num_frames) == ("all", 4)
    assert report.models == {"wide": sha256_of(wide)}
    assert {"importance", "wide", "random"} <= {curve.method for curve in report.curves}
    assert [look.method for look in report.looks] == ["wide"] * 3
    assert all(len(look.selected) == 7 for look in report.looks), "a fifth of 5 x 7 blocks"
    make_report(MakeReportOptions(dataset=dataset, out=tmp_path / "page.html", split="val", utility=out))
    page = (tmp_path / "page.html").read_text()
    assert (
        page.count("with detections") == 6 and "the top 20% by wide super-resolved; reference: the true frame" in page
    )
    assert "No problems found" not in page and "has no clear benefit" in page


def test_a_predictor_of_another_shape_is_refused(dataset: Path, weights: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "square.onnx", card_of(96, 96))
    with pytest.raises(WeightsError, match="for frames of 96 x 96, but the labels of b are on 100 x 80"):
        evaluate_utility(
            EvaluateUtilityOptions(
                dataset, tmp_path / "u.json", split="val", device="cpu", weights_folder=(weights.parent,),
                models=(str(model),),
            )
        )  # fmt: skip
