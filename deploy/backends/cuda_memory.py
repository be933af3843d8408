"""CUDA through NVIDIA's cuda-bindings: every code is checked, every buffer has an owner."""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import DeviceError


class Cuda:
    """CUDA's runtime functions; a code other than success is an exception.

    Args:
        runtime: the module ``cuda.bindings.runtime``.
    """

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the runtime.

        Returns:
            Its result besides the error code: nothing, or one value.

        Raises:
            DeviceError: its code is not success.
        """
        code, *results = getattr(self.runtime, name)(*arguments)
        if int(code) != 0:
            raise DeviceError(
                f"CUDA: {name} failed with {getattr(code, 'name', code)}",
                hint="Check nvidia-smi: another process may use the GPU's memory, or the driver needs a restart.",
            )
        return results[0] if results else None


class Buffer:
    """An array in pinned host memory, its twin on the device, and the copies between.

    Args:
        cuda: the runtime.
        shape: of the array.
        dtype: of its elements.
        owner: frees both when it closes.
    """

    def __init__(self, cuda: Cuda, shape: tuple[int, ...], dtype: type[np.generic], owner: ExitStack) -> None:
        self._cuda = cuda
        self._frame_bytes = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize
        num_bytes = shape[0] * self._frame_bytes
        # Pinned memory is the only kind that is copied while the GPU computes.
        self._pinned = cuda.call("cudaMallocHost", num_bytes)
        owner.callback(cuda.call, "cudaFreeHost", self._pinned)
        self.device = cuda.call("cudaMalloc", num_bytes)
        """Address on the device."""
        owner.callback(cuda.call, "cudaFree", self.device)
        raw = (ctypes.c_byte * num_bytes).from_address(int(self._pinned))
        self.host: NDArray[Any] = np.frombuffer(memoryview(raw), dtype).reshape(shape)
        """The pinned array; invalid after the owner closes, so no one else may keep it."""

    def upload(self, num_frames: int, stream: Any) -> None:
        """Queue the copy of the first frames to the device."""
        kind = self._cuda.runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(self.device, self._pinned, num_frames, kind, stream)

    def download(self, num_frames: int, stream: Any) -> None:
        """Queue the copy of the first frames from the device."""
        kind = self._cuda.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(self._pinned, self.device, num_frames, kind, stream)

    def _copy(self, target: Any, source: Any, num_frames: int, kind: Any, stream: Any) -> None:
        self._cuda.call("cudaMemcpyAsync", target, source, num_frames * self._frame_bytes, kind, stream)
