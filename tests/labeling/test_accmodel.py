"""AccModel: frozen truly, any frame size, one way in, maps for every frame, and the file that deployment takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import mobilenet_v2

from deploy.core.errors import InputError, OptionError, WeightsError
from deploy.core.files import read_image
from deploy.prediction.predictor import Predictor
from labeling.accmodel.features import FrozenFeatures, load_features
from labeling.accmodel.network import AccModel, AccModelSpec, HeadName, load_accmodel, to_images
from labeling.accmodel.options import PredictImportanceOptions, TrainAccModelOptions
from labeling.accmodel.prediction import predict_importance
from labeling.accmodel.training import train_accmodel
from labeling.dataset.manifest import read_manifest
from labeling.dataset.reader import read_split
from tests.helpers.label_helpers import run_script
from tests.helpers.paddle_helpers import FRAMES, HEIGHT, LEVELS, WIDTH, make_dataset

SPEC = AccModelSpec("levels", (0.1, 0.5, 0.9), scale=3, block_px=16, grid="lr", height_px=64, features="random")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("accmodel") / "dataset")


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainAccModelOptions:
    out = tmp_path_factory.mktemp("trained")
    options = TrainAccModelOptions(
        dataset, out / "run", features="random", iters=60, batch_size=4, evaluate_every=20, onnx=out / "acc.onnx"
    )
    train_accmodel(options)
    return options


def test_it_learns_and_leaves_the_features_alone(trained: TrainAccModelOptions) -> None:
    lines = [json.loads(line) for line in (trained.out / "metrics.jsonl").read_text().splitlines()]
    assert [line["iter"] for line in lines] == [20, 40, 60]
    model = load_accmodel(trained.out / "accmodel.safetensors")
    torch.manual_seed(trained.seed)
    fresh, origin = load_features("random")
    assert origin == model.spec.features == "random"
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(tensor, model.features.state_dict()[name]), name
    assert max(line["rank_correlation"] for line in lines) > 0.1
    record = json.loads((trained.out / "training.json").read_text())
    assert record["iters"] == 60 and record["epochs"] == 60 * 4 / FRAMES["train"]


def test_a_resumed_training_has_one_line_an_evaluation(trained: TrainAccModelOptions) -> None:
    """A run that was killed between an evaluation's line and its checkpoint evaluates again."""
    diary = trained.out / "metrics.jsonl"
    before = diary.read_text()
    diary.write_text(before + before.splitlines()[-1] + "\n" + '{"iter": 8')
    train_accmodel(trained)
    assert diary.read_text() == before and not (trained.out / ".lock").exists()


def test_features_stay_in_evaluation_mode() -> None:
    features = FrozenFeatures()
    model = AccModel(SPEC, features).train()
    before = {name: tensor.clone() for name, tensor in features.state_dict().items()}
    model(torch.rand(2, 3, 64, 96)).sum().backward()
    assert not [module for module in features.modules() if module.training]
    assert all(torch.equal(before[name], tensor) for name, tensor in features.state_dict().items())
    assert all(parameter.grad is None for parameter in features.parameters())
    assert all(parameter.grad is not None for parameter in model.head.parameters())


@pytest.mark.parametrize(("height", "width"), [(64, 96), (40, 72), (180, 320), (17, 33)])
@pytest.mark.parametrize("grid", ["lr", "sr"])
def test_maps_have_the_grids_size_for_any_frame(height: int, width: int, grid: str) -> None:
    spec = replace(SPEC, grid=grid)
    model = AccModel(spec, FrozenFeatures()).eval()
    blocks = spec.grid_of(height, width)
    found = model.importance(torch.rand(1, 3, height, width))
    assert found.shape == (1, 1, blocks.rows, blocks.cols) and found.min() >= 0 and found.max() <= 1


@pytest.mark.parametrize(("head", "values"), [("binary", (0.0, 1.0)), ("regression", (0.0, 1.0))])
def test_two_values_are_a_probability(head: HeadName, values: tuple[float, ...]) -> None:
    model = AccModel(replace(SPEC, head=head, level_values=values), FrozenFeatures()).eval()
    images = torch.rand(1, 3, 64, 96)
    logits = model(images)
    expected = logits[:, 1].sigmoid() if head == "regression" else logits.softmax(1)[:, 1]
    torch.testing.assert_close(model.importance(images)[:, 0], expected)
    assert head == "binary" or not logits[:, 0].any()


def test_the_other_heads_train(dataset: Path, tmp_path: Path) -> None:
    for head in ("binary", "regression"):
        options = TrainAccModelOptions(dataset, tmp_path / head, head=head, features="random", iters=2, batch_size=2)
        assert load_accmodel(train_accmodel(options)).spec.level_values == (0.0, 1.0)


def test_prediction_is_what_training_saw(
    trained: TrainAccModelOptions, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mistakes 3 and 4: N frames give N different maps, and [0, 1] is the one convention."""
    folder = dataset / "origin_images" / "train_video"
    model_path = trained.out / "accmodel.safetensors"
    predict_importance(PredictImportanceOptions(folder, model_path, tmp_path / "out"))
    maps = torch.load(tmp_path / "out" / "importance.pth", weights_only=True)
    manifest = read_manifest(dataset)
    assert maps.shape == (FRAMES["train"], 1, manifest.grid.rows, manifest.grid.cols) and maps.dtype == torch.float32
    model, frames = load_accmodel(model_path), list(read_split(dataset, manifest, "train"))
    images = to_images([read_image(frame.image) for frame in frames], "cpu")
    assert images.max() <= 1 and images.max() > 0.5
    with torch.no_grad():
        torch.testing.assert_close(maps, model.importance(images), atol=1e-5, rtol=0)
    assert len({one.numpy().tobytes() for one in maps}) == len(maps)
    with np.load(tmp_path / "out" / "importance.npz", allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["importance"], maps[:, 0].numpy())
        assert stored["frame_index"].tolist() == list(range(FRAMES["train"]))


def test_deployment_takes_the_file(trained: TrainAccModelOptions, dataset: Path) -> None:
    manifest = read_manifest(dataset)
    frame = next(iter(read_split(dataset, manifest, "val")))
    image = read_image(frame.image)
    assert trained.onnx is not None
    with Predictor(trained.onnx, backend="onnxruntime", threads=1) as predictor:
        prediction = predictor(image)
        assert predictor.card.num_levels == LEVELS and predictor.card.parity["label_agreement"] > 0.999
    with torch.no_grad():
        expected = load_accmodel(trained.out / "accmodel.safetensors").importance(to_images([image], "cpu"))[0, 0]
    np.testing.assert_allclose(prediction.importance, expected.numpy(), atol=1e-5)


def test_an_interrupted_training_goes_on_to_the_same_end(
    trained: TrainAccModelOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labeling.accmodel import training as accmodel_training

    options = replace(trained, out=tmp_path / "run", onnx=None)
    step = accmodel_training._Training._one_step

    def mortal(self: accmodel_training._Training, number: int) -> float:
        if number == 25:
            raise ZeroDivisionError
        return step(self, number)

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(accmodel_training._Training, "_one_step", mortal)
        train_accmodel(options)
    train_accmodel(options)
    models = [load_accmodel(folder / "accmodel.safetensors") for folder in (trained.out, options.out)]
    for one, other in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(OptionError, match="contains another training run"):
        train_accmodel(replace(options, seed=1))


def test_a_run_killed_at_its_first_model_goes_on(
    trained: TrainAccModelOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labeling.accmodel import training as accmodel_training

    options = replace(trained, out=tmp_path / "run", onnx=None)
    save = accmodel_training.save_accmodel

    def mortal(*arguments: Any) -> None:
        save(*arguments)
        raise ZeroDivisionError

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(accmodel_training, "save_accmodel", mortal)
        train_accmodel(options)
    train_accmodel(options)
    names = ("accmodel.safetensors", "metrics.jsonl")
    assert all((options.out / name).read_bytes() == (trained.out / name).read_bytes() for name in names)


def test_a_training_whose_time_is_spent_is_not_trained_further(trained: TrainAccModelOptions, tmp_path: Path) -> None:
    options = replace(trained, out=tmp_path / "run", onnx=None, minutes=1e-6)
    names = ("accmodel.safetensors", "metrics.jsonl", "training.json")
    train_accmodel(options)
    before = [(options.out / name).read_bytes() for name in names]
    train_accmodel(options)
    assert [(options.out / name).read_bytes() for name in names] == before


def test_published_layouts_are_taken(tmp_path: Path) -> None:
    torch.manual_seed(3)
    torchvision_file, ssd_file = tmp_path / "mobilenet.pth", tmp_path / "ssd.pth"
    torch.save(mobilenet_v2(weights=None).state_dict(), torchvision_file)
    features, origin = load_features(torchvision_file)
    assert "mobilenet.pth" in origin
    # pytorch-ssd names the layers otherwise, in the same order; its headers are of no use here.
    state = {f"base_net.{i}": tensor for i, tensor in enumerate(features.features.state_dict().values())}
    state |= {f"extras.{i}": tensor + 1 for i, tensor in enumerate(features.extras.state_dict().values())}
    torch.save({**state, "regression_headers.0.weight": torch.zeros(3)}, ssd_file)
    ssd, origin = load_features(ssd_file)
    assert origin.startswith("mb2-ssd-lite") and float(ssd.mean[0, 0, 0, 0]) == pytest.approx(127 / 255)
    assert torch.equal(ssd.features[0][0].weight, features.features[0][0].weight)
    assert torch.equal(ssd.extras[3].conv[1][1].bias, features.extras[3].conv[1][1].bias + 1)
    torch.save({"features.0.0.weight": torch.zeros(32, 3, 3, 3)}, ssd_file)
    with pytest.raises(WeightsError, match="do not match the 312 of"):
        load_features(ssd_file)
    with pytest.raises(WeightsError, match="offline"):
        load_features("imagenet", offline=True)


def test_bad_input_ends_with_one_message(trained: TrainAccModelOptions, tmp_path: Path) -> None:
    for name, size in (("0.png", (WIDTH, HEIGHT)), ("1.png", (WIDTH + 1, HEIGHT))):
        Image.new("RGB", size).save(tmp_path / name)
    with pytest.raises(InputError, match="macroblocks, but the first has"):
        predict_importance(PredictImportanceOptions(tmp_path, trained.out / "accmodel.safetensors", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="is not an AccModel"):
        load_accmodel(tmp_path / "no.safetensors")
    result = run_script("labeling/train_accmodel.py", tmp_path, "--out", tmp_path / "run", "--share", "2")
    assert result.returncode == 2 and "share=2.0 must be between 0 and 1" in result.stderr
