"""The predictor: one convention of pixels, checked models, results that stay as they are."""

from __future__ import annotations

import ctypes
import doctest
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.backends import selection
from deploy.cards.model_card import ModelCard, card_path
from deploy.core.errors import InputError, OptionError, WeightsError
from deploy.core.grid import Grid
from deploy.core.nvidia import count_nvidia_gpus
from deploy.core.resize import Reduction, reduce_frame
from deploy.prediction.predictor import Predictor
from deploy.prediction.preprocess import decoded_size, fit_frame, to_input
from tests.helpers.deploy_helpers import brightness_weights, card_of, striped_frame, write_model

STRIPES = [0, 0, 1, 2, 2]
"""Level of brightness 20, 60, 100, 140, 180 of 255, in four levels."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A brightness model of 48 x 80 pixels, its card beside and inside."""
    return write_model(tmp_path / "model.onnx", card_of(), embed=card_of())


def test_predicts_levels_and_importance_by_macroblock(model: Path) -> None:
    with Predictor(model) as predictor:
        prediction = predictor(striped_frame())
    np.testing.assert_array_equal(prediction.levels, [STRIPES] * 3)
    assert prediction.importance.shape == (3, 5)
    assert prediction.importance[0, 4] > prediction.importance[0, 0]
    assert prediction.grid == card_of().grid


def test_input_is_normalised_from_0_255_to_the_convention_of_training() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    card = card_of(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    batch = to_input(frame, card)
    expected = (frame.astype(np.float64) / 255 - card.mean) / card.std
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    np.testing.assert_allclose(batch[0], expected.transpose(2, 0, 1), atol=2e-6)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((48, 80, 3), np.float32),
        np.zeros((48, 80), np.uint8),
        np.zeros((48, 80, 4), np.uint8),
        np.zeros((0, 80, 3), np.uint8),
    ],
)
def test_refuses_what_is_not_an_rgb_byte_frame(model: Path, frame: NDArray[Any]) -> None:
    with Predictor(model) as predictor, pytest.raises(InputError, match="uint8 RGB"):
        predictor(frame)


def test_results_do_not_alias_a_reused_buffer(model: Path) -> None:
    with Predictor(model) as predictor:
        logits = predictor.backend.run(predictor.preprocess(striped_frame()))
        kept_logits = logits.copy()
        first = predictor(striped_frame())
        kept = first.importance.copy(), first.levels.copy()
        predictor(striped_frame(shift=2))
    np.testing.assert_array_equal(first.importance, kept[0])
    np.testing.assert_array_equal(first.levels, kept[1])
    np.testing.assert_array_equal(logits, kept_logits)


def test_the_frame_is_left_alone(model: Path) -> None:
    frame = striped_frame()
    with Predictor(model) as predictor:
        predictor(frame)
    np.testing.assert_array_equal(frame, striped_frame())


@pytest.mark.parametrize("factor", [2, 3])
def test_larger_frames_are_scaled_by_area(model: Path, factor: int) -> None:
    large = striped_frame().repeat(factor, axis=0).repeat(factor, axis=1)
    with Predictor(model) as predictor:
        expected, prediction = predictor(striped_frame()), predictor(large)
    np.testing.assert_allclose(prediction.importance, expected.importance, atol=1e-6)


def test_frames_of_nearly_the_same_shape_are_accepted_others_refused(model: Path) -> None:
    with Predictor(model) as predictor:
        predictor(striped_frame(48, 81))
        predictor(striped_frame(95, 160))
        with pytest.raises(InputError, match="frame of 80 x 60 has another aspect ratio than 80 x 48") as caught:
            predictor(striped_frame(60, 80))
    assert "--fit pad" in caught.value.hint


@pytest.mark.parametrize("dynamic_batch", [True, False])
def test_batches_equal_single_frames(tmp_path: Path, dynamic_batch: bool) -> None:
    path = write_model(tmp_path / "m.onnx", card_of(dynamic_batch=dynamic_batch))
    with Predictor(path, backend="onnxruntime", threads=1) as predictor:
        batches = [predictor.preprocess(striped_frame(shift=shift)) for shift in range(3)]
        together = predictor.backend.run(np.concatenate(batches))
        for index, batch in enumerate(batches):
            np.testing.assert_allclose(together[index : index + 1], predictor.backend.run(batch), rtol=1e-5)


def test_partial_blocks_and_the_sr_grid(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", card_of(grid=Grid(50, 90, scale=3, name="sr")))
    with Predictor(path) as predictor:
        prediction = predictor(striped_frame(50, 90))
    assert prediction.importance.shape == (10, 17)


CARD_CHANGES: dict[str, dict[str, Any]] = {
    "frame size": {"grid": Grid(64, 80, scale=3)},
    "input name": {"input_name": "image"},
    "output name": {"output_name": "scores"},
    "levels": {"level_values": (0.1, 0.9)},
    "batch": {"dynamic_batch": True},
}


@pytest.mark.parametrize("what", CARD_CHANGES)
def test_refuses_a_model_that_does_not_fit_its_card(tmp_path: Path, what: str) -> None:
    truth = card_of(dynamic_batch=False)
    path = write_model(tmp_path / "m.onnx", truth)
    card_path(path).write_text(replace(truth, **CARD_CHANGES[what]).to_json())
    with pytest.raises(WeightsError, match="does not match its card"):
        Predictor(path)


def test_refuses_a_card_that_is_not_the_embedded_one(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", card_of(), embed=card_of(mean=(0.4, 0.4, 0.4)))
    with pytest.raises(WeightsError, match="differs from the one embedded"):
        Predictor(path)


def test_refuses_missing_and_broken_files(tmp_path: Path, model: Path) -> None:
    with pytest.raises(WeightsError, match="model not found"):
        Predictor(tmp_path / "nothing.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model.read_bytes()[:100])
    with pytest.raises(WeightsError, match="the model card of"):
        Predictor(broken)
    card_path(broken).write_text(card_path(model).read_text())
    with pytest.raises(WeightsError, match="cannot load"):
        Predictor(broken)
    card_path(model).write_text("{}")
    with pytest.raises(WeightsError, match="bad model card"):
        Predictor(model)


def test_diverged_weights_are_an_error(tmp_path: Path) -> None:
    kernel, bias = brightness_weights(card_of())
    path = write_model(tmp_path / "m.onnx", card_of(), weights=lambda _: (kernel * np.float32(np.nan), bias))
    with Predictor(path) as predictor, pytest.raises(WeightsError, match="not finite"):
        predictor(striped_frame())


def test_refuses_unknown_backend_and_threads(model: Path) -> None:
    with pytest.raises(OptionError, match="unknown backend 'onnxruntim'") as caught:
        Predictor(model, backend="onnxruntim")
    assert "Did you mean 'onnxruntime'" in caught.value.hint
    with pytest.raises(OptionError, match="threads=0"):
        Predictor(model, threads=0)


def test_auto_says_why(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "count_nvidia_gpus", lambda: 0)
    with Predictor(model, threads=2) as predictor:
        assert predictor.backend_report.startswith("onnxruntime 1.")
        assert predictor.backend_report.endswith("(CPU, 2 threads, fp32): no NVIDIA GPU found")
    monkeypatch.setattr(selection, "count_nvidia_gpus", lambda: 1)
    with Predictor(model) as predictor:
        assert "NVIDIA GPU found, but TensorRT cannot be used: " in predictor.backend_report


def test_counting_gpus_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_nvidia_gpus() >= 0

    def no_driver(_: str) -> None:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", no_driver)
    assert count_nvidia_gpus() == 0
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert count_nvidia_gpus() == 0


def test_the_documented_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "model.onnx", card_of(360, 640))
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder(recurse=False).find(Predictor, globs={"np": np, "Predictor": Predictor})
    assert doctest.DocTestRunner().run(example) == doctest.TestResults(failed=0, attempted=3)


def test_closing_twice_is_harmless(model: Path) -> None:
    predictor = Predictor(model)
    predictor.close()
    predictor.close()


@pytest.mark.parametrize("reduction", ["area", "bicubic", "lanczos"])
def test_frames_are_reduced_as_the_card_says(tmp_path: Path, reduction: Reduction) -> None:
    """Images and videos alike; only area is left to the decoder."""
    card = card_of(reduction=reduction)
    frame = np.random.default_rng(0).integers(0, 256, (144, 240, 3), np.uint8)
    wanted = reduce_frame(frame, height_px=48, width_px=80, reduction=reduction)
    np.testing.assert_array_equal(fit_frame(frame, card), wanted)
    assert decoded_size(144, 240, card) == ((48, 80) if reduction == "area" else (144, 240))
    with Predictor(write_model(tmp_path / "m.onnx", card)) as predictor:
        np.testing.assert_array_equal(predictor(frame).importance, predictor(wanted).importance)


def test_cards_of_before_there_was_a_choice_read_as_area() -> None:
    text = json.loads(card_of().to_json())
    del text["reduction"]
    old = ModelCard.from_json(json.dumps(text | {"schema_version": 1}), origin="old")
    assert old.reduction == "area"
    with pytest.raises(WeightsError, match="reduction='nearest' must be one of area, bicubic, lanczos"):
        ModelCard.from_json(json.dumps(text | {"reduction": "nearest"}), origin="bad")
    with pytest.raises(WeightsError, match="schema_version=4 must be 1 to 3"):
        ModelCard.from_json(json.dumps(text | {"schema_version": 4}), origin="new")
