"""Which backend to use, and why: the reason is for the user to read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.backends import BACKENDS
from deploy.core.errors import RegenError
from deploy.core.nvidia import count_nvidia_gpus

if TYPE_CHECKING:
    from deploy.backends.base import Backend
    from deploy.cards.model_card import ModelCard

AUTO = "auto"
CHOICES = (AUTO, *BACKENDS.names)
CPU_BACKEND = "onnxruntime"


def create_backend(
    requested: str, *, model: Path, card: ModelCard, threads: int | None, spinning: bool = False
) -> tuple[Backend, str]:
    """Make a backend and run it once, so that what cannot run fails here and the first frame is as fast as the others.

    "auto" uses TensorRT if there is an NVIDIA GPU and a matching engine, otherwise the CPU.

    Args:
        requested: "auto" or a backend's name.
        model: the .onnx file.
        card: its model card.
        threads: CPU threads; None takes one a CPU of this process.
        spinning: whether idle threads keep polling.

    Returns:
        The backend and the reason in words.

    Raises:
        RegenError: the backend that was asked for, or the CPU's, cannot run this model.
    """
    import numpy as np  # here, so that --help works without it

    def warm(name: str) -> Backend:
        backend = BACKENDS.create(name, model=model, card=card, threads=threads, spinning=spinning)
        try:
            backend.run(np.zeros((1, *card.input_shape), card.input_type))
        except BaseException:
            backend.close()
            raise
        return backend

    if requested != AUTO:
        return warm(requested), "as requested"
    if count_nvidia_gpus() == 0:
        return warm(CPU_BACKEND), "no NVIDIA GPU found"
    try:
        return warm("tensorrt"), "NVIDIA GPU found"
    except RegenError as error:
        reason = f"NVIDIA GPU found, but TensorRT cannot be used: {error}. {error.hint}"
    return warm(CPU_BACKEND), reason
