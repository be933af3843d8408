"""The engine is the `Enhancer`: its ends, and rankings of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.enhancement.enhancer import Enhancer
from deploy.enhancement.upscaler import Upscaler
from deploy.inputs.video import Frame
from deploy.worth_it.engine import EnhancerEngine


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
