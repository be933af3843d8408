"""TensorRT and TensorRT-RTX on an NVIDIA GPU. Needs cuda-bindings and NVIDIA's library, but no PyTorch.

The engine ``model.engine`` and its record are next to ``model.onnx``: see export/onnx2trt.py.
"""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.backends.cuda_memory import Cuda
from deploy.backends.tensorrt_library import import_tensorrt, make_logger, what_it_said
from deploy.backends.tensorrt_slot import Slot
from deploy.cards.engine_record import EngineRecord, engine_path, read_record
from deploy.cards.model_card import ModelCard
from deploy.core import nvidia
from deploy.core.closeable import Closing
from deploy.core.errors import DeviceError, OptionError, WeightsError

NUM_SLOTS = 2
"""While one batch computes, the next is copied."""


class TensorRtBackend(Closing):
    """Runs an engine that export/onnx2trt.py built, after checking that it was built for this model, library and GPU.

    Args:
        model: the .onnx file.
        card: its model card.
        threads: not used; the work is the GPU's.
        spinning: not used.
        use_graph: replay each batch size as a CUDA graph.

    Raises:
        DeviceError: no GPU, or it refuses.
        OptionError: the library that the engine needs is not installed.
        WeightsError: no engine, or one that was built for something else.
    """

    name = "tensorrt"
    threads = 1

    def __init__(
        self,
        *,
        model: Path,
        card: ModelCard,
        threads: int | None = None,
        spinning: bool = False,
        use_graph: bool = True,
    ) -> None:
        del threads, spinning
        if card.any_size:
            raise OptionError(
                f"the TensorRT backend does not support any-size models yet: {model}",
                hint="Use --backend onnxruntime or openvino, or export with --size dataset.",
            )
        gpu = nvidia.first_gpu()  # before anything of TensorRT's: without a driver it may crash the process
        engine = engine_path(model)
        record = read_record(engine)
        trt = import_tensorrt(record.product)
        record.check(engine, model, trt.__version__, gpu)
        self._card, self._record = card, record
        self.precision = record.precision.partition("-")[0]
        self.description = f"{record.product} {record.version} ({gpu.name}, {self.precision})"
        self._resources = _Resources()
        self._finalizer = weakref.finalize(self, self._resources.close)
        try:
            self._resources.load(trt, engine, record, card, use_graph=use_graph)
        except BaseException:
            self.close()
            raise

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Compute the output; see `Backend.run`. A batch larger than the engine's goes in parts."""
        most = self._record.batch[2]
        parts = [batch[first : first + most] for first in range(0, len(batch), most)]
        results = list(self.run_many(parts))
        return results[0] if len(results) == 1 else np.concatenate(results)

    def run_many(self, batches: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """Compute many batches: the copies of one overlap with the computation of the other.

        Args:
            batches: each of at most the engine's largest batch.

        Yields:
            Their outputs, in order, each the caller's. The next batch is taken before the last result is given.
        """
        waiting: list[Slot] = []
        for number, batch in enumerate(batches):
            slot = self._slots()[number % NUM_SLOTS]
            if len(waiting) == NUM_SLOTS:
                yield waiting.pop(0).collect()
            slot.submit(self._checked(batch), max(len(batch), self._record.batch[0]))
            waiting.append(slot)
        for slot in waiting:
            yield slot.collect()

    def compute_again(self) -> None:
        """Compute the last batch of `run` once more, without copies: to time the network alone."""
        self._slots()[0].compute_again()

    def free_bytes(self) -> int:
        """Memory that is free on the GPU."""
        self._slots()
        return int(self._resources.cuda.call("cudaMemGetInfo"))

    def close(self) -> None:
        """Free GPU memory, contexts, engine and runtime, in this order. Closing twice is harmless."""
        self._finalizer()

    def _slots(self) -> list[Slot]:
        if not self._finalizer.alive:
            raise DeviceError("this TensorRT backend is closed", hint="Create a new Predictor.")
        return self._resources.slots

    def _checked(self, batch: NDArray[Any]) -> NDArray[Any]:
        shape, most = self._card.input_shape, self._record.batch[2]
        if batch.shape[1:] != shape or batch.dtype != self._card.input_type or not 1 <= len(batch) <= most:
            raise OptionError(
                f"batch of shape {batch.shape} and type {batch.dtype}; the engine takes 1 to {most} frames of {shape} "
                f"{np.dtype(self._card.input_type)}",
                hint="Prepare frames with Predictor.preprocess, or build the engine with a larger --batch.",
            )
        return batch


class _Resources:
    """What must be freed, in the right order, also when the backend was never closed or failed halfway."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self._runtime = self._engine = self._logger = None

    def load(self, trt: Any, path: Path, record: EngineRecord, card: ModelCard, *, use_graph: bool) -> None:
        cuda = self.cuda = Cuda(import_cuda())
        cuda.call("cudaSetDevice", 0)
        logger = self._logger = make_logger(trt)
        runtime = self._runtime = trt.Runtime(logger)
        engine = self._engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise WeightsError(
                f"TensorRT cannot load {path}: {what_it_said(logger)}", hint=record.how_to_rebuild(path, path)
            )
        _check_tensors(trt, engine, card, path)
        for _ in range(NUM_SLOTS):
            self.slots.append(Slot(engine, cuda, card, record.batch[2], use_graph=use_graph))

    def close(self) -> None:
        try:
            while self.slots:
                self.slots.pop().close()
        finally:
            self.slots.clear()
            self._engine = None
            self._runtime = None
            self._logger = None


def import_cuda() -> Any:
    """Import cuda-bindings.

    Raises:
        OptionError: it is not installed.
    """
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError:
        raise OptionError(
            "the TensorRT backend needs cuda-bindings, which is not installed", hint="pip install cuda-bindings"
        ) from None


def _check_tensors(trt: Any, engine: Any, card: ModelCard, path: Path) -> None:
    """Refuse an engine whose inputs and outputs are not those of the card."""
    expected = {
        (card.input_name, "INPUT", np.dtype(card.input_type).name, card.input_shape),
        (card.output_name, "OUTPUT", np.dtype(card.output_type).name, card.output_shape),
    }
    found = set()
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        kind = "INPUT" if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else "OUTPUT"
        dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name
        found.add((name, kind, dtype, tuple(engine.get_tensor_shape(name))[1:]))
    if found != expected:
        raise WeightsError(
            f"{path} has the tensors {sorted(found)}, the card says {sorted(expected)}",
            hint="Keep the .onnx, its .json and the .engine of one export together.",
        )
