"""Checkpoints of other projects: CARN, whatever spandrel knows, OpenCV's dnn_superres; Lanczos; frames kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from spandrel.architectures.Compact import Compact
from spandrel.architectures.SAFMN import SAFMN
from torch import Tensor

from deploy.core.errors import OptionError, WeightsError
from deploy.core.resize import area_resize
from deploy.inputs.video import Frame
from labeling.upscalers import UPSCALERS, Upscaler
from labeling.upscalers.cache import CachedUpscaler
from labeling.upscalers.carn import Carn, load_carn
from labeling.upscalers.edsr import load_edsr
from labeling.upscalers.tiling import upscale_in_tiles


def as_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255


def psnr(left: Tensor, right: Tensor) -> float:
    return float(-10 * torch.log10(((left - right) ** 2).mean()))


@pytest.fixture
def truth(vtest_frames: list[Frame]) -> np.ndarray:
    """(144, 180, 3) with people in it."""
    return np.ascontiguousarray(vtest_frames[0].image[150:294, 100:280])


def gain_db(upscaler: Upscaler, truth: np.ndarray) -> float:
    """How much nearer to the true frame than bicubic interpolation."""
    height, width = truth.shape[:2]
    lr = as_tensor(area_resize(truth, height_px=height // upscaler.scale, width_px=width // upscaler.scale))
    bicubic = UPSCALERS.create("bicubic", scale=upscaler.scale, weights=None)
    sr, plain = upscaler.upscale(lr, None), bicubic.upscale(lr, None)
    assert sr.shape == (1, 3, height, width) and sr.dtype == torch.float32
    assert (sr >= 0).all() and (sr <= 1).all()
    return psnr(sr, as_tensor(truth)) - psnr(plain, as_tensor(truth))


@pytest.mark.parametrize("scale", [2, 3, 4, 6])
def test_carn_m_is_better_than_bicubic(assets: Path, truth: np.ndarray, scale: int) -> None:
    upscaler = UPSCALERS.create("carn", scale=scale, weights=assets / "carn_m.pth")
    assert gain_db(upscaler, truth) > 0.3


@pytest.mark.parametrize(("mobile", "groups"), [(True, 4), (False, 1)])
def test_carn_reads_its_kind_off_the_weights(tmp_path: Path, mobile: bool, groups: int) -> None:
    torch.manual_seed(0)
    network = Carn(mobile=mobile, groups=groups).eval().requires_grad_(False)
    torch.save(network.state_dict(), tmp_path / "carn.pth")
    lr = torch.rand(1, 3, 20, 24)
    sr = load_carn(scale=3, weights=tmp_path / "carn.pth").upscale(lr, None)
    assert (sr - network.enlarge(lr, 3).clamp(0, 1)).abs().amax() <= 0.5 / 255 + 1e-5


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_carn_tiles_join(scale: int) -> None:
    torch.manual_seed(0)
    network = Carn(mobile=True, groups=4).eval().requires_grad_(False)
    lr = torch.rand(1, 3, 30, 90)
    tiled = upscale_in_tiles(lambda x: network.enlarge(x, scale), lr, scale=scale, tile_px=40, overlap_px=24)
    torch.testing.assert_close(tiled, network.enlarge(lr, scale), rtol=0, atol=1e-5)


@pytest.mark.parametrize("wrapper", [None, "params", "params_ema"])
def test_spandrel_by_the_weights_alone(tmp_path: Path, wrapper: str | None) -> None:
    """Real-ESRGAN's compact network, saved as it and BasicSR save it."""
    torch.manual_seed(0)
    network = Compact(num_feat=16, num_conv=2, upscale=2).eval().requires_grad_(False)
    state = network.state_dict()
    torch.save({wrapper: state} if wrapper else state, tmp_path / "model.pth")
    upscaler = UPSCALERS.create("spandrel", scale=2, weights=tmp_path / "model.pth")
    lr = torch.rand(2, 3, 18, 25)
    sr = upscaler.upscale(lr, None)
    assert (sr - network(lr).clamp(0, 1)).abs().amax() <= 0.5 / 255 + 1e-5
    pixels = sr.clone().requires_grad_(True)  # autograd takes it
    assert torch.autograd.grad((pixels * sr).sum(), pixels)[0].equal(sr)
    assert UPSCALERS.create("spandrel", scale=3, weights=tmp_path / "model.pth").upscale(lr, None).shape[2] == 54


def interpolating_safmn() -> SAFMN:
    """Random weights that do little to a frame whose pixels become squares: what its self-check asks for."""
    torch.manual_seed(0)
    network = SAFMN(dim=36, n_blocks=2, upscaling_factor=3).eval().requires_grad_(False)
    for parameter in (*network.feats.parameters(), *network.to_img.parameters(), *network.to_feat.parameters()):
        parameter.mul_(0.1)
    for channel in range(3):  # features and blocks' sum are added: half of each
        network.to_feat.weight[channel, channel, 1, 1] += 0.5
        network.to_img[0].weight[9 * channel : 9 * channel + 9, channel, 1, 1] += 1.0
    return network


@pytest.mark.parametrize(
    "wrapper", [None, "params", "params_ema", "params-ema", "state_dict", "model", "net", "parallel"]
)
def test_published_layouts_of_a_network_that_spandrel_knows(wrapper: str | None, tmp_path: Path) -> None:
    """SAFMN as BasicSR, other frameworks and DataParallel save it, beside an iteration's number."""
    network = interpolating_safmn()
    state: dict[str, Any] = network.state_dict()
    if wrapper == "parallel":
        state = {f"module.{name}": value for name, value in state.items()}
    torch.save({wrapper: state, "iter": 500000} if wrapper not in (None, "parallel") else state, tmp_path / "x3.pth")
    upscaler = UPSCALERS.create("spandrel", scale=3, weights=tmp_path / "x3.pth")
    lr = torch.rand(1, 3, 16, 24)
    assert (upscaler.upscale(lr, None) - network(lr).clamp(0, 1)).abs().amax() <= 0.5 / 255 + 1e-5


def test_untrained_weights_of_a_known_network_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(SAFMN(dim=36, n_blocks=2, upscaling_factor=3).state_dict(), tmp_path / "x3.pth")
    with pytest.raises(WeightsError, match="dB from it") as error:
        UPSCALERS.create("spandrel", scale=3, weights=tmp_path / "x3.pth")
    assert "trained weights" in error.value.hint


def test_weights_that_spandrel_does_not_know(tmp_path: Path) -> None:
    """IMDN's first names, say: the way is its export."""
    torch.save({"module.fea_conv.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "IMDN_x3.pth")
    with pytest.raises(WeightsError, match="spandrel does not recognize the network") as error:
        UPSCALERS.create("spandrel", scale=3, weights=tmp_path / "IMDN_x3.pth")
    assert "export it with its own code to ONNX or TorchScript" in error.value.hint
    assert "--upscaler onnx or torch-program" in error.value.hint


@pytest.mark.parametrize(
    ("name", "file", "scale"),
    [
        ("espcn", "ESPCN_x2.pb", 2), ("espcn", "ESPCN_x3.pb", 3), ("fsrcnn", "FSRCNN_x3.pb", 3),
        ("espcn", "ESPCN_x2.pb", 4),
    ],
)  # fmt: skip
def test_dnn_superres_is_opencvs_own(assets: Path, truth: np.ndarray, name: str, file: str, scale: int) -> None:
    upscaler = UPSCALERS.create(f"opencv-{name}", scale=scale, weights=assets / file)
    assert gain_db(upscaler, truth) > -2  # its authors trained on bicubic reduction
    native = int(file[-4])
    if native == scale:
        own = cv2.dnn_superres.DnnSuperResImpl.create()
        own.readModel(str(assets / file))
        own.setModel(name, native)
        wanted = own.upsample(truth[:, :, ::-1].copy())[:, :, ::-1]
        sr = (upscaler.upscale(as_tensor(truth), None)[0] * 255).round().byte().permute(1, 2, 0)
        assert np.array_equal(sr, wanted)


@pytest.mark.parametrize("name", ["carn", "spandrel", "opencv-espcn"])
def test_what_cannot_be_used_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="needs a file") as error:
        UPSCALERS.create(name, scale=3, weights=None)
    assert "--upscaler-weights" in error.value.hint
    with pytest.raises(WeightsError, match="not found"):
        UPSCALERS.create(name, scale=3, weights=tmp_path / "none.pb")
    other = tmp_path / "linear.pb"
    torch.save(torch.nn.Linear(3, 3).state_dict(), other)
    with pytest.raises(WeightsError) as refused:
        UPSCALERS.create(name, scale=3, weights=other)
    assert str(other) in str(refused.value) and refused.value.hint


def test_lanczos_is_pillows(truth: np.ndarray) -> None:
    truth = truth // 2 + 64  # Pillow clips 8-bit frames between its two passes
    sr = UPSCALERS.create("lanczos", scale=2, weights=None).upscale(as_tensor(truth), None)
    wanted = Image.fromarray(truth).resize((360, 288), Image.Resampling.LANCZOS)
    assert (sr - as_tensor(np.array(wanted))).abs().amax() < 1.5 / 255  # and it rounds after each


class Counting:
    """An upscaler that counts."""

    def __init__(self, upscaler: Upscaler) -> None:
        self.name, self.scale, self.weights_sha256 = upscaler.name, upscaler.scale, upscaler.weights_sha256
        self.record, self.description = upscaler.record, upscaler.description
        self._upscaler, self.calls = upscaler, 0

    def upscale(self, lr: Tensor, reference: Tensor | None) -> Tensor:
        self.calls += 1
        return self._upscaler.upscale(lr, reference)


def test_frames_are_kept_by_their_content(tmp_path: Path, truth: np.ndarray) -> None:
    lr = torch.cat([as_tensor(truth)[..., :30, :40], as_tensor(truth)[..., 30:60, 40:80]])
    counting = Counting(load_edsr(scale=3))
    cached = CachedUpscaler(counting, tmp_path, "float32")
    first = cached.upscale(lr, None)
    assert counting.calls == 2 and torch.equal(first, counting.upscale(lr, None))
    counting.calls = 0
    assert torch.equal(cached.upscale(lr, None), first) and counting.calls == 0
    assert torch.equal(CachedUpscaler(counting, tmp_path, "bfloat16").upscale(lr[:1], None), first[:1])
    assert counting.calls == 1, "another number type is another file"
    changed = lr.clone()
    changed[0, 0, 0, 0] = 1 - changed[0, 0, 0, 0]
    cached.upscale(changed, None)
    assert counting.calls == 2, "one other pixel is another frame"
    for damage in (lambda data: data[:100], lambda data: data[:36] + b"\0\0\0\1" + data[40:]):
        for path in tmp_path.rglob("*.png"):
            path.write_bytes(damage(path.read_bytes()))
        assert torch.equal(cached.upscale(lr, None), first), "a damaged file was used"
    assert torch.equal(cached.upscale(lr, None), first) and counting.calls == 6
