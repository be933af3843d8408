"""Device and number type of networks."""

from __future__ import annotations

import torch

from deploy.core.errors import OptionError


def autocast(device: str, precision: str) -> torch.autocast:
    """Context that runs networks in another number type than float32; does nothing for float32."""
    return torch.autocast(
        torch.device(device).type, getattr(torch, precision), enabled=precision != "float32", cache_enabled=False
    )


def pick_device(name: str) -> str:
    """Resolve ``auto``, and raise an error if the requested GPU is missing."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    elif name.startswith("cuda") and not torch.cuda.is_available():
        raise OptionError(f"--device {name}: PyTorch finds no GPU", hint="Use --device cpu.")
    if name != "cpu":  # on the CPU, the operations used are deterministic anyway
        torch.use_deterministic_algorithms(True, warn_only=True)
    return name
