"""Check what works on this machine; each line is ok, warning or failure, with a fix.

    python -m labeling.doctor [--json FILE]

Needs only Python. Tests each library in a separate process, so that a crash is reported as a failure. Exit code 0: no
failures. 2: something that a stage needs does not work.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from deploy.core.errors import DeviceError
from deploy.core.nvidia import count_nvidia_gpus, first_gpu

ROOT = Path(__file__).parents[1]
PYTHON = (3, 11)
LEAST_FREE_GB = 10
MANY = 8
"""If more packages than this are missing, they are reported in one line."""
_INSTALL = "Run: make setup"
# Packages without which a stage still runs.
_OPTIONAL = {"openvino", "tensorrt-rtx-cu12", "cuda-bindings", "pytest", "pytest-timeout", "pytest-xdist", "hypothesis",
             "playwright", "ruff", "mypy", "types-pyyaml", "pdoc", "spandrel", "transformers", "effdet"}  # fmt: skip

Status = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Line:
    """One line of the result."""

    name: str
    """What was checked."""
    status: Status
    """The result."""
    message: str
    """Details of the result."""
    fix: str = ""
    """How to fix it, if something is wrong."""


# For each library: its name, whether it is required, code that tests it and prints details, and the fix.
_TRIALS: tuple[tuple[str, bool, str, str], ...] = (
    (
        "torchvision operators", True,
        "import torch, torchvision; b = torch.tensor([[0., 0, 1, 1]]); torchvision.ops.nms(b, torch.ones(1), .5); "
        "print('torch', torch.__version__, 'torchvision', torchvision.__version__)",
        "torch and torchvision must be the pair of requirements.txt. " + _INSTALL,
    ),
    (
        "PaddlePaddle", True,
        "import paddle; x = paddle.ones([2, 2]); x.stop_gradient = False; (x @ x).sum().backward(); "
        "assert float(x.grad.sum()) == 16; print('paddle', paddle.__version__, 'computes and differentiates')",
        _INSTALL,
    ),
    (
        "PaddleSeg tools", True,
        "import cv2, paddleseg.tools, importlib.util as u; assert u.find_spec('paddleseg.tools.train'); "
        "print('paddleseg.tools.train is there, cv2', cv2.__version__)",
        "PaddleSeg's wheel lacks the tools; paddleseg_configs/paddleseg_tools adds them. " + _INSTALL,
    ),
    ("paddle2onnx", True, "import paddle2onnx; print('imports')", _INSTALL),
    (
        "ONNX Runtime", True,
        "import os; os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1'); "
        "import onnxruntime as o; print(o.__version__, 'providers', ', '.join(o.get_available_providers()))", _INSTALL,
    ),
    (
        "OpenVINO", False,
        "import openvino as o; print(o.__version__.split('-')[0], 'devices', ', '.join(o.Core().available_devices))",
        "Only for --backend openvino: pip install openvino",
    ),
    (
        "FFmpeg libraries", True,
        "import av; codec = '.'.join(map(str, av.library_versions['libavcodec'])); "
        "print('PyAV', av.__version__, 'libavcodec', codec)",
        _INSTALL,
    ),
)  # fmt: skip


def main() -> None:
    """Parse the command line, examine the machine and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for the findings")
    options = parser.parse_args()
    lines = examine()
    width = max(len(line.name) for line in lines)
    for line in lines:
        print(
            f"{line.status:8s} {line.name:{width}s}  {line.message}" + (f"\n{'':9s}fix: {line.fix}" if line.fix else "")
        )
    counts = {status: sum(line.status == status for line in lines) for status in ("ok", "warning", "failure")}
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    if options.json:
        options.json.write_text(json.dumps([asdict(line) for line in lines], indent=2) + "\n", encoding="utf-8")
    sys.exit(2 if counts["failure"] else 0)


def examine(root: Path = ROOT) -> list[Line]:
    """Run all checks."""
    with ThreadPoolExecutor(2) as pool:
        trials = list(pool.map(lambda trial: _try(*trial), _TRIALS))
    looks: tuple[Callable[[], list[Line]], ...] = (
        _python, lambda: _packages(root / "requirements.txt"), lambda: trials, _tensorrt, _gpu, lambda: _disk(root),
    )  # fmt: skip
    return [line for look in looks for line in look()]


def _python() -> list[Line]:
    found = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info[:2] != PYTHON:
        return [Line("Python", "failure", found, "Use Python 3.11: make setup PYTHON=/path/to/python3.11")]
    return [Line("Python", "ok", found)]


def _packages(requirements: Path) -> list[Line]:
    """Compare versions with the pins: one line for all that match, one for each that does not."""
    try:
        text = requirements.read_text(encoding="utf-8")
    except OSError as error:
        return [Line("packages", "failure", f"cannot read {requirements}: {error}", "Clone the repository again.")]
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.MULTILINE)
    lines = []
    for name, wanted in pins:
        found = _version(name)
        if found is None:
            status: Status = "warning" if name.lower() in _OPTIONAL else "failure"
            lines.append(Line(name, status, f"not installed; {wanted} is required", _INSTALL))
        elif found != wanted:
            lines.append(Line(name, "warning", f"{found}, but {wanted} was tested", _INSTALL))
    fitting = len(pins) - len(lines)
    missing = [line.name for line in lines if line.message.startswith("not installed")]
    if len(missing) > MANY:
        some = ", ".join(missing[:MANY])
        lines = [line for line in lines if line.name not in missing]
        lines.append(Line("packages", "failure", f"{len(missing)} are not installed: {some}, …", _INSTALL))
    return [
        Line("packages", "ok" if fitting else "failure", f"{fitting} of {len(pins)} have the pinned version"),
        *lines,
    ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _try(name: str, needed: bool, code: str, fix: str) -> Line:
    """Run `code` in a separate process."""
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "GLOG_minloglevel": "3", "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return Line(name, "failure" if needed else "warning", "no answer in 300 s", fix)
    if done.returncode == 0:
        return Line(name, "ok", (done.stdout.strip().splitlines() or ["works"])[-1])
    seen = (done.stderr.strip().splitlines() or [f"crashed with signal {-done.returncode}"])[-1]
    return Line(name, "failure" if needed else "warning", seen[:200], fix)


def _tensorrt() -> list[Line]:
    products = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13")
    found = [f"{name} {version}" for name in products if (version := _version(name))]
    if found:
        return [Line("TensorRT", "ok", ", ".join(found))]
    return [Line("TensorRT", "warning", "not installed", "Only for engines: see requirements-gpu.txt")]


def _gpu() -> list[Line]:
    """Query the driver without other NVIDIA libraries."""
    fix = "Only for GPUs: install the NVIDIA driver. Every stage also runs on the CPU."
    try:
        gpu = first_gpu()
    except DeviceError as error:
        return [Line("NVIDIA GPU", "warning", str(error), fix)]
    return [Line("NVIDIA GPU", "ok", f"{count_nvidia_gpus()}, first {gpu.name}, driver for CUDA {gpu.cuda}")]


def _disk(root: Path) -> list[Line]:
    free = shutil.disk_usage(root).free / 1e9
    space = Line("disk", "ok", f"{free:.0f} GB free at {root}")
    if free < LEAST_FREE_GB:
        space = Line("disk", "warning", f"{free:.1f} GB free at {root}", "The environment takes 7 GB: free some space.")
    try:
        with tempfile.TemporaryFile(dir=root):
            return [space, Line("write access", "ok", str(root))]
    except OSError as error:
        return [
            space,
            Line("write access", "failure", f"{root}: {error.strerror}", "Clone into a folder that you can write to."),
        ]


if __name__ == "__main__":
    main()
