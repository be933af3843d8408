"""Tasks on a Ray cluster: connected while a context is open, and errors of tasks as they were raised there."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.core.errors import OptionError, RegenError

RETRIES = 8
"""How often a task whose worker is lost is tried again: not for ever, since the task may be what kills the worker."""


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The module ``ray``, connected to a cluster.

    Args:
        address: of the cluster; None starts one of this machine alone.

    Raises:
        OptionError: Ray is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise OptionError("--engine ray needs the package 'ray'", hint="Install it: pip install ray") from None
    # A cluster that is started here would give way to everything else on the machine (Ray's niceness is 15).
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        ray.init(address=address, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise OptionError(f"no Ray cluster at {address!r}: {error}", hint="Start it: ray start") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def finished(ray: Any, pending: list[Any], what: str) -> Iterator[Any]:
    """What each task returns, as tasks end.

    Args:
        ray: the module.
        pending: the tasks.
        what: a task works on, for messages: "frames".

    Raises:
        OptionError: a task's workers died again and again.
        RegenError: what a task met.
    """
    while pending:
        (ready,), pending = ray.wait(pending, num_returns=1)
        try:
            yield ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, RegenError):
                raise error.cause from None
            raise
        except ray.exceptions.WorkerCrashedError:
            raise OptionError(
                f"a worker died {RETRIES + 1} times on the same {what}",
                hint="Give the workers more memory, or use fewer workers.",
            ) from None
