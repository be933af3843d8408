"""Read weight files without running code in them, and download weights once into PyTorch's cache."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse

import torch
from safetensors import safe_open
from torch import Tensor

from deploy.core.errors import InputError, OptionError, WeightsError, first_line
from deploy.core.files import sha256_of
from labeling.core.downloads import download

WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")
"""Keys under which training frameworks save weights; the first one present is used."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a ``.safetensors`` file or a file written by ``torch.save``.

    Raises:
        WeightsError: the file is missing, damaged, or not just a dictionary of tensors.
    """
    if not path.is_file():
        raise WeightsError(f"weights not found: {path}", hint="Check the path.")
    try:
        if path.suffix == ".safetensors":
            with safe_open(str(path), framework="pt") as stream:
                return {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors and torch raise all kinds of exceptions
        raise WeightsError(f"not plain weights: {path} ({first_line(error)})", hint="Give a state dict.") from None
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} is not a dictionary of tensors", hint="Give a state dict.")
    parallel = all(str(key).startswith("module.") for key in state)  # prefix that DataParallel adds
    return {key.removeprefix("module."): value for key, value in state.items()} if parallel else state


def refuse_weights(kind: str, name: str, weights: Path | None) -> None:
    """Raise OptionError if weights are given for a detector or upscaler that has none."""
    if weights is not None:
        raise OptionError(f"{kind} {name!r} takes no weights, got {weights}", hint="Remove the option.")


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(str(path), framework="pt") as stream:
        return stream.metadata() or {}


def require_shapes(make: Callable[[], torch.nn.Module], state: dict[str, Tensor]) -> None:
    """Raise ValueError if a tensor's shape differs from the network's. Needs no memory for the tensor.

    Call this before using sizes from a file: a forged size could request any amount of memory.
    """
    with torch.device("meta"):
        wanted = make().state_dict()
    for name, tensor in state.items():
        if name in wanted and tensor.shape != wanted[name].shape:
            raise ValueError(f"{name} is {tuple(tensor.shape)}, but the network needs {tuple(wanted[name].shape)}")


def load_into(network: torch.nn.Module, state: dict[str, Tensor], source: Path, what: str) -> None:
    """Load every parameter.

    Raises:
        WeightsError: the weights belong to another network.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise WeightsError(
            f"{source} does not match {what}: {first[0].strip()[:200]}", hint="Use weights of this network."
        ) from None


def cached_download(url: str, *, offline: bool) -> Path:
    """Return the path of a published weight file in PyTorch's cache; download it if it is missing.

    The file name ends in the first digits of the SHA-256, which are checked.

    Raises:
        WeightsError: the file is not cached in offline mode, the download failed, or the checksum is wrong.
    """
    name = Path(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    match = re.search(r"-([0-9a-f]{8,})\.", name)
    digits = match[1] if match else ""
    by_hand = f"Download it: curl -L --create-dirs -o {path} {url}, or specify such a file."
    if not path.is_file():
        if offline:
            raise WeightsError(f"offline, and {name} is not in {path.parent}", hint=by_hand)
        try:
            download(url, path, sha256=digits)
        except InputError as error:
            raise WeightsError(str(error), hint=by_hand) from None
    if not sha256_of(path).startswith(digits):
        raise WeightsError(
            f"{path} is damaged: its checksum does not start with {digits}", hint=f"Remove it. {by_hand}"
        )
    return path
