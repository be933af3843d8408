"""Networks saved as a whole, ONNX, TorchScript and torch.export: whatever frames and values they are for."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from deploy.core.errors import OptionError, WeightsError
from labeling.networks.devices import autocast
from labeling.upscalers import UPSCALERS
from labeling.upscalers.consistency import LEAST_DB, consistency_db, known_frame
from labeling.upscalers.network import NetworkUpscaler
from labeling.upscalers.tiling import upscale_in_fixed_tiles
from tests.helpers.enlarging import Enlarging, Taking, save_export, save_onnx, save_script

pytestmark = pytest.mark.slow  # torch.export alone takes ten seconds to import

Save = Callable[[nn.Module, Path, tuple[int, ...]], Path]
FORMATS: dict[str, Save] = {
    "onnx": lambda network, folder, shape: save_onnx(network, folder / "network.onnx", shape),
    "onnx-fixed": lambda network, folder, shape: save_onnx(network, folder / "network.onnx", shape, free=()),
    "script": lambda network, folder, shape: save_script(network, folder / "network.ts"),
    "export": lambda network, folder, shape: save_export(network, folder / "network.pt2", shape, free=True),
    "export-fixed": lambda network, folder, shape: save_export(network, folder / "network.pt2", shape, free=False),
}


def load(path: Path, scale: int, **options: str) -> NetworkUpscaler:
    name = "onnx" if path.suffix == ".onnx" else "torch-program"
    upscaler = UPSCALERS.create(name, scale=scale, weights=path, options=options)
    assert isinstance(upscaler, NetworkUpscaler) and upscaler.name == name
    return upscaler


def frames(height: int, width: int, count: int = 1) -> Tensor:
    pixels = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))
    return (pixels * 255).round() / 255


def right(network: Enlarging, lr: Tensor) -> Tensor:
    """What the network makes of frames whose edges are continued, in [0, 1]."""
    around = functional.pad(lr, (1, 1, 1, 1), mode="replicate")
    enlarged = network(around * network.greatest) / network.greatest
    cut = slice(network.factor, -network.factor)
    return enlarged[..., cut, cut].clamp(0, 1)


def inner_error(sr: Tensor, wanted: Tensor, cut_px: int) -> float:
    inner = slice(cut_px, -cut_px)
    return float((sr - wanted)[..., inner, inner].abs().amax())


@pytest.mark.parametrize("values", [1.0, 255.0])
@pytest.mark.parametrize(("form", "factor"), [(form, 2 + number % 3) for number, form in enumerate(FORMATS)])
def test_factor_and_values_are_found(form: str, factor: int, values: float, tmp_path: Path) -> None:
    """Frames of odd sides, several at once, from a file that says neither."""
    network = Enlarging(factor, greatest=values)
    upscaler = load(FORMATS[form](network, tmp_path, (1, 3, 24, 28)), factor)
    lr = frames(33, 45, count=2)
    sr = upscaler.upscale(lr, None)
    assert sr.shape == (2, 3, 33 * factor, 45 * factor) and sr.dtype == torch.float32
    assert inner_error(sr, right(network, lr), factor) <= 0.5 / 255 + 1e-4  # rounded to whole 1/255
    assert consistency_db(known_frame(), upscaler.enlarge_once(known_frame())) > LEAST_DB + 5
    size = "only 28 x 24: frames are processed in tiles" if "fixed" in form else "any size"
    assert f"x{factor}, RGB, values to {values:.0f}, {size}" in upscaler.description
    pixels = sr.clone().requires_grad_(True)  # autograd takes it
    assert torch.autograd.grad((pixels * sr).sum(), pixels)[0].equal(sr)


@pytest.mark.parametrize(("scale", "passes"), [(1, 0), (2, 1), (3, 2), (4, 2), (8, 3)])
def test_any_scale(scale: int, passes: int, tmp_path: Path) -> None:
    network = Enlarging(2)
    upscaler = load(save_onnx(network, tmp_path / "network.onnx", (1, 3, 24, 28)), scale)
    lr = sr = frames(16, 20)
    for _ in range(passes):
        sr = network(sr)
    if sr.shape[2] != 16 * scale:
        sr = functional.interpolate(sr, (16 * scale, 20 * scale), mode="bicubic", antialias=True, align_corners=False)
    assert (upscaler.upscale(lr, None) - sr.clamp(0, 1)).abs().amax() <= 0.6 / 255


@pytest.mark.parametrize(("height", "width"), [(24, 28), (10, 11), (24, 29), (70, 85)])
@pytest.mark.parametrize("form", ["onnx-fixed", "export-fixed"])
def test_a_fixed_size_takes_frames_of_any(form: str, height: int, width: int, tmp_path: Path) -> None:
    """Smaller, equal, larger: tiles join without a seam, and edges are continued."""
    network = Enlarging(2)
    upscaler = load(FORMATS[form](network, tmp_path, (1, 3, 24, 28)), 2)
    lr = frames(height, width)
    sr, wanted = upscaler.upscale(lr, None), right(network, lr)
    assert sr.shape == wanted.shape and inner_error(sr, wanted, 2) <= 0.5 / 255 + 1e-4
    if (height, width) == (24, 28):  # at once, as it is
        assert (sr - network(lr).clamp(0, 1)).abs().amax() <= 0.5 / 255 + 1e-4
    if height > 24:
        assert (sr - wanted).abs().amax() <= 0.5 / 255 + 1e-4, "the edges too"


@pytest.mark.parametrize("overlap_px", [0, 1, 4])
def test_tiles_of_a_fixed_size(overlap_px: int) -> None:
    """What is called gets that size alone; where it sees one pixel around, that much overlap is enough, none is not."""
    network, seen = Enlarging(3), set()

    def upscale(tile: Tensor) -> Tensor:
        seen.add(tuple(tile.shape[2:]))
        return network(tile)

    lr = frames(37, 41)
    sr = upscale_in_fixed_tiles(upscale, lr, scale=3, size=(16, 12), overlap_px=overlap_px)
    error = (sr.clamp(0, 1) - right(network, lr)).abs().amax()
    assert seen == {(16, 12)} and sr.shape == (1, 3, 111, 123)
    assert error < 1e-5 if overlap_px else error > 0.01


@pytest.mark.parametrize("form", ["onnx", "script", "export"])
def test_float16(form: str, tmp_path: Path) -> None:
    network = Enlarging(2, greatest=255.0)
    lr = frames(20, 30)
    wanted = right(network, lr)
    upscaler = load(FORMATS[form](network.half(), tmp_path, (1, 3, 24, 28)), 2)
    assert inner_error(upscaler.upscale(lr, None), wanted, 2) <= 1.5 / 255


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("form", ["onnx", "script", "export"])
def test_a_program_keeps_its_number_type(form: str, half: bool, tmp_path: Path) -> None:
    """TorchScript's own way to mix types fails on some networks, so --precision leaves programs alone."""
    network = Enlarging(2)
    upscaler = load(FORMATS[form](network.half() if half else network, tmp_path, (1, 3, 24, 28)), 2)
    lr = frames(20, 30)
    plain = upscaler.upscale(lr, None)
    for precision in ("bfloat16", "float16"):
        with autocast("cpu", precision):
            assert torch.equal(upscaler.upscale(lr, None), plain)


@pytest.mark.parametrize("form", FORMATS)
def test_luma_alone(form: str, tmp_path: Path) -> None:
    """Colors as OpenCV splits, enlarges and joins them."""
    network = Enlarging(3, channels=1, greatest=255.0)
    upscaler = load(FORMATS[form](network, tmp_path, (1, 1, 24, 28)), 3)
    lr = 0.25 + 0.5 * frames(24, 28)
    parts = cv2.cvtColor(lr[0].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2YCrCb)
    luma = network(torch.from_numpy(parts[..., 0])[None, None] * 255)[0, 0] / 255
    chroma = cv2.resize(parts[..., 1:], (84, 72), interpolation=cv2.INTER_CUBIC)
    wanted = cv2.cvtColor(np.dstack([luma.numpy(), chroma]).astype(np.float32), cv2.COLOR_YCrCb2RGB)
    sr = upscaler.upscale(lr, None)
    assert inner_error(sr, torch.from_numpy(wanted).permute(2, 0, 1)[None].clamp(0, 1), 6) <= 1.5 / 255
    with pytest.raises(OptionError, match="takes only luma, not colors"):
        load(upscaler_path(tmp_path), 3, colors="bgr")


def upscaler_path(folder: Path) -> Path:
    (path,) = folder.glob("network.*")
    return path


@pytest.mark.parametrize("side", [2, 8, 64])
def test_frames_in_windows(side: int, tmp_path: Path) -> None:
    """Sides are brought to the multiple that it needs, and back."""
    network = Enlarging(2)
    upscaler = load(save_script(Taking(network, "windows", side), tmp_path / "network.pt"), 2)
    lr = frames(21, 30)
    assert inner_error(upscaler.upscale(lr, None), right(network, lr), 2) <= 0.5 / 255 + 1e-4


@pytest.mark.parametrize("free", [(), (0, 1, 2)])
def test_channels_last(free: tuple[int, ...], tmp_path: Path) -> None:
    """As TensorFlow's exports are."""
    network = Enlarging(2)
    path = save_onnx(Taking(network, "channels last"), tmp_path / "network.onnx", (1, 24, 28, 3), free)
    lr = frames(33, 45)
    assert inner_error(load(path, 2).upscale(lr, None), right(network, lr), 2) <= 0.5 / 255 + 1e-4


@pytest.mark.parametrize("save", ["onnx-fixed", "export-fixed"])
def test_a_fixed_batch(save: str, tmp_path: Path) -> None:
    network = Enlarging(2)
    upscaler = load(FORMATS[save](network, tmp_path, (4, 3, 24, 28)), 2)
    lr = frames(24, 28, count=3)
    assert (upscaler.upscale(lr, None) - network(lr).clamp(0, 1)).abs().amax() <= 0.5 / 255 + 1e-4


def test_whole_numbers(tmp_path: Path) -> None:
    """An ONNX file that takes and returns uint8."""
    network = Enlarging(2, greatest=255.0)
    path = save_onnx(network, tmp_path / "network.onnx", (1, 3, 24, 28))
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    for node in model.graph.node:
        node.input[:] = ["float_x" if name == "x" else name for name in node.input]
        node.output[:] = ["float_y" if name == "y" else name for name in node.output]
    model.graph.node.insert(0, helper.make_node("Cast", ["x"], ["float_x"], to=TensorProto.FLOAT))
    bound = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("low", 0), ("high", 255))]
    model.graph.initializer.extend(bound)
    model.graph.node.append(helper.make_node("Clip", ["float_y", "low", "high"], ["clipped_y"]))
    model.graph.node.append(helper.make_node("Round", ["clipped_y"], ["round_y"]))
    model.graph.node.append(helper.make_node("Cast", ["round_y"], ["y"], to=TensorProto.UINT8))
    onnx.save(model, path)
    lr = frames(20, 30)
    assert inner_error(load(path, 2).upscale(lr, None), right(network, lr), 2) <= 0.5 / 255 + 1e-4


def test_the_order_of_colours_can_be_told(tmp_path: Path) -> None:
    """A network does not show it: run either way it enlarges rightly, but not equally."""
    network = Enlarging(2)
    path = save_script(network, tmp_path / "network.pt")
    lr = frames(20, 30)
    rgb, bgr = load(path, 2), load(path, 2, colors="bgr")
    assert rgb.record == {} and bgr.record == {"colors": "bgr"} and load(path, 2, colors="rgb").record
    reversed_too = load(save_script(Taking(network, "channels reversed"), tmp_path / "reversed.pt"), 2)
    assert torch.equal(bgr.upscale(lr, None), reversed_too.upscale(lr, None))
    assert (bgr.upscale(lr, None) - rgb.upscale(lr, None)).abs().amax() > 0.02
    with pytest.raises(OptionError, match="colors=gbr"):
        load(path, 2, colors="gbr")


def test_onnx_runtime_takes_as_many_threads_as_pytorch(tmp_path: Path) -> None:
    path = save_onnx(Enlarging(2), tmp_path / "network.onnx", (1, 3, 24, 28))
    session: Any = load(path, 2).network
    assert session._session.get_session_options().intra_op_num_threads == torch.get_num_threads()
    assert session._session.get_providers() == ["CPUExecutionProvider"]


# What is refused


def test_frames_that_an_export_was_not_made_for(tmp_path: Path) -> None:
    """It runs on the known frame, and says which frame it does not run on."""
    path = save_export(Enlarging(2), tmp_path / "network.pt2", (1, 3, 24, 28), free=True, longest=100)
    upscaler = load(path, 2)
    assert upscaler.upscale(frames(100, 90), None).shape == (1, 3, 200, 180)
    with pytest.raises(WeightsError, match="failed on 1 x 3 x 90 x 120") as error:
        upscaler.upscale(frames(90, 120), None)
    assert "any size" in error.value.hint


class Reducing(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "as it was":
            return x * self.weight
        if self.kind == "one number":
            return x.mean() * self.weight
        if self.kind == "uneven":
            return x.repeat_interleave(2, 2).repeat_interleave(3, 3) * self.weight
        if self.kind == "x9":
            return x.repeat_interleave(9, 2).repeat_interleave(9, 3) * self.weight
        return torch.cat([x, x[:, :1]], 1).repeat_interleave(2, 2).repeat_interleave(2, 3) * self.weight


@pytest.mark.parametrize("form", ["onnx", "script"])
@pytest.mark.parametrize("kind", ["as it was", "one number", "uneven", "x9", "four channels"])
def test_what_does_not_enlarge_frames(kind: str, form: str, tmp_path: Path) -> None:
    path = FORMATS[form](Reducing(kind), tmp_path, (1, 3, 24, 28))
    with pytest.raises(WeightsError, match="does not enlarge a frame") as error:
        load(path, 2)
    assert str(path) in str(error.value) and "2 to 8 times" in error.value.hint


def onnx_with(nodes: list[Any], inputs: list[Any], path: Path, initializers: list[Any] | None = None) -> Path:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, "H", "W"])
    graph = helper.make_graph(nodes, "graph", inputs, [output], initializers or [])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def a_frame(name: str = "x", shape: tuple[Any, ...] = (1, 3, "h", "w")) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def a_forged_factor(path: Path) -> None:
    """It would ask for terabytes."""
    scales = numpy_helper.from_array(np.array([1, 1, 30000, 30000], np.float32), "scales")
    onnx_with([helper.make_node("Resize", ["x", "", "scales"], ["y"])], [a_frame()], path, [scales])


def other_files(path: Path) -> None:
    save_onnx(Enlarging(2), path, (1, 3, 24, 28))
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)


def two_inputs(path: Path) -> None:
    onnx_with([helper.make_node("Add", ["x", "noise"], ["y"])], [a_frame(), a_frame("noise")], path)


def six_channels(path: Path) -> None:
    onnx_with([helper.make_node("Identity", ["x"], ["y"])], [a_frame(shape=(1, 6, "h", "w"))], path)


def an_endless_side(path: Path) -> None:
    onnx_with([helper.make_node("Identity", ["x"], ["y"])], [a_frame(shape=(1, 3, 10**6, 10**6))], path)


def three_dimensions(path: Path) -> None:
    onnx_with([helper.make_node("Identity", ["x"], ["y"])], [a_frame(shape=(3, "h", "w"))], path)


def an_unknown_operator(path: Path) -> None:
    onnx_with([helper.make_node("Mystery", ["x"], ["y"])], [a_frame()], path)


class Malicious:
    """Unpickled, it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def with_a_pickle(path: Path) -> None:
    save_export(Enlarging(2), path, (1, 3, 24, 28), free=True)
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].split("/")[0]
        archive.writestr(f"{root}/extra/evil.pkl", pickle.dumps(Malicious(path.with_name("executed"))))


def a_state_dict(path: Path) -> None:
    torch.save(Enlarging(2).state_dict(), path)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("missing.onnx", lambda path: None, "not found"),
        ("text.onnx", lambda path: path.write_text("no network\n"), "as an upscaler"),
        ("files.onnx", other_files, "other files"),
        ("two.onnx", two_inputs, "not have exactly one input: x, noise"),
        ("six.onnx", six_channels, "1 x 6 x free x free"),
        ("side.onnx", an_endless_side, "not RGB or luma frames"),
        ("flat.onnx", three_dimensions, "3 x free x free"),
        ("mystery.onnx", an_unknown_operator, "ONNX Runtime cannot run"),
        ("forged.onnx", a_forged_factor, "1 x 3 x 1920000 x 1920000"),
        ("missing.pt", lambda path: None, "not found"),
        ("text.pt", lambda path: path.write_text("no network\n"), "as a PyTorch program"),
        ("text.pt2", lambda path: path.write_text("no network\n"), "as a PyTorch program"),
        ("state.pt", a_state_dict, "as a PyTorch program"),
        ("pickle.pt2", with_a_pickle, "carries"),
    ],
)
def test_unusable_files(name: str, make: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(WeightsError, match=message) as error:
        load(path, 2)
    assert str(path) in str(error.value) and error.value.hint
    assert not (tmp_path / "executed").exists(), "code out of a file was run"


@pytest.mark.parametrize("name", ["onnx", "torch-program"])
def test_a_file_is_needed(name: str) -> None:
    with pytest.raises(OptionError, match="needs a file") as error:
        UPSCALERS.create(name, scale=3, weights=None)
    assert "--upscaler-weights" in error.value.hint


# A published network that no library here knows


class Attention(nn.Module):
    """PAN's building block, self-calibrated convolution with pixel attention (Zhao et al., ECCVW 2020, figure 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1_a, self.conv1_b, self.conv3 = (nn.Conv2d(40, n, 1, bias=False) for n in (20, 20, 40))
        self.k1 = nn.Sequential(nn.Conv2d(20, 20, 3, padding=1, bias=False))
        self.PAConv = nn.ModuleDict({name: nn.Conv2d(20, 20, 3, padding=1, bias=False) for name in ("k3", "k4")})
        self.PAConv["k2"] = nn.Conv2d(20, 20, 1)

    def forward(self, x: Tensor) -> Tensor:
        plain, weighed = functional.leaky_relu(self.conv1_a(x), 0.2), functional.leaky_relu(self.conv1_b(x), 0.2)
        weighed = self.PAConv["k4"](self.PAConv["k3"](weighed) * self.PAConv["k2"](weighed).sigmoid())
        both = torch.cat([self.k1(plain), weighed], dim=1)
        return self.conv3(functional.leaky_relu(both, 0.2)) + x  # type: ignore[no-any-return]


class Pan(nn.Module):
    """Written anew after the paper, with the names of its published weights; x3, 40 and 24 features, 16 blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_first, self.trunk_conv = nn.Conv2d(3, 40, 3, padding=1), nn.Conv2d(40, 40, 3, padding=1)
        self.SCPA_trunk = nn.Sequential(*[Attention() for _ in range(16)])
        self.upconv1, self.att1 = nn.Conv2d(40, 24, 3, padding=1), nn.ModuleDict({"conv": nn.Conv2d(24, 24, 1)})
        self.HRconv1, self.conv_last = nn.Conv2d(24, 24, 3, padding=1), nn.Conv2d(24, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_first(x)
        y = y + self.trunk_conv(self.SCPA_trunk(y))
        y = self.upconv1(functional.interpolate(y, scale_factor=3.0, mode="nearest"))
        y = functional.leaky_relu(y * self.att1["conv"](y).sigmoid(), 0.2)
        y = self.conv_last(functional.leaky_relu(self.HRconv1(y), 0.2))
        return y + functional.interpolate(x, scale_factor=3.0, mode="bilinear", align_corners=False)  # type: ignore[no-any-return]


def test_pan_goes_in_by_its_export(assets: Path, tmp_path: Path) -> None:
    """The error for its weights says what to do, and doing it works."""
    weights = assets / "PANx3_DF2K.pth"
    if not weights.is_file():
        pytest.skip(f"{weights} is missing: it has no license, so the project has no copy")
    with pytest.raises(WeightsError, match="spandrel does not recognize the network") as error:
        UPSCALERS.create("spandrel", scale=3, weights=weights)
    assert "ONNX" in error.value.hint and "--upscaler onnx or torch-program" in error.value.hint
    network = Pan().eval().requires_grad_(False)
    network.load_state_dict(torch.load(weights, weights_only=True))
    lr = known_frame()
    wanted = network(lr).clamp(0, 1)
    for form in ("onnx", "script"):
        upscaler = load(FORMATS[form](network, tmp_path, (1, 3, 24, 28)), 3)
        assert (upscaler.upscale(lr, None) - wanted).abs().amax() <= 0.5 / 255 + 1e-4
        assert consistency_db(lr, upscaler.enlarge_once(lr)) > LEAST_DB + 8
