"""Files that claim to be upscalers: what does not keep its card's promise is refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploy import Upscaler
from deploy.cards.upscaler_card import UpscalerCard, write_upscaler_card
from deploy.core.errors import OptionError, WeightsError
from deploy.enhancement.upscaler import Runtime

CARD = UpscalerCard(
    name="squares", scale=2, whole_frame=False, receptive_radius_px=0, fast_halo_px=0, license="MIT", weights_sha256=""
)


def write_squares(
    path: Path, *, factor: int = 2, outputs: tuple[str, ...] = ("sr",), inputs: tuple[str, ...] = ("rgb", "margins")
) -> Path:
    """Pixels become squares; margins are ignored."""
    size, kept = ["batch", "height", "width", 3], ["batch", "h", "w", 3]
    scales = numpy_helper.from_array(np.array([1, factor, factor, 1], np.float32), "scales")
    nodes = [
        helper.make_node("Cast", ["rgb"], ["colors"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["colors", "", "scales"], ["large"], mode="nearest"),
        *(helper.make_node("Cast", ["large"], [name], to=TensorProto.UINT8) for name in outputs),
    ]
    given = {"rgb": (TensorProto.UINT8, size), "margins": (TensorProto.INT64, [4]), "noise": (TensorProto.FLOAT, [1])}
    graph = helper.make_graph(
        nodes,
        "squares",
        [helper.make_tensor_value_info(name, *given[name]) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.UINT8, kept) for name in outputs],
        [scales],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    write_upscaler_card(path, CARD)
    return path


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ({"factor": 3}, "where its card says"),
        ({}, "where its card says"),  # margins stay
        ({"outputs": ("sr", "more")}, "takes .* and gives .*'more'"),
        ({"outputs": ("other",)}, "gives .*'other'"),
        ({"inputs": ("rgb", "margins", "noise")}, "takes .*'noise'"),
        ({"inputs": ("rgb",)}, "takes "),
    ],
)
def test_other_networks_are_refused(graph: dict[str, object], said: str, runtime: Runtime, tmp_path: Path) -> None:
    pytest.importorskip(runtime)
    path = write_squares(tmp_path / "u.onnx", **graph)  # type: ignore[arg-type]  # keywords of the table
    with pytest.raises(WeightsError, match=said) as raised:
        Upscaler(path, runtime=runtime, threads=1)
    assert "u.onnx" in str(raised.value)


@pytest.mark.parametrize("data", [b"", b"no network", b"\x08\x09"])
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "u.onnx"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="the upscaler card of"):
        Upscaler(path)
    write_upscaler_card(path, CARD)
    for runtime in ("onnxruntime", "openvino"):
        with pytest.raises(WeightsError, match=r"u\.onnx"):
            Upscaler(path, runtime=runtime)  # type: ignore[arg-type]  # both are runtimes


def test_a_closed_one_says_so() -> None:
    upscaler = Upscaler(threads=1)
    upscaler.close()
    upscaler.close()
    with pytest.raises(WeightsError, match="is closed"):
        upscaler(np.zeros((1, 8, 8, 3), np.uint8))


def test_modes_have_their_surroundings() -> None:
    with Upscaler(threads=1) as upscaler:
        assert (upscaler.halo_px("fast"), upscaler.halo_px("exact")) == (7, 24)
        with pytest.raises(OptionError, match="mode='best'"):
            upscaler.halo_px("best")  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match="fast_halo_px"):
        replace(CARD, fast_halo_px=1)
