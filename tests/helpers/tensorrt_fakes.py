"""TensorRT and CUDA for the tests: the same names and ways to fail, computed by ONNX Runtime in host memory."""

from __future__ import annotations

import ctypes
from enum import Enum, IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np

from deploy.core.runtimes import import_onnxruntime

ort = import_onnxruntime()

SUCCESS = 0


class FakeCuda:
    """The part of cuda.bindings.runtime that we use. "Device memory" is memory; what is freed twice or leaks shows.

    Attributes:
        failing: names of functions that fail.
        live: what is allocated or created and not freed, by handle.
        calls: names of the functions in order.
    """

    cudaStreamNonBlocking = 1
    cudaMemcpyKind = Enum("cudaMemcpyKind", ["cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"])
    cudaStreamCaptureMode = Enum("cudaStreamCaptureMode", ["cudaStreamCaptureModeThreadLocal"])

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.live: dict[int, Any] = {}
        self.calls: list[str] = []
        self.recording: dict[int, list[Any]] = {}
        self._handles = iter(range(1, 10**6))

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cuda") or not hasattr(type(self), f"do_{name}"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append(name)
            if name in self.failing:
                return (2,)
            result = getattr(self, f"do_{name}")(*arguments)
            return (SUCCESS,) if result is None else (SUCCESS, result)

        return call

    def queue(self, stream: int, work: Any) -> None:
        """Do something now, or put it into the graph that is being recorded."""
        if stream in self.recording:
            self.recording[stream].append(work)
        else:
            work()

    def _allocate(self, num_bytes: int) -> int:
        memory = (ctypes.c_byte * num_bytes)()
        address = ctypes.addressof(memory)
        self.live[address] = memory
        return address

    def _create(self, thing: Any) -> int:
        handle = next(self._handles)
        self.live[handle] = thing
        return handle

    def _free(self, handle: int) -> None:
        del self.live[handle]

    do_cudaMallocHost = do_cudaMalloc = _allocate
    do_cudaFreeHost = do_cudaFree = do_cudaStreamDestroy = _free
    do_cudaGraphDestroy = do_cudaGraphExecDestroy = _free

    def do_cudaSetDevice(self, _device: int) -> None:
        pass

    def do_cudaMemGetInfo(self) -> int:
        return 10**9 - sum(ctypes.sizeof(thing) for thing in self.live.values() if isinstance(thing, ctypes.Array))

    def do_cudaStreamCreateWithFlags(self, _flags: int) -> int:
        return self._create("stream")

    def do_cudaStreamSynchronize(self, stream: int) -> None:
        assert self.live[stream] == "stream"

    def do_cudaMemcpyAsync(self, target: int, source: int, num_bytes: int, _kind: Any, stream: int) -> None:
        assert {target, source} <= set(self.live), "copy of freed memory"
        self.queue(stream, lambda: ctypes.memmove(target, source, num_bytes))

    def do_cudaStreamBeginCapture(self, stream: int, _mode: Any) -> None:
        self.recording[stream] = []

    def do_cudaStreamEndCapture(self, stream: int) -> int:
        return self._create(self.recording.pop(stream))

    def do_cudaGraphInstantiate(self, graph: int, _flags: int) -> int:
        return self._create(list(self.live[graph]))

    def do_cudaGraphLaunch(self, graph: int, _stream: int) -> None:
        for work in self.live[graph]:
            work()


class _Logger:
    def __init__(self) -> None:
        pass

    Severity = IntEnum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"], start=0)


def fake_tensorrt(cuda: FakeCuda, version: str = "10.13.3.9") -> Any:
    """The part of TensorRT that running needs. An engine file is an ONNX file.

    Returns:
        A namespace like the module, with ``refusing``, names of methods that answer False, None or wrongly.
    """
    refusing: set[str] = set()
    mode = Enum("TensorIOMode", ["INPUT", "OUTPUT"])

    class Context:
        def __init__(self, session: Any) -> None:
            self._session, self._addresses, self._shape = session, {}, (0,)

        def set_tensor_address(self, name: str, address: int) -> bool:
            self._addresses[name] = address
            return "set_tensor_address" not in refusing

        def set_input_shape(self, _name: str, shape: tuple[int, ...]) -> bool:
            self._shape = shape
            return "set_input_shape" not in refusing

        def infer_shapes(self) -> list[str]:
            return ["x"] if "infer_shapes" in refusing else []

        def get_tensor_shape(self, _name: str) -> tuple[int, ...]:
            batch = self._shape[0] + ("get_tensor_shape" in refusing)
            return (batch, *self._session.get_outputs()[0].shape[1:])

        def execute_async_v3(self, stream: int) -> bool:
            if "execute_async_v3" in refusing or ("execute in a graph" in refusing and stream in cuda.recording):
                return False
            cuda.queue(stream, self._compute)
            return True

        def _compute(self) -> None:
            given, result = self._session.get_inputs()[0], self._session.get_outputs()[0]
            dtype = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}[given.type]
            count = int(np.prod(self._shape)) * np.dtype(dtype).itemsize
            raw = (ctypes.c_byte * count).from_address(self._addresses[given.name])
            batch = np.frombuffer(memoryview(raw), dtype).reshape(self._shape)
            (output,) = self._session.run([result.name], {given.name: batch})
            ctypes.memmove(self._addresses[result.name], output.ctypes.data, output.nbytes)

    class Engine:
        def __init__(self, plan: bytes) -> None:
            self._session: Any = ort.InferenceSession(plan, providers=["CPUExecutionProvider"])
            self._tensors = {**{t.name: t for t in self._session.get_inputs()}}
            self._inputs = set(self._tensors)
            self._tensors.update({t.name: t for t in self._session.get_outputs()})
            self.num_io_tensors = len(self._tensors)

        def get_tensor_name(self, index: int) -> str:
            return list(self._tensors)[index]

        def get_tensor_mode(self, name: str) -> Any:
            return mode.INPUT if name in self._inputs else mode.OUTPUT

        def get_tensor_dtype(self, name: str) -> str:
            return str(self._tensors[name].type)

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return (-1, *self._tensors[name].shape[1:])

        def create_execution_context(self) -> Any:
            return None if "create_execution_context" in refusing else Context(self._session)

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            if "deserialize_cuda_engine" in refusing:
                self._logger.log(_Logger.Severity.ERROR, "magic tag does not match")
                return None
            return Engine(plan)

    return SimpleNamespace(
        __version__=version,
        ILogger=_Logger,
        TensorIOMode=mode,
        Runtime=Runtime,
        nptype=lambda name: {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}[name],
        refusing=refusing,
    )
