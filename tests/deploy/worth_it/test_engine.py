"""The engine is the `Enhancer`: its ends, and rankings of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.detectors.detections import Detections
from deploy.enhancement.enhancer import Enhancer
from deploy.enhancement.upscaler import Upscaler
from deploy.inputs.video import Frame
from deploy.prediction.predictor import Predictor
from deploy.worth_it.engine import EnhancerEngine
from tests.helpers.deploy_helpers import card_of, write_model


def test_ends_and_rankings(vtest_frames: list[Frame]) -> None:
    lr = np.ascontiguousarray(vtest_frames[0].image[200:280, 300:428])
    ranking = np.full((5, 8), -3.0, np.float32)
    ranking[2, 3:5] = -1.0
    with EnhancerEngine(None, None, 1) as engine, Upscaler(threads=1) as upscaler:
        assert engine.scale == 3 and (engine.grid(lr).rows, engine.grid(lr).cols) == (5, 8)
        nothing, everything = engine.enhance(lr, 0.0), engine.enhance(lr, 1.0)
        np.testing.assert_array_equal(everything.image, upscaler(lr[None])[0])
        assert not nothing.selected.any() and everything.selected.all()
        with Enhancer(lambda _: ranking, upscaler, budget="5%") as enhancer:
            wanted = enhancer.frame(lr)
        for _ in range(2):
            found = engine.enhance(lr, 0.05, ranking)
            np.testing.assert_array_equal(found.selected, ranking == -1)
            np.testing.assert_array_equal(found.image, wanted.image)
            assert engine.enhance(lr, 0.05).selected.sum() == 2, "by the predictor, in between"
        assert (found.image[96:144, 144:240] == everything.image[96:144, 144:240]).mean() > 0.9
        assert found.image[:48] == pytest.approx(nothing.image[:48])


def test_the_frame_before_is_given_in_pixels_of_the_frame() -> None:
    lr = np.zeros((80, 128, 3), np.uint8)
    boxes = np.array([[30, 60, 90, 120]], np.float32)
    found = Detections(boxes, np.array([0.5], np.float32), np.array([7]), tuple("abcdefgh"))
    none = Detections.nothing(("a",))
    given: list[Any] = []

    def looks(image: NDArray[np.uint8], previous: Any = None) -> NDArray[np.float32]:
        given.append(previous)
        return np.zeros((5, 8), np.float32)

    with EnhancerEngine(looks, None, 1) as engine:
        assert engine.takes_previous
        for previous in (found, none, None):
            engine.enhance(lr, 0.2, previous=previous)
        engine.enhance(lr, 0.2, np.eye(5, 8, dtype=np.float32), found)
    assert len(given) == 3, "a ranking of one's own asks no predictor"
    xyxy, confidence, classes = given[0]
    np.testing.assert_array_equal(xyxy, [[10, 20, 30, 40]])
    assert confidence.tolist() == [0.5] and classes.tolist() == [7]
    assert len(given[1][0]) == 0 and given[2] is None


def test_predictors_without_a_place_for_it_are_not_given_any(tmp_path: Path) -> None:
    lr = np.zeros((80, 128, 3), np.uint8)
    found = Detections(np.ones((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), ("a",))
    with EnhancerEngine(lambda image: np.zeros((5, 8), np.float32), None, 1) as engine:
        assert not engine.takes_previous
        assert engine.enhance(lr, 0.2, previous=found).selected.sum() == 8
    with Predictor(write_model(tmp_path / "m.onnx", card_of())) as fixed, EnhancerEngine(fixed, None, 1) as engine:
        assert not engine.takes_previous, "its card says so, though every Predictor has the argument"
    with EnhancerEngine(None, None, 1) as engine:
        assert engine.takes_previous, "the general one"
