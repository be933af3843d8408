"""Choose where Paddle computes."""

from __future__ import annotations

from paddle import device

from deploy.core.errors import OptionError


def set_device(name: str) -> str:
    """Select "cpu" or "gpu"; "auto" selects a GPU if Paddle and the machine support one. Returns the choice.

    Raises:
        OptionError: a GPU is requested, but there is none.
    """
    has_gpu = device.is_compiled_with_cuda() and device.cuda.device_count() > 0
    if name == "gpu" and not has_gpu:
        raise OptionError(
            "--device gpu: Paddle found no GPU",
            hint="Install a GPU build from PaddlePaddle's package index, or use --device cpu.",
        )
    chosen = "gpu" if has_gpu and name != "cpu" else "cpu"
    device.set_device(chosen)
    return chosen
