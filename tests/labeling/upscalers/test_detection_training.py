"""An upscaler trained on every kind of low-resolution frame, and for a detector."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from deploy.core.errors import OptionError
from deploy.core.resize import area_resize, reduce_frame
from deploy.inputs.video import read_frames
from deploy.outputs.lr_codec import LrCodec, encode_frames
from labeling.detectors import create_detector
from labeling.detectors.places import DenseDetector, Places
from labeling.upscalers.detector_loss import detector_loss, mosaic, object_centers, open_dense_detectors
from labeling.upscalers.training import train_upscaler
from labeling.upscalers.training_frames import TrainingFrame, sample_batch, training_frames
from labeling.upscalers.training_options import TrainUpscalerOptions
from tests.helpers.label_helpers import crop_clip, skip_without_centernet

ONNX_FILES = ("yolox_nano.onnx", "picodet_s_416_coco.onnx", "FastestDet.onnx")


@pytest.fixture(scope="module")
def clip(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crop_clip(vtest, tmp_path_factory.mktemp("clip") / "person.avi", count=9)


def options_of(clip: Path, tmp_path: Path, **changes: Any) -> TrainUpscalerOptions:
    values = {"features": 8, "blocks": 1, "steps": 4, "batch": 2, "patch_px": 16, "checkpoint_every": 2, "every": 4}
    paths = {"sources": (clip,), "out": tmp_path / "x3.safetensors"}
    return TrainUpscalerOptions(**(paths | values | changes))


def as_tensor(image: Any) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255


def opened(name: str, request: pytest.FixtureRequest) -> DenseDetector:
    if name.endswith(".onnx"):
        name = str(request.getfixturevalue("assets") / name)
        if not Path(name).is_file():
            pytest.skip(f"no {name}")
    elif name == "centernet":
        skip_without_centernet()
    return open_dense_detectors([name])[0]


def test_frames_of_every_kind(clip: Path, tmp_path: Path) -> None:
    """Each is what labelling makes: reduced, or the whole video coded; the true frame is at the same height."""
    images = [frame.image for frame in read_frames(clip)]
    rows, cols = images[0].shape[:2]
    options = options_of(clip, tmp_path, reduce=("area", "bicubic"), lr_codec=("none", "h264:crf36"), height=(40,))
    frames = training_frames(clip, options, tmp_path / "work")
    width = round(cols * 40 / rows)
    assert len(frames) == 3
    for reduction in ("area", "bicubic"):
        reduced = [reduce_frame(i, height_px=40, width_px=width, reduction=reduction) for i in images]  # type: ignore[arg-type]
        encode_frames(iter(reduced), Fraction(10), LrCodec.parse("h264:crf36"), tmp_path / f"{reduction}.mkv")
        coded = [frame.image[:40, :width] for frame in read_frames(tmp_path / f"{reduction}.mkv")]
        for number, frame in zip((0, 4, 8), frames, strict=True):
            np.testing.assert_array_equal(frame.lr[reduction], reduced[number])
            np.testing.assert_array_equal(frame.lr[f"{reduction} h264:crf36"], coded[number])
    np.testing.assert_array_equal(frames[1].hr, area_resize(images[4], height_px=120, width_px=3 * width))


def test_without_a_height_frames_keep_their_own_pixels(clip: Path, tmp_path: Path) -> None:
    image = next(iter(read_frames(clip))).image
    rows, cols = (3 * (side // 3) for side in image.shape[:2])
    for height in ((), (10_000,), (5_000, 10_000)):
        frames = training_frames(clip, options_of(clip, tmp_path, height=height), tmp_path / "work")
        assert len(frames) == 3, "a height that there is not gives no second copy"
        np.testing.assert_array_equal(frames[0].hr, image[:rows, :cols])
        assert list(frames[0].lr) == ["area"]


def test_half_of_the_patches_hold_an_object(tmp_path: Path) -> None:
    hr = np.zeros((300, 300, 3), np.uint8)
    lr = np.zeros((100, 100, 3), np.uint8)
    lr[90, 8] = 255
    options = options_of(tmp_path / "none.avi", tmp_path, batch=40)
    with_objects = TrainingFrame(hr, {"area": lr}, [(90, 8)])
    without = TrainingFrame(hr, {"area": lr})

    def seen(frame: TrainingFrame) -> float:
        batches = [sample_batch([frame], options, step, upright=True)[0] for step in range(10)]
        return float(np.mean([(batch.amax(dim=(1, 2, 3)) > 0).float().mean() for batch in batches]))

    assert seen(without) < 0.1
    assert 0.4 < seen(with_objects) < 0.65


def test_upright_patches_are_mirrored_but_not_turned(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(0, 200, 2, dtype=np.uint8)[:, None, None], (100, 100, 3))
    frame = TrainingFrame(np.repeat(np.repeat(ramp, 3, 0), 3, 1), {"area": ramp})
    options = options_of(tmp_path / "none.avi", tmp_path, batch=30)
    falls = [sample_batch([frame], options, 0, upright=upright)[0] for upright in (True, False)]
    down = [(batch[:, :, -1] - batch[:, :, 0]).mean(dim=(1, 2)) for batch in falls]
    assert (down[0] == 30).all() and (down[1] != 30).any()


def test_a_mosaic_is_as_square_as_it_can_be() -> None:
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 4, 6)
    whole = mosaic(images)
    assert whole.shape == (1, 3, 8, 18)
    assert whole[0, 0, ::4, ::6].tolist() == [[0, 1, 2], [3, 4, 0]]
    assert mosaic(images[:1]).shape == (1, 3, 4, 6)


@pytest.mark.parametrize("name", ["centernet", *ONNX_FILES])
def test_places_hold_what_is_detected(name: str, vtest_frames: list[Any], request: pytest.FixtureRequest) -> None:
    """Every detection is one of the places, at a frame size that the file runs at by itself."""
    if name == "centernet":
        request.getfixturevalue("assets")
    detector = opened(name, request)
    side = 352 if name == "FastestDet.onnx" else 416
    image = as_tensor(vtest_frames[0].image[:side, 150 : 150 + side])
    places = detector.places(image)
    (found,) = detector.detect(image, score_threshold=0.2)
    assert len(found.scores) > 0 and places.scores.shape == (len(places.boxes), len(detector.classes))
    kept = [detector.class_names.index(kind) for kind in detector.classes]
    limits = torch.tensor([image.shape[3], image.shape[2]] * 2)
    boxes = places.boxes.detach().clamp(min=0).minimum(limits)
    for box, score, kind in zip(found.boxes, found.scores, found.classes, strict=True):
        same = (boxes - box).abs().amax(dim=1) < 0.01
        assert (places.scores[same, kept.index(int(kind))] - score).abs().min() < 1e-5
    assert places.boxes.requires_grad is False
    with_gradient = detector.places(image.requires_grad_(True))
    (gradient,) = torch.autograd.grad(with_gradient.boxes.sum() + with_gradient.scores.sum(), image)
    assert gradient.abs().sum() > 0


def test_a_file_runs_at_the_frames_size_or_else_at_its_own(request: pytest.FixtureRequest) -> None:
    frame = torch.rand(1, 3, 192, 224)
    free, fixed = opened("yolox_nano.onnx", request), opened("picodet_s_416_coco.onnx", request)
    assert len(free.places(frame).boxes) == sum(192 // s * (224 // s) for s in (8, 16, 32))
    assert len(fixed.places(frame).boxes) == len(fixed.places(torch.rand(1, 3, 416, 416)).boxes)


@pytest.mark.parametrize("name", ["centernet", "yolox_nano.onnx"])
def test_the_loss_is_zero_for_the_true_frame_and_grows_with_blur(
    name: str, vtest_frames: list[Any], request: pytest.FixtureRequest
) -> None:
    if name == "centernet":
        request.getfixturevalue("assets")
    detector = opened(name, request)
    hr = as_tensor(vtest_frames[0].image[:288, :288])
    blurred = [
        functional.interpolate(functional.avg_pool2d(hr, n), (288, 288), mode="bilinear").requires_grad_(True)
        for n in (2, 6)
    ]
    losses = [detector_loss(detector, sr, hr) for sr in (hr, *blurred)]
    (gradient,) = torch.autograd.grad(losses[2], blurred[1])
    equal, little, much = (loss.item() for loss in losses)
    assert equal == pytest.approx(0, abs=1e-5) and 0 < little < much
    step = detector_loss(detector, blurred[1] - 0.002 * gradient / gradient.abs().max(), hr)
    assert step.item() < much, "down the gradient the answer comes nearer"


def test_objects_are_where_they_are_detected(vtest_frames: list[Any], request: pytest.FixtureRequest) -> None:
    detector = opened("yolox_nano.onnx", request)
    image = as_tensor(vtest_frames[0].image)
    centers = object_centers(detector, image)
    weights = request.getfixturevalue("assets") / "yolox_nano.onnx"
    (found,) = create_detector("onnx", weights=weights, input_size=(576, 768)).detect(image)
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    assert len(middles) > 0
    assert torch.cdist(middles, centers).amin(dim=1).max() < 3


def test_detectors_without_places_are_refused() -> None:
    with pytest.raises(OptionError, match="detectors=hog") as error:
        open_dense_detectors(["hog"])
    assert "centernet" in error.value.hint


class Bright:
    """Finds an object in the middle of each 8 x 8 cell, as sure as the cell is bright."""

    name, class_names, classes, score_threshold = "bright", ("light",), ("light",), 0.3

    def places(self, image: Tensor) -> Places:
        cells = functional.avg_pool2d(image.mean(dim=1, keepdim=True), 8).flatten()
        corners = torch.arange(len(cells), dtype=torch.float32)[:, None].repeat(1, 4)
        return Places(corners + torch.tensor([0.0, 0, 8, 8]), cells.clamp(0, 1)[:, None])


def with_bright(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labeling.upscalers.training.open_dense_detectors", lambda names: [Bright() for _ in names])


def test_training_for_a_detector(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loss of its answer falls, a second run makes the same bytes, and the record names the detectors."""
    with_bright(monkeypatch)
    options = options_of(
        clip, tmp_path, detectors=("bright",), detector_weight=100.0, lr_codec=("none", "h264:crf36"), steps=40,
        checkpoint_every=1, learning_rate=3e-3, height=(64,), validate=(clip,),
    )  # fmt: skip
    train_upscaler(options)
    shown = [line for line in capsys.readouterr().out.splitlines() if "detector loss" in line]
    answers = [float(line.rpartition(" ")[2]) for line in shown]
    assert len(answers) == 40 and np.mean(answers[-5:]) < 0.5 * np.mean(answers[:5])
    again = replace(options, out=options.out.with_name("again.safetensors"))
    train_upscaler(again)
    assert options.out.read_bytes() == again.out.read_bytes()
    out = capsys.readouterr().out
    assert "person.avi, area: PSNR" in out and "person.avi, area h264:crf36: PSNR" in out


def test_reduced_precision_comes_near(clip: Path, tmp_path: Path) -> None:
    from labeling.upscalers.edsr import load_edsr

    made = []
    for precision in ("float32", "bfloat16"):
        options = options_of(clip, tmp_path, precision=precision, steps=10, out=tmp_path / f"{precision}.safetensors")
        train_upscaler(options)
        made.append(load_edsr(scale=3, weights=options.out).upscale(torch.rand(1, 3, 20, 20), None))
    torch.testing.assert_close(*made, atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr_codec": ("vp9:crf30",)}, "lr-codec 'vp9:crf30'"),
        ({"lr_codec": ()}, "lr_codec is empty"),
        ({"reduce": ()}, "reduce is empty"),
        ({"height": (8,)}, "height=8"),
        ({"detector_weight": -1.0}, "detector_weight"),
        ({"detectors": ("nothing",)}, "nothing"),
    ],
    ids=str,
)
def test_unusable_options(change: dict[str, Any], message: str, clip: Path, tmp_path: Path) -> None:
    options = options_of(clip, tmp_path, **change)
    with pytest.raises(OptionError, match=message):
        train_upscaler(options)
    assert not options.out.exists()
