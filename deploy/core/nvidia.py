"""NVIDIA GPUs as reported by the driver. Works without a driver."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from deploy.core.errors import DeviceError

_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h."""


@dataclass(frozen=True)
class Gpu:
    """The first GPU that this process may use."""

    name: str
    """As NVIDIA calls it."""
    compute_capability: str
    """Such as "9.0"."""
    cuda: str
    """The newest CUDA version that the driver supports, such as "12.8"."""


def count_nvidia_gpus() -> int:
    """Number of NVIDIA GPUs that the driver can use; 0 without a driver. Never raises.

    The driver is checked first because TensorRT's runtime may crash the process without one.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int(0)
        if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return 0
    except (OSError, AttributeError):
        return 0
    return max(count.value, 0)


def first_gpu() -> Gpu:
    """Describe the first GPU.

    Raises:
        DeviceError: no driver, or no GPU.
    """
    if count_nvidia_gpus() == 0:
        raise DeviceError(
            "no NVIDIA GPU found: the driver (libcuda.so.1) is missing, does not start, or finds no GPU",
            hint="Install the NVIDIA driver and check it with nvidia-smi, or use --backend onnxruntime.",
        )
    cuda = ctypes.CDLL("libcuda.so.1")
    name, device, number = ctypes.create_string_buffer(128), ctypes.c_int(0), ctypes.c_int(0)
    _check(cuda.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    _check(cuda.cuDeviceGetName(name, len(name), device), "cuDeviceGetName")
    capability = []
    for attribute in (_MAJOR, _MINOR):
        _check(cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device), "cuDeviceGetAttribute")
        capability.append(str(number.value))
    _check(cuda.cuDriverGetVersion(ctypes.byref(number)), "cuDriverGetVersion")
    return Gpu(name.value.decode(), ".".join(capability), f"{number.value // 1000}.{number.value % 1000 // 10}")


def _check(code: int, what: str) -> None:
    if code != 0:
        raise DeviceError(f"the NVIDIA driver failed in {what} (code {code})", hint="Check nvidia-smi.")
