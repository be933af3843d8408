"""Initial weights for ``pretrained:``: a local file, or a URL with a checksum.

PaddleSeg's own download checks nothing and unpacks archives to whatever paths their members name, and its loading
continues with random weights if no name in the file matches the model.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urlparse

import numpy as np

from deploy.core.errors import InputError, WeightsError
from deploy.core.files import atomic_path
from labeling.core.downloads import download
from paddleseg_configs.training.paddle_fixes.weights import read_state

GENERAL = Path(__file__).parents[2] / "general" / "weights.safetensors"
"""Weights of the general predictor."""


def read_tensors(path: Path) -> dict[str, Any]:
    """Read a .safetensors file as float32 arrays by name.

    Raises:
        WeightsError: missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return {name: array.astype(np.float32) for name, array in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read weights {path}: {error}", hint="Check the path.") from None


def load_pretrained(model: Any, source: str | None) -> None:
    """Copy weights that match by name and shape into a model; the rest keep their initial values. Replaces PaddleSeg's.

    Args:
        model: a paddle layer.
        source: a .pdparams or .safetensors file, a URL for `fetch_pretrained`, "general" for the weights
            of the general predictor, or None for nothing.

    Raises:
        WeightsError: file not found, or nothing in it matches.
    """
    if source is None:
        return
    path = GENERAL if source == "general" else Path(fetch_pretrained(source) if urlparse(source).netloc else source)
    given, own = read_tensors(path) if path.suffix == ".safetensors" else read_state(path), model.state_dict()
    given = {name: _for_channels(value, tuple(own[name].shape)) for name, value in given.items() if name in own}
    fitting = {name: value for name, value in given.items() if np.shape(value) == tuple(own[name].shape)}
    name = type(model).__name__
    if not fitting:
        raise WeightsError(
            f"pretrained: none of the {len(given)} tensors of {path} fits {name}",
            hint="Use weights of the same model, or pretrained: null.",
        )
    model.set_dict({**own, **fitting})
    print(f"{name}: {len(fitting)} of {len(own)} tensors from {path}", flush=True)


def _for_channels(value: Any, shape: tuple[int, ...]) -> Any:
    """Weights of a convolution cut to the model's input channels; other weights unchanged."""
    given = np.shape(value)
    if len(given) == len(shape) == 4 and given[0] == shape[0] and given[2:] == shape[2:] and given[1] > shape[1]:
        return value[:, : shape[1]]
    return value


def fetch_pretrained(address: str) -> str:
    """Download weights, unless they are cached, and return their path.

    Args:
        address: ``https://HOST/FILE#sha256=DIGEST``: a ``.pdparams`` file, or a tar archive that holds one.

    Raises:
        WeightsError: missing or wrong checksum, no answer, or an archive without weights.
    """
    url, fragment = urldefrag(address)
    match = re.fullmatch(r"sha256=([0-9a-f]{64})", fragment)
    if match is None or urlparse(url).scheme not in ("http", "https"):
        raise WeightsError(
            f"pretrained: {address} has no checksum",
            hint=f"Append it, {url}#sha256=…, as printed by `curl -L {url} | sha256sum`; or use a local file.",
        )
    target = cache_folder() / match[1] / "model.pdparams"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            fetched = Path(folder) / "file"
            try:
                download(url, fetched, sha256=match[1])
            except InputError as error:
                raise WeightsError(str(error), hint="Or use a local .pdparams file.") from None
            _keep_weights(fetched, target, url)
    return str(target)


def cache_folder() -> Path:
    """Cache folder of weights: regen/pretrained in $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regen" / "pretrained"


def _keep_weights(source: Path, target: Path, url: str) -> None:
    """Copy the file, or the only .pdparams member of an archive, whatever its path there."""
    with atomic_path(target) as temporary:
        if not tarfile.is_tarfile(source):
            shutil.copyfile(source, temporary)
            return
        with tarfile.open(source) as archive:
            members = [member for member in archive if member.isfile() and member.name.endswith(".pdparams")]
            stream = archive.extractfile(members[0]) if len(members) == 1 else None
            if stream is None:
                raise WeightsError(
                    f"{url} contains {len(members)} .pdparams files, not one",
                    hint="Unpack it and use one of its files.",
                )
            with temporary.open("wb") as kept:
                shutil.copyfileobj(stream, kept)
