"""An upscaler whose result, reduced again, is not the frame is refused; options that make it right."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from deploy.core.errors import OptionError, WeightsError
from deploy.core.resize import area_resize
from labeling.core.weights import read_state
from labeling.upscalers import UPSCALERS, Upscaler
from labeling.upscalers.consistency import LEAST_DB, consistency_db, known_frame, require_consistent
from labeling.upscalers.edsr import EMBEDDED_WEIGHTS, load_edsr
from labeling.upscalers.network import NetworkUpscaler
from labeling.upscalers.registry import parse_options
from labeling.upscalers.simple import interpolate
from tests.helpers.enlarging import Enlarging, save_script

MARGIN_DB = 8.0


def trained_with_residuals_of(res_scale: float, path: Path) -> Path:
    """The embedded EDSR as it would be if it had been trained so: other numbers in the file, the same function."""
    state = read_state(EMBEDDED_WEIGHTS)
    for name in state:
        if ".body.2." in name:
            state[name] = state[name] / res_scale
    torch.save(state, path)
    return path


def test_the_known_frame() -> None:
    """It has what makes faults visible: unequal channels, dark and bright, many colors."""
    frame = known_frame()
    assert frame.shape == (1, 3, 39, 47) and frame.dtype == torch.float32
    assert torch.equal((frame * 255).round() / 255, frame) and torch.equal(known_frame(), frame)
    assert frame.min() < 0.15 and frame.max() > 0.9
    assert len(torch.unique((frame[0] * 255).flatten(1).T, dim=0)) > 500
    grey = frame.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    for wrong in (frame.flip(1), grey, frame**1.5, torch.full_like(frame, 0.5)):
        assert consistency_db(frame, interpolate(wrong, 3)) < LEAST_DB - 4


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_the_figure_is_the_psnr_after_reduction(factor: int) -> None:
    """Against the project's other way to reduce by area."""
    frame = known_frame()
    enlarged = interpolate(frame, factor)
    pixels = (enlarged[0].permute(1, 2, 0) * 255).round().byte().numpy()
    reduced = area_resize(pixels, height_px=39, width_px=47).astype(float) / 255
    error = ((reduced - frame[0].permute(1, 2, 0).numpy())[4:-4, 4:-4] ** 2).mean()
    assert consistency_db(frame, enlarged) == pytest.approx(-10 * math.log10(error), abs=0.1)
    assert consistency_db(frame, frame) == pytest.approx(100)
    assert consistency_db(frame, torch.full_like(enlarged, math.nan)) == 0


@pytest.mark.parametrize("scale", [1, 2, 3, 8])
def test_the_embedded_network_is_right_by_far(scale: int) -> None:
    upscaler = UPSCALERS.create("edsr", scale=scale, weights=None)
    assert isinstance(upscaler, NetworkUpscaler) and upscaler.record == {}
    assert consistency_db(known_frame(), upscaler.enlarge_once(known_frame())) > LEAST_DB + 2 * MARGIN_DB


@pytest.mark.parametrize(
    ("name", "file", "scale"),
    [
        ("carn", "carn_m.pth", 2), ("carn", "carn_m.pth", 3), ("carn", "carn_m.pth", 8),
        ("opencv-espcn", "ESPCN_x2.pb", 4), ("opencv-espcn", "ESPCN_x3.pb", 3), ("opencv-fsrcnn", "FSRCNN_x3.pb", 3),
    ],
)  # fmt: skip
def test_published_networks_are_right_by_far(assets: Path, name: str, file: str, scale: int) -> None:
    upscaler = UPSCALERS.create(name, scale=scale, weights=assets / file)
    assert isinstance(upscaler, NetworkUpscaler)
    assert consistency_db(known_frame(), upscaler.enlarge_once(known_frame())) > LEAST_DB + MARGIN_DB


def test_an_untold_residual_scale_is_refused_and_can_be_told(tmp_path: Path) -> None:
    weights = trained_with_residuals_of(0.1, tmp_path / "edsr.pt")
    with pytest.raises(WeightsError, match=r"edsr\.pt.*is 1\d\.\d dB from it") as error:
        UPSCALERS.create("edsr", scale=3, weights=weights)
    assert "--upscaler-option res_scale=0.1" in error.value.hint
    told = UPSCALERS.create("edsr", scale=3, weights=weights, options=parse_options(["res_scale=0.1"]))
    assert told.record == {"res_scale": 0.1}
    frame = known_frame()
    right = UPSCALERS.create("edsr", scale=3, weights=None).upscale(frame, None)
    assert (told.upscale(frame, None) - right).abs().amax() <= 1 / 255
    again = UPSCALERS.create("edsr", scale=3, weights=weights, options=told.record)
    assert torch.equal(again.upscale(frame, None), told.upscale(frame, None))


def test_the_option_wins_over_what_the_file_says(tmp_path: Path) -> None:
    """Where a file states a wrong factor too."""
    state = read_state(trained_with_residuals_of(0.1, tmp_path / "edsr.pt"))
    save_file(state, tmp_path / "edsr.safetensors", {"res_scale": "1.0", "record": json.dumps({})})
    assert load_edsr(scale=3, weights=tmp_path / "edsr.safetensors").network.res_scale == 1.0
    told = UPSCALERS.create("edsr", scale=3, weights=tmp_path / "edsr.safetensors", options={"res_scale": "0.1"})
    assert isinstance(told, NetworkUpscaler) and told.network.res_scale == 0.1


def test_the_untrained_case_of_a_residual_scale(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Random weights: refused; right within 1/255 where its user says the scale, with a warning."""
    weights = assets.parent / "cases" / "16_edsr_res_scale_0.1.pt"
    if not weights.is_file():
        pytest.skip(f"{weights} is missing")
    case = torch.load(weights.with_name("16_edsr_right_answer.pt"), weights_only=True)
    right = case["right"].clamp(0, 255) / 255
    told = UPSCALERS.create("edsr", scale=2, weights=weights, options={"res_scale": "0.1"})
    assert (told.upscale(case["lr"] / 255, None) - right).abs().amax() < 1 / 255
    warning = capsys.readouterr().err
    assert warning.startswith("warning: ") and "not trained with res_scale=0.1" in warning
    guessed = load_edsr(scale=2, weights=weights).upscale(case["lr"] / 255, None)
    assert (guessed - right).abs().amax() > 10 / 255
    with pytest.raises(WeightsError, match=r"1\d\.\d dB") as error:
        UPSCALERS.create("edsr", scale=2, weights=weights)
    assert "--upscaler-option res_scale" in error.value.hint


class Fault(nn.Module):
    """A right network with a fault behind it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = Enlarging(2), kind

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        if self.kind == "grey":
            return y.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        if self.kind == "colours swapped":
            return y.flip(1)
        if self.kind == "moved":
            return torch.roll(y, (2, 2), (2, 3))
        if self.kind == "not numbers":
            return y / 0.0 * 0.0
        return y * 0.0 + 0.5


@pytest.mark.parametrize("kind", ["grey", "colours swapped", "moved", "not numbers", "nothing"])
def test_faults_are_refused(kind: str, tmp_path: Path) -> None:
    weights = save_script(Fault(kind), tmp_path / "network.pt")
    with pytest.raises(WeightsError, match=r"\d dB from it") as error:
        UPSCALERS.create("torch-program", scale=2, weights=weights)
    assert str(weights) in str(error.value) and "0 to 1 or 0 to 255" in error.value.hint


def test_an_upscaler_of_any_class_is_tried() -> None:
    """Without ``enlarge_once`` its result at the wanted scale counts."""

    class Mine:
        name, scale, weights_sha256, record, description = "mine", 3, "0" * 64, {}, ""

        def upscale(self, lr: Tensor, reference: Tensor | None) -> Tensor:
            return interpolate(lr, self.scale) * self.brightness

        brightness: Any = 1.0

    upscaler: Upscaler = Mine()
    require_consistent(upscaler, "mine.bin")
    for brightness, message in (
        (0.5, r"mine\.bin.*dB from it"),
        (None, r"mine\.bin failed to run: unsupported operand"),
    ):
        Mine.brightness = brightness
        with pytest.raises(WeightsError, match=message) as error:
            require_consistent(upscaler, "mine.bin")
        assert error.value.hint


# Options


@pytest.mark.parametrize("name", UPSCALERS.names)
def test_unknown_options_are_refused_by_name(name: str, tmp_path: Path) -> None:
    """Before a file is looked at."""
    with pytest.raises(OptionError, match=f"{name}.*has no option 'strength'") as error:
        UPSCALERS.create(name, scale=3, weights=tmp_path / "missing", options={"strength": "2"})
    known = {"edsr": "res_scale", "onnx": "colors", "torch-program": "colors"}
    assert known.get(name, "omit --upscaler-option") in error.value.hint


@pytest.mark.parametrize("value", ["0", "-0.1", "nan", "inf", "11", "tenth", ""])
def test_a_residual_scale_is_a_small_factor(value: str) -> None:
    with pytest.raises(OptionError, match="res_scale") as error:
        UPSCALERS.create("edsr", scale=3, weights=None, options={"res_scale": value})
    assert "0.1" in error.value.hint


@pytest.mark.parametrize("texts", [["res_scale"], ["=0.1"], ["res_scale="], [""], ["a=1", "a=2"]])
def test_options_are_key_value(texts: list[str]) -> None:
    with pytest.raises(OptionError, match="--upscaler-option") as error:
        parse_options(texts)
    assert error.value.hint


def test_options_may_hold_an_equals_sign() -> None:
    assert parse_options(["a=b=c", "d=0.1"]) == {"a": "b=c", "d": "0.1"}
