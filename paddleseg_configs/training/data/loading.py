"""Load batches of samples, in this process or in workers.

``paddle.io.DataLoader`` is not used: if a sample raises, it hangs (in this process) or hides the cause (in workers).
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from deploy.core.errors import RegenError

Sample = tuple[NDArray[np.float32], NDArray[np.int64]]
Failure = tuple[type[RegenError], str, str]
"""Kind, message and hint of an error, to pass it between processes."""
_BATCHES_AHEAD = 2

_source: Any = None
"""The source that this worker process loads from."""


def load_batches(
    source: Any, plan: Iterable[Sequence[int]], num_workers: int
) -> Iterator[tuple[paddle.Tensor, paddle.Tensor]]:
    """Yield (N, 3, H, W) float32 images and (N, H, W) int64 levels.

    Args:
        source: returns an image and its levels by index.
        plan: the indices of each batch.
        num_workers: number of processes; 0 loads in this one.

    Raises:
        RegenError: loading a sample failed.
    """
    batches = _in_workers(source, plan, num_workers) if num_workers else ([source[i] for i in row] for row in plan)
    for batch in batches:
        images, levels = zip(*batch, strict=True)
        yield paddle.to_tensor(np.stack(images)), paddle.to_tensor(np.stack(levels))


def _in_workers(source: Any, plan: Iterable[Sequence[int]], num_workers: int) -> Iterator[list[Sample]]:
    rows = iter(plan)
    pool = ProcessPoolExecutor(num_workers, get_context("fork"), _adopt, (source,))
    try:
        ahead = deque(pool.submit(_load, row) for row in islice(rows, num_workers * _BATCHES_AHEAD))
        while ahead:
            batch = _result_of(ahead.popleft())
            ahead.extend(pool.submit(_load, row) for row in islice(rows, 1))
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result_of(future: Future[list[Sample] | Failure]) -> list[Sample]:
    try:
        result = future.result()
    except BrokenProcessPool:
        raise RegenError("a frame-loading process died", hint="Use --num_workers 0, or free memory.") from None
    if isinstance(result, tuple):
        kind, message, hint = result
        raise kind(message, hint=hint)
    return result


def _adopt(source: Any) -> None:
    global _source
    _source = source
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; this one ends on request


def _load(row: Sequence[int]) -> list[Sample] | Failure:
    try:
        return [_source[index] for index in row]
    except RegenError as error:
        return type(error), str(error), error.hint
