"""EDSR in the official layout, tiling, interpolation, and training that can be interrupted."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from deploy.core.errors import InputError, OptionError, WeightsError
from deploy.core.resize import area_resize
from deploy.inputs.video import Frame
from labeling.upscalers import UPSCALERS
from labeling.upscalers import training as upscaler_training
from labeling.upscalers.edsr import Edsr, edsr_upscaler, load_edsr, save_edsr
from labeling.upscalers.simple import interpolate
from labeling.upscalers.tiling import upscale_in_tiles
from labeling.upscalers.training import train_upscaler
from labeling.upscalers.training_options import TrainUpscalerOptions

EMBEDDED = Path(__file__).parents[3] / "labeling" / "upscalers" / "weights" / "edsr_x3.safetensors"
MEAN = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1) * 255


class OfficialBlock(nn.Module):
    def __init__(self, features: int, res_scale: float) -> None:
        super().__init__()
        first, second = nn.Conv2d(features, features, 3, padding=1), nn.Conv2d(features, features, 3, padding=1)
        self.body, self.res_scale = nn.Sequential(first, nn.ReLU(True), second), res_scale

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).mul(self.res_scale) + x


class OfficialEdsr(nn.Module):
    """EDSR written anew after sanghyun-son/EDSR-PyTorch, src/model/edsr.py and common.py: its names of the weights."""

    def __init__(self, scale: int, blocks: int, features: int, res_scale: float = 1.0) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, features, 3, padding=1))
        body: list[nn.Module] = [OfficialBlock(features, res_scale) for _ in range(blocks)]
        self.body = nn.Sequential(*body, nn.Conv2d(features, features, 3, padding=1))
        upsampler: list[nn.Module] = []
        for factor in {2: (2,), 3: (3,), 4: (2, 2)}[scale]:
            upsampler += [nn.Conv2d(features, factor**2 * features, 3, padding=1), nn.PixelShuffle(factor)]
        self.tail = nn.Sequential(nn.Sequential(*upsampler), nn.Conv2d(features, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x - MEAN)
        return self.tail(self.body(x) + x) + MEAN


def official(scale: int, blocks: int = 1, features: int = 8, res_scale: float = 1.0, seed: int = 0) -> OfficialEdsr:
    torch.manual_seed(seed)
    return OfficialEdsr(scale, blocks, features, res_scale).requires_grad_(False)


def official_state(network: OfficialEdsr) -> dict[str, Tensor]:
    """With the mean shifts, which the official code stores as 1 x 1 convolutions."""
    state = network.state_dict()
    for name, sign in (("sub_mean", -1), ("add_mean", 1)):
        state |= {f"{name}.weight": torch.eye(3).view(3, 3, 1, 1), f"{name}.bias": sign * MEAN.flatten()}
    return state


def frames(height: int = 21, width: int = 30, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("with_shifts", [True, False])
@pytest.mark.parametrize(
    ("scale", "blocks", "features", "res_scale"), [(2, 1, 8, 1.0), (3, 3, 12, 1.0), (4, 2, 8, 1.0), (2, 1, 256, 0.1)]
)
def test_official_checkpoints(
    scale: int, blocks: int, features: int, res_scale: float, with_shifts: bool, tmp_path: Path
) -> None:
    """The large official models, of 256 features, scale their residuals by 0.1; nothing in the file says so."""
    network = official(scale, blocks, features, res_scale)
    torch.save(official_state(network) if with_shifts else network.state_dict(), tmp_path / "edsr.pt")
    upscaler = load_edsr(scale=scale, weights=tmp_path / "edsr.pt")
    lr = frames(9, 14)
    wanted = (network(lr * 255) / 255).clamp(0, 1)
    torch.testing.assert_close(upscaler.network(lr * 255) / 255, network(lr * 255) / 255, rtol=0, atol=1e-5)
    assert (upscaler.upscale(lr, None) - wanted).abs().amax() <= 0.5 / 255 + 1e-5  # rounded to whole 1/255
    assert (upscaler.scale, upscaler.network.blocks, upscaler.network.features) == (scale, blocks, features)
    assert upscaler.weights_sha256 == hashlib.sha256((tmp_path / "edsr.pt").read_bytes()).hexdigest()


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    """Safetensors itself writes the metadata in random order."""
    network = Edsr(scale=2, features=8, blocks=1)
    for number in range(8):
        save_edsr(network, tmp_path / f"{number}.safetensors", {"steps": 3})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_safetensors_keep_weights_and_residual_scale(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Edsr(scale=3, features=8, blocks=2, res_scale=0.25)
    save_edsr(network, tmp_path / "edsr.safetensors", {"why": "a test"})
    loaded = load_edsr(scale=3, weights=tmp_path / "edsr.safetensors").network
    assert loaded.res_scale == 0.25
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_receptive_radius_is_enough(scale: int) -> None:
    """A pixel just outside the radius changes nothing; one inside does."""
    torch.manual_seed(0)
    network = Edsr(scale=scale, features=8, blocks=1).requires_grad_(False)
    radius = network.receptive_radius_px
    lr = frames(2 * radius + 3, 2 * radius + 3, 1) * 255
    before = network(lr)
    middle = radius + 1
    area = slice(middle * scale, (middle + 1) * scale)

    def change(y: int, x: int) -> float:
        moved = lr.clone()
        moved[0, :, y, x] += 100.0
        return float((network(moved) - before)[:, :, area, area].abs().amax())

    for y, x in ((0, middle), (middle, 0), (2 * radius + 2, middle), (middle, 2 * radius + 2), (0, 0)):
        assert change(y, x) == 0.0
    assert change(middle + 1, middle - 1) > 0


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("tile_px", [7, 16, 20])
def test_tiles_join_without_a_seam(scale: int, tile_px: int) -> None:
    torch.manual_seed(0)
    network = Edsr(scale=scale, features=8, blocks=1)
    lr = frames(33, 41)
    tiled = upscale_in_tiles(network, lr, scale=scale, tile_px=tile_px, overlap_px=network.receptive_radius_px)
    torch.testing.assert_close(tiled, network(lr), rtol=0, atol=1e-5)
    result = edsr_upscaler(network, scale, "", tile_px=tile_px).upscale(lr, None)
    whole = (network(lr * 255) / 255).clamp(0, 1)
    assert (result - whole).abs().amax() <= 0.5 / 255 + 1e-5, "more than rounding to whole 1/255"
    torch.testing.assert_close((result * 255).round(), result * 255)


def test_too_little_overlap_is_seen() -> None:
    """The comparison above can fail."""
    network = Edsr(scale=2, features=8, blocks=1).requires_grad_(False)
    lr = frames(33, 41)
    tiled = upscale_in_tiles(network, lr, scale=2, tile_px=16, overlap_px=0)
    assert (tiled - network(lr)).abs().amax() > 1e-5


class Malicious:
    """Unpickled, it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def wrong_scale(path: Path) -> None:
    torch.save(official(3).state_dict(), path)


def another_network(path: Path) -> None:
    torch.save(nn.Linear(3, 3).state_dict(), path)


def extra_key(path: Path) -> None:
    torch.save(official(2).state_dict() | {"classifier.weight": torch.zeros(3)}, path)


def key_missing(path: Path) -> None:
    state = official(2, blocks=2).state_dict()
    del state["body.1.body.2.bias"]
    torch.save(state, path)


def scale_8(path: Path) -> None:
    state = official(4).state_dict()
    torch.save(state | {"tail.0.4.weight": state["tail.0.2.weight"], "tail.0.4.bias": state["tail.0.2.bias"]}, path)


def with_code(path: Path) -> None:
    torch.save(official(2).state_dict() | {"evil": Malicious(path.with_name("executed"))}, path)


def plain_pickle_with_code(path: Path) -> None:
    path.write_bytes(pickle.dumps(Malicious(path.with_name("executed")), protocol=2))


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("linear.pt", another_network, "not an EDSR checkpoint"),
        ("extra.pt", extra_key, "unexpected .*classifier"),
        ("short.pt", key_missing, "missing .*body.1.body.2.bias"),
        ("x8.pt", scale_8, "not an EDSR checkpoint"),
        ("list.pt", lambda path: torch.save([torch.zeros(3)], path), "not a dictionary of tensors"),
        ("flat.pt", lambda path: torch.save({"head.0.weight": torch.tensor(1.0)}, path), "not an EDSR checkpoint"),
        ("code.pt", with_code, "not plain weights"),
        ("code.pkl", plain_pickle_with_code, "not plain weights"),
        ("text.pt", lambda path: path.write_text("no weights\n"), "not plain weights"),
        ("empty.pt", lambda path: path.write_bytes(b""), "not plain weights"),
        ("text.safetensors", lambda path: path.write_text("no weights\n"), "not plain weights"),
        ("empty.safetensors", lambda path: path.write_bytes(b""), "not plain weights"),
        ("missing.pt", lambda path: None, "not found"),
        ("folder.safetensors", Path.mkdir, "not found"),
    ],
)
def test_unusable_weights(name: str, make: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(WeightsError, match=message) as error:
        load_edsr(scale=2, weights=path)
    assert error.value.hint and str(path) in str(error.value)
    assert not (tmp_path / "executed").exists(), "code out of a checkpoint was run"


@pytest.mark.parametrize(("scale", "passes"), [(2, 1), (3, 1), (4, 2), (6, 2)])
def test_any_scale(scale: int, passes: int) -> None:
    """A network of factor 3: as often as needed, then reduced. Of a constant frame nothing may be left but itself."""
    network = Edsr(scale=3, features=8, blocks=1)
    calls: list[tuple[int, ...]] = []
    network.register_forward_hook(lambda module, inputs, output: calls.append(tuple(output.shape)))
    sr = edsr_upscaler(network, scale, "").upscale(frames(12, 20), None)
    assert sr.shape == (2, 3, 12 * scale, 20 * scale) and len(calls) == passes
    assert (sr >= 0).all() and (sr <= 1).all()


def test_training_goes_on_at_the_same_scale_only(tmp_path: Path) -> None:
    torch.save(official(3).state_dict(), tmp_path / "x3.pt")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "frame.png")
    options = TrainUpscalerOptions(
        sources=(tmp_path / "frame.png",), out=tmp_path / "out.safetensors", scale=2, patch_px=16,
        init=tmp_path / "x3.pt",
    )  # fmt: skip
    with pytest.raises(WeightsError, match="is EDSR x3, asked for x2") as error:
        train_upscaler(options)
    assert "--scale 3" in error.value.hint and not (tmp_path / "out.safetensors").exists()


def test_an_unknown_upscaler() -> None:
    with pytest.raises(OptionError, match="unknown upscaler 'edrs'") as error:
        UPSCALERS.create("edrs", scale=3, weights=None)
    assert "'edsr'" in error.value.hint


@pytest.mark.parametrize("name", ["bicubic", "lanczos", "reference"])
def test_upscalers_without_weights(name: str, tmp_path: Path) -> None:
    upscaler = UPSCALERS.create(name, scale=3, weights=None)
    assert (upscaler.name, upscaler.scale, upscaler.weights_sha256) == (name, 3, "")
    with pytest.raises(OptionError, match="takes no weights"):
        UPSCALERS.create(name, scale=3, weights=tmp_path / "any.pt")


def test_reference_is_the_true_frame() -> None:
    upscaler = UPSCALERS.create("reference", scale=3, weights=None)
    true = frames(30, 30)
    assert torch.equal(upscaler.upscale(frames(10, 10), true), true)
    with pytest.raises(InputError, match="source of at least 3 times") as error:
        upscaler.upscale(frames(10, 10), None)
    assert error.value.hint


def cubic(distance: float, a: float = -0.75) -> float:
    """Keys' kernel (IEEE TASSP 1981, equation 15) with OpenCV's a."""
    d = abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def slow_bicubic(image: np.ndarray, scale: int) -> np.ndarray:
    """One output pixel at a time, centers at half pixels; (H, W) -> (H * scale, W * scale)."""
    height, width = image.shape
    out = np.zeros((height * scale, width * scale))
    for y, x in np.ndindex(*out.shape):
        centre_y, centre_x = (y + 0.5) / scale - 0.5, (x + 0.5) / scale - 0.5
        for row in range(math.floor(centre_y) - 1, math.floor(centre_y) + 3):
            for col in range(math.floor(centre_x) - 1, math.floor(centre_x) + 3):
                pixel = image[min(max(row, 0), height - 1), min(max(col, 0), width - 1)]
                out[y, x] += pixel * cubic(row - centre_y) * cubic(col - centre_x)
    return out.clip(0, 1)


@pytest.mark.parametrize("scale", [2, 3])
def test_bicubic_is_bicubic(scale: int) -> None:
    """cv2.resize(image, size, cv2.INTER_CUBIC) takes the flag for `dst` and is bilinear; this is not."""
    lr = frames(9, 11, 1)
    enlarged = interpolate(lr, scale)
    assert torch.equal(enlarged, UPSCALERS.create("bicubic", scale=scale, weights=None).upscale(lr, None))
    for channel in range(3):
        np.testing.assert_allclose(enlarged[0, channel], slow_bicubic(lr[0, channel].numpy(), scale), atol=1e-5)
    pixels = lr[0].permute(1, 2, 0).numpy()
    size = (11 * scale, 9 * scale)
    named = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC).clip(0, 1).transpose(2, 0, 1)
    np.testing.assert_allclose(enlarged[0], named, atol=1e-4)
    bilinear = interpolate(lr, scale, "bilinear")
    assert (enlarged - bilinear).abs().amax() > 0.05
    linear = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
    np.testing.assert_allclose(bilinear[0], linear, atol=1e-4)


def psnr(image: Tensor, wanted: Tensor) -> float:
    return -10 * math.log10(float((image - wanted)[..., 3:-3, 3:-3].square().mean()))


def test_embedded_weights_beat_bicubic(vtest_frames: list[Frame]) -> None:
    assert EMBEDDED.stat().st_size <= 1.5 * 2**20
    upscaler = load_edsr(scale=3)
    gains = []
    for frame in vtest_frames:
        true = np.ascontiguousarray(frame.image[120:480, 120:600])
        lr = area_resize(true, height_px=120, width_px=160)
        small, wanted = (torch.from_numpy(a.copy()).permute(2, 0, 1)[None].float() / 255 for a in (lr, true))
        gains.append(psnr(upscaler.upscale(small, None), wanted) - psnr(interpolate(small, 3), wanted))
    assert np.mean(gains) >= 0.3 and min(gains) > 0


def test_embedded_weights_say_how_they_were_made() -> None:
    with safe_open(str(EMBEDDED), framework="pt") as stream:
        record = json.loads(stream.metadata()["record"])
    assert record["scale"] == 3 and record["sources"] and record["psnr_db"]
    trained_on = {source["sha256"] for source in record["sources"]}
    assert not trained_on & {source["sha256"] for source in record["validate"]}


# Training


@pytest.fixture
def options(tmp_path: Path) -> TrainUpscalerOptions:
    """A few steps of a tiny network on a smooth picture."""
    y, x = np.mgrid[:96, :120] / 12
    waves = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], axis=2)
    Image.fromarray((127 + 120 * waves).astype(np.uint8)).save(tmp_path / "waves.png")
    return TrainUpscalerOptions(
        sources=(tmp_path / "waves.png",),
        out=tmp_path / "out" / "edsr_x2.safetensors",
        validate=(tmp_path / "waves.png",),
        scale=2,
        features=8,
        blocks=1,
        steps=6,
        batch=2,
        patch_px=16,
        checkpoint_every=2,
    )


def test_an_interrupted_run_ends_as_an_undisturbed_one(
    options: TrainUpscalerOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = replace(options, out=options.out.with_name("undisturbed.safetensors"))
    train_upscaler(undisturbed)
    sample = upscaler_training.sample_batch

    def interrupted(frames: Any, options: TrainUpscalerOptions, step: int, **how: bool) -> tuple[Tensor, Tensor]:
        if step == 3:
            raise KeyboardInterrupt
        return sample(frames, options, step, **how)

    with monkeypatch.context() as patch:
        patch.setattr(upscaler_training, "sample_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_upscaler(options)
    assert not options.out.exists()
    capsys.readouterr()
    train_upscaler(options)
    assert "going on from step 2" in capsys.readouterr().out
    assert options.out.read_bytes() == undisturbed.out.read_bytes()
    assert sorted(path.name for path in options.out.parent.iterdir()) == [options.out.name, undisturbed.out.name]


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_other_options_never_resume(
    options: TrainUpscalerOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(upscaler_training, "save_edsr", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_upscaler(options)
    assert list(options.out.parent.glob(".*.partial/*.pt")), "no checkpoint to resume from"
    train_upscaler(replace(options, seed=1))
    assert "resuming" not in capsys.readouterr().out


def test_training_lowers_the_loss(options: TrainUpscalerOptions) -> None:
    frames = upscaler_training.training_frames(options.sources[0], options, options.out.parent)
    lr, hr = upscaler_training.sample_batch(frames, replace(options, batch=8), step=10**6)

    def loss_after(steps: int) -> float:
        out = options.out.with_name(f"{steps}.safetensors")
        train_upscaler(replace(options, steps=steps, out=out, validate=(), checkpoint_every=1000, learning_rate=3e-3))
        with torch.no_grad():
            return float(functional.l1_loss(load_edsr(scale=2, weights=out).network(lr), hr))

    assert loss_after(60) < 0.6 * loss_after(1)


def test_training_can_start_from_weights(options: TrainUpscalerOptions) -> None:
    train_upscaler(options)
    adapted = replace(options, init=options.out, out=options.out.with_name("adapted.safetensors"), learning_rate=0.0)
    train_upscaler(adapted)
    before, after = (load_edsr(scale=2, weights=path).network.state_dict() for path in (options.out, adapted.out))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_record_names_no_folder(options: TrainUpscalerOptions, tmp_path: Path) -> None:
    train_upscaler(options)
    with safe_open(str(options.out), framework="pt") as stream:
        metadata = stream.metadata()
    assert str(tmp_path) not in options.out.read_bytes().decode("latin-1")
    record = json.loads(metadata["record"])
    digest = hashlib.sha256((tmp_path / "waves.png").read_bytes()).hexdigest()
    assert record["sources"] == record["validate"] == [{"name": "waves.png", "sha256": digest}]
    assert (record["steps"], record["seed"], record["scale"]) == (6, 0, 2)
    assert set(record["psnr_db"]["waves.png"]) == {"edsr", "bicubic"}
    assert not any(str(value).startswith("/") for value in record.values())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"scale": 5}, OptionError, "scale=5"),
        ({"out": Path("edsr.pt")}, OptionError, "must end in .safetensors"),
        ({"steps": 0}, OptionError, "steps"),
        ({"batch": 0}, OptionError, "batch"),
        ({"features": 0}, OptionError, "features"),
        ({"blocks": -1}, OptionError, "blocks"),
        ({"patch_px": 0}, OptionError, "patch"),
        ({"checkpoint_every": 0}, OptionError, "checkpoint"),
        ({"patch_px": 60}, InputError, "at least 120 px"),
        ({"sources": (Path("missing.png"),)}, InputError, "sources: file not found"),
        ({"validate": (Path("missing.avi"),)}, InputError, "validate: file not found"),
        ({"every": 0}, OptionError, "every"),
        ({"init": Path("missing.safetensors")}, InputError, "init: file not found"),
    ],
    ids=str,
)
def test_unusable_training_options(
    change: dict[str, Any],
    error: type[Exception],
    message: str,
    options: TrainUpscalerOptions,
) -> None:
    with pytest.raises(error, match=message) as raised:
        train_upscaler(replace(options, **change))
    assert raised.value.hint  # type: ignore[attr-defined]
    assert not options.out.exists()


@pytest.mark.parametrize("size", [(1, 1), (4, 200)])
def test_a_source_too_small_for_a_patch(size: tuple[int, int], options: TrainUpscalerOptions, tmp_path: Path) -> None:
    Image.new("RGB", size).save(tmp_path / "dot.png")
    with pytest.raises(InputError, match="at least 32 px"):
        train_upscaler(replace(options, sources=(tmp_path / "dot.png",)))
