"""One file for every frame size: it agrees with the Paddle model, whatever runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from deploy import Grid, Predictor, RegenError
from deploy.cards.model_card import ModelCard, read_card
from deploy.core.errors import InputError, OptionError
from deploy.prediction.postprocess import block_predictions
from export.exporter import export_onnx
from export.options import ExportOptions
from paddleseg_configs.training.config.settings import load_settings
from paddleseg_configs.training.models.any_size import any_size_logits
from paddleseg_configs.training.models.trained_model import load_trained
from paddleseg_configs.training.run.loop import TrainOptions, train
from tests.helpers.paddle_helpers import REPOSITORY, ULTRA_LIGHT, make_dataset

CONFIG = REPOSITORY / "paddleseg_configs" / "anysize_mobilenetv2_x025.yml"
SIZES = [(64, 64), (180, 320), (240, 320), (320, 180), (100, 130), (271, 481)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A file of any size, hardly trained, and its Paddle model."""
    folder = tmp_path_factory.mktemp("any")
    dataset = make_dataset(folder / "dataset")
    settings = load_settings(CONFIG, dataset=dataset, overrides=[("iters", "3"), ("batch_size", "2")])
    weights = train(settings, TrainOptions(save_dir=folder / "run")) / "model.pdparams"
    notes = ("clips=stripes", "licences=none needed")
    options = ExportOptions(
        config=CONFIG, weights=weights, dataset=dataset, out=folder / "m.onnx", size="any", trained_on=notes
    )
    export_onnx(options)
    return options.out, load_trained(settings, weights)


def paddle_importance(model: Any, card: ModelCard, image: np.ndarray) -> np.ndarray:
    """What training's code makes of a frame, on the frame's own blocks."""
    fitted = card.at(*image.shape[:2])
    normalised = (image.astype(np.float32) / 255 - card.mean) / card.std
    logits = any_size_logits(model, normalised.astype(np.float32).transpose(2, 0, 1))
    return block_predictions(logits, fitted)[0]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_size_agrees_with_paddle(exported: tuple[Path, Any], backend: str) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    path, model = exported
    random = np.random.default_rng(0)
    with Predictor(path, backend=backend, threads=1, lr_height=1000) as predictor:
        assert predictor.card.any_size and predictor.card.trained_on["clips"] == "stripes"
        for height, width in SIZES:
            image = random.integers(0, 256, (height, width, 3), np.uint8)
            found = predictor(image)
            assert found.grid == Grid(height, width, predictor.card.grid.scale)
            assert found.importance.shape == found.levels.shape == (-(-height // 16), -(-width // 16))
            np.testing.assert_allclose(found.importance, paddle_importance(model, predictor.card, image), atol=2e-5)


def test_no_block_knows_how_large_the_frame_is(exported: tuple[Path, Any]) -> None:
    """Far from the new border, a frame cut out of a larger one is predicted alike: nothing is pooled over the frame."""
    image = np.random.default_rng(1).integers(0, 256, (128, 1024, 3), np.uint8)
    with Predictor(exported[0], lr_height=1000) as predictor:
        whole, part = predictor(image).importance, predictor(image[:, :640]).importance
    np.testing.assert_allclose(part[:, :10], whole[:, :10], atol=1e-6)


def test_larger_frames_are_reduced_for_prediction_alone(exported: tuple[Path, Any]) -> None:
    image = np.random.default_rng(2).integers(0, 256, (360, 640, 3), np.uint8)
    with Predictor(exported[0], lr_height=180) as predictor:
        view = predictor.view(360, 640)
        assert view.to_input(image).shape == (180, 320, 3)
        found, seen = predictor(image), predictor(view.to_input(image))
        assert found.importance.shape == (23, 40) and found.grid == Grid(360, 640, predictor.card.grid.scale)
        # A block in the middle of a predicted block's quarter lies between the predicted centers.
        assert seen.importance.min() - 1e-6 <= found.importance.min() <= found.importance.max() <= seen.importance.max()
        assert np.corrcoef(found.importance[:22:2, ::2].ravel(), seen.importance[:11].ravel())[0, 1] > 0.8
        with pytest.raises(InputError, match="40 x 63 pixels is smaller than 64 x 64"):
            predictor(np.zeros((63, 40, 3), np.uint8))
    with pytest.raises(OptionError, match="lr_height"):
        Predictor(exported[0], lr_height=32)


def test_the_general_predictor_comes_with_the_project() -> None:
    card = read_card(REPOSITORY / "deploy" / "models" / "general.onnx")
    assert card.any_size and (REPOSITORY / "deploy" / "models" / "general.onnx").stat().st_size < 10**6
    with Predictor() as predictor:
        for size in ((90, 160), (1080, 1920), (500, 281)):
            found = predictor(np.zeros((*size, 3), np.uint8))
            assert found.importance.shape == (-(-size[0] // 16), -(-size[1] // 16))


def test_models_that_pool_over_the_frame_are_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    settings = load_settings(ULTRA_LIGHT, dataset=dataset, overrides=[("iters", "1"), ("batch_size", "2")])
    weights = train(settings, TrainOptions(save_dir=tmp_path / "run")) / "model.pdparams"
    options = ExportOptions(config=ULTRA_LIGHT, weights=weights, dataset=dataset, out=tmp_path / "m.onnx", size="any")
    with pytest.raises(OptionError, match="pools over the whole frame") as caught:
        export_onnx(options)
    assert "anysize_mobilenetv2_x025" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"output_kind": "logits"}, "any_size"),
        ({"any_size": 1}, "any_size"),
        ({"trained_on": "clips"}, "trained_on"),
    ],
)
def test_cards_that_cannot_be_are_refused(exported: tuple[Path, Any], change: dict[str, Any], complaint: str) -> None:
    from dataclasses import replace

    with pytest.raises(RegenError, match=complaint):
        replace(read_card(exported[0]), **change)


def test_logits_of_any_size_are_those_of_a_frame_of_whole_size(exported: tuple[Path, Any]) -> None:
    _, model = exported
    image = np.random.default_rng(3).normal(size=(3, 64, 96)).astype(np.float32)
    with paddle.no_grad():
        whole = model(paddle.to_tensor(image[None]))[0].numpy()[0]
    np.testing.assert_allclose(any_size_logits(model, image), whole, atol=1e-5)
