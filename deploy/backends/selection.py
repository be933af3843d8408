"""Which backend to use, and why: the reason is for the user to read."""

from __future__ import annotations

import ctypes

from deploy.backends import BACKENDS

AUTO = "auto"
CHOICES = (AUTO, *BACKENDS.names)


def choose_backend(requested: str) -> tuple[str, str]:
    """Resolve "auto".

    Args:
        requested: "auto" or a backend's name; an unknown name is left for the registry to refuse.

    Returns:
        The backend's name and the reason in words.
    """
    if requested != AUTO:
        return requested, "as asked for"
    num_gpus = count_nvidia_gpus()
    if num_gpus == 0:
        return "onnxruntime", "no NVIDIA GPU found"
    found = "an NVIDIA GPU is here" if num_gpus == 1 else f"{num_gpus} NVIDIA GPUs are here"
    return "onnxruntime", f"{found}, but the TensorRT backend is not part of this version yet"


def count_nvidia_gpus() -> int:
    """Number of NVIDIA GPUs that the driver can use; 0 without a driver. Never raises.

    The driver is asked first because TensorRT's runtime may crash the process where there is none.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int(0)
        if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return 0
    except (OSError, AttributeError):
        return 0
    return max(count.value, 0)
