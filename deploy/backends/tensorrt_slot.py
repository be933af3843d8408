"""One of the two places of the TensorRT backend where a batch is copied to the GPU, computed and copied back."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deploy.backends.cuda_memory import Buffer, Cuda
from deploy.core.errors import DeviceError, WeightsError

_REPORT = "Rebuild the engine with export/onnx2trt.py. If it still fails, run on the CPU: --backend onnxruntime"


class Ends(Protocol):
    """Input and output of an engine, without the batch: a model card has them."""

    @property
    def input_name(self) -> str: ...  # noqa: D102
    @property
    def output_name(self) -> str: ...  # noqa: D102
    @property
    def input_shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def output_shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def input_type(self) -> type[np.generic]: ...  # noqa: D102
    @property
    def output_type(self) -> type[np.generic]: ...  # noqa: D102


class Slot:
    """One stream, execution context and set of buffers, so that two slots can copy and compute concurrently.

    For each new batch size the first run is eager; then its copies and its computation are recorded as a CUDA graph,
    which later runs launch as one.

    Args:
        engine: TensorRT's ICudaEngine; it must outlive the slot.
        cuda: the runtime.
        card: names and shapes of input and output.
        max_batch: largest batch.
        use_graph: whether to record.
    """

    def __init__(self, engine: Any, cuda: Cuda, card: Ends, max_batch: int, *, use_graph: bool) -> None:
        self._cuda, self._card, self._use_graph = cuda, card, use_graph
        self._size, self._graph, self._pending = 0, None, 0
        with ExitStack() as stack:
            self._stream = cuda.call("cudaStreamCreateWithFlags", cuda.runtime.cudaStreamNonBlocking)
            stack.callback(cuda.call, "cudaStreamDestroy", self._stream)
            self._input = Buffer(cuda, (max_batch, *card.input_shape), card.input_type, stack)
            self._output = Buffer(cuda, (max_batch, *card.output_shape), card.output_type, stack)
            self._context = engine.create_execution_context()
            if self._context is None:
                raise DeviceError("TensorRT cannot create an execution context", hint="Is the GPU's memory full?")
            stack.callback(self._drop_context)
            for name, buffer in ((card.input_name, self._input), (card.output_name, self._output)):
                self._require(self._context.set_tensor_address(name, int(buffer.device)), f"address of {name}")
            stack.callback(self._drop_graph)
            # First of all to happen on closing: nothing is freed under a running computation.
            stack.callback(cuda.call, "cudaStreamSynchronize", self._stream)
            self._stack = stack.pop_all()

    def submit(self, batch: NDArray[Any], size: int) -> None:
        """Start a batch. An earlier batch that was not collected is lost.

        Args:
            batch: (N, *card.input_shape); copied before this returns.
            size: batch size to compute, at least N: an engine may have a smallest one.
        """
        if self._pending:
            self._cuda.call("cudaStreamSynchronize", self._stream)
        self._input.host[: len(batch)] = batch
        if size != self._size:
            self._prepare(size)
            self._enqueue()
            self._record()
        elif self._graph is not None:
            self._cuda.call("cudaGraphLaunch", self._graph, self._stream)
        else:
            self._enqueue()
        self._pending = len(batch)

    def collect(self) -> NDArray[Any]:
        """Wait for the batch that was submitted; the result is the caller's."""
        self._cuda.call("cudaStreamSynchronize", self._stream)
        count, self._pending = self._pending, 0
        return np.array(self._output.host[:count])

    def compute_again(self) -> None:
        """Compute once more what is on the GPU, without copies, and wait: to time the network alone."""
        self._require(self._context.execute_async_v3(int(self._stream)), "execution")
        self._cuda.call("cudaStreamSynchronize", self._stream)

    def close(self) -> None:
        """Free everything. Closing twice is harmless."""
        self._stack.close()

    def _prepare(self, size: int) -> None:
        """Set the shapes for a batch size, and make sure that the engine answers as the card says."""
        card, context = self._card, self._context
        self._drop_graph()
        self._size = 0
        wanted = (size, *card.input_shape)
        self._require(context.set_input_shape(card.input_name, wanted), f"input shape {wanted}")
        missing = context.infer_shapes()
        if missing:
            raise WeightsError(f"TensorRT cannot infer the shapes of {', '.join(missing)}", hint=_REPORT)
        found, expected = tuple(context.get_tensor_shape(card.output_name)), (size, *card.output_shape)
        if found != expected:
            raise WeightsError(f"the engine's output has shape {found}, the card says {expected}", hint=_REPORT)
        self._size = size

    def _enqueue(self) -> None:
        self._input.upload(self._size, self._stream)
        self._require(self._context.execute_async_v3(int(self._stream)), "execution")
        self._output.download(self._size, self._stream)

    def _record(self) -> None:
        """Record the same work as a graph, after the run that just went: a first run may still allocate."""
        if not self._use_graph:
            return
        self._cuda.call("cudaStreamSynchronize", self._stream)
        try:
            with ExitStack() as stack:
                self._graph = self._cuda.call("cudaGraphInstantiate", self._recorded(stack), 0)
        except DeviceError as error:
            print(f"TensorRT: CUDA graph not available, launching step by step ({error})", file=sys.stderr)
            self._use_graph = False

    def _recorded(self, owner: ExitStack) -> Any:
        """Record the work on the stream; `owner` frees the record."""
        mode = self._cuda.runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._cuda.call("cudaStreamBeginCapture", self._stream, mode)
        try:
            self._enqueue()
        finally:
            recorded = self._cuda.call("cudaStreamEndCapture", self._stream)
            owner.callback(self._cuda.call, "cudaGraphDestroy", recorded)
        return recorded

    def _drop_graph(self) -> None:
        if self._graph is not None:
            graph, self._graph = self._graph, None
            self._cuda.call("cudaGraphExecDestroy", graph)

    def _drop_context(self) -> None:
        self._context = None

    def _require(self, accepted: bool, what: str) -> None:
        """TensorRT says False where Python would raise."""
        if not accepted:
            raise DeviceError(f"TensorRT refuses: {what}", hint=_REPORT)
