"""Training in one process, or in several that ``paddle.distributed.launch`` starts and that average their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import paddle
from paddle import distributed


@dataclass(frozen=True)
class Processes:
    """This process in a group that trains together."""

    rank: int
    """Index of this process, from 0."""
    count: int
    """Number of processes."""

    @property
    def is_first(self) -> bool:
        """Whether this is the process that evaluates, logs and saves."""
        return self.rank == 0

    def spread(self, model: Any) -> Any:
        """Wrap `model` to average its gradients over several processes. Batch statistics stay separate."""
        return model if self.count == 1 else paddle.DataParallel(model, find_unused_parameters=True)

    def agree(self, answer: bool) -> bool:
        """Return the first process's value in every process."""
        if self.count == 1:
            return answer
        flag = paddle.to_tensor([int(answer)])
        distributed.broadcast(flag, src=0)
        return bool(flag)


def join_processes() -> Processes:
    """Join the group of processes, if there are several."""
    if distributed.get_world_size() > 1 and not distributed.is_initialized():
        distributed.init_parallel_env()
    return Processes(distributed.get_rank(), distributed.get_world_size())
