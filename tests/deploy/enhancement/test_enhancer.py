"""Enhanced frames: super-resolved where it was chosen, equal to the whole frame there, interpolated elsewhere."""

from __future__ import annotations

import os
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from deploy import Enhancer, Grid, Prediction, Upscaler, top_blocks
from deploy.cards.model_card import card_path
from deploy.cards.upscaler_card import UpscalerCard, read_upscaler_card
from deploy.core.errors import InputError, OptionError, RegenError, WeightsError
from deploy.enhancement.importance import on_grid
from deploy.enhancement.interpolation import Bicubic
from deploy.enhancement.regions import find_regions
from deploy.enhancement.upscaler import EMBEDDED
from deploy.inputs.video import Frame
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model, write_video

GIVEN: dict[str, Any] = {"threads": 1, "runtime": "onnxruntime"}


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler(threads=1, runtime="onnxruntime")


def picture(height_px: int = 90, width_px: int = 130, seed: int = 0) -> NDArray[np.uint8]:
    """Edges and noise; no multiple of a block."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height_px // 8), -(-width_px // 8), 3))
    pixels = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height_px, :width_px] + rng.integers(-20, 20, (1, width_px, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def scattered(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Importance that has nothing to do with the picture."""
    grid = Grid(*image.shape[:2])
    return np.random.default_rng(7).random((grid.rows, grid.cols), np.float32)


def interpolated(image: NDArray[np.uint8], scale: int = 3) -> NDArray[np.uint8]:
    out = np.empty((image.shape[0] * scale, image.shape[1] * scale, 3), np.uint8)
    Bicubic(*image.shape[:2], scale)(image, out)
    return out


@pytest.mark.parametrize("size", [(90, 130), (48, 80), (33, 17), (16, 16)])
def test_none_and_all(upscaler: Upscaler, size: tuple[int, int]) -> None:
    image = picture(*size)
    with Enhancer(upscaler=upscaler, budget="0%") as enhancer:
        none = enhancer.frame(image)
    with Enhancer(upscaler=upscaler, budget="100%") as enhancer:
        everything = enhancer.frame(image)
    assert not none.selected.any() and np.array_equal(none.image, interpolated(image))
    assert everything.selected.all() and np.array_equal(everything.image, upscaler(image[None])[0])
    assert none.selected.shape == (-(-size[0] // 16), -(-size[1] // 16)) and none.image.dtype == np.uint8


@pytest.mark.parametrize("size", [(90, 130), (48, 80), (41, 70)])
@pytest.mark.parametrize("share", ["1%", "10%", "40%"])
def test_exact_regions_equal_the_whole_frame(upscaler: Upscaler, size: tuple[int, int], share: str) -> None:
    image = picture(*size)
    with Enhancer(scattered, upscaler, budget=share, mode="exact") as enhancer:
        frame = enhancer.frame(image)
    whole, plain = upscaler(image[None])[0], interpolated(image)
    chosen = frame.grid.upsample_to_sr(frame.selected)
    inside = np.zeros(chosen.shape, bool)
    for region in frame.regions:
        inside[region.enlarged(3)] = True
    assert (inside | ~chosen).all()
    assert np.abs(frame.image.astype(int) - whole)[inside].max() <= 1
    assert np.array_equal(frame.image[~inside], plain[~inside])
    assert frame.selected.sum() == -(-int(share[:-1]) * frame.selected.size // 100)


def test_the_best_blocks_for_their_area_are_chosen(upscaler: Upscaler) -> None:
    image = picture()
    with Enhancer(scattered, upscaler, budget="25%") as enhancer:
        frame = enhancer.frame(image)
    importance = scattered(image)
    value = importance + 2 * uniform_filter(importance, 3, mode="nearest")
    assert value[frame.selected].min() > value[~frame.selected].max()
    grid, plain = frame.grid, top_blocks(importance, 0.25)
    assert frame.selected.sum() == plain.sum()
    assert sum(region.padded_px for region in frame.regions) < sum(r.padded_px for r in find_regions(plain, grid, 7))
    assert np.array_equal(frame.importance, importance)
    with Enhancer(scattered, upscaler, budget="threshold-0.5") as enhancer:
        assert np.array_equal(enhancer.frame(image).selected, importance >= 0.5)


def test_fast_regions_of_real_frames_are_hardly_different(upscaler: Upscaler, vtest_frames: list[Frame]) -> None:
    for frame in vtest_frames:
        image = np.ascontiguousarray(frame.image[200:300, 300:440])
        with Enhancer(scattered, upscaler, budget="30%") as enhancer:
            enhanced = enhancer.frame(image)
        chosen = enhanced.grid.upsample_to_sr(enhanced.selected)
        difference = np.abs(enhanced.image.astype(int) - upscaler(image[None])[0])[chosen]
        assert difference.max() <= 2 and (difference > 1).mean() < 1e-4


def test_every_predictor_is_taken(tmp_path: Path, upscaler: Upscaler) -> None:
    """A model of another size, a `Prediction`, and bare arrays of another grid."""
    image = striped_frame().repeat(2, axis=0).repeat(2, axis=1)
    model = write_model(tmp_path / "model.onnx", card_of())
    with Enhancer(model, upscaler, budget="20%", **GIVEN) as enhancer:
        by_model = enhancer.frame(image)
    assert by_model.selected.shape == (6, 10) and by_model.selected[:, -2:].all(), "the brightest columns"

    def predicted(rgb: NDArray[np.uint8]) -> Prediction:
        values = np.eye(3, 5, dtype=np.float32)
        return Prediction(values, np.zeros((3, 5), np.uint8), Grid(48, 80))

    with Enhancer(predicted, upscaler, budget="threshold-0.5") as enhancer:
        by_function = enhancer.frame(image).selected
    assert np.array_equal(by_function, np.eye(3, 5, dtype=bool).repeat(2, 0).repeat(2, 1))


def test_maps_of_other_grids() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3) / 6
    wanted = Grid(64, 96)
    assert np.array_equal(on_grid(values, None, wanted), values.repeat(2, 0).repeat(2, 1))
    fine = np.random.default_rng(0).random((24, 36), np.float32)
    there = on_grid(fine, Grid(128, 192, scale=3, name="sr"), Grid(128, 192))
    assert there.shape == (8, 12) and there[0, 0] == fine[1, 1], "the block at the center"
    with pytest.raises(WeightsError, match="not finite"):
        on_grid(np.full((2, 3), np.nan, np.float32), None, wanted)


def test_frames_of_opencv(upscaler: Upscaler) -> None:
    image = picture()
    with Enhancer(scattered, upscaler) as enhancer:
        rgb = enhancer.frame(image).image
    with Enhancer(scattered, upscaler, colors="bgr") as enhancer:
        bgr = enhancer.frame(np.ascontiguousarray(image[..., ::-1])).image
    assert np.array_equal(rgb, bgr[..., ::-1]) and bgr.flags.c_contiguous


def test_a_video(tmp_path: Path, upscaler: Upscaler) -> None:
    path = write_video(tmp_path / "v.mp4", [striped_frame(shift=shift) for shift in range(5)], rate=Fraction(10))
    calls: list[int] = []

    def predictor(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        calls.append(1)
        return scattered(image)

    with Enhancer(predictor, upscaler, predict_every=2) as enhancer:
        frames = list(enhancer.video(path))
    assert [frame.pts_seconds for frame in frames] == [Fraction(n, 10) for n in range(5)]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4] and len(calls) == 3
    assert [frame.is_predicted for frame in frames] == [True, False, True, False, True]
    assert len({frame.image.ctypes.data for frame in frames}) == 5, "each frame is the caller's"
    stages = ["decode", "predict", "select", "regions", "paste", "pack", "network"]
    assert list(frames[0].seconds) == stages
    with Enhancer(scattered, upscaler, budget="30/s") as enhancer:
        counts = [int(frame.selected.sum()) for frame in enhancer.video(path)]
    assert counts == [1, 3, 3, 3, 3] or sum(counts[1:]) == 12


def test_a_budget_of_time_says_how_much(upscaler: Upscaler) -> None:
    """Whether it is kept, by a machine that nothing else disturbs, test_budgets.py says."""
    image = picture(180, 320)
    with Enhancer(scattered, upscaler, budget="150ms") as enhancer:
        most = max(int(enhancer.frame(image).selected.sum()) for _ in range(4))
    with Enhancer(scattered, upscaler, budget="3ms") as enhancer:
        few = int(enhancer.frame(image).selected.sum())
    assert few < most and 0 < most < 240


def test_feedback_reaches_predictors_that_want_it(upscaler: Upscaler) -> None:
    seen: list[Any] = []

    def predictor(image: NDArray[np.uint8], *, previous: Any = None) -> NDArray[np.float32]:
        seen.append(previous)
        return scattered(image)

    found = SimpleNamespace(xyxy=[[30, 60, 90, 120]], confidence=[0.5], class_id=[2])
    with Enhancer(predictor, upscaler) as enhancer:
        enhancer.frame(picture())
        enhancer.feedback(found)
        enhancer.frame(picture())
        enhancer.feedback((np.zeros((0, 4)), None, None))
        enhancer.frame(picture())
        with pytest.raises(OptionError, match="detections"):
            enhancer.feedback(7)
    boxes, confidence, classes = seen[1]
    assert seen[0] is None and boxes.tolist() == [[10, 20, 30, 40]] and (confidence[0], classes[0]) == (0.5, 2)
    assert [len(part) for part in seen[2]] == [0, 0, 0]


def test_upscalers_that_see_the_whole_frame_take_no_regions(tmp_path: Path) -> None:
    copy = tmp_path / "whole.onnx"
    copy.write_bytes(EMBEDDED.read_bytes())
    card = asdict(read_upscaler_card(EMBEDDED)) | {"whole_frame": True, "fast_halo_px": 0, "receptive_radius_px": 0}
    card_path(copy).write_text(UpscalerCard(**card).to_json())
    with Upscaler(copy, runtime="openvino", threads=1) as whole:
        with pytest.raises(WeightsError, match="depends on the whole frame"):
            Enhancer(scattered, whole)
        with Enhancer(scattered, whole, budget="100%") as enhancer:
            assert np.array_equal(enhancer.frame(picture()).image, whole(picture()[None])[0])


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"budget": "20"}, OptionError, "budget='20'"),
        ({"mode": "best"}, OptionError, "mode='best'"),
        ({"colors": "yuv"}, OptionError, "colors='yuv'"),
        ({"predict_every": 0}, OptionError, "predict_every=0"),
        ({"runtime": "x"}, OptionError, "runtime='x'"),
        ({"threads": 0}, OptionError, "threads"),
        ({"upscaler": "missing.onnx"}, WeightsError, "missing.onnx"),
        ({"predictor": "missing.onnx"}, WeightsError, "missing.onnx"),
    ],
)
def test_what_cannot_be_is_told(given: dict[str, Any], kind: type[RegenError], said: str) -> None:
    with pytest.raises(kind, match=said):
        Enhancer(**({"predictor": scattered} | given))


def test_frames_that_are_none_are_told(upscaler: Upscaler) -> None:
    with Enhancer(scattered, upscaler, budget="3000/s") as enhancer:
        with pytest.raises(InputError):
            enhancer.frame(np.zeros((20, 20, 3), np.float32))
        with pytest.raises(OptionError, match="times"):
            enhancer.frame(picture())


def test_memory_is_flat(upscaler: Upscaler) -> None:
    """Regions of ever other shapes."""

    def memory_mb() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    rng = np.random.default_rng(0)
    image = picture(64, 96)
    with Enhancer(lambda _: rng.random((4, 6), np.float32), upscaler, budget="20%") as enhancer:
        for _ in range(40):
            enhancer.frame(image)
        before = memory_mb()
        for _ in range(120):
            enhancer.frame(image)
    assert memory_mb() - before < 20
