"""The gradient against finite differences, and the sums over blocks against loops."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from deploy.core.errors import WeightsError
from deploy.core.grid import Grid, GridName
from deploy.inputs.video import Frame
from labeling.detectors import Detector, create_detector
from labeling.labels.labeller import make_accuracy
from labeling.maths.accuracy import Objective, SumOfScores
from labeling.maths.importance import Norm, Variant, accuracy_gradient, block_importance, path_gradient
from labeling.upscalers.simple import interpolate
from tests.helpers.label_helpers import skip_without_centernet

BLOCK_PX = 8
NUM_BLOCKS = 50
STEP = 1e-7
# A part of the demo clip where a person walks; small, because each block needs two forward passes.
ROWS, COLS = slice(176, 336), slice(160, 352)


def dithered(image: np.ndarray) -> Tensor:
    """(1, 3, H, W) in double, off the kinks: where bytes tie, as in saturated areas, HOG has no derivative."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, image.shape)
    pixels = ((2 + image * (251 / 255) + noise) / 255).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(pixels))[None]


@cache
def detector_of(name: str) -> Detector:
    if name == "centernet":
        skip_without_centernet()
    return create_detector(name, weights=None, score_threshold=None, classes=("person",))


def blurred(image: Tensor) -> Tensor:
    """The frame as interpolation shows it: a third of the size and back."""
    return interpolate(functional.interpolate(image, scale_factor=1 / 3, mode="area"), 3)[..., : image.shape[-1]]


@pytest.mark.parametrize(
    ("name", "kind"), [("hog", "scores"), ("centernet", "scores"), ("hog", "agreement"), ("hog", "f1")]
)
def test_gradient_equals_finite_differences(name: str, kind: Objective, vtest_frames: list[Frame]) -> None:
    """For 50 blocks: the derivative along a random direction inside the block, within 5 %."""
    detector = detector_of(name)
    image = dithered(vtest_frames[0].image[ROWS, COLS])
    accuracy = make_accuracy(kind, detector, image + 0.02 * image.roll(1, 3))
    gradient, num_detections = accuracy_gradient(accuracy, image)
    assert num_detections > 0 and gradient.dtype == torch.float64
    rows, cols = image.shape[2] // BLOCK_PX, image.shape[3] // BLOCK_PX
    strength = gradient.abs().sum(0).unfold(0, BLOCK_PX, BLOCK_PX).unfold(1, BLOCK_PX, BLOCK_PX).sum((2, 3))
    felt = (strength.flatten() > 0.02 * strength.max()).nonzero()[:, 0].numpy()
    assert len(felt) >= NUM_BLOCKS, "too few blocks with a gradient"

    def objective(pixels: Tensor) -> float:
        value, count = accuracy(pixels)
        assert count == num_detections, "the step changed what is detected"
        return float(value)

    random = np.random.default_rng(1)
    failures = []
    for block in random.choice(felt, NUM_BLOCKS, replace=False):
        row, col = divmod(int(block), cols)
        area = (slice(row * BLOCK_PX, (row + 1) * BLOCK_PX), slice(col * BLOCK_PX, (col + 1) * BLOCK_PX))
        direction = torch.zeros_like(image)
        # Half of it along the gradient's signs, so that what is compared does not cancel to nothing.
        signs = gradient[:, *area].sign() + torch.from_numpy(random.normal(size=(3, BLOCK_PX, BLOCK_PX)))
        direction[0, :, *area] = signs
        with torch.no_grad():
            difference = objective(image + STEP * direction) - objective(image - STEP * direction)
        analytic = float((gradient * direction[0]).sum())
        if abs(difference / (2 * STEP) - analytic) > 0.05 * abs(analytic):
            failures.append((row, col, difference / (2 * STEP), analytic))
    assert rows * cols >= NUM_BLOCKS and not failures


def test_a_frame_without_detections_gives_an_all_zero_map() -> None:
    detector = detector_of("hog")
    image = torch.full((1, 3, 160, 96), 0.5)
    gradient, num_detections = accuracy_gradient(SumOfScores(detector), image)
    assert num_detections == 0 and gradient.shape == (3, 160, 96)
    grid = Grid(80, 48, scale=2)
    for variant in ("delta", "gradient"):
        importance = block_importance(gradient, image[0], 1 - 0.9 * image[0], grid, variant)
        np.testing.assert_array_equal(importance, np.zeros((grid.rows, grid.cols), np.float32))


def test_scores_that_do_not_depend_on_the_frame_are_refused() -> None:
    def constant(image: torch.Tensor) -> tuple[torch.Tensor, int]:
        return torch.tensor(0.9), 1

    def of_weights(image: torch.Tensor) -> tuple[torch.Tensor, int]:
        return torch.tensor(0.9, requires_grad=True) * 1, 1

    for accuracy in (constant, of_weights):
        with pytest.raises(WeightsError, match="do not depend on the frame"):
            accuracy_gradient(accuracy, torch.zeros(1, 3, 4, 4))


def test_the_input_is_left_alone(vtest_frames: list[Frame]) -> None:
    image = torch.from_numpy(vtest_frames[0].image[ROWS, COLS].copy()).permute(2, 0, 1)[None].float() / 255
    before = image.clone()
    gradient, _ = accuracy_gradient(SumOfScores(detector_of("hog")), image)
    assert torch.equal(image, before) and not image.requires_grad and image.grad is None
    assert not gradient.requires_grad


@pytest.mark.parametrize(
    ("variant", "norm"), [("delta", 1), ("delta", 2), ("gradient", 1), ("gradient", 2), ("path", 1)]
)
@pytest.mark.parametrize("name", ["lr", "sr"])
@pytest.mark.parametrize(("height", "width", "scale", "block_px"), [(20, 33, 2, 16), (11, 14, 3, 8)])
def test_block_importance_equals_loops(
    name: GridName, variant: Variant, norm: Norm, height: int, width: int, scale: int, block_px: int
) -> None:
    grid = Grid(height, width, scale, block_px, name)
    random = np.random.default_rng(0)
    gradient = random.normal(size=(3, height * scale, width * scale)).astype(np.float32)
    interpolated, sr = random.random((2, 3, height * scale, width * scale), np.float32)
    side = block_px * scale if name == "lr" else block_px
    wanted = np.zeros((-(-height * scale // side), -(-width * scale // side)))
    for y in range(height * scale):
        for x in range(width * scale):
            slope = [float(gradient[c, y, x]) for c in range(3)]
            change = [float(sr[c, y, x]) - float(interpolated[c, y, x]) for c in range(3)]
            lengths = [sum(abs(v) ** norm for v in vector) ** (1 / norm) for vector in (slope, change)]
            signed = sum(g * d for g, d in zip(slope, change, strict=True))
            terms = {"delta": lengths[0] * lengths[1], "gradient": lengths[0], "path": signed}
            wanted[y // side, x // side] += terms[variant]
    tensors = (torch.from_numpy(array) for array in (gradient, interpolated, sr))
    importance = block_importance(*tensors, grid, variant, norm)
    assert importance.dtype == np.float32
    np.testing.assert_allclose(importance, wanted, rtol=1e-5, atol=1e-4 if variant == "path" else 0)


@pytest.mark.parametrize("kind", ["scores", "agreement", "f1"])
def test_path_splits_the_whole_change(kind: Objective, vtest_frames: list[Frame]) -> None:
    """The sum over all blocks of the path-integrated importance is the accuracy's change from IN to SR."""
    detector = detector_of("centernet")
    sr = dithered(vtest_frames[0].image).float()
    start = sr.lerp(blurred(sr), 0.15)  # near enough that no detection comes or goes
    accuracy = make_accuracy(kind, detector, sr)
    gradient, _ = path_gradient(accuracy, start, sr, 16)
    grid = Grid(sr.shape[2] // 3, sr.shape[3] // 3, 3)
    blocks = block_importance(gradient, start[0], sr[0], grid, "path")
    change = float(accuracy(sr)[0]) - float(accuracy(start)[0])
    assert abs(change) > 1e-4
    assert float(blocks.sum(dtype=np.float64)) == pytest.approx(change, rel=0.1)
