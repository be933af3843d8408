"""Upscalers as ONNX: the same pixels as in PyTorch, at every size, and regions equal to the whole frame."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from spandrel.architectures.Compact import Compact
from spandrel.architectures.SAFMN import SAFMN
from torch import nn
from torch.nn import functional

from deploy.cards.model_card import card_path
from deploy.cards.upscaler_card import UpscalerCard, read_upscaler_card
from deploy.core.errors import InputError, OptionError, RegenError, WeightsError
from deploy.enhancement.upscaler import EMBEDDED, Upscaler
from export.halo import halo_error, receptive_radius_px
from export.upscaler_exporter import export_upscaler
from export.upscaler_graph import write_graph
from export.upscaler_options import UpscalerExportOptions
from labeling.upscalers.edsr import EMBEDDED_WEIGHTS, Edsr, load_edsr, save_edsr
from labeling.upscalers.network import NetworkUpscaler


def noise(height_px: int, width_px: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise of about a pixel's size over a ramp."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3))
    return (pixels // 2 + np.linspace(0, 127, width_px, dtype=int)[None, :, None]).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny EDSR, x2, and a picture."""
    folder = tmp_path_factory.mktemp("upscaler")
    torch.manual_seed(0)
    save_edsr(Edsr(scale=2, features=8, blocks=2), folder / "tiny.safetensors", {})
    Image.fromarray(noise(70, 90)).save(folder / "frame.png")
    return folder


def export(folder: Path, **changes: Any) -> UpscalerCard:
    given: dict[str, Any] = {
        "frames": (folder / "frame.png",),
        "out": folder / "tiny.onnx",
        "weights": folder / "tiny.safetensors",
        "upscaler_option": ("res_scale=1",),
        "scale": 2,
        "license": "MIT",
    }
    return export_upscaler(UpscalerExportOptions(**(given | changes)))


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Path:
    export(folder)
    return folder / "tiny.onnx"


def test_the_card_says_what_the_network_is(tiny: Path) -> None:
    card = read_upscaler_card(tiny)
    assert (card.name, card.scale, card.license, card.whole_frame) == ("edsr tiny", 2, "MIT", False)
    assert card.receptive_radius_px == Edsr(scale=2, features=8, blocks=2).receptive_radius_px == 8
    assert 0 < card.fast_halo_px <= 8 and card.halo_errors[str(card.fast_halo_px)] <= 1
    assert card.halo_errors[str(card.fast_halo_px - 1)] > 1, "a smaller halo would do"
    assert card.parity["largest_difference_of_255"] <= 1


@pytest.mark.parametrize("shape", [(1, 48, 64), (2, 17, 33), (3, 90, 20)])
def test_every_size_is_as_in_pytorch(tiny: Path, shape: tuple[int, int, int]) -> None:
    frames = np.stack([noise(*shape[1:], seed) for seed in range(shape[0])])
    network = load_edsr(scale=2, weights=tiny.with_suffix(".safetensors"), res_scale=1)
    expected = network.upscale(torch.tensor(frames).permute(0, 3, 1, 2).float() / 255, None)
    with Upscaler(tiny, threads=1) as upscaler:
        found = upscaler(frames)
    assert np.abs(found - 255 * expected.permute(0, 2, 3, 1).numpy()).max() <= 1.01


def test_margins_are_cut_off(tiny: Path) -> None:
    """With the receptive radius around it, and the frame's border where it is, a part equals the whole."""
    frame = noise(60, 70)
    with Upscaler(tiny, runtime="onnxruntime", threads=1) as upscaler:
        whole = upscaler(frame[None])[0]
        inner = upscaler(np.ascontiguousarray(frame[None, 2:40, 12:]), (8, 8, 8, 0))[0]
    assert inner.shape == (44, 100, 3)
    assert np.abs(inner.astype(int) - whole[20:64, 40:]).max() <= 1


def test_openvino_gives_the_same(tiny: Path) -> None:
    pytest.importorskip("openvino")
    frame = noise(40, 52)[None]
    results = []
    for runtime in ("onnxruntime", "openvino"):
        with Upscaler(tiny, runtime=runtime, threads=1) as upscaler:  # type: ignore[arg-type]  # both are names of it
            results.append(upscaler(frame, (3, 0, 4, 5)).astype(int))
    assert np.abs(results[0] - results[1]).max() <= 1


def test_the_embedded_upscaler_is_the_exported_embedded_one() -> None:
    card = read_upscaler_card(EMBEDDED)
    network = load_edsr(scale=3)
    frame = np.asarray(noise(31, 45))
    expected = network.upscale(torch.tensor(frame[None]).permute(0, 3, 1, 2).float() / 255, None)
    with Upscaler(threads=1) as upscaler:
        found = upscaler(frame[None])
    assert card.weights_sha256 == network.weights_sha256 and EMBEDDED_WEIGHTS.is_file()
    assert np.abs(found - 255 * expected.permute(0, 2, 3, 1).numpy()).max() <= 1.01
    assert EMBEDDED.stat().st_size < 620_000


def test_carn(folder: Path, assets: Path) -> None:
    out = folder / "carn.onnx"
    weights = assets / "carn_m.pth"
    card = export(folder, upscaler="carn", weights=weights, upscaler_option=(), scale=3, out=out)
    assert card.receptive_radius_px == 1 + 9 * 2 + 1 + 1 and not card.whole_frame
    with Upscaler(out, threads=1) as upscaler:
        assert halo_error(upscaler, [noise(64, 80)], card.receptive_radius_px) <= 1


class Pooled(nn.Module):
    """Enlarges, and adds the mean of the whole frame."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(x, scale_factor=2) + x.mean(dim=(2, 3), keepdim=True)


def test_a_network_that_sees_the_whole_frame_is_known() -> None:
    assert receptive_radius_px(Pooled()) is None
    assert receptive_radius_px(lambda x: functional.interpolate(x, scale_factor=3)) == 0


def test_regions_of_such_a_network_are_refused(tiny: Path, tmp_path: Path) -> None:
    copy = tmp_path / "whole.onnx"
    copy.write_bytes(tiny.read_bytes())
    data = asdict(read_upscaler_card(tiny)) | {"whole_frame": True, "fast_halo_px": 0, "receptive_radius_px": 0}
    card_path(copy).write_text(json.dumps(data))
    with pytest.raises(WeightsError, match="differs from the one embedded in it"):
        Upscaler(copy, runtime="onnxruntime")
    with Upscaler(copy, runtime="openvino") as upscaler, pytest.raises(WeightsError, match="depends on the whole"):
        upscaler.halo_px("fast")


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"scale": 3}, OptionError, "Add --scale 2"),
        ({"scale": 9}, OptionError, "from 2 to 8"),
        ({"out": Path("x.bin")}, OptionError, "must end in .onnx"),
        ({"frames": (Path("missing.png"),)}, InputError, "missing.png"),
        ({"upscaler": "carn", "upscaler_option": ()}, WeightsError, "not a CARN checkpoint"),
    ],
)
def test_what_cannot_be_exported_is_told(
    folder: Path, tmp_path: Path, change: dict[str, Any], kind: type[RegenError], said: str
) -> None:
    with pytest.raises(kind) as raised:
        export(folder, **({"out": tmp_path / "out.onnx"} | change))
    assert said in f"{raised.value} {raised.value.hint}" and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 1},
        {"scale": 1000},
        {"scale": True},
        {"fast_halo_px": 9},
        {"receptive_radius_px": -1},
        {"colors": "bgr8"},
        {"schema_version": 2},
        {"license": None},
        {"halo_errors": []},
        {"whole_frame": 0},
        {"more": 1},
    ],
)
def test_a_bad_card_is_refused(tiny: Path, change: dict[str, Any]) -> None:
    data = asdict(read_upscaler_card(tiny)) | change
    with pytest.raises(WeightsError, match="bad upscaler card in x: "):
        UpscalerCard.from_json(json.dumps(data), origin="x")


def test_a_card_of_another_factor_is_refused(tiny: Path, tmp_path: Path) -> None:
    copy = tmp_path / "other.onnx"
    copy.write_bytes(tiny.read_bytes())
    card_path(copy).write_text(json.dumps(asdict(read_upscaler_card(tiny)) | {"scale": 3}))
    with pytest.raises(WeightsError, match="card"):
        Upscaler(copy)


def test_a_network_of_spandrel(folder: Path) -> None:
    """Real-ESRGAN's compact network, which adds the frame itself: untrained weights pass that trial."""
    torch.manual_seed(0)
    torch.save(Compact(num_feat=16, num_conv=2, upscale=2).state_dict(), folder / "compact.pth")
    card = export(
        folder, upscaler="spandrel", weights=folder / "compact.pth", upscaler_option=(), out=folder / "compact.onnx"
    )
    assert card.receptive_radius_px == 4 and not card.whole_frame and card.name == "spandrel compact"
    with Upscaler(folder / "compact.onnx", threads=1) as upscaler:
        assert halo_error(upscaler, [noise(64, 80)], 4) <= 1
        assert upscaler(noise(19, 33)[None]).shape == (1, 38, 66, 3)


def test_a_network_that_does_not_convert_is_told(folder: Path) -> None:
    """SAFMN pools to an eighth of the frame's size, which ONNX cannot say of free sizes."""
    torch.manual_seed(0)
    network = SAFMN(dim=36, n_blocks=2, upscaling_factor=3).eval().requires_grad_(False)
    upscaler = NetworkUpscaler(
        "safmn", network, network, native_scale=3, scale=3, weights_sha256="", overlap_px=0, tile_px=None
    )
    with pytest.raises(WeightsError, match="safmn cannot be converted to ONNX: Unsupported"):
        write_graph(upscaler, folder / "safmn.onnx", half_weights=False)
