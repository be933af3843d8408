"""One process, or several that ``paddle.distributed.launch`` started and that average their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import paddle
from paddle import distributed


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    rank: int
    """Number of this process, from 0."""
    count: int
    """How many there are."""

    @property
    def is_first(self) -> bool:
        """Whether this is the process that evaluates, logs and saves."""
        return self.rank == 0

    def spread(self, model: Any) -> Any:
        """`model` itself, or what averages its gradients over the processes. Batch statistics stay each one's own."""
        return model if self.count == 1 else paddle.DataParallel(model, find_unused_parameters=True)

    def agree(self, answer: bool) -> bool:
        """The first process's answer, in every process."""
        if self.count == 1:
            return answer
        flag = paddle.to_tensor([int(answer)])
        distributed.broadcast(flag, src=0)
        return bool(flag)


def join_processes() -> Processes:
    """Meet the other processes, if there are any."""
    if distributed.get_world_size() > 1 and not distributed.is_initialized():
        distributed.init_parallel_env()
    return Processes(distributed.get_rank(), distributed.get_world_size())
