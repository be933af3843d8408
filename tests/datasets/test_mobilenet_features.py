"""TensorFlow's MobileNetV2 in torchvision's layout, for AccModel."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from deploy.core.errors import InputError
from labeling.accmodel.features import FrozenFeatures, load_features
from labeling.accmodel.network import to_images
from tests.helpers.label_helpers import REPOSITORY

CACHED = REPOSITORY / "datasets" / "cache" / "mobilenet_v2_people.safetensors"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("get_features", REPOSITORY / "datasets/get_mobilenet_features.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def field(number: int, value: bytes | int) -> bytes:
    """One field of a protocol buffer; lengths and integers below 16,384."""
    if isinstance(value, int):
        return bytes([number << 3]) + varint(value)
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128, value >> 7])


def constant(name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    shape = b"".join(field(2, field(1, size)) for size in array.shape)
    tensor = field(1, 1) + field(2, shape) + field(4, array.astype("<f4").tobytes())
    dtype = field(5, field(1, b"dtype") + field(2, field(6, 1)))
    return field(
        1,
        field(1, name.encode())
        + field(2, b"Const")
        + dtype
        + field(5, field(1, b"value") + field(2, field(8, tensor))),
    )


def test_constants_are_read_and_the_rest_is_skipped(script: ModuleType) -> None:
    kernel = np.arange(600, dtype=np.float32).reshape(3, 1, 200)
    placeholder = field(1, field(1, b"image") + field(2, b"Placeholder"))
    fixed32 = bytes([7 << 3 | 5]) + struct.pack("<f", 1.0)
    found = script.constants(placeholder + constant("a/weights", kernel) + fixed32 + constant("b", kernel[0]))
    assert set(found) == {"a/weights", "b"}
    np.testing.assert_array_equal(found["a/weights"], kernel)


def test_epsilon_and_input_range_are_folded_in_exactly(script: ModuleType) -> None:
    """TensorFlow's first layer, computed as TensorFlow does, against torchvision's with the converted tensors."""
    rng = np.random.default_rng(0)
    names = ("gamma", "beta", "moving_mean")
    arrays = {f"BatchNorm/{name}": rng.normal(size=8).astype(np.float32) for name in names}
    arrays["BatchNorm/moving_variance"] = rng.uniform(0.01, 0.1, 8).astype(np.float32)
    arrays["weights"] = rng.normal(size=(3, 3, 3, 8)).astype(np.float32)
    state = script._convolution(arrays, "", "conv", "norm", rgb=True)
    image = torch.rand(1, 3, 12, 14)

    there = functional.conv2d(2 * image - 1, torch.from_numpy(arrays["weights"].transpose(3, 2, 0, 1).copy()))
    tensors = {name.removeprefix("BatchNorm/"): torch.from_numpy(array) for name, array in arrays.items()}
    expected = functional.batch_norm(
        there, tensors["moving_mean"], tensors["moving_variance"], tensors["gamma"], tensors["beta"], eps=1e-3
    )
    given = {name: torch.from_numpy(array) for name, array in state.items()}
    features = FrozenFeatures()
    here = functional.conv2d((image - features.mean) / features.std, given["conv.weight"])
    found = functional.batch_norm(
        here, given["norm.running_mean"], given["norm.running_var"], given["norm.weight"], given["norm.bias"], eps=1e-5
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_files_without_an_order_are_adopted_by_name(tmp_path: Path) -> None:
    """safetensors keeps no order of its tensors."""
    from safetensors.torch import save_file

    torch.manual_seed(3)
    original = FrozenFeatures()
    state = {name: tensor.clone() for name, tensor in original.state_dict().items() if name.startswith("features.")}
    for tensor in state.values():
        if tensor.dtype == torch.float32:
            tensor.add_(torch.rand_like(tensor))
    save_file(dict(reversed(state.items())), tmp_path / "f.safetensors")
    loaded, said = load_features(tmp_path / "f.safetensors")
    assert said == "MobileNetV2, f.safetensors; random extra layers"
    for name, tensor in state.items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, msg=name)


def test_another_checksum_writes_nothing(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "_download", lambda: b"not the graph")
    with pytest.raises(InputError, match="checksum"):
        script.get_features(tmp_path / "f.safetensors")
    assert not list(tmp_path.iterdir())


def test_frames_have_the_statistics_that_the_weights_remember(vtest_frames: list) -> None:
    """A tensor in a wrong place would not: each normalization meets about what it was trained on."""
    if not CACHED.is_file():
        pytest.skip("no pretrained features: python datasets/get_mobilenet_features.py")
    features, _ = load_features(CACHED)
    shifts, spreads = [], []

    def measure(module: nn.BatchNorm2d, inputs: tuple[torch.Tensor], _output: torch.Tensor) -> None:
        deviation = module.running_var.sqrt()
        shifts.append(float(((inputs[0].mean((0, 2, 3)) - module.running_mean) / deviation).abs().median()))
        spreads.append(float((inputs[0].std((0, 2, 3)) / deviation).median()))

    for module in features.features.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(measure)
    with torch.no_grad():
        features(to_images([frame.image[::2, ::2] for frame in vtest_frames[:1]], "cpu"))
    assert len(shifts) == 52
    assert max(shifts) < 1 and min(spreads) > 0.3 and max(spreads) < 2
